//! Numbers as whole numbers of few bits, with a scale and a zero point.

mod dequantize;
mod dynamic;
mod parts;
mod product;
mod quantize;

use crate::error::OperatorError;
use crate::operator::{Definition, define};
use crate::value::Integer;

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "DequantizeLinear" 10, 2..=3 => 1..=1, dequantize::build;
    "DynamicQuantizeLinear" 11, 1..=1 => 3..=3, dynamic::build;
    "MatMulInteger" 10, 2..=4 => 1..=1, product::build_integer;
    "QLinearMatMul" 10, 8..=8 => 1..=1, product::build;
    "QuantizeLinear" 10, 2..=3 => 1..=1, quantize::build;
};

/// The whole number that stands for a number of scales: rounded to even, moved to the zero point, and the nearest that
/// there is.
pub(crate) fn quantized<T: Integer>(number: f64, zero: f64) -> Result<T, OperatorError> {
    if number.is_nan() {
        // Runtimes make of it what the processor does.
        return Err(OperatorError::Element("what is not a number cannot be quantized".to_owned()));
    }
    Ok(T::from_f64(number.round_ties_even() + zero))
}
