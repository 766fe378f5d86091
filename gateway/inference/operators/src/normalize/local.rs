//! Normalization by the channels nearby.

use crate::attribute::Reader;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::lines::map_lines;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Element, Float, Tensor, each};

/// `x / (bias + alpha / size * squares) ^ beta`, of the squares of so many channels around.
#[derive(Debug)]
struct Local {
    size: usize,
    alpha: f64,
    beta: f64,
    bias: f64,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let size = usize::try_from(Reader::required("size", reader.int("size")?)?).ok().filter(|size| *size > 0);
    ready(Local {
        size: size.ok_or_else(|| BuildError::attribute("size", "expected a number of at least 1"))?,
        alpha: reader.float_or("alpha", 1e-4)?,
        beta: reader.float_or("beta", 0.75)?,
        bias: reader.float_or("bias", 1.0)?,
    })
}

impl Local {
    fn line<T: Float>(&self, line: &[T], made: &mut [T]) {
        let (before, behind) = ((self.size - 1) / 2, self.size / 2);
        for (at, (element, made)) in line.iter().zip(made).enumerate() {
            let end = at.saturating_add(behind).saturating_add(1).min(line.len());
            let mut squares = T::sum();
            for near in line.get(at.saturating_sub(before)..end).unwrap_or_default() {
                squares.add(near.wide() * near.wide());
            }
            let root = (self.bias + self.alpha / self.size as f64 * squares.total()).powf(self.beta);
            *made = T::narrow(element.wide() / root);
        }
    }
}

impl Kernel for Local {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        if shape.rank() < 2 {
            return Err(inputs.unexpected(0, "an image of [N, C, ..]"));
        }
        budget.tensor(&shape, tensor.data_type())?;
        budget.work(shape.elements().saturating_mul(self.size.min(shape.dimension(1))))?;
        let data = each!(tensor.data(), float, elements => Element::into_data(map_lines(
            elements, &shape, 1, shape.dimension(1), |line, made| self.line(line, made)
        )), _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")));
        one(Tensor::of_data(shape, data))
    }
}
