//! A convolution of the last few places of each channel, with those before as its state.

use super::heads::{narrowed, wide};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready, several};
use crate::shape::Shape;
use crate::special::sigmoid;
use crate::value::Value;

#[derive(Debug)]
struct Short {
    is_gated: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let choices = [("none", false), ("silu", true), ("swish", true)];
    ready(Short { is_gated: setup.attributes().choice("activation", &choices)? })
}

impl Kernel for Short {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (shape, data_type) = (*inputs.tensor(0)?.shape(), inputs.tensor(0)?.data_type());
        let ([batch, channels, length], [rows, 1, size]) = (shape.dimensions(), inputs.tensor(1)?.shape().dimensions())
        else {
            return Err(inputs.unexpected(1, "a kernel of [channels, 1, k] for [batch, channels, length]"));
        };
        if rows != channels || *size == 0 {
            return Err(inputs.unexpected(1, &format!("kernels of {channels} channels")));
        }
        let before = size - 1;
        let state = Shape::new(&[*batch, *channels, before])?;
        for (index, expected) in [(2, Shape::new(&[*channels])?), (3, state)] {
            let fits = |value: &Value| value.tensor().is_some_and(|tensor| *tensor.shape() == expected);
            if *inputs.value(index) != Value::Absent && !fits(inputs.value(index)) {
                return Err(inputs.unexpected(index, &format!("a tensor of {expected}")));
            }
        }
        budget.elements(shape.elements(), size_of::<f64>())?;
        budget.elements(state.elements(), size_of::<f64>())?;
        budget.elements(length.saturating_add(before), size_of::<f64>())?;
        budget.work(shape.elements().saturating_mul(*size))?;
        let numbers = wide(inputs, 0, budget)?;
        let weights = wide(inputs, 1, budget)?;
        let bias = inputs.optional(2)?.map(|_| wide(inputs, 2, budget)).transpose()?;
        let past = inputs.optional(3)?.map(|_| wide(inputs, 3, budget)).transpose()?;
        let (mut made, mut kept) = (Vec::with_capacity(shape.elements()), Vec::with_capacity(state.elements()));
        let mut line: Vec<f64> = Vec::with_capacity(length + before);
        for row in 0..batch * channels {
            line.clear();
            match past.as_ref().and_then(|past| past.get(row * before..(row + 1) * before)) {
                Some(past) => line.extend_from_slice(past),
                None => line.resize(before, 0.0),
            }
            line.extend_from_slice(numbers.get(row * length..(row + 1) * length).unwrap_or_default());
            let channel = row % channels;
            let weights = weights.get(channel * size..(channel + 1) * size).unwrap_or_default();
            let bias = bias.as_ref().and_then(|bias| bias.get(channel)).copied().unwrap_or(0.0);
            made.extend(line.windows(*size).map(|window| {
                let sum = window.iter().zip(weights).map(|(number, weight)| number * weight).sum::<f64>() + bias;
                if self.is_gated { sum * sigmoid(sum) } else { sum }
            }));
            kept.extend_from_slice(line.get(line.len() - before..).unwrap_or_default());
        }
        several([narrowed(shape, made, data_type)?, narrowed(state, kept, data_type)?])
    }
}
