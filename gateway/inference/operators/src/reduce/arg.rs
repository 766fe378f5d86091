//! Where the largest or smallest element is.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::lines::map_lines;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{DataType, Number, Tensor, each};

/// The first of them, or the last; NaN is larger and smaller than all, as in `numpy`.
#[derive(Debug)]
struct Arg {
    is_max: bool,
    axis: i64,
    keeps_axis: bool,
    is_last: bool,
}

pub(super) fn build(setup: &Setup<'_>, is_max: bool) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    ready(Arg {
        is_max,
        axis: reader.int_or("axis", 0)?,
        keeps_axis: reader.flag("keepdims", true)?,
        is_last: setup.opset() >= 12 && reader.flag("select_last_index", false)?,
    })
}

impl Arg {
    fn place<T: Number>(&self, line: &[T]) -> i64 {
        let is_better = |one: T, best: T| {
            if one.is_nan() {
                return self.is_last || !best.is_nan();
            }
            let is_beyond = if self.is_max { one > best } else { one < best };
            !best.is_nan() && (is_beyond || self.is_last && one == best)
        };
        let mut elements = line.iter().zip(0_i64..);
        let Some((mut best, mut place)) = elements.next() else { return 0 };
        for (element, at) in elements {
            if is_better(*element, *best) {
                (best, place) = (element, at);
            }
        }
        place
    }
}

impl Kernel for Arg {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let axis = shape.axis(self.axis).ok_or_else(|| OperatorError::axis(self.axis, &shape))?;
        let kept = shape.dimensions().iter().enumerate().filter(|(at, _)| self.keeps_axis || *at != axis);
        let made = Shape::of(kept.map(|(at, size)| if at == axis { 1 } else { *size }))?;
        budget.tensor(&made, DataType::Int64)?;
        budget.work(shape.elements())?;
        if shape.dimension(axis) == 0 && made.elements() > 0 {
            return Err(OperatorError::Shape(format!(
                "there is no largest or smallest along an empty axis of {shape}"
            )));
        }
        let places = each!(tensor.data(), number, elements => {
            map_lines(elements, &shape, axis, 1, |line, made: &mut [i64]| made.fill(self.place(line)))
        }, _ => return Err(inputs.unexpected(0, "numbers")));
        one(Tensor::made(made, places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_and_nan_are_as_in_numpy() {
        let place =
            |is_max: bool, is_last: bool, line: &[f32]| Arg { is_max, axis: 0, keeps_axis: true, is_last }.place(line);
        let nan = f32::NAN;
        assert_eq!(place(true, false, &[1.0, 2.0, 2.0]), 1);
        assert_eq!(place(true, true, &[1.0, 2.0, 2.0]), 2);
        assert_eq!(place(false, false, &[1.0, 1.0, 2.0]), 0);
        assert_eq!(place(true, false, &[1.0, nan, 2.0, nan]), 1);
        assert_eq!(place(false, false, &[nan, 0.0]), 0);
        assert_eq!(place(true, true, &[1.0, nan, 2.0, nan, 3.0]), 3);
    }
}
