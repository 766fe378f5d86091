//! The largest or smallest elements of each line.

use std::cmp::Ordering;

use super::place::along;
use crate::common;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::lines::map_lines;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready, several};
use crate::value::{DataType, Number, Tensor, alike, each};

/// In order, equal ones by their place. NaN is larger than all.
#[derive(Debug)]
struct TopK {
    axis: i64,
    is_largest: bool,
    /// How many, as an attribute before version 10.
    count: Option<i64>,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    // An order that is left open may be any.
    reader.ignore(&["sorted"]);
    let count = if setup.opset() < 10 { Some(reader.int("k")?) } else { None };
    if count == Some(None) {
        return Err(BuildError::attribute("k", "is required"));
    }
    let is_largest = setup.opset() < 11 || reader.flag("largest", true)?;
    ready(TopK { axis: reader.int_or("axis", -1)?, is_largest, count: count.flatten() })
}

/// An order of all numbers, NaN last.
pub(super) fn order<T: Number>(one: &T, other: &T) -> Ordering {
    one.partial_cmp(other).unwrap_or_else(|| one.is_nan().cmp(&other.is_nan()))
}

impl TopK {
    /// Places of the first of a line.
    fn places<T: Number>(&self, line: &[T], count: usize) -> Vec<i64> {
        let mut places: Vec<(T, i64)> = line.iter().copied().zip(0..).collect();
        let before = |one: &(T, i64), other: &(T, i64)| {
            let by_value = if self.is_largest { order(&other.0, &one.0) } else { order(&one.0, &other.0) };
            by_value.then(one.1.cmp(&other.1))
        };
        if count > 0 && count < places.len() {
            places.select_nth_unstable_by(count - 1, before);
        }
        places.truncate(count);
        places.sort_unstable_by(before);
        places.into_iter().map(|(_, place)| place).collect()
    }
}

impl Kernel for TopK {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let axis = shape.axis(self.axis).ok_or_else(|| OperatorError::axis(self.axis, &shape))?;
        let count = match self.count {
            Some(count) => count,
            None => inputs.integer(1)?,
        };
        let size = shape.dimension(axis);
        let count = usize::try_from(count).ok().filter(|count| *count <= size);
        let count = count.ok_or_else(|| inputs.unexpected(1, &format!("a number up to {size}")))?;
        let made = shape.with(axis, count)?;
        budget.tensor(&made, tensor.data_type())?;
        budget.tensor(&made, DataType::Int64)?;
        // What sorting takes.
        let steps = usize::try_from(size.max(2).ilog2()).unwrap_or(64);
        budget.work(shape.elements().saturating_mul(steps))?;
        if !tensor.data_type().is_number() {
            return Err(inputs.unexpected(0, "numbers"));
        }
        budget.bytes(shape.elements().saturating_mul(size_of::<f64>()))?;
        let places = each!(common::ordered(tensor.data()).as_ref(), [Int64, Uint64, Float64], elements => {
            map_lines(elements, &shape, axis, count, |line, made: &mut [i64]| {
                made.iter_mut().zip(self.places(line, count)).for_each(|(made, place)| *made = place);
            })
        }, _ => return Err(inputs.unexpected(0, "numbers")));
        let chosen: Vec<usize> = places.iter().filter_map(|place| usize::try_from(*place).ok()).collect();
        let starts = along(&shape, axis, &made, &chosen);
        let values = alike!(tensor.data(), elements => {
            starts.iter().filter_map(|start| elements.get(*start)).cloned().collect()
        });
        several([Tensor::of_data(made, values), Tensor::made(made, places)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_elements_come_by_their_place_and_nan_is_the_largest() {
        let top = |is_largest, line: &[f32], count| TopK { axis: -1, is_largest, count: None }.places(line, count);
        assert_eq!(top(true, &[1.0, 3.0, 3.0, 2.0], 3), [1, 2, 3]);
        assert_eq!(top(false, &[1.0, 3.0, 1.0, 2.0], 3), [0, 2, 3]);
        assert_eq!(top(true, &[1.0, f32::NAN, 3.0], 2), [1, 2]);
        assert_eq!(top(false, &[f32::NAN, 3.0, 1.0], 3), [2, 1, 0]);
        assert_eq!(top(true, &[1.0], 0), [0_i64; 0]);
    }
}
