//! What is kept of constants when a graph is built has a limit. In a process of its own, whose memory no other test takes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

use witgate_operators::{Attribute, Attributes, Data, Graph, GraphSpec, Limits, Node, Shape, Tensor, Value};

/// Of which 16 MiB are for constants.
const LIMITS: Limits = Limits { elements: 1 << 26, bytes: 16 << 20, work: 1 << 34 };
/// What building may take: the constants, what operators need while they make them, and nodes. Without a limit it is more
/// than ten times as much.
const ROOM: usize = 100 << 20;

/// Bytes of memory that the process has.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Builds a graph, which takes no more memory than it may.
fn built(spec: GraphSpec) -> Graph {
    let before = resident();
    let graph = Graph::new(spec, &(), LIMITS).unwrap();
    let taken = resident().saturating_sub(before);
    assert!(taken < ROOM, "{taken} bytes");
    graph
}

fn spec(inputs: &[&str], outputs: Vec<String>, weights: (&str, Tensor), nodes: Vec<Node>) -> GraphSpec {
    GraphSpec {
        inputs: inputs.iter().map(|name| (*name).to_owned()).collect(),
        outputs,
        initializers: vec![(weights.0.to_owned(), Value::Tensor(weights.1))],
        nodes,
        opsets: vec![(String::new(), 21)],
    }
}

fn node(op_type: &str, inputs: &[&str], outputs: Vec<String>, attributes: Attributes) -> Node {
    let inputs = inputs.iter().map(|name| (*name).to_owned()).collect();
    Node { op_type: op_type.to_owned(), inputs, outputs, attributes, ..Node::default() }
}

/// A graph with so many outputs of 1 MiB, all of them constant.
fn constants(count: usize) -> GraphSpec {
    let outputs: Vec<String> = (0..count).map(|at| format!("y{at}")).collect();
    let one = Tensor::new(Shape::vector(1), Data::Float32(vec![1.0])).unwrap();
    let attributes = Attributes::new().with("value", Attribute::Tensor(one));
    let nodes = outputs.iter().map(|name| node("ConstantOfShape", &["s"], vec![name.clone()], attributes.clone()));
    let nodes = nodes.collect();
    let shape = Tensor::new(Shape::vector(1), Data::Int64(vec![1 << 18])).unwrap();
    spec(&[], outputs, ("s", shape), nodes)
}

/// Operators by a constant matrix of 1 MiB, which all of them share.
fn products(op_type: &str, rank: usize, count: usize) -> GraphSpec {
    let dimensions = [512, 512, 1, 1];
    let weights = Tensor::new(Shape::new(&dimensions[..rank]).unwrap(), Data::Float32(vec![0.5; 1 << 18])).unwrap();
    let outputs: Vec<String> = (0..count).map(|at| format!("y{at}")).collect();
    let nodes = outputs.iter().map(|name| node(op_type, &["x", "w"], vec![name.clone()], Attributes::new())).collect();
    spec(&["x"], outputs, ("w", weights), nodes)
}

#[test]
fn what_is_kept_of_constants_has_a_limit() {
    let graph = built(constants(1000));
    assert_eq!(graph.constant_bytes(), (16 << 20) + size_of::<i64>());
    assert_eq!(graph.nodes(), 1000 - 16, "the others are made in each run");

    // In graphs within nodes, all of them together.
    let branch = || Attribute::Graph(Box::new(constants(20)));
    let choices = (0..50).map(|at| {
        let attributes = Attributes::new().with("then_branch", branch()).with("else_branch", branch());
        node("If", &["is"], (0..20).map(|of| format!("z{at}_{of}")).collect(), attributes)
    });
    let is = Tensor::new(Shape::SCALAR, Data::Bool(vec![true])).unwrap();
    let outputs = (0..50).map(|at| format!("z{at}_19")).collect();
    let graph = built(spec(&["is"], outputs, ("unused", is), choices.collect()));
    drop(graph);

    for (op_type, rank) in [("MatMul", 2), ("Gemm", 2), ("Conv", 4), ("ConvTranspose", 4)] {
        let graph = built(products(op_type, rank, 1000));
        let ones = Tensor::new(Shape::new(&[1, 512, 1, 1][..rank]).unwrap(), Data::Float32(vec![1.0; 512])).unwrap();
        // The first keeps what it makes of the matrix, the last does not.
        let outputs = graph.run(vec![Value::Tensor(ones)]).unwrap();
        assert_eq!(outputs.first(), outputs.last(), "{op_type}");
        assert!(outputs.iter().all(|value| value.tensor().is_some()));
    }
}
