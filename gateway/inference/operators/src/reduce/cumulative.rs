//! Sums and products of all before.

use crate::common;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::lines::map_lines;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Element, Number, Tensor, each};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cumulative {
    Product,
    Sum,
}

/// Along the axis of the second input, each of them rounded once.
#[derive(Debug)]
struct Scan {
    cumulative: Cumulative,
    is_exclusive: bool,
    is_reverse: bool,
}

pub(super) fn build(setup: &Setup<'_>, cumulative: Cumulative) -> Result<Box<dyn Kernel>, BuildError> {
    let is_exclusive = setup.attributes().flag("exclusive", false)?;
    ready(Scan { cumulative, is_exclusive, is_reverse: setup.attributes().flag("reverse", false)? })
}

impl Scan {
    fn of<T: Number>(&self, elements: &[T], shape: &Shape, axis: usize) -> Vec<T> {
        map_lines(elements, shape, axis, shape.dimension(axis), |line, made: &mut [T]| {
            let length = line.len();
            let (mut sum, mut product) = (T::sum(), T::Wide::ONE);
            for step in 0..length {
                let at = if self.is_reverse { length - 1 - step } else { step };
                let (Some(element), Some(made)) = (line.get(at), made.get_mut(at)) else { continue };
                let total = |sum: crate::value::Sum<T::Wide>, product| match self.cumulative {
                    Cumulative::Sum => T::narrow(sum.total()),
                    Cumulative::Product => T::narrow(product),
                };
                let before = total(sum, product);
                sum.add(element.wide());
                product = product.multiply(element.wide());
                *made = if self.is_exclusive { before } else { total(sum, product) };
            }
        })
    }
}

impl Kernel for Scan {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let (shape, axis) = (*tensor.shape(), inputs.integer(1)?);
        let axis = shape.axis(axis).ok_or_else(|| OperatorError::axis(axis, &shape))?;
        budget.tensor(&shape, tensor.data_type())?;
        if !tensor.data_type().is_number() {
            return Err(inputs.unexpected(0, "numbers"));
        }
        budget.bytes(shape.elements().saturating_mul(2 * size_of::<f64>()))?;
        let wide = common::widened(tensor.data());
        let made = each!(wide.as_ref(), [Int32, Int64, Uint64, Float32, Float64], elements => {
            Some(Element::into_data(self.of(elements, &shape, axis)))
        }, _ => None);
        let made = made.and_then(|made| common::narrowed(made, tensor.data_type()));
        let data = made.ok_or_else(|| inputs.unexpected(0, "numbers"))?;
        one(Tensor::of_data(shape, data))
    }
}
