//! Answers to inference requests over HTTP.

use super::request::Reply;
use crate::Tensor;
use crate::protocol::elements::{write, write_sizes, write_string};
use crate::protocol::failure::Failure;
use crate::protocol::{Rules, binary};

/// Bytes of an answer besides its tensors, and of each output: an estimate for the first allocation.
const FRAME: usize = 128;

/// Bytes of an element in JSON, likewise.
const ELEMENT: usize = 12;

/// Writes an answer; gives the length of its JSON as well, if binary data follows.
pub fn encode(
    rules: &Rules,
    outputs: &[usize],
    tensors: &[Tensor],
    reply: &Reply,
) -> Result<(Vec<u8>, Option<usize>), Failure> {
    let is_binary = |place: usize| reply.binary.get(place).copied().unwrap_or(false);
    let size = |(place, tensor): (usize, &Tensor)| match is_binary(place) {
        true => binary::size(tensor.data()) + FRAME,
        false => tensor.data().len() * ELEMENT + FRAME,
    };
    let mut out = Vec::with_capacity(tensors.iter().enumerate().map(size).sum::<usize>() + FRAME);
    out.extend_from_slice(b"{\"model_name\":");
    write_string(&mut out, &rules.model.name);
    out.extend_from_slice(b",\"model_version\":");
    write_string(&mut out, &rules.model.version.to_string());
    if let Some(id) = &reply.id {
        out.extend_from_slice(b",\"id\":");
        write_string(&mut out, id);
    }
    out.extend_from_slice(b",\"outputs\":[");
    for (place, (output, tensor)) in outputs.iter().zip(tensors).enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"name\":");
        write_string(&mut out, rules.output_name(*output));
        out.extend_from_slice(b",\"datatype\":");
        write_string(&mut out, tensor.data_type().label());
        out.extend_from_slice(b",\"shape\":");
        write_sizes(&mut out, tensor.shape());
        if is_binary(place) {
            let size = binary::size(tensor.data());
            out.extend_from_slice(format!(",\"parameters\":{{\"binary_data_size\":{size}}}}}").as_bytes());
        } else {
            out.extend_from_slice(b",\"data\":");
            write(&mut out, &[tensor.data().len()], tensor.data()).map_err(|(element, what)| {
                let name = rules.output_name(*output);
                Failure::invalid(format!(
                    "element {element} of the output `{name}` is {what}, which JSON cannot say: ask for it with \
                     `binary_data` or `binary_data_output`"
                ))
            })?;
            out.push(b'}');
        }
    }
    out.extend_from_slice(b"]}");
    let length = out.len();
    let mut binary = (0..).zip(tensors).filter(|(place, _)| is_binary(*place)).peekable();
    if binary.peek().is_none() {
        return Ok((out, None));
    }
    for (_, tensor) in binary {
        binary::write(&mut out, tensor.data());
    }
    Ok((out, Some(length)))
}
