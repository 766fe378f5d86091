//! Whatever attributes and inputs an operator is given, it answers or says why not: it never panics, and never takes more
//! than it may.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test ends at the first surprise, and tells what it has seen"
)]

mod graphs;
mod large;
mod made;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use made::{Known, LIMITS, Numbers, inputs, nested, run, value, versions};
use witgate_operators::{Graph, Value, all};

/// Tries of each version of an operator; `WITGATE_HOSTILE_TRIES` tells more.
fn tries() -> usize {
    std::env::var("WITGATE_HOSTILE_TRIES").map_or(300, |tries| tries.parse().unwrap())
}

#[test]
fn no_operator_panics() {
    let operators: BTreeSet<(&str, &str)> = all().collect();
    let (mut panicked, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for (at, name) in operators.iter().enumerate() {
        let mut numbers = Numbers::Random(0x9e37_79b9_7f4a_7c15 ^ (at as u64 + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
        let mut has_answered = false;
        for known in versions(*name).into_iter().map(|opset| Known::of(*name, opset)) {
            if known.counts.is_empty() {
                continue;
            }
            for _ in 0..tries() {
                let (inputs_count, outputs) = *numbers.of(&known.counts);
                let inputs = inputs(&mut numbers, inputs_count);
                let attributes = known.attributes(&mut numbers);
                let is_constant = numbers.below(2) == 0;
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    run(*name, known.opset, &attributes, (&inputs, is_constant), outputs)
                }));
                match outcome {
                    Err(_) => {
                        panicked.insert(format!("{name:?} {} {attributes:?} of {}", known.opset, told(&inputs)));
                    }
                    Ok(answer) => has_answered |= answer.is_some(),
                }
            }
        }
        if !has_answered {
            silent.insert(*name);
        }
    }
    println!("operators that never answered: {silent:?}");
    assert_eq!(panicked, BTreeSet::new());
    assert!(silent.len() * 4 < operators.len(), "operators that never answered: {silent:?}");
}

fn told(inputs: &[Value]) -> String {
    inputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[test]
fn no_graph_within_a_node_panics() {
    let mut numbers = Numbers::Random(7);
    for _ in 0..tries() * 20 {
        if let Ok(graph) = Graph::new(nested(&mut numbers), &(), LIMITS) {
            let inputs = graph.inputs().iter().map(|_| value(&mut numbers)).collect();
            drop(graph.run(inputs));
        }
    }
}

#[test]
fn graphs_give_what_their_nodes_give() {
    let (mut numbers, mut answered, mut nodes) = (Numbers::Random(0x5851_f42d_4c95_7f2d), 0, 0);
    for _ in 0..tries() * 10 {
        let Some(made) = graphs::graph(&mut numbers) else { continue };
        let one = numbers.below(16);
        let outcome = catch_unwind(AssertUnwindSafe(|| graphs::check(&made, one)));
        match outcome {
            Ok(Ok(has_answered)) => answered += usize::from(has_answered),
            Ok(Err(problem)) => panic!("{problem}; {:?}", made.spec),
            Err(_) => panic!("{:?}", made.spec),
        }
        nodes += made.spec.nodes.len();
    }
    println!("{answered} graphs answered, with {nodes} nodes");
    assert!(answered > tries(), "{answered} graphs answered");
}
