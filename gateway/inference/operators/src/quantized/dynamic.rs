//! Whole numbers of numbers, with a scale of their own range.

use super::quantized;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready, several};
use crate::value::{Number, Tensor};

/// From 0 to 255 over the range of the numbers, which is made to include 0. The definition is a function of other
/// operators, each of which rounds to 32 bits.
#[derive(Debug)]
struct Dynamic;

pub(super) fn build(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Dynamic)
}

impl Kernel for Dynamic {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let numbers = inputs.elements::<f32>(0)?;
        let shape = *inputs.tensor(0)?.shape();
        if numbers.is_empty() {
            return Err(inputs.unexpected(0, "a tensor with elements"));
        }
        budget.elements(shape.elements(), 1)?;
        let (least, most) = numbers.iter().fold((0.0_f32, 0.0_f32), |(least, most), number| {
            // NaN is noticed when it is quantized.
            (least.min(*number), most.max(*number))
        });
        let range = most - least;
        // Of zeros alone any scale is right, but for 0, by which nothing can be divided. ONNX Runtime takes 1.
        let scale = if range == 0.0 { 1.0 } else { range / 255.0 };
        let zero: u8 = quantized(f64::from((0.0 - least / scale).clamp(0.0, 255.0)), 0.0)?;
        let made = numbers.iter().map(|number| quantized(f64::from(number / scale), zero.to_f64()));
        let made = made.collect::<Result<Vec<u8>, _>>()?;
        several([Tensor::made(shape, made), Tensor::scalar(scale), Tensor::scalar(zero)])
    }
}
