//! Windows that a part of a signal is weighed with.

use std::f64::consts::PI;

use crate::DataType;
use crate::elementwise::{convert, type_attribute};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, Tensor};

#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Blackman,
    Hamming,
    Hann,
}

#[derive(Debug)]
struct Window {
    shape: Shape,
    is_periodic: bool,
    made: DataType,
}

/// The type of numbers that an operator makes: FP32 if none is told.
pub(super) fn output_type(setup: &Setup<'_>) -> Result<DataType, BuildError> {
    match type_attribute(setup.attributes(), "output_datatype")?.unwrap_or(DataType::Float32) {
        DataType::String | DataType::Bool => {
            Err(BuildError::attribute("output_datatype", "expected a type of numbers"))
        }
        data_type => Ok(data_type),
    }
}

pub(super) fn build(setup: &Setup<'_>, shape: Shape) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Window { shape, is_periodic: setup.attributes().flag("periodic", true)?, made: output_type(setup)? })
}

impl Shape {
    /// At a part of the window's length.
    fn at(self, part: f64) -> f64 {
        let cosine = (2.0 * PI * part).cos();
        match self {
            Self::Blackman => 0.42 - 0.5 * cosine + 0.08 * (4.0 * PI * part).cos(),
            Self::Hamming => 25.0 / 46.0 - 21.0 / 46.0 * cosine,
            Self::Hann => 0.5 - 0.5 * cosine,
        }
    }
}

impl Kernel for Window {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let size = inputs.integer(0)?;
        let expected = || inputs.unexpected(0, "a size of at least 0, or 2 if the window is not periodic");
        let size = usize::try_from(size).map_err(|_| expected())?;
        budget.elements(size, size_of::<f64>() + self.made.size())?;
        // The one place of a symmetric window is both of its ends.
        let length = if self.is_periodic { size } else { size.saturating_sub(1) };
        if size > 0 && length == 0 {
            return Err(expected());
        }
        let numbers = (0..size).map(|at| self.shape.at(at as f64 / length as f64)).collect();
        match convert(&Data::Float64(numbers), self.made) {
            Some(data) => one(Tensor::vector(data)),
            None => Err(expected()),
        }
    }
}
