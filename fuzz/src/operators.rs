//! What has to be true of operators and graphs: they answer or say why not, within their limits.

#[path = "../../gateway/inference/operators/tests/hostile/graphs.rs"]
mod graphs;
#[path = "../../gateway/inference/operators/tests/hostile/made.rs"]
mod made;

use std::sync::LazyLock;

use made::{Known, LIMITS, Numbers, inputs, nested, value, versions};
use witgate_operators::{Graph, Value, all};

/// Operators that feed each other.
const CHAIN: usize = 4;

/// Each version of each operator.
static KNOWN: LazyLock<Vec<((&str, &str), Known)>> = LazyLock::new(|| {
    let mut names: Vec<(&str, &str)> = all().collect();
    names.dedup();
    let known =
        names.into_iter().flat_map(|name| versions(name).into_iter().map(move |opset| (name, Known::of(name, opset))));
    known.filter(|(_, known)| !known.counts.is_empty()).collect()
});

/// Makes operators or a graph from decisions, and runs them.
///
/// # Panics
/// One of them does, or has more elements than the limits allow.
pub fn run(decisions: &[u8]) {
    let mut numbers = Numbers::Bytes(decisions);
    if numbers.below(8) == 0 {
        if let Ok(graph) = Graph::new(nested(&mut numbers), &(), LIMITS) {
            let inputs = graph.inputs().iter().map(|_| value(&mut numbers)).collect();
            check(&graph.run(inputs).unwrap_or_default());
        }
        return;
    }
    let mut made: Vec<Value> = Vec::new();
    for _ in 0..CHAIN {
        if numbers.is_over() {
            return;
        }
        let (name, known) = numbers.of(&KNOWN);
        let (count, outputs) = *numbers.of(&known.counts);
        let mut inputs = inputs(&mut numbers, count);
        for input in &mut inputs {
            if !made.is_empty() && numbers.below(2) == 0 {
                input.clone_from(numbers.of(&made));
            }
        }
        let attributes = known.attributes(&mut numbers);
        let is_constant = numbers.below(2) == 0;
        if let Some(answers) = made::run(*name, known.opset, &attributes, (&inputs, is_constant), outputs) {
            check(&answers);
            made.extend(answers);
        }
    }
}

fn check(answers: &[Value]) {
    for answer in answers {
        if let Value::Tensor(tensor) = answer {
            assert_eq!(tensor.shape().elements(), tensor.data().len());
        }
    }
}

/// Makes a graph of nodes that answer from decisions, and runs it.
///
/// # Panics
/// It does not give what its nodes give.
pub fn graph(decisions: &[u8]) {
    let mut numbers = Numbers::Bytes(decisions);
    // Before the graph: what is behind it is mostly nothing.
    let one = numbers.below(16);
    if let Some(made) = graphs::graph(&mut numbers)
        && let Err(problem) = graphs::check(&made, one)
    {
        panic!("{problem}; {:?}", made.spec);
    }
}
