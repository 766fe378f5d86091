//! Normalization of what lies in one place of a batch.

use crate::broadcast::Broadcast;
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready};
use crate::shape::Shape;
use crate::value::{Data, DataType, Tensor, Value, each};

/// Over an axis and all behind it, in 64 bits and rounded once.
#[derive(Debug)]
struct LayerNormalization {
    axis: i64,
    epsilon: f64,
    /// Whether the mean is left where it is (RMS normalization).
    keeps_mean: bool,
    outputs: usize,
    /// Type of the statistics.
    stash: DataType,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    build_as(setup, false)
}

pub(super) fn build_root_mean_square(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    build_as(setup, true)
}

fn build_as(setup: &Setup<'_>, keeps_mean: bool) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let stash = match reader.int_or("stash_type", 1)? {
        1 => DataType::Float32,
        16 => DataType::Bfloat16,
        other => return Err(BuildError::attribute("stash_type", format!("expected 1 or 16, got {other}"))),
    };
    ready(LayerNormalization {
        axis: reader.int_or("axis", -1)?,
        epsilon: reader.float_or("epsilon", 1e-5)?,
        keeps_mean,
        outputs: setup.outputs(),
        stash,
    })
}

/// Normalized numbers, and mean and inverse deviation of each place.
struct Normalized {
    numbers: Vec<f64>,
    means: Vec<f64>,
    inverses: Vec<f64>,
}

impl LayerNormalization {
    fn normalize(&self, mut numbers: Vec<f64>, length: usize, places: usize) -> Normalized {
        let (mut means, mut inverses) = (Vec::with_capacity(places), Vec::with_capacity(places));
        let count = length as f64;
        for line in numbers.chunks_mut(length.max(1)) {
            let mean = if self.keeps_mean { 0.0 } else { line.iter().sum::<f64>() / count };
            line.iter_mut().for_each(|number| *number -= mean);
            let variance = line.iter().map(|number| number * number).sum::<f64>() / count;
            let deviation = (variance + self.epsilon).sqrt();
            line.iter_mut().for_each(|number| *number /= deviation);
            means.push(mean);
            inverses.push(deviation.recip());
        }
        // Of nothing there is no mean.
        means.resize(places, f64::NAN);
        inverses.resize(places, f64::NAN);
        Normalized { numbers, means, inverses }
    }
}

/// A scale or bias in the shape of what it is applied to.
fn wide(inputs: &Inputs<'_>, index: usize, shape: &Shape) -> Result<(Broadcast<2>, Vec<f64>), OperatorError> {
    let tensor = inputs.tensor(index)?;
    let met = Broadcast::<2>::of([shape, tensor.shape()])?;
    match convert(tensor.data(), DataType::Float64) {
        Some(Data::Float64(numbers)) if met.shape() == shape => Ok((met, numbers)),
        _ => Err(inputs.unexpected(index, &format!("numbers that repeat to {shape}"))),
    }
}

impl Kernel for LayerNormalization {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let axis = shape.axis(self.axis).ok_or_else(|| OperatorError::axis(self.axis, &shape))?;
        budget.elements(shape.elements(), size_of::<f64>())?;
        let is_float = each!(tensor.data(), float, _elements => true, _ => false);
        let numbers = match convert(tensor.data(), DataType::Float64) {
            Some(Data::Float64(numbers)) if is_float => numbers,
            _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")),
        };
        let kept = shape.dimensions().iter().enumerate().map(|(at, size)| if at < axis { *size } else { 1 });
        let statistics = Shape::of(kept)?;
        budget.elements(statistics.elements(), size_of::<f64>())?;
        let length = shape.dimensions().iter().skip(axis).product();
        let Normalized { mut numbers, means, inverses } = self.normalize(numbers, length, statistics.elements());
        let (met, scale) = wide(inputs, 1, &shape)?;
        numbers = met.map(&numbers, &scale, |number, scale| number * scale);
        if inputs.optional(2)?.is_some() {
            let (met, bias) = wide(inputs, 2, &shape)?;
            numbers = met.map(&numbers, &bias, |number, bias| number + bias);
        }
        let all =
            [(shape, numbers, tensor.data_type()), (statistics, means, self.stash), (statistics, inverses, self.stash)];
        let outputs = all.into_iter().take(self.outputs.max(1)).filter_map(|(shape, numbers, data_type)| {
            convert(&Data::Float64(numbers), data_type).map(|data| Value::Tensor(Tensor::of_data(shape, data)))
        });
        Ok(outputs.collect())
    }
}
