//! Tests with files of which something is there very often: what is made of them takes time and memory in proportion.

use std::sync::mpsc::channel;
use std::time::Duration;

use super::{graph, without_maps};
use crate::Metadata;

/// Much longer than any of it takes, and a small part of what it took when each was compared with each.
const TIME_LIMIT: Duration = Duration::from_secs(120);
const MIB: usize = 1 << 20;

/// Does something that has to end soon.
fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, end) = channel();
    std::thread::spawn(move || done.send(work()));
    end.recv_timeout(TIME_LIMIT).expect("it ends soon")
}

fn varint(written: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        written.push(number as u8 | 0x80);
        number >>= 7;
    }
    written.push(number as u8);
}

/// A field of length-delimited bytes.
fn field(number: usize, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut written = Vec::new();
    varint(&mut written, number << 3 | 2);
    varint(&mut written, bytes.as_ref().len());
    written.extend(bytes.as_ref());
    written
}

fn all(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

fn node(op_type: &str, domain: &str, inputs: &[&str], outputs: &[&str], more: &[Vec<u8>]) -> Vec<u8> {
    let inputs = inputs.iter().map(|name| field(1, name)).collect::<Vec<_>>();
    let outputs = outputs.iter().map(|name| field(2, name)).collect::<Vec<_>>();
    all(&[all(&inputs), all(&outputs), field(4, op_type), field(7, domain), all(more)])
}

/// A named value of floats.
fn floats(name: &str) -> Vec<u8> {
    all(&[field(1, name), field(2, field(1, [8, 1]))])
}

/// The file of a graph and a function.
fn model(graph: &[u8], function: &[u8]) -> Vec<u8> {
    let opset = field(8, all(&[field(1, ""), vec![16, 21]]));
    all(&[vec![8, 10], field(7, graph), opset, field(25, function)])
}

/// A function that is called so often, of so many nodes that are the same, and why it is not written out.
fn refused(calls: usize, nodes: usize, call: &[Vec<u8>], inner: &[Vec<u8>]) -> String {
    let called = (0..calls).map(|at| field(1, node("F", "own", &["x"], &[&format!("y{at}")], call)));
    let values = [field(11, floats("x")), field(12, floats("y0"))];
    let body = (0..nodes).map(|at| field(7, node("Neg", "", &["a"], &[&format!("b{at}")], inner)));
    let function = [field(1, "F"), field(10, "own"), field(4, "a"), field(5, "b0")];
    let function = all(&[all(&function), all(&body.collect::<Vec<_>>())]);
    let file = model(&all(&[all(&called.collect::<Vec<_>>()), all(&values)]), &function);
    Metadata::read(&file).expect("a model");
    graph(&file).expect_err("refused")
}

/// An attribute that is a text of 1 MiB.
fn long(name: &str) -> Vec<u8> {
    field(5, all(&[field(1, name), field(4, vec![b'a'; MIB]), vec![20 << 3 & 0x7f | 0x80, 1, 3]]))
}

#[test]
fn functions_are_written_out_up_to_a_limit() {
    let beyond = "functions that become more than 256 MiB where they are called";
    assert_eq!(refused(600, 1, &[], &[long("x")]), beyond, "attributes");
    assert_eq!(refused(1, 600, &[field(3, vec![b'a'; MIB])], &[]), beyond, "names");
    let reference = field(5, all(&[field(1, "x"), field(21, "y")]));
    assert_eq!(refused(1, 600, &[long("y")], &[reference]), beyond, "attributes of the call");
}

#[test]
fn attributes_are_looked_up_among_few() {
    let many = (0..65).map(|at| field(5, field(1, format!("x{at}")))).collect::<Vec<_>>();
    assert_eq!(refused(1, 1, &[], &many), "a node of more than 64 attributes");
}

#[test]
fn maps_are_taken_off_in_one_go() {
    let name = |at: usize| format!("y{at}");
    let maps = (0..200_000).map(|at| field(1, node("ZipMap", "ai.onnx.ml", &["x"], &[&name(at)], &[])));
    let values = (0..200_000).map(|at| field(13, floats(&format!("z{at}"))));
    let graph = all(&maps.chain(values).collect::<Vec<_>>());
    let file = model(&graph, &[]);
    let length = file.len();
    let written = soon(move || without_maps(&file).len());
    let shorter = "ZipMap".len() + 2 + "ai.onnx.ml".len() - "Identity".len();
    assert_eq!(written, length - 200_000 * shorter, "each has another operator, and no domain");
}

#[test]
fn a_model_of_too_many_values_is_refused_before_they_are_read() {
    let values = |field_number: usize| {
        (0..400_000)
            .map(|at| field(field_number, floats(&format!("v{field_number}_{at}"))))
            .collect::<Vec<_>>()
            .concat()
    };
    let file = model(&[values(11), values(12)].concat(), &[]);
    let error = soon(move || Metadata::read(&file).expect_err("refused"));
    assert_eq!(error.message, "the model has 400000 inputs; 1024 at most are served");
    let file = model(&values(12), &[]);
    let error = soon(move || Metadata::read(&file).expect_err("refused"));
    assert_eq!(error.message, "the model has 400000 outputs; 1024 at most are served");
}

#[test]
fn classes_are_looked_for_among_few_picks() {
    let picks = (0..200_000).map(|at| {
        let picked = format!("p{at}");
        field(1, node("ArrayFeatureExtractor", "ai.onnx.ml", &["list", "index"], &[&picked], &[]))
    });
    let mut nodes: Vec<Vec<u8>> = picks.collect();
    nodes.push(field(1, node("ArgMax", "", &["other"], &["index"], &[])));
    // What is made of what in thirty steps.
    let step = |at: usize| field(1, node("Identity", "", &[&format!("s{at}")], &[&format!("s{}", at + 1)], &[]));
    nodes.extend((0..30).map(step));
    for at in 0..1024 {
        let output = format!("y{at}");
        nodes.push(field(1, node("Identity", "", &["s30"], &[&output], &[])));
        nodes.push(field(12, floats(&output)));
    }
    nodes.push(field(5, all(&[vec![8, 1, 16, 7], field(8, "list"), field(9, [7; 8])])));
    let file = model(&all(&nodes), &[]);
    let metadata = soon(move || Metadata::read(&file).expect("a model"));
    assert!(metadata.classes.is_empty());
    assert_eq!(metadata.signature.outputs.len(), 1024);
}
