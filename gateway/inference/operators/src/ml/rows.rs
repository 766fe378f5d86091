//! Rows of features.

use std::borrow::Cow;

use crate::elementwise::convert;
use crate::error::OperatorError;
use crate::limits::Budget;
use crate::operator::Inputs;
use crate::value::{Data, DataType};

/// Features as 64-bit numbers, row by row.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    numbers: Cow<'a, [f64]>,
    pub count: usize,
    pub width: usize,
}

impl<'a> Rows<'a> {
    /// A tensor of `[N, F]`, or `[F]` for one row, of one of the types that `ai.onnx.ml` knows.
    pub fn of(inputs: &'a Inputs<'_>, budget: &mut Budget) -> Result<Self, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let failure = || inputs.unexpected(0, "FP32, FP64, INT64 or INT32 of [N, F] or [F]");
        let (count, width) = match tensor.shape().dimensions() {
            [width] => (1, *width),
            [count, width] => (*count, *width),
            _ => return Err(failure()),
        };
        let numbers = match tensor.data() {
            Data::Float64(numbers) => Cow::Borrowed(numbers.as_slice()),
            data @ (Data::Float32(_) | Data::Int64(_) | Data::Int32(_)) => {
                budget.tensor(tensor.shape(), DataType::Float64)?;
                match convert(data, DataType::Float64) {
                    Some(Data::Float64(numbers)) => Cow::Owned(numbers),
                    _ => return Err(failure()),
                }
            }
            _ => return Err(failure()),
        };
        Ok(Self { numbers, count, width })
    }

    /// All of the rows have so many features.
    pub fn expect_width(&self, width: usize, inputs: &Inputs<'_>) -> Result<(), OperatorError> {
        if self.width == width { Ok(()) } else { Err(inputs.unexpected(0, &format!("rows of {width} features"))) }
    }

    pub fn numbers(&self) -> &[f64] {
        &self.numbers
    }

    /// The rows. There may be any number of rows without features.
    pub fn iter(&self) -> impl Iterator<Item = &[f64]> {
        (0..self.count).map(|at| self.numbers.get(at * self.width..(at + 1) * self.width).unwrap_or_default())
    }
}

/// The sum of products, from the first to the last.
pub(super) fn dot(row: &[f64], weights: &[f64]) -> f64 {
    row.iter().zip(weights).map(|(feature, weight)| feature * weight).sum()
}

/// Attributes are 32 bits wide.
pub(super) fn widened(floats: &[f32]) -> Vec<f64> {
    floats.iter().copied().map(f64::from).collect()
}
