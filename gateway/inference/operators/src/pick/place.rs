//! Places that indices name.

use crate::error::OperatorError;
use crate::operator::Inputs;
use crate::shape::{Shape, resolve_axis};
use crate::value::Data;

/// Indices along an axis of so many places, counted from the end if they are negative.
pub(super) fn places(inputs: &Inputs<'_>, index: usize, size: usize) -> Result<Vec<usize>, OperatorError> {
    let place = |at: i64| {
        resolve_axis(at, size)
            .ok_or_else(|| OperatorError::Element(format!("index {at} is out of range for an axis of {size}")))
    };
    match inputs.tensor(index)?.data() {
        Data::Int64(indices) => indices.iter().map(|at| place(*at)).collect(),
        Data::Int32(indices) => indices.iter().map(|at| place(i64::from(*at))).collect(),
        _ => Err(inputs.unexpected(index, "INT64 or INT32")),
    }
}

/// Where the elements of one shape lie in another, if their places along an axis are those given: what gathers and
/// scatters single elements. The other dimensions are no larger than the other shape's.
pub(super) fn along(shape: &Shape, axis: usize, indices: &Shape, places: &[usize]) -> Vec<usize> {
    let strides = shape.strides();
    let stride = strides.get(axis).copied().unwrap_or(0);
    let mut counts = [0_usize; crate::shape::RANK_LIMIT];
    let mut base = 0_usize;
    let mut made = Vec::with_capacity(places.len());
    for place in places {
        made.push(base + place * stride);
        // As an odometer turns, the axis itself left out.
        for (at, ((count, size), stride)) in counts.iter_mut().zip(indices.dimensions()).zip(strides).enumerate().rev()
        {
            let own = if at == axis { 0 } else { stride };
            *count += 1;
            if *count < *size {
                base += own;
                break;
            }
            base -= own * (size - 1);
            *count = 0;
        }
    }
    made
}

/// Whether single elements of one shape can be told from places in another.
pub(super) fn fits(shape: &Shape, axis: usize, indices: &Shape) -> bool {
    let mut sizes = shape.dimensions().iter().zip(indices.dimensions()).enumerate();
    shape.rank() == indices.rank() && sizes.all(|(at, (whole, part))| at == axis || part <= whole)
}

/// Where slices begin that tuples of indices name, and how long each is. The first dimensions are a batch.
pub(super) fn tuples(inputs: &Inputs<'_>, shape: &Shape, batch: usize) -> Result<(Vec<usize>, usize), OperatorError> {
    let indices = inputs.tensor(1)?.shape();
    let failure = || OperatorError::Shape(format!("indices of {indices} do not fit a tensor of {shape}"));
    let (width, outer) = indices.dimensions().split_last().ok_or_else(failure)?;
    let head = shape.dimensions().get(..batch).ok_or_else(failure)?;
    if indices.rank() <= batch || outer.get(..batch) != Some(head) || batch + width > shape.rank() {
        return Err(failure());
    }
    let sizes = shape.dimensions().get(batch..batch + width).unwrap_or_default();
    let strides = shape.strides();
    let steps = strides.get(batch..batch + width).unwrap_or_default();
    let length: usize = shape.dimensions().iter().skip(batch + width).product();
    let block: usize = shape.dimensions().iter().skip(batch).product();
    let tuples_per_block: usize = outer.iter().skip(batch).product();
    let numbers = inputs.tensor(1)?;
    let numbers: Vec<i64> = match numbers.data() {
        Data::Int64(numbers) => numbers.clone(),
        Data::Int32(numbers) => numbers.iter().map(|number| i64::from(*number)).collect(),
        _ => return Err(inputs.unexpected(1, "INT64")),
    };
    let count: usize = outer.iter().product();
    let mut starts = Vec::with_capacity(if *width == 0 { 0 } else { count });
    if *width == 0 {
        return Err(failure());
    }
    for (at, tuple) in numbers.chunks_exact(*width).enumerate() {
        let mut start = at.checked_div(tuples_per_block).unwrap_or(0) * block;
        for ((index, size), step) in tuple.iter().zip(sizes).zip(steps) {
            let place = resolve_axis(*index, *size).ok_or_else(|| {
                OperatorError::Element(format!("index {index} is out of range for an axis of {size}"))
            })?;
            start += place * step;
        }
        starts.push(start);
    }
    Ok((starts, length))
}
