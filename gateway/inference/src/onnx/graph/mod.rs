//! The graph of a file as `witgate-operators` takes it: nodes, attributes, weights.
//!
//! Of files that [`Metadata::read`](crate::Metadata::read) took: sizes were held to their data there, and what is nested has an
//! end.

mod attribute;
mod function;
mod size;
mod tensor;

use witgate_operators::attribute::ATTRIBUTE_LIMIT;
use witgate_operators::{Attributes, GraphSpec, Node, Value as Operand};

use self::function::Functions;
use super::wire::{Fields, Malformed, Value};

/// Why there is no graph for the embedded runtime: a noun phrase for "it has …".
pub(crate) type Unsupported = String;

/// Reads a file's outermost graph, with the model's own functions written out.
///
/// # Errors
/// It has something that the embedded runtime has no values for.
pub(crate) fn graph(model: &[u8]) -> Result<GraphSpec, Unsupported> {
    let (mut outermost, mut opsets, mut functions) = (None, Vec::new(), Functions::default());
    for field in Fields::of(model) {
        let (number, value) = field.map_err(damaged)?;
        match number {
            7 => outermost = Some(bytes(value)?),
            8 => opsets.push(opset(bytes(value)?)?),
            25 => functions.add(bytes(value)?)?,
            _ => {}
        }
    }
    let outermost = outermost.ok_or_else(|| "no graph".to_owned())?;
    let mut spec = read(outermost)?;
    functions.write_out(&mut spec, &mut opsets)?;
    spec.opsets = opsets;
    Ok(spec)
}

/// A graph without the versions of its domains.
fn read(message: &[u8]) -> Result<GraphSpec, Unsupported> {
    let mut spec = GraphSpec::default();
    for field in Fields::of(message) {
        let (number, value) = field.map_err(damaged)?;
        match number {
            1 => spec.nodes.push(node(bytes(value)?)?),
            5 => {
                let (name, tensor) = tensor::read(bytes(value)?)?;
                spec.initializers.push((name, Operand::Tensor(tensor)));
            }
            11 => spec.inputs.push(name_of(bytes(value)?)?),
            12 => spec.outputs.push(name_of(bytes(value)?)?),
            15 => return Err("sparse weights".to_owned()),
            _ => {}
        }
    }
    // Older exporters name weights among the inputs, too.
    let weights: std::collections::HashSet<&str> = spec.initializers.iter().map(|(name, _)| name.as_str()).collect();
    spec.inputs.retain(|name| !weights.contains(name.as_str()));
    Ok(spec)
}

fn node(message: &[u8]) -> Result<Node, Unsupported> {
    let mut node = Node::default();
    let mut attributes = Attributes::new();
    for field in Fields::of(message) {
        let (number, value) = field.map_err(damaged)?;
        match number {
            1 => node.inputs.push(text(value)?),
            2 => node.outputs.push(text(value)?),
            3 => node.name = text(value)?,
            5 if attributes.iter().nth(ATTRIBUTE_LIMIT - 1).is_some() => {
                return Err(format!("a node of more than {ATTRIBUTE_LIMIT} attributes"));
            }
            4 => node.op_type = text(value)?,
            5 => {
                let (name, value) = attribute::read(bytes(value)?)?;
                attributes.set(name, value);
            }
            7 => node.domain = text(value)?,
            _ => {}
        }
    }
    node.attributes = attributes;
    Ok(node)
}

fn opset(message: &[u8]) -> Result<(String, u32), Unsupported> {
    let (mut domain, mut version) = (String::new(), 0);
    for field in Fields::of(message) {
        match field.map_err(damaged)? {
            (1, value) => domain = text(value)?,
            (2, value) => version = value.integer().map_err(damaged)?,
            _ => {}
        }
    }
    let version = u32::try_from(version).map_err(|_| format!("the version {version} of the operators `{domain}`"))?;
    Ok((domain, version))
}

/// The name in a `ValueInfoProto`.
fn name_of(message: &[u8]) -> Result<String, Unsupported> {
    let mut name = String::new();
    for field in Fields::of(message) {
        if let (1, value) = field.map_err(damaged)? {
            name = text(value)?;
        }
    }
    Ok(name)
}

fn damaged(_: Malformed) -> Unsupported {
    "a part that is damaged".to_owned()
}

fn bytes(value: Value<'_>) -> Result<&[u8], Unsupported> {
    value.bytes().map_err(damaged)
}

fn text(value: Value<'_>) -> Result<String, Unsupported> {
    value.text().map(str::to_owned).map_err(damaged)
}
