//! Maps at the end of a graph, taken off.
//!
//! Exporters of classifiers end a graph with `ZipMap`, which makes a map of each row: from classes to numbers. No protocol of
//! models has maps; the tensor that they are made of has the same numbers, in the order of the classes. So wherever a model
//! runs, its `ZipMap` becomes an `Identity`.

use std::borrow::Cow;
use std::collections::HashSet;

use super::metadata::Node;
use super::wire::{Fields, Malformed, Value};

/// Versions that a model without operators of ONNX's own domain gets: the oldest that the files of today name.
const OPSET: u64 = 9;

/// Whether a node makes maps of the rows of a tensor.
pub(super) fn is_zip_map(node: &Node<'_>) -> bool {
    node.domain == "ai.onnx.ml" && node.operator == "ZipMap"
}

/// The file with tensors where it has maps; of one that [`Metadata::read`](crate::Metadata::read) took.
pub(crate) fn without_maps(model: &[u8]) -> Cow<'_, [u8]> {
    rewrite(model).ok().flatten().map_or(Cow::Borrowed(model), Cow::Owned)
}

fn rewrite(model: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut graph = None;
    for field in Fields::of(model) {
        if let (7, value) = field? {
            graph = Some(value.bytes()?);
        }
    }
    let Some(graph) = graph else { return Ok(None) };
    let mut maps = HashSet::new();
    for field in Fields::of(graph) {
        if let (1, value) = field? {
            let message = value.bytes()?;
            if is_zip_map(&Node::of(message)) {
                maps.extend(output_of(message)?);
            }
        }
    }
    if maps.is_empty() {
        return Ok(None);
    }
    let mut written = Vec::with_capacity(model.len());
    let mut imports_own = false;
    for field in Fields::of(model) {
        match field? {
            (7, value) => write_bytes(&mut written, 7, &without(value.bytes()?, &maps)?),
            (number, value) => {
                imports_own |= number == 8 && is_own_domain(value.bytes()?)?;
                write(&mut written, number, value);
            }
        }
    }
    if !imports_own {
        let mut import = Vec::new();
        write_bytes(&mut import, 1, b"");
        write(&mut import, 2, Value::Number(OPSET));
        write_bytes(&mut written, 8, &import);
    }
    Ok(Some(written))
}

/// The name of a node's first output.
fn output_of(node: &[u8]) -> Result<Option<&str>, Malformed> {
    for field in Fields::of(node) {
        if let (2, value) = field? {
            return value.text().map(Some);
        }
    }
    Ok(None)
}

fn is_own_domain(opset: &[u8]) -> Result<bool, Malformed> {
    for field in Fields::of(opset) {
        if let (1, value) = field? {
            return Ok(matches!(value.text()?, "" | "ai.onnx"));
        }
    }
    Ok(true)
}

/// The graph with a tensor for each map.
fn without(graph: &[u8], maps: &HashSet<&str>) -> Result<Vec<u8>, Malformed> {
    let mut written = Vec::with_capacity(graph.len());
    for field in Fields::of(graph) {
        match field? {
            (1, value) => {
                let message = value.bytes()?;
                if is_zip_map(&Node::of(message)) {
                    write_bytes(&mut written, 1, &identity(message)?);
                } else {
                    write(&mut written, 1, value);
                }
            }
            (number @ (12 | 13), value) => {
                let message = value.bytes()?;
                let name =
                    Fields::of(message).flatten().find_map(|(number, value)| value.text().ok().filter(|_| number == 1));
                match name.filter(|name| maps.contains(name)) {
                    Some(name) => write_bytes(&mut written, number, &float_tensor(name)),
                    None => write(&mut written, number, value),
                }
            }
            (number, value) => write(&mut written, number, value),
        }
    }
    Ok(written)
}

/// The node with the operator `Identity`, and without attributes.
fn identity(node: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut written = Vec::new();
    for field in Fields::of(node) {
        match field? {
            (4 | 5 | 7, _) => {}
            (number, value) => write(&mut written, number, value),
        }
    }
    write_bytes(&mut written, 4, b"Identity");
    Ok(written)
}

/// A `ValueInfoProto` of floats, of any shape.
fn float_tensor(name: &str) -> Vec<u8> {
    const FLOATS: [u8; 4] = [1 << 3 | 2, 2, 1 << 3, 1];
    let mut written = Vec::new();
    write_bytes(&mut written, 1, name.as_bytes());
    write_bytes(&mut written, 2, &FLOATS);
    written
}

fn write(out: &mut Vec<u8>, number: u64, value: Value<'_>) {
    match value {
        Value::Number(value) => {
            write_varint(out, number << 3);
            write_varint(out, value);
        }
        Value::Wide(bytes) => {
            write_varint(out, number << 3 | 1);
            out.extend(bytes);
        }
        Value::Bytes(bytes) => write_bytes(out, number, bytes),
        Value::Narrow(bytes) => {
            write_varint(out, number << 3 | 5);
            out.extend(bytes);
        }
    }
}

fn write_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    write_varint(out, number << 3 | 2);
    write_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn write_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;

    const CATBOOST: &[u8] = include_bytes!("../../../../tests/models/exporters/catboost_map.onnx");
    const MLP: &[u8] = include_bytes!("../../../../tests/models/mlp.onnx");

    #[test]
    fn maps_become_the_tensors_that_they_are_made_of() {
        let (before, after) = (Metadata::read(CATBOOST).unwrap(), without_maps(CATBOOST));
        assert!(before.operators.iter().any(|operator| operator == "ai.onnx.ml::ZipMap"));
        let after = Metadata::read(&after).unwrap();
        assert!(after.operators.iter().any(|operator| operator == "Identity"));
        assert!(!after.operators.iter().any(|operator| operator == "ai.onnx.ml::ZipMap"));
        assert_eq!(after.opsets.get(""), Some(&9), "a file of CatBoost imports no operators of ONNX's own");
        assert_eq!(after.signature.inputs, before.signature.inputs);
    }

    #[test]
    fn other_models_are_left_as_they_are() {
        assert!(matches!(without_maps(MLP), Cow::Borrowed(_)));
    }
}
