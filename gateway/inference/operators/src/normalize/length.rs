//! Vectors of length one.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::lines::map_lines;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Element, Float, Number, Tensor, each};

/// Divides by the sum of magnitudes or by the root of squares; what has no length becomes zero.
#[derive(Debug)]
struct LpNormalization {
    axis: i64,
    is_root: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let is_root = match setup.attributes().int_or("p", 2)? {
        1 => false,
        2 => true,
        other => return Err(BuildError::attribute("p", format!("expected 1 or 2, got {other}"))),
    };
    ready(LpNormalization { axis: setup.attributes().int_or("axis", -1)?, is_root })
}

impl LpNormalization {
    fn of<T: Float>(&self, elements: &[T], shape: &Shape, axis: usize) -> Vec<T> {
        map_lines(elements, shape, axis, shape.dimension(axis), |line, made: &mut [T]| {
            let mut sum = T::sum();
            for element in line {
                let wide = element.wide();
                sum.add(if self.is_root { wide * wide } else { wide.abs() });
            }
            let length = if self.is_root { sum.total().sqrt() } else { sum.total() };
            for (made, element) in made.iter_mut().zip(line) {
                *made = if length.is_zero() { T::default() } else { T::narrow(element.wide() / length) };
            }
        })
    }
}

impl Kernel for LpNormalization {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let axis = shape.axis(self.axis).ok_or_else(|| OperatorError::axis(self.axis, &shape))?;
        budget.tensor(&shape, tensor.data_type())?;
        let data = each!(tensor.data(), float, elements => Element::into_data(self.of(elements, &shape, axis)),
            _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")));
        one(Tensor::of_data(shape, data))
    }
}
