use std::sync::atomic::Ordering;

use super::*;
use crate::attribute::Attribute;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup};
use crate::shape::Shape;
use crate::value::{Data, Tensor};

fn node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> Node {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Node { op_type: op_type.to_owned(), inputs: names(inputs), outputs: names(outputs), ..Node::default() }
}

fn spec(inputs: &[&str], outputs: &[&str], nodes: Vec<Node>) -> GraphSpec {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    GraphSpec {
        inputs: names(inputs),
        outputs: names(outputs),
        nodes,
        initializers: vec![("two".to_owned(), floats(&[2.0]))],
        opsets: vec![(String::new(), 21)],
    }
}

fn floats(numbers: &[f32]) -> Value {
    Value::Tensor(Tensor::new(Shape::vector(numbers.len()), Data::Float32(numbers.to_vec())).unwrap())
}

fn graph(spec: GraphSpec) -> Graph {
    Graph::new(spec, &(), Limits::default()).unwrap()
}

fn problem(spec: GraphSpec) -> String {
    Graph::new(spec, &(), Limits::default()).unwrap_err().to_string()
}

#[test]
fn nodes_are_run_behind_those_that_they_need() {
    let nodes = vec![node("Mul", &["b", "two"], &["c"]), node("Add", &["a", "two"], &["b"])];
    let graph = graph(spec(&["a"], &["c", "b", "a"], nodes));
    let outputs = graph.run(vec![floats(&[1.0, 2.0])]).unwrap();
    assert_eq!(outputs, [floats(&[6.0, 8.0]), floats(&[3.0, 4.0]), floats(&[1.0, 2.0])]);
}

#[test]
fn what_is_constant_is_computed_once() {
    let nodes = vec![
        node("Mul", &["two", "two"], &["four"]),
        node("Neg", &["four"], &["minus"]),
        node("Add", &["a", "minus"], &["b"]),
    ];
    let graph = graph(spec(&["a"], &["b", "four"], nodes));
    assert_eq!(graph.nodes(), 1);
    assert_eq!(graph.constant_bytes(), 8, "the constants that are needed are kept, and no others");
    assert_eq!(graph.run(vec![floats(&[1.0])]).unwrap(), [floats(&[-3.0]), floats(&[4.0])]);
}

#[test]
fn what_nobody_needs_is_left_out_known_or_not() {
    let nodes = vec![node("ZipMap", &["a"], &["maps"]), node("Neg", &["a"], &["b"])];
    let graph = graph(spec(&["a", "unused"], &["b"], nodes));
    assert_eq!(graph.run(vec![floats(&[1.0]), Value::Absent]).unwrap(), [floats(&[-1.0])]);
}

#[test]
fn a_value_is_used_as_often_as_it_is_named() {
    let nodes = vec![node("Mul", &["a", "a"], &["b"]), node("Add", &["b", "b"], &["c"]), node("Neg", &["c"], &["d"])];
    let graph = graph(spec(&["a"], &["d", "d"], nodes));
    assert_eq!(graph.run(vec![floats(&[3.0])]).unwrap(), [floats(&[-18.0]), floats(&[-18.0])]);
}

#[test]
fn slots_are_used_again() {
    let names: Vec<String> = (0..=50).map(|at| format!("v{at}")).collect();
    let nodes = names.windows(2).map(|pair| node("Neg", &[&pair[0]], &[&pair[1]])).collect();
    let graph = graph(spec(&["v0"], &["v50"], nodes));
    assert_eq!(graph.slots, 2);
    assert_eq!(graph.run(vec![floats(&[1.0])]).unwrap(), [floats(&[1.0])]);
}

#[test]
fn unknown_operators_are_told_all_at_once() {
    let mut foreign = node("Rocket", &["c"], &["d"]);
    foreign.domain = "com.example".to_owned();
    let nodes = vec![
        node("Invented", &["a"], &["b"]),
        node("Invented", &["b"], &["c"]),
        node("RMSNormalization", &["c", "two"], &["e"]),
        node("Softmax", &["e", "e"], &["f"]),
    ];
    let expected =
        "operators that are not known: Invented in version 21, RMSNormalization in version 21 (known since 23)";
    assert_eq!(problem(spec(&["a"], &["f"], nodes.clone())), expected);
    let nodes = [nodes, vec![foreign]].concat();
    assert!(problem(spec(&["a"], &["d"], nodes)).starts_with(&expected[..30]));
}

#[test]
fn a_node_that_is_wrong_is_told_by_its_name() {
    let mut wrong = node("Softmax", &["a"], &["b"]);
    wrong.attributes.set("axes", Attribute::Int(1));
    assert_eq!(
        problem(spec(&["a"], &["b"], vec![wrong.clone()])),
        "node 0 (Softmax): attribute 'axes': is not known to the operator"
    );
    wrong.name = "last".to_owned();
    wrong.attributes = Attributes::new();
    wrong.inputs.push("two".to_owned());
    assert_eq!(problem(spec(&["a"], &["b"], vec![wrong])), "'last' (Softmax): expected 1 inputs, got 2");
    let constant = vec![node("Reshape", &["two", "two"], &["b"]), node("Add", &["a", "b"], &["c"])];
    assert_eq!(problem(spec(&["a"], &["c"], constant)), "node 0 (Reshape): input 1: expected INT64, got FP32 of [1]");
}

#[test]
fn graphs_that_cannot_be_are_refused() {
    let cycle = vec![node("Add", &["a", "c"], &["b"]), node("Neg", &["b"], &["c"])];
    assert_eq!(problem(spec(&["a"], &["c"], cycle)), "node 0 (Add), node 1 (Neg) need each other");
    let missing = vec![node("Neg", &["x"], &["b"])];
    assert_eq!(
        problem(spec(&["a"], &["b"], missing)),
        "'x', which node 0 (Neg) needs, is neither an input nor made by a node"
    );
    assert!(problem(spec(&["a"], &["y"], vec![])).starts_with("'y', which the graph's output needs"));
    let twice = vec![node("Neg", &["a"], &["b"]), node("Abs", &["a"], &["b"])];
    assert_eq!(problem(spec(&["a"], &["b"], twice)), "'b' is made twice");
    assert_eq!(problem(spec(&["two"], &["two"], vec![])), "'two' is made twice");
    let mut foreign = spec(&["a"], &["b"], vec![node("Neg", &["a"], &["b"])]);
    foreign.opsets.clear();
    assert_eq!(problem(foreign), "node 0 (Neg): the model imports no version of ai.onnx");
}

#[test]
fn a_run_that_fails_names_its_node() {
    let graph = graph(spec(&["a", "b"], &["c"], vec![node("Add", &["a", "b"], &["c"])]));
    let problem = |inputs| graph.run(inputs).unwrap_err().to_string();
    assert_eq!(
        problem(vec![floats(&[1.0, 2.0]), floats(&[1.0, 2.0, 3.0])]),
        "node 0 (Add): tensors of [2] and [3] do not fit together"
    );
    assert_eq!(problem(vec![floats(&[1.0])]), "expected 2 inputs, got 1");
    assert_eq!(problem(vec![floats(&[1.0]), Value::Absent]), "node 0 (Add): input 1: expected a tensor, got nothing");
}

#[test]
fn limits_hold_for_what_lives_at_one_time() {
    let chain = || {
        let names: Vec<String> = (0..=20).map(|at| format!("v{at}")).collect();
        let nodes = names.windows(2).map(|pair| node("Exp", &[&pair[0]], &[&pair[1]])).collect();
        spec(&["v0"], &["v20"], nodes)
    };
    let limits = |bytes, work| Limits { bytes, work, ..Limits::default() };
    let run = |limits| Graph::new(chain(), &(), limits).unwrap().run(vec![floats(&[0.0; 1000])]);
    assert!(run(limits(10_000, 100_000)).is_ok(), "twenty values of 4000 bytes follow each other");
    let failure = run(limits(5_000, 100_000)).unwrap_err().to_string();
    assert_eq!(failure, "node 0 (Exp): bytes at one time: 8000 needed, 5000 allowed");
    let failure = run(limits(10_000, 10_000)).unwrap_err().to_string();
    assert_eq!(failure, "node 8 (Exp): steps of a run: 10152 needed, 10000 allowed", "a node takes 128 steps itself");
    assert!(matches!(run(limits(3_000, 10_000)), Err(RunError::Limit(_))));
}

#[derive(Debug)]
struct Twice;

impl Kernel for Twice {
    fn run(&self, inputs: &mut Inputs<'_>, _budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let value = inputs.take(0);
        Ok([value.clone(), value].into_iter().collect())
    }
}

struct Others;

impl External for Others {
    fn build(&self, setup: &Setup<'_>) -> Option<Result<Box<dyn Kernel>, BuildError>> {
        (setup.op_type() == "Twice").then(|| {
            setup.attributes().int_or("depth", 1)?;
            Ok(Box::new(Twice) as Box<dyn Kernel>)
        })
    }
}

#[test]
fn operators_of_others_take_part() {
    let mut twice = node("Twice", &["a"], &["b", "c"]);
    twice.domain = "com.example".to_owned();
    let mut spec = spec(&["a"], &["d"], vec![twice, node("Add", &["b", "c"], &["d"])]);
    spec.opsets.push(("com.example".to_owned(), 1));
    let graph = Graph::new(spec.clone(), &Others, Limits::default()).unwrap();
    assert_eq!(graph.run(vec![floats(&[1.5])]).unwrap(), [floats(&[3.0])]);
    spec.nodes[0].attributes.set("width", Attribute::Int(1));
    let problem = Graph::new(spec, &Others, Limits::default()).unwrap_err().to_string();
    assert_eq!(problem, "node 0 (Twice): attribute 'width': is not known to the operator");
}

#[test]
fn a_run_that_is_stopped_ends_before_its_next_step() {
    let graph =
        graph(spec(&["a"], &["c"], vec![node("Mul", &["a", "two"], &["b"]), node("Add", &["b", "two"], &["c"])]));
    let stop = Arc::new(AtomicBool::new(false));
    assert!(graph.run_until(vec![floats(&[1.0])], &[0], stop.clone()).is_ok());
    stop.store(true, Ordering::Relaxed);
    assert!(graph.run_until(vec![floats(&[1.0])], &[0], stop).unwrap_err().is_stopped());
}

#[test]
fn only_what_is_wanted_is_made() {
    let nodes = vec![
        node("Reshape", &["a", "two"], &["impossible"]),
        node("Mul", &["a", "two"], &["b"]),
        node("Identity", &["b"], &["c"]),
        node("Identity", &["c"], &["d"]),
    ];
    let graph = graph(spec(&["a"], &["impossible", "d", "c"], nodes));
    assert_eq!(graph.nodes(), 2, "names are led past");
    let made = graph.run_until(vec![floats(&[3.0])], &[2], Arc::default()).unwrap();
    assert_eq!(made, [Value::Absent, Value::Absent, floats(&[6.0])]);
    let made = graph.run_until(vec![floats(&[3.0])], &[1, 2], Arc::default()).unwrap();
    assert_eq!(made, [Value::Absent, floats(&[6.0]), floats(&[6.0])]);
    assert!(graph.run(vec![floats(&[3.0])]).is_err());
}

#[test]
fn identities_of_inputs_and_in_circles() {
    let through = graph(spec(&["a"], &["b"], vec![node("Identity", &["a"], &["b"])]));
    assert_eq!(through.run(vec![floats(&[3.0])]).unwrap(), [floats(&[3.0])]);
    let circle = vec![node("Identity", &["b"], &["a"]), node("Identity", &["a"], &["b"])];
    assert!(problem(spec(&[], &["a"], circle)).contains("need each other"));
}
