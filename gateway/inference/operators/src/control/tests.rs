use crate::attribute::{Attribute, Attributes};
use crate::graph::{DEPTH_LIMIT, Graph, GraphSpec, Node};
use crate::limits::Limits;
use crate::shape::Shape;
use crate::value::{Data, Tensor, Value};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> Node {
    Node { op_type: op_type.to_owned(), inputs: names(inputs), outputs: names(outputs), ..Node::default() }
}

fn with(mut node: Node, attributes: impl IntoIterator<Item = (&'static str, Attribute)>) -> Node {
    node.attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Attributes>();
    node
}

fn part(inputs: &[&str], outputs: &[&str], nodes: Vec<Node>) -> Attribute {
    Attribute::Graph(Box::new(GraphSpec {
        inputs: names(inputs),
        outputs: names(outputs),
        nodes,
        ..Default::default()
    }))
}

fn whole(inputs: &[&str], outputs: &[&str], nodes: Vec<Node>) -> GraphSpec {
    let initializers = vec![("two".to_owned(), floats(&[2.0])), ("yes".to_owned(), truth(true))];
    let opsets = vec![(String::new(), 21)];
    GraphSpec { inputs: names(inputs), outputs: names(outputs), nodes, initializers, opsets }
}

fn floats(numbers: &[f32]) -> Value {
    Value::Tensor(Tensor::new(Shape::vector(numbers.len()), Data::Float32(numbers.to_vec())).unwrap())
}

fn truth(truth: bool) -> Value {
    Value::Tensor(Tensor::new(Shape::SCALAR, Data::Bool(vec![truth])).unwrap())
}

fn integer(number: i64) -> Value {
    Value::Tensor(Tensor::new(Shape::SCALAR, Data::Int64(vec![number])).unwrap())
}

fn built(spec: GraphSpec) -> Graph {
    Graph::new(spec, &(), Limits::default()).unwrap()
}

fn choice(yes: Attribute, no: Attribute) -> Node {
    with(node("If", &["c"], &["y"]), [("then_branch", yes), ("else_branch", no)])
}

/// Adds `x` of the graph around it until the sum is more than `limit`, and collects what it has.
fn counting(condition: &str) -> Node {
    let nodes = vec![
        node("Add", &["sum", "x"], &["next"]),
        node("Less", &["next", "limit"], &["less"]),
        node("Squeeze", &["less"], &["again"]),
        node("Mul", &["next", "two"], &["twice"]),
    ];
    let body = part(&["turn", "before", "sum"], &["again", "next", "twice"], nodes);
    with(node("Loop", &["turns", condition, "x"], &["total", "all"]), [("body", body)])
}

#[test]
fn branches_use_what_is_around_them() {
    let yes = part(&[], &["y"], vec![node("Mul", &["x", "two"], &["y"])]);
    let no = part(&[], &["x"], vec![]);
    let graph = built(whole(&["c", "a"], &["y"], vec![choice(yes, no), node("Neg", &["a"], &["x"])]));
    assert_eq!(graph.run(vec![truth(true), floats(&[3.0])]).unwrap(), [floats(&[-6.0])]);
    assert_eq!(graph.run(vec![truth(false), floats(&[3.0])]).unwrap(), [floats(&[-3.0])]);
    let error = graph.run(vec![floats(&[1.0]), floats(&[3.0])]).unwrap_err().to_string();
    assert_eq!(error, "node 0 (If): input 0: expected one BOOL, got FP32 of [1]");
}

#[test]
fn names_within_come_before_names_around() {
    let yes = part(&[], &["x"], vec![node("Neg", &["a"], &["x"])]);
    let inner = choice(yes.clone(), yes);
    let outer = part(&[], &["y"], vec![inner]);
    let graph = built(whole(&["c", "a", "x"], &["y"], vec![choice(outer.clone(), outer)]));
    assert_eq!(graph.run(vec![truth(true), floats(&[1.0]), floats(&[5.0])]).unwrap(), [floats(&[-1.0])]);
}

#[test]
fn what_is_constant_around_is_constant_within() {
    let yes = part(&[], &["y"], vec![node("Mul", &["two", "two"], &["y"])]);
    let mut spec = whole(&[], &["y"], vec![choice(yes.clone(), yes)]);
    spec.initializers.push(("c".to_owned(), truth(true)));
    let graph = built(spec);
    assert_eq!(graph.nodes(), 0);
    assert_eq!(graph.run(vec![]).unwrap(), [floats(&[4.0])]);
}

#[test]
fn loops_carry_and_collect() {
    let graph = built(whole(&["turns", "x", "limit"], &["total", "all"], vec![counting("yes")]));
    let made = graph.run(vec![integer(100), floats(&[1.0]), floats(&[3.5])]).unwrap();
    let all = Tensor::new(Shape::new(&[3, 1]).unwrap(), Data::Float32(vec![4.0, 6.0, 8.0])).unwrap();
    assert_eq!(made, [floats(&[4.0]), Value::Tensor(all)]);
    // Without a condition what the body says of it is not asked for.
    let graph = built(whole(&["turns", "x", "limit"], &["total"], vec![counting("")]));
    let made = graph.run(vec![integer(5), floats(&[1.0]), floats(&[0.0])]).unwrap();
    assert_eq!(made, [floats(&[6.0])]);
    let none = graph.run(vec![integer(-1), floats(&[1.0]), floats(&[0.0])]).unwrap();
    assert_eq!(none, [floats(&[1.0])], "no turn");
}

#[test]
fn loops_without_turns_have_nothing_to_collect() {
    let graph = built(whole(&["turns", "x", "limit"], &["all"], vec![counting("yes")]));
    let error = graph.run(vec![integer(0), floats(&[1.0]), floats(&[3.5])]).unwrap_err().to_string();
    assert_eq!(error, "node 0 (Loop): a loop without turns has no type for what it would collect");
}

#[test]
fn loops_without_an_end_are_ended() {
    let spec = whole(&["turns", "x", "limit"], &["total"], vec![counting("")]);
    let limits = Limits { work: 100_000, ..Limits::default() };
    let graph = Graph::new(spec, &(), limits).unwrap();
    let error = graph.run(vec![integer(i64::MAX), floats(&[]), floats(&[])]).unwrap_err().to_string();
    assert!(error.contains("steps of a run"), "{error}");
}

#[test]
fn what_loops_collect_is_limited() {
    let spec = whole(&["turns", "x", "limit"], &["all"], vec![counting("")]);
    let limits = Limits { bytes: 100_000, ..Limits::default() };
    let graph = Graph::new(spec, &(), limits).unwrap();
    let error = graph.run(vec![integer(i64::MAX), floats(&[1.0]), floats(&[0.0])]).unwrap_err().to_string();
    assert!(error.contains("bytes at one time"), "{error}");
}

#[test]
fn scans_walk_along_axes_in_both_directions() {
    let nodes = vec![node("Add", &["state", "slice"], &["next"]), node("Identity", &["next"], &["kept"])];
    let scan = |attributes: Vec<(&'static str, Attribute)>| {
        let body = part(&["state", "slice"], &["next", "kept"], nodes.clone());
        let told = [("body", body), ("num_scan_inputs", Attribute::Int(1))];
        let scan = with(node("Scan", &["a", "x"], &["last", "all"]), told.into_iter().chain(attributes));
        built(whole(&["a", "x"], &["last", "all"], vec![scan]))
    };
    let x = || Value::Tensor(Tensor::new(Shape::new(&[1, 3]).unwrap(), Data::Float32(vec![1.0, 2.0, 4.0])).unwrap());
    let axes = |axes: i64| vec![("scan_input_axes", Attribute::Ints(vec![axes]))];
    let made = scan(axes(-1)).run(vec![floats(&[0.0]), x()]).unwrap();
    let all = |numbers: &[f32]| {
        Value::Tensor(Tensor::new(Shape::new(&[3, 1]).unwrap(), Data::Float32(numbers.to_vec())).unwrap())
    };
    assert_eq!(made, [floats(&[7.0]), all(&[1.0, 3.0, 7.0])]);
    let mut backward = axes(1);
    backward.push(("scan_input_directions", Attribute::Ints(vec![1])));
    backward.push(("scan_output_directions", Attribute::Ints(vec![1])));
    let made = scan(backward).run(vec![floats(&[0.0]), x()]).unwrap();
    assert_eq!(made, [floats(&[7.0]), all(&[7.0, 6.0, 4.0])]);
}

#[test]
fn graphs_that_do_not_fit_are_refused() {
    let problem = |spec: GraphSpec| Graph::new(spec, &(), Limits::default()).unwrap_err().to_string();
    let none = part(&[], &[], vec![]);
    let neg = part(&[], &["n"], vec![node("Neg", &["two"], &["n"])]);
    let error = problem(whole(&["c"], &["y"], vec![choice(neg.clone(), none)]));
    assert_eq!(error, "node 0 (If): attribute 'else_branch': expected a graph of 1 outputs, got 0");
    let strange = part(&[], &["n"], vec![node("Strange", &["two"], &["n"])]);
    let error = problem(whole(&["c"], &["y"], vec![choice(neg.clone(), strange)]));
    assert_eq!(error, "operators that are not known: Strange in version 21");
    let missing = part(&[], &["n"], vec![node("Neg", &["nowhere"], &["n"])]);
    let error = problem(whole(&["c"], &["y"], vec![choice(neg.clone(), missing)]));
    assert_eq!(error, "'nowhere', which node 0 (If) needs, is neither an input nor made by a node");
    let mut deep = neg;
    for _ in 0..=DEPTH_LIMIT {
        deep = part(&[], &["y"], vec![choice(deep.clone(), deep_else())]);
    }
    let error = problem(whole(&["c"], &["y"], vec![choice(deep.clone(), deep)]));
    assert_eq!(error, "expected at most 16 graphs within each other, got 17");
}

fn deep_else() -> Attribute {
    part(&[], &["n"], vec![node("Neg", &["two"], &["n"])])
}
