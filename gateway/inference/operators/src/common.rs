//! Types that code is made for, and the others by way of them.
//!
//! Whole numbers of 8, 16 and 32 bits give in 64 bits, and numbers of 16 bits with fractions in 64, what they would give
//! themselves, once the result is brought back: higher bits are discarded, or it is rounded once. They are seldom, and code
//! for each of them would be most of this crate.

use std::borrow::Cow;

use crate::elementwise::convert;
use crate::error::OperatorError;
use crate::limits::Budget;
use crate::shape::Shape;
use crate::value::{Data, DataType, Tensor};

/// The type by way of which another is computed with; None for those that code is made for.
pub(crate) fn way(data_type: DataType) -> Option<DataType> {
    match data_type {
        DataType::Bool | DataType::Uint8 | DataType::Uint16 | DataType::Uint32 | DataType::Int8 | DataType::Int16 => {
            Some(DataType::Int64)
        }
        DataType::Float16 | DataType::Bfloat16 => Some(DataType::Float64),
        DataType::Uint64
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::String => None,
    }
}

/// Elements as they are computed with.
pub(crate) fn widened(data: &Data) -> Cow<'_, Data> {
    let wide = way(data.data_type()).and_then(|data_type| convert(data, data_type));
    wide.map_or(Cow::Borrowed(data), Cow::Owned)
}

/// What was computed, in the type that it is of.
pub(crate) fn narrowed(data: Data, data_type: DataType) -> Option<Data> {
    if data.data_type() == data_type { Some(data) } else { convert(&data, data_type) }
}

/// Asks for operands as wide as they are computed with, and for as much as is made of them.
pub(crate) fn ask(budget: &Budget, shape: &Shape, operands: [&Tensor; 2]) -> Result<(), OperatorError> {
    let [first, second] = operands;
    if way(first.data_type()).is_some() {
        let wide =
            [first.shape(), second.shape(), shape].map(|shape| shape.elements().saturating_mul(size_of::<i64>()));
        budget.bytes(wide.into_iter().fold(0, usize::saturating_add))?;
    }
    Ok(())
}

/// Elements as they are compared where it takes longer than to widen them: whole numbers and truth values of 64 bits, with
/// a sign if that holds them; numbers with fractions of 64 bits; texts.
pub(crate) fn ordered(data: &Data) -> Cow<'_, Data> {
    let data_type = match data.data_type() {
        DataType::Int32 => DataType::Int64,
        DataType::Float32 => DataType::Float64,
        other => return way(other).map_or(Cow::Borrowed(data), |_| widened(data)),
    };
    convert(data, data_type).map_or(Cow::Borrowed(data), Cow::Owned)
}
