//! Numbers at even distances, and ones on a diagonal.

use crate::DataType;
use crate::elementwise::type_attribute;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, Element, Number, Tensor, each};

/// From a start by steps, up to a limit that is not reached.
#[derive(Debug)]
struct Range;

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    if setup.attributes().int_or("stash_type", 1)? != 1 {
        return Err(BuildError::attribute("stash_type", "expected 1 (32 bits)"));
    }
    ready(Range)
}

/// How many there are, of whole numbers exactly.
fn count(start: i128, limit: i128, step: i128) -> i128 {
    let distance = limit - start;
    let (quotient, rest) = (distance / step, distance % step);
    let is_between = rest != 0 && (rest > 0) == (step > 0);
    (quotient + i128::from(is_between)).max(0)
}

impl Kernel for Range {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let data_type = inputs.tensor(0)?.data_type();
        let zero = || OperatorError::Element("a range whose step is 0 has no end".to_owned());
        let data = each!(inputs.tensor(0)?.data(), [Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32], start => {
            let [start, limit, step] = three(start, inputs)?;
            if step.is_zero() {
                return Err(zero());
            }
            let count = usize::try_from(count(start.into(), limit.into(), step.into())).unwrap_or(usize::MAX);
            budget.elements(count, data_type.size())?;
            let mut next = start;
            let mut numbers = Vec::with_capacity(count);
            for _ in 0..count {
                numbers.push(next);
                next = next.add(step);
            }
            Element::into_data(numbers)
        }, _ => each!(inputs.tensor(0)?.data(), float, elements => {
            let [start, limit, step] = three(elements, inputs)?.map(Number::to_f64);
            if step == 0.0 || !(start.is_finite() && limit.is_finite() && step.is_finite()) {
                return Err(zero());
            }
            let count = ((limit - start) / step).ceil().max(0.0);
            let count = if count < 1e15 { count as usize } else { usize::MAX };
            budget.elements(count, data_type.size())?;
            stepped(elements, count, start, step)
        }, _ => return Err(inputs.unexpected(0, "a number with a sign"))));
        one(Tensor::vector(data))
    }
}

fn three<T: Number>(_typed: &[T], inputs: &Inputs<'_>) -> Result<[T; 3], OperatorError> {
    Ok([inputs.number(0)?, inputs.number(1)?, inputs.number(2)?])
}

/// Each from the start, so that no rounding adds up.
fn stepped<T: Number>(_typed: &[T], count: usize, start: f64, step: f64) -> Data {
    T::into_data((0..count).map(|at| T::from_f64(start + at as f64 * step)).collect())
}

/// Ones on a diagonal of a matrix that has the shape of another.
#[derive(Debug)]
struct EyeLike {
    data_type: Option<DataType>,
    diagonal: i64,
}

pub(super) fn build_eye_like(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let data_type = type_attribute(setup.attributes(), "dtype")?;
    if data_type == Some(DataType::String) {
        return Err(BuildError::attribute("dtype", "expected a type of numbers"));
    }
    ready(EyeLike { data_type, diagonal: setup.attributes().int_or("k", 0)? })
}

impl Kernel for EyeLike {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let (shape, data_type) = (*tensor.shape(), self.data_type.unwrap_or(tensor.data_type()));
        let [rows, columns] = shape.dimensions() else {
            return Err(inputs.unexpected(0, "a matrix"));
        };
        budget.tensor(&shape, data_type)?;
        let on = (0..*rows).filter_map(|row| {
            let column = usize::try_from(i64::try_from(row).ok()?.checked_add(self.diagonal)?).ok()?;
            (column < *columns).then_some(row * columns + column)
        });
        let mut data = Data::zeros(data_type, shape.elements());
        match &mut data {
            Data::Bool(elements) => on.for_each(|at| elements.get_mut(at).into_iter().for_each(|it| *it = true)),
            data => each!(data, number, elements => {
                on.for_each(|at| elements.get_mut(at).into_iter().for_each(|it| *it = Number::ONE));
            }, _ => return Err(inputs.unexpected(0, "numbers"))),
        }
        one(Tensor::of_data(shape, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_before_their_limit() {
        assert_eq!(count(3, 9, 3), 2);
        assert_eq!(count(3, 10, 3), 3);
        assert_eq!(count(10, 4, -2), 3);
        assert_eq!(count(10, 5, -2), 3);
        assert_eq!(count(1, 0, 1), 0);
        assert_eq!(count(i64::MIN.into(), i64::MAX.into(), 1), i128::from(u64::MAX));
    }
}
