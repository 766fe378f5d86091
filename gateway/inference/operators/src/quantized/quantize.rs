//! Whole numbers of numbers.

use super::parts::Parts;
use super::quantized;
use crate::DataType;
use crate::elementwise::{convert, type_attribute};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, Integer, Tensor, each};

/// Quotients by a scale, rounded to the precision of the division, then to even.
#[derive(Debug)]
struct Quantize {
    axis: i64,
    block: usize,
    made: Option<DataType>,
    precision: Option<DataType>,
}

/// The size of blocks; 0 if there are none.
pub(super) fn block(setup: &Setup<'_>) -> Result<usize, BuildError> {
    if setup.opset() < 21 {
        return Ok(0);
    }
    let block = setup.attributes().int_or("block_size", 0)?;
    usize::try_from(block).map_err(|_| BuildError::attribute("block_size", "expected a number of at least 0"))
}

/// A type; that of other inputs if it is 0 or not told.
pub(super) fn optional_type(setup: &Setup<'_>, name: &str, since: u32) -> Result<Option<DataType>, BuildError> {
    if setup.opset() < since || setup.attributes().int_or(name, 0)? == 0 {
        return Ok(None);
    }
    type_attribute(setup.attributes(), name)
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    if setup.opset() >= 19 {
        // Of whole numbers, all that are too large are the largest.
        setup.attributes().ignore(&["saturate"]);
    }
    let axis = if setup.opset() < 13 { 1 } else { setup.attributes().int_or("axis", 1)? };
    let (made, precision) = (optional_type(setup, "output_dtype", 21)?, optional_type(setup, "precision", 23)?);
    ready(Quantize { axis, block: block(setup)?, made, precision })
}

/// Numbers of 64 bits, each the one of a narrower type.
fn rounded(data: &Data, data_type: DataType) -> Option<Vec<f64>> {
    match convert(&convert(data, data_type)?, DataType::Float64)? {
        Data::Float64(numbers) => Some(numbers),
        _ => None,
    }
}

/// The precision of a quotient.
fn round_to(data_type: DataType) -> Option<fn(f64) -> f64> {
    match data_type {
        DataType::Float16 => Some(|x| half::f16::from_f64(x).to_f64()),
        DataType::Bfloat16 => Some(|x| half::bf16::from_f64(x).to_f64()),
        DataType::Float32 => Some(|x| f64::from(x as f32)),
        DataType::Float64 => Some(|x| x),
        _ => None,
    }
}

fn all<T: Integer>(quotients: impl Iterator<Item = (f64, usize)>, zeros: &[T]) -> Result<Data, OperatorError> {
    let each =
        |(quotient, part): (f64, usize)| quantized::<T>(quotient, zeros.get(part).map_or(0.0, |zero| zero.to_f64()));
    Ok(T::into_data(quotients.map(each).collect::<Result<Vec<T>, _>>()?))
}

impl Kernel for Quantize {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (tensor, scales, zeros) = (inputs.tensor(0)?, inputs.tensor(1)?, inputs.optional(2)?);
        let shape = *tensor.shape();
        let parts = Parts::of(&shape, scales.shape(), self.axis, self.block)?;
        let of_zeros = zeros.map(Tensor::data_type);
        let made = self.made.or(of_zeros).unwrap_or(DataType::Uint8);
        if zeros.is_some_and(|zeros| zeros.shape() != scales.shape() || zeros.data_type() != made) {
            return Err(inputs.unexpected(2, &format!("{} of {}", made.label(), scales.shape())));
        }
        let precision = self.precision.unwrap_or(scales.data_type());
        let round = round_to(precision).ok_or_else(|| inputs.unexpected(1, "FP32 or another type with fractions"))?;
        // Wide numbers, whole ones, and those that come of them.
        budget.elements(shape.elements(), 2 * size_of::<f64>() + made.size())?;
        budget.elements(scales.shape().elements(), 2 * size_of::<f64>())?;
        let numbers = rounded(tensor.data(), precision).ok_or_else(|| inputs.unexpected(0, "numbers"))?;
        let scales = rounded(scales.data(), precision).ok_or_else(|| inputs.unexpected(1, "numbers"))?;
        let quotients = numbers.iter().enumerate().map(|(at, number)| {
            let part = parts.scale_of(at);
            (round(number / scales.get(part).copied().unwrap_or(f64::NAN)), part)
        });
        let none = Data::zeros(made, 0);
        let data = each!(zeros.map_or(&none, Tensor::data), [Uint8, Uint16, Int8, Int16], zeros => all(quotients, zeros)?,
            _ => return Err(inputs.unexpected(2, "UINT8, INT8, UINT16 or INT16")));
        one(Tensor::of_data(shape, data))
    }
}
