//! Graphs of several nodes, each of which answers by itself: the graph has to give the same, whatever it plans.

use std::sync::LazyLock;

use witgate_operators::{
    Budget, Graph, GraphError, GraphSpec, Limits, Node, Operator, OperatorError, RunError, Source, Value, all,
};

use super::made::{Known, LIMITS, Numbers, inputs};

/// A graph imports one version of a domain.
const OPSET: u32 = 28;
/// Nodes that are tried; most do not go with what is there, and are left out.
const TRIED: usize = 24;
/// Nodes of a graph.
const NODES: usize = 8;
/// A graph holds several values at a time, and takes steps of its own.
const ROOM: Limits = Limits { elements: LIMITS.elements, bytes: LIMITS.bytes * 32, work: LIMITS.work * 32 };

/// The newest version of each operator that makes the same of the same inputs.
static KNOWN: LazyLock<Vec<((&str, &str), Known)>> = LazyLock::new(|| {
    let mut names: Vec<(&str, &str)> = all().collect();
    names.sort_unstable();
    names.dedup();
    let known = names.into_iter().map(|name| (name, Known::of(name, OPSET)));
    known.filter(|(_, known)| !known.counts.is_empty()).collect()
});

/// A value with its name.
type Named = (String, Value);

/// A graph, and what it has to give.
pub struct Made {
    pub spec: GraphSpec,
    inputs: Vec<Value>,
    expected: Vec<Value>,
}

/// A graph of what there are operators for and that answers, node by node.
pub fn graph(numbers: &mut Numbers<'_>) -> Option<Made> {
    let count = 1 + numbers.below(4);
    let given = inputs(numbers, count).into_iter().filter(|value| !matches!(value, Value::Absent));
    let mut known: Vec<Named> = given.enumerate().map(|(at, value)| (format!("given{at}"), value)).collect();
    if known.is_empty() {
        return None;
    }
    let (mut nodes, given) = (Vec::new(), known.len());
    for _ in 0..TRIED {
        if nodes.len() == NODES || numbers.is_over() {
            break;
        }
        if let Some((node, made)) = node(numbers, &known, nodes.len()) {
            nodes.push(node);
            known.extend(made);
        }
    }
    let made = known.split_off(given);
    let mut results: Vec<Named> = made.iter().filter(|_| numbers.below(3) == 0).cloned().collect();
    results.extend(made.last().cloned());
    if results.is_empty() {
        return None;
    }
    if numbers.below(8) == 0 {
        // One that is wanted twice, and one that goes in and comes out.
        results.extend([results.first().cloned(), known.first().cloned()].into_iter().flatten());
    }
    let (initializers, dynamic): (Vec<Named>, Vec<Named>) = known.into_iter().partition(|_| numbers.below(2) == 0);
    let (names, values): (Vec<String>, Vec<Value>) = dynamic.into_iter().unzip();
    let (outputs, expected): (Vec<String>, Vec<Value>) = results.into_iter().unzip();
    // The order of a file is no promise.
    if numbers.below(2) == 0 {
        nodes.reverse();
    }
    let domains = ["", "ai.onnx.ml", "com.microsoft"];
    let opsets = domains.iter().map(|domain| ((*domain).to_owned(), OPSET)).collect();
    Some(Made { spec: GraphSpec { inputs: names, outputs, initializers, nodes, opsets }, inputs: values, expected })
}

/// A node of values that are there, and what it makes of them.
fn node(numbers: &mut Numbers<'_>, known: &[Named], at: usize) -> Option<(Node, Vec<Named>)> {
    let ((domain, op_type), operator) = numbers.of(&KNOWN);
    let (count, outputs) = *numbers.of(&operator.counts);
    let absent = (String::new(), Value::Absent);
    let mut chosen: Vec<&Named> = Vec::new();
    for _ in 0..count {
        // What came last, more often than not.
        chosen.push(match numbers.below(8) {
            0 => &absent,
            1..4 => known.last()?,
            _ => numbers.of(known),
        });
    }
    // A graph leaves these out.
    while chosen.last().is_some_and(|(name, _)| name.is_empty()) {
        chosen.pop();
    }
    let attributes = operator.attributes(numbers);
    let sources: Vec<Source<'_>> =
        chosen.iter().map(|(name, _)| if name.is_empty() { Source::Absent } else { Source::Dynamic }).collect();
    let values: Vec<Value> = chosen.iter().map(|(_, value)| value.clone()).collect();
    let made = Operator::new(domain, op_type, OPSET, &attributes, &sources, &vec![true; outputs]).ok()?;
    let run = || made.run(&values, &mut Budget::new(LIMITS)).ok();
    let answers = run()?;
    // Some draw numbers.
    if told(&answers) != told(&run()?) {
        return None;
    }
    let names: Vec<String> = (0..outputs).map(|output| format!("made{at}.{output}")).collect();
    let node = Node {
        name: format!("node{at}"),
        domain: (*domain).to_owned(),
        op_type: (*op_type).to_owned(),
        inputs: chosen.iter().map(|(name, _)| name.clone()).collect(),
        outputs: names.clone(),
        attributes,
    };
    let made = names.into_iter().zip(answers).filter(|(_, value)| !matches!(value, Value::Absent));
    Some((node, made.collect()))
}

/// Numbers as they are written: NaN is NaN then, and -0 is not 0.
fn told(values: &[Value]) -> String {
    format!("{values:?}")
}

/// Runs a graph twice, and for one of its outputs alone. True if it answers, false where it may not for its limits.
///
/// # Errors
/// It gives something else than its nodes, and what.
pub fn check(made: &Made, one: usize) -> Result<bool, String> {
    let Made { spec, inputs, expected } = made;
    let graph = match Graph::new(spec.clone(), &(), ROOM) {
        Ok(graph) => graph,
        Err(GraphError::Constant { problem: OperatorError::Limit { .. }, .. }) => return Ok(false),
        Err(error) => return Err(format!("it is not built: {error}")),
    };
    for _ in 0..2 {
        match graph.run(inputs.clone()) {
            Ok(given) if told(&given) == told(expected) => {}
            Ok(given) => return Err(format!("it gives {}, and its nodes {}", told(&given), told(expected))),
            Err(RunError::Limit(_) | RunError::Node { problem: OperatorError::Limit { .. }, .. }) => return Ok(false),
            Err(error) => return Err(format!("it fails: {error}")),
        }
    }
    let one = one % expected.len().max(1);
    let given = graph.run_until(inputs.clone(), &[one], std::sync::Arc::default());
    let given = given.map_err(|error| format!("it fails for output {one} alone: {error}"))?;
    match (given.get(one), expected.get(one)) {
        (Some(given), Some(expected)) if format!("{given:?}") != format!("{expected:?}") => {
            Err(format!("it gives {given:?} for output {one} alone, and its nodes {expected:?}"))
        }
        _ => Ok(true),
    }
}
