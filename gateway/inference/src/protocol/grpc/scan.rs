//! Counts what a message would become before it is decoded: an empty submessage takes two bytes on the wire, and
//! hundreds in memory.

use prost::encoding::{WireType, decode_key, decode_varint};

use crate::protocol::Limits;
use crate::protocol::failure::{Failure, Kind};

/// Most parameters of a request, an input or an output. Triton knows about ten.
const PARAMETERS: usize = 64;

/// What stands in a field.
enum Field<'a> {
    Number,
    Bytes(&'a [u8]),
}

/// What a whole request may still hold.
struct Left {
    elements: usize,
    strings: usize,
}

/// # Errors
/// An inference request holds more than it may, or is no message.
pub fn check(message: &[u8], limits: &Limits) -> Result<(), Failure> {
    let mut left = Left { elements: limits.elements, strings: limits.strings };
    let (mut parameters, mut inputs, mut outputs, mut raw) = (0, 0, 0, 0);
    fields(message, |number, field| match (number, field) {
        (4, _) => count(&mut parameters, 1, PARAMETERS, "parameters"),
        (5, Field::Bytes(input)) => {
            count(&mut inputs, 1, limits.tensors, "inputs")?;
            check_input(input, limits, &mut left)
        }
        (6, Field::Bytes(output)) => {
            count(&mut outputs, 1, limits.tensors, "outputs")?;
            check_parameters(output, 2)
        }
        (7, _) => count(&mut raw, 1, limits.tensors, "inputs"),
        _ => Ok(()),
    })
}

/// # Errors
/// A message has more parameters, in the field `number`, than it may, or is no message.
pub fn check_parameters(message: &[u8], number: u32) -> Result<(), Failure> {
    let mut parameters = 0;
    fields(message, |found, _| match found == number {
        true => count(&mut parameters, 1, PARAMETERS, "parameters"),
        false => Ok(()),
    })
}

fn check_input(input: &[u8], limits: &Limits, left: &mut Left) -> Result<(), Failure> {
    let (mut dimensions, mut parameters) = (0, 0);
    fields(input, |number, field| match (number, field) {
        (3, field) => count(&mut dimensions, varints(&field), limits.depth, "dimensions"),
        (4, _) => count(&mut parameters, 1, PARAMETERS, "parameters"),
        (5, Field::Bytes(contents)) => fields(contents, |number, field| match (number, &field) {
            (1..=5, _) => take(&mut left.elements, varints(&field), limits.elements),
            (6, Field::Bytes(packed)) => take(&mut left.elements, packed.len() / 4, limits.elements),
            (7, Field::Bytes(packed)) => take(&mut left.elements, packed.len() / 8, limits.elements),
            (6 | 7, Field::Number) => take(&mut left.elements, 1, limits.elements),
            (8, _) => take(&mut left.strings, 1, limits.strings),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })
}

/// Numbers in a field, which are one, or many in a row: each has one byte without the highest bit.
fn varints(field: &Field<'_>) -> usize {
    match field {
        Field::Number => 1,
        Field::Bytes(packed) => packed.iter().filter(|byte| **byte < 0x80).count(),
    }
}

fn count(found: &mut usize, more: usize, limit: usize, what: &str) -> Result<(), Failure> {
    *found = found.saturating_add(more);
    if *found > limit {
        return Err(Failure::new(
            Kind::TooLarge,
            format!("the request has more {what} than the {limit} that are taken here"),
        ));
    }
    Ok(())
}

fn take(left: &mut usize, elements: usize, limit: usize) -> Result<(), Failure> {
    *left = left.checked_sub(elements).ok_or_else(|| {
        Failure::new(Kind::TooLarge, format!("the request has more elements than the {limit} that are taken here"))
    })?;
    Ok(())
}

/// Goes through the fields of a message.
fn fields<'a>(
    mut message: &'a [u8],
    mut each: impl FnMut(u32, Field<'a>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let broken = || Failure::invalid("the body is not the message that was expected: a field ends before it should");
    while !message.is_empty() {
        let (number, wire_type) = decode_key(&mut message).map_err(|_| broken())?;
        let size = match wire_type {
            WireType::Varint => {
                decode_varint(&mut message).map_err(|_| broken())?;
                each(number, Field::Number)?;
                continue;
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => {
                usize::try_from(decode_varint(&mut message).map_err(|_| broken())?).map_err(|_| broken())?
            }
            WireType::StartGroup | WireType::EndGroup => {
                return Err(Failure::invalid("the body is not the message that was expected: it has groups"));
            }
        };
        let (bytes, rest) = message.split_at_checked(size).ok_or_else(broken)?;
        message = rest;
        each(number, if wire_type == WireType::LengthDelimited { Field::Bytes(bytes) } else { Field::Number })?;
    }
    Ok(())
}
