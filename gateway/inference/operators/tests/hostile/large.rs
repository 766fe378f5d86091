//! Graphs of which something is there very often: what is made of them takes time and memory in proportion.

use std::sync::mpsc::channel;
use std::time::Duration;

use witgate_operators::{Attribute, Attributes, Data, Graph, GraphSpec, Limits, Node, Shape, Tensor, Value};

/// Much longer than any of it takes, and a small part of what it took when each was compared with each.
const TIME_LIMIT: Duration = Duration::from_secs(120);

fn node(op_type: &str, inputs: Vec<String>, outputs: Vec<String>) -> Node {
    Node { op_type: op_type.to_owned(), inputs, outputs, ..Node::default() }
}

fn spec(inputs: &[&str], outputs: Vec<String>, nodes: Vec<Node>) -> GraphSpec {
    let inputs = inputs.iter().map(|name| (*name).to_owned()).collect();
    GraphSpec { inputs, outputs, nodes, opsets: vec![(String::new(), 21)], ..GraphSpec::default() }
}

fn floats(numbers: Vec<f32>) -> Value {
    Value::Tensor(Tensor::new(Shape::vector(numbers.len()), Data::Float32(numbers)).unwrap())
}

/// Does something that has to end soon.
fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, end) = channel();
    std::thread::spawn(move || done.send(work()));
    end.recv_timeout(TIME_LIMIT).expect("it ends soon")
}

#[test]
fn a_chain_of_identities_is_walked_once() {
    let nodes = |count: usize| {
        (0..count).map(|at| node("Identity", vec![format!("v{at}")], vec![format!("v{}", at + 1)])).collect::<Vec<_>>()
    };
    let graph =
        soon(move || Graph::new(spec(&["v0"], vec!["v100000".to_owned()], nodes(100_000)), &(), Limits::default()));
    assert_eq!(graph.unwrap().run(vec![floats(vec![7.0])]).unwrap(), [floats(vec![7.0])]);

    // Backwards, and in a circle.
    let (mut backwards, mut circle) = (nodes(100_000), nodes(99_999));
    backwards.reverse();
    circle.push(node("Identity", vec!["v99999".to_owned()], vec!["v0".to_owned()]));
    let graph = soon(|| Graph::new(spec(&["v0"], vec!["v100000".to_owned()], backwards), &(), Limits::default()));
    assert_eq!(graph.unwrap().nodes(), 0);
    let problem = soon(|| Graph::new(spec(&[], vec!["v50".to_owned()], circle), &(), Limits::default())).unwrap_err();
    assert!(problem.to_string().ends_with("need each other"), "{problem}");
}

#[test]
fn a_node_can_have_many_inputs() {
    let nodes = vec![node("Max", vec!["x".to_owned(); 400_000], vec!["y".to_owned()])];
    let graph = soon(|| Graph::new(spec(&["x"], vec!["y".to_owned()], nodes), &(), Limits::default())).unwrap();
    assert_eq!(graph.run(vec![floats(vec![1.0, -2.0])]).unwrap(), [floats(vec![1.0, -2.0])]);

    // All of them from one node, and needed by one.
    let parts: Vec<String> = (0..300_000).map(|at| format!("p{at}")).collect();
    let mut split = node("Split", vec!["x".to_owned()], parts.clone());
    split.attributes.set("num_outputs", Attribute::Int(300_000));
    let mut join = node("Concat", parts.clone(), vec!["y".to_owned()]);
    join.attributes.set("axis", Attribute::Int(0));
    let graph =
        soon(|| Graph::new(spec(&["x"], vec!["y".to_owned()], vec![split, join]), &(), Limits::default())).unwrap();
    let numbers = floats((0..300_000).map(|at| at as f32).collect());
    assert_eq!(graph.run(vec![numbers.clone()]).unwrap(), [numbers]);
}

#[test]
fn a_graph_within_a_node_can_have_many_outputs() {
    let names = |prefix: &str| (0..200_000).map(|at| format!("{prefix}{at}")).collect::<Vec<_>>();
    let branch = |name: &str| {
        let nodes = vec![node("Neg", vec!["x".to_owned()], vec![name.to_owned()])];
        Attribute::Graph(Box::new(spec(&[], vec![name.to_owned(); 200_000], nodes)))
    };
    let attributes = Attributes::new().with("then_branch", branch("a")).with("else_branch", branch("b"));
    let choice = Node { attributes, ..node("If", vec!["is".to_owned()], names("y")) };
    let outputs = vec!["y0".to_owned(), "y199999".to_owned()];
    let graph = soon(|| Graph::new(spec(&["is", "x"], outputs, vec![choice]), &(), Limits::default())).unwrap();
    let is = Value::Tensor(Tensor::new(Shape::SCALAR, Data::Bool(vec![true])).unwrap());
    let minus = floats(vec![-7.0]);
    assert_eq!(graph.run(vec![is, floats(vec![7.0])]).unwrap(), [minus.clone(), minus]);
}

#[test]
fn operators_that_are_not_known_are_listed_up_to_a_limit() {
    let nodes = (0..100_000).map(|at| node(&format!("No{at}"), vec!["x".to_owned()], vec![format!("y{at}")])).collect();
    let outputs = (0..100_000).map(|at| format!("y{at}")).collect();
    let problem = soon(|| Graph::new(spec(&["x"], outputs, nodes), &(), Limits::default())).unwrap_err().to_string();
    assert!(problem.contains("No0 in version 21") && problem.len() < 4096, "{} bytes", problem.len());
}
