//! What a node says beside its inputs.

use witgate_operators::Attribute;

use super::super::wire::{Fields, Value};
use super::tensor::{floats, integers};
use super::{Unsupported, bytes, damaged, tensor, text};

/// An attribute and its name. One that stands for an attribute of the function around it (`ref_attr_name`) is a string that begins
/// with [`REFERENCE`].
pub(super) fn read(message: &[u8]) -> Result<(String, Attribute), Unsupported> {
    let (mut name, mut of_type, mut reference) = (String::new(), None, None);
    let (mut number_list, mut float_list, mut text_list, mut tensor_list) = (vec![], vec![], vec![], vec![]);
    let (mut number, mut float, mut string, mut single, mut graph) = (None, None, None, None, None);
    for field in Fields::of(message) {
        let (field, value) = field.map_err(damaged)?;
        match (field, value) {
            (1, value) => name = text(value)?,
            (2, Value::Narrow(bytes)) => float = Some(f32::from_le_bytes(bytes)),
            (3, value) => number = Some(value.integer().map_err(damaged)?),
            (4, value) => string = Some(bytes(value)?.to_vec()),
            (5, value) => single = Some(tensor::read(bytes(value)?)?.1),
            (6, value) => graph = Some(super::read(bytes(value)?)?),
            (7, value) => floats(value, &mut float_list)?,
            (8, value) => integers(value, &mut number_list)?,
            (9, value) => text_list.push(bytes(value)?.to_vec()),
            (10, value) => tensor_list.push(tensor::read(bytes(value)?)?.1),
            (20, value) => of_type = Some(value.integer().map_err(damaged)?),
            (21, value) => reference = Some(text(value)?),
            (11 | 14 | 15 | 22 | 23, _) => {
                return Err(format!("an attribute `{name}` of a type that operators do not have"));
            }
            _ => {}
        }
    }
    if let Some(reference) = reference.filter(|reference| !reference.is_empty()) {
        let mut marked = REFERENCE.to_vec();
        marked.extend(reference.as_bytes());
        return Ok((name, Attribute::String(marked)));
    }
    // The oldest files have no types.
    let value = match of_type.unwrap_or(0) {
        1 => Attribute::Float(float.unwrap_or_default()),
        2 => Attribute::Int(number.unwrap_or_default()),
        3 => Attribute::String(string.unwrap_or_default()),
        4 => Attribute::Tensor(single.ok_or_else(|| format!("an attribute `{name}` without its tensor"))?),
        5 => Attribute::Graph(Box::new(graph.ok_or_else(|| format!("an attribute `{name}` without its graph"))?)),
        6 => Attribute::Floats(float_list),
        7 => Attribute::Ints(number_list),
        8 => Attribute::Strings(text_list),
        9 => Attribute::Tensors(tensor_list),
        0 if let Some(graph) = graph => Attribute::Graph(Box::new(graph)),
        0 => match (float, number, string, single) {
            (Some(float), ..) => Attribute::Float(float),
            (_, Some(number), ..) => Attribute::Int(number),
            (_, _, Some(string), _) => Attribute::String(string),
            (_, _, _, Some(tensor)) => Attribute::Tensor(tensor),
            _ if !float_list.is_empty() => Attribute::Floats(float_list),
            _ if !text_list.is_empty() => Attribute::Strings(text_list),
            _ if !tensor_list.is_empty() => Attribute::Tensors(tensor_list),
            _ => Attribute::Ints(number_list),
        },
        other => return Err(format!("an attribute `{name}` of the type number {other}")),
    };
    Ok((name, value))
}

/// Marks what stands for an attribute of a function: no text has it, for it is no UTF-8.
pub(super) const REFERENCE: &[u8] = &[0xff, b'@'];
