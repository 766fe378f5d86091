//! Graphs as requests run them: from one row to a few dozen.
//!
//! `cargo bench -p witgate-operators --bench requests`

#![allow(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use witgate_operators::{Attribute, Data, Graph, GraphSpec, Limits, Node, Shape, Tensor, Value};

const ROWS: [usize; 4] = [1, 8, 32, 64];

/// Numbers that look random and are the same in each run.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn floats(shape: &[usize], seed: u32) -> Value {
    let shape = Shape::new(shape).unwrap();
    Value::Tensor(Tensor::new(shape, Data::Float32(numbers(shape.elements(), seed))).unwrap())
}

fn integers(shape: &[usize], numbers: Vec<i64>) -> Value {
    Value::Tensor(Tensor::new(Shape::new(shape).unwrap(), Data::Int64(numbers)).unwrap())
}

fn node(op_type: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, Attribute)]) -> Node {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Node {
        op_type: op_type.to_owned(),
        inputs: owned(inputs),
        outputs: owned(outputs),
        attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        ..Node::default()
    }
}

fn learned(op_type: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, Attribute)]) -> Node {
    Node { domain: "ai.onnx.ml".to_owned(), ..node(op_type, inputs, outputs, attributes) }
}

fn graph(outputs: &[&str], constants: Vec<(&str, Value)>, nodes: Vec<Node>) -> Graph {
    let spec = GraphSpec {
        inputs: vec!["x".to_owned()],
        outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
        initializers: constants.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        nodes,
        opsets: vec![(String::new(), 18), ("ai.onnx.ml".to_owned(), 3)],
    };
    Graph::new(spec, &(), Limits::default()).unwrap()
}

fn network(inputs: usize, hidden: usize) -> Graph {
    graph(
        &["y"],
        vec![
            ("a", floats(&[inputs, hidden], 1)),
            ("b", floats(&[hidden], 2)),
            ("c", floats(&[hidden, 1], 3)),
            ("d", floats(&[1], 4)),
        ],
        vec![
            node("Gemm", &["x", "a", "b"], &["h"], &[]),
            node("Relu", &["h"], &["r"], &[]),
            node("Gemm", &["r", "c", "d"], &["s"], &[]),
            node("Sigmoid", &["s"], &["y"], &[]),
        ],
    )
}

fn product(length: usize, columns: usize) -> Graph {
    graph(&["y"], vec![("w", floats(&[length, columns], 1))], vec![node("MatMul", &["x", "w"], &["y"], &[])])
}

/// Functions that take exponentials.
fn activations() -> Graph {
    graph(
        &["y"],
        vec![],
        vec![
            node("Tanh", &["x"], &["a"], &[]),
            node("Sigmoid", &["a"], &["b"], &[]),
            node("Exp", &["b"], &["c"], &[]),
            node("Softmax", &["c"], &["y"], &[("axis", Attribute::Int(1))]),
        ],
    )
}

fn linear() -> Graph {
    graph(
        &["y"],
        vec![
            ("m", floats(&[4096], 1)),
            ("s", floats(&[4096], 2)),
            ("w", floats(&[4096, 2], 3)),
            ("b", floats(&[2], 4)),
        ],
        vec![
            node("Sub", &["x", "m"], &["o"], &[]),
            node("Div", &["o", "s"], &["p"], &[]),
            node("MatMul", &["p", "w"], &["q"], &[]),
            node("Add", &["q", "b"], &["z"], &[]),
            node("Softmax", &["z"], &["y"], &[("axis", Attribute::Int(1))]),
        ],
    )
}

/// A vector for each of 255 n-grams, and their sum.
fn embedded() -> Graph {
    graph(
        &["y"],
        vec![
            ("table", floats(&[4096, 16], 1)),
            ("zero", floats(&[], 2)),
            ("last", integers(&[1], vec![2])),
            ("one", integers(&[1], vec![1])),
            ("w", floats(&[16, 2], 3)),
            ("b", floats(&[2], 4)),
        ],
        vec![
            node("Gather", &["table", "x"], &["e"], &[]),
            node("Cast", &["x"], &["f"], &[("to", Attribute::Int(1))]),
            node("Greater", &["f", "zero"], &["g"], &[]),
            node("Cast", &["g"], &["k"], &[("to", Attribute::Int(1))]),
            node("Unsqueeze", &["k", "last"], &["u"], &[]),
            node("Mul", &["e", "u"], &["v"], &[]),
            node("ReduceSum", &["v", "one"], &["s"], &[("keepdims", Attribute::Int(0))]),
            node("Relu", &["s"], &["r"], &[]),
            node("Gemm", &["r", "w", "b"], &["z"], &[]),
            node("Softmax", &["z"], &["y"], &[("axis", Attribute::Int(1))]),
        ],
    )
}

/// As scikit-learn's `StandardScaler` and `LogisticRegression` are exported.
fn pipeline() -> Graph {
    let list = |count, seed| Attribute::Floats(numbers(count, seed));
    graph(
        &["label", "y"],
        vec![],
        vec![
            learned("Scaler", &["x"], &["s"], &[("offset", list(30, 1)), ("scale", list(30, 2))]),
            learned(
                "LinearClassifier",
                &["s"],
                &["label", "y"],
                &[
                    ("coefficients", list(60, 3)),
                    ("intercepts", list(2, 4)),
                    ("classlabels_ints", Attribute::Ints(vec![0, 1])),
                    ("post_transform", Attribute::String(b"LOGISTIC".to_vec())),
                ],
            ),
        ],
    )
}

/// A pipeline whose scores are shares.
fn shares() -> Graph {
    let list = |count, seed| Attribute::Floats(numbers(count, seed));
    graph(
        &["label", "y"],
        vec![],
        vec![
            learned("Scaler", &["x"], &["s"], &[("offset", list(30, 1)), ("scale", list(30, 2))]),
            learned(
                "LinearClassifier",
                &["s"],
                &["label", "raw"],
                &[
                    ("coefficients", list(90, 3)),
                    ("intercepts", list(3, 4)),
                    ("classlabels_ints", Attribute::Ints(vec![0, 1, 2])),
                    ("post_transform", Attribute::String(b"LOGISTIC".to_vec())),
                ],
            ),
            learned("Normalizer", &["raw"], &["y"], &[("norm", Attribute::String(b"L1".to_vec()))]),
        ],
    )
}

/// Counts of 255 words of a vocabulary of 2000, and of pairs of them.
fn counted() -> Graph {
    let mut pool: Vec<i64> = (0..2000).collect();
    pool.extend((0..1000).flat_map(|at| [at, (at * 7 + 3) % 2000]));
    graph(
        &["y"],
        vec![],
        vec![node(
            "TfIdfVectorizer",
            &["x"],
            &["y"],
            &[
                ("mode", Attribute::String(b"TF".to_vec())),
                ("min_gram_length", Attribute::Int(1)),
                ("max_gram_length", Attribute::Int(2)),
                ("max_skip_count", Attribute::Int(0)),
                ("pool_int64s", Attribute::Ints(pool)),
                ("ngram_counts", Attribute::Ints(vec![0, 2000])),
                ("ngram_indexes", Attribute::Ints((0..3000).collect())),
            ],
        )],
    )
}

/// Nodes of little work, as the graph of an isolation forest has some thousands of.
fn chain(nodes: usize) -> Graph {
    let names: Vec<String> = std::iter::once("x".to_owned()).chain((0..nodes).map(|at| format!("v{at}"))).collect();
    let made = names.windows(2).zip(["Add", "Mul", "Neg", "Max", "Abs"].into_iter().cycle()).map(|(pair, op_type)| {
        let [from, to] = pair else { unreachable!("windows of two") };
        let inputs = if matches!(op_type, "Neg" | "Abs") { vec![from.as_str()] } else { vec![from.as_str(), "c"] };
        node(op_type, &inputs, &[to], &[])
    });
    graph(&[names.last().unwrap()], vec![("c", floats(&[1], 1))], made.collect())
}

fn measure(criterion: &mut Criterion, name: &str, graph: &Graph, input: impl Fn(usize) -> Value) {
    let mut group = criterion.benchmark_group(name);
    for rows in ROWS {
        let input = input(rows);
        group.bench_with_input(BenchmarkId::from_parameter(rows), &input, |bencher, input| {
            // What comes in is made for each run, as a request's values are.
            bencher.iter(|| graph.run(vec![black_box(input.clone())]).unwrap());
        });
    }
    group.finish();
}

fn requests(criterion: &mut Criterion) {
    measure(criterion, "network 16-64-1", &network(16, 64), |rows| floats(&[rows, 16], 9));
    measure(criterion, "network 8-64-1", &network(8, 64), |rows| floats(&[rows, 8], 9));
    measure(criterion, "product 512x512", &product(512, 512), |rows| floats(&[rows, 512], 9));
    measure(criterion, "product 2048x2048", &product(2048, 2048), |rows| floats(&[rows, 2048], 9));
    measure(criterion, "activations of 256", &activations(), |rows| floats(&[rows, 256], 9));
    measure(criterion, "linear 4096", &linear(), |rows| floats(&[rows, 4096], 9));
    let words = |rows: usize| {
        integers(&[rows, 255], numbers(rows * 255, 9).iter().map(|it| (it.abs() * 1999.0) as i64).collect())
    };
    measure(criterion, "embedded 255", &embedded(), words);
    measure(criterion, "counted 255", &counted(), words);
    measure(criterion, "scaled logistic 30", &pipeline(), |rows| floats(&[rows, 30], 9));
    measure(criterion, "scaled shares 30", &shares(), |rows| floats(&[rows, 30], 9));
    measure(criterion, "chain of 100", &chain(100), |rows| floats(&[rows, 1], 9));
    measure(criterion, "chain of 2700", &chain(2700), |rows| floats(&[rows, 1], 9));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(1))
        .warm_up_time(std::time::Duration::from_millis(300)).without_plots();
    targets = requests
}
criterion_main!(benches);
