//! Shares of a whole, by exponentials.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::lines::map_lines;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::special;
use crate::value::{Element, Float, Tensor, each};

#[derive(Debug, Clone, Copy)]
pub(super) enum Shares {
    /// All of it for the first of the largest.
    Hardmax,
    LogSoftmax,
    Softmax,
}

#[derive(Debug)]
struct Along {
    shares: Shares,
    axis: i64,
    /// Before version 13 the axis and all behind it are one.
    is_flat: bool,
}

pub(super) fn build(setup: &Setup<'_>, shares: Shares) -> Result<Box<dyn Kernel>, BuildError> {
    let is_flat = setup.opset() < 13;
    ready(Along { shares, axis: setup.attributes().int_or("axis", if is_flat { 1 } else { -1 })?, is_flat })
}

impl Along {
    fn of<T: Float>(&self, elements: &[T], shape: &Shape, axis: usize) -> Vec<T> {
        let mut wide: Vec<f64> = Vec::new();
        map_lines(elements, shape, axis, shape.dimension(axis), |line, made: &mut [T]| {
            wide.clear();
            wide.extend(line.iter().map(|element| element.to_f64()));
            self.line(&mut wide);
            made.iter_mut().zip(&wide).for_each(|(made, wide)| *made = T::from_f64(*wide));
        })
    }

    fn line(&self, numbers: &mut [f64]) {
        match self.shares {
            Shares::Softmax => special::softmax(numbers),
            Shares::LogSoftmax => {
                let largest = special::largest(numbers.iter().copied());
                let sum: f64 = numbers.iter().map(|number| special::exp(number - largest)).sum();
                let logarithm = sum.ln();
                numbers.iter_mut().for_each(|number| *number = (*number - largest) - logarithm);
            }
            Shares::Hardmax => {
                let largest = special::largest(numbers.iter().copied());
                let is_largest = |number: &f64| *number == largest || number.is_nan();
                let first = numbers.iter().position(is_largest);
                let shares = numbers.iter_mut().enumerate();
                shares.for_each(|(at, number)| *number = if Some(at) == first { 1.0 } else { 0.0 });
            }
        }
    }
}

impl Kernel for Along {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let mut axis = shape.axis(self.axis).ok_or_else(|| OperatorError::axis(self.axis, &shape))?;
        budget.tensor(&shape, tensor.data_type())?;
        let mut walked = shape;
        if self.is_flat {
            let (before, size, after) = shape.around(axis);
            walked = Shape::new(&[before, size * after])?;
            axis = 1;
        }
        let data = each!(tensor.data(), float, elements => Element::into_data(self.of(elements, &walked, axis)),
            _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")));
        one(Tensor::of_data(shape, data))
    }
}
