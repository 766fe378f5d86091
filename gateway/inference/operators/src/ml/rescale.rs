//! Features on another scale.

use super::rows::{Rows, widened};
use crate::attribute::Reader;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::special;
use crate::value::{Data, DataType, Tensor};

/// Takes an offset away and multiplies by a scale: one of each for all features, or for each feature.
#[derive(Debug)]
struct Scaler {
    offsets: Vec<f64>,
    scales: Vec<f64>,
}

pub(super) fn build_scaler(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let list = |name: &str| -> Result<Vec<f64>, BuildError> {
        Ok(widened(Reader::required(name, setup.attributes().floats(name)?)?))
    };
    let (offsets, scales) = (list("offset")?, list("scale")?);
    if offsets.is_empty() || offsets.len() != scales.len() {
        let problem = format!("expected {}, as many as of 'offset', got {}", offsets.len().max(1), scales.len());
        return Err(BuildError::attribute("scale", problem));
    }
    ready(Scaler { offsets, scales })
}

impl Scaler {
    fn scale(&self, rows: &Rows<'_>, made: &mut Vec<f32>, scaled: impl Fn(f64, f64, f64) -> f32) {
        match (&*self.offsets, &*self.scales) {
            ([offset], [scale]) => made.extend(rows.numbers().iter().map(|feature| scaled(*feature, *offset, *scale))),
            (offsets, scales) => {
                for row in rows.iter() {
                    let features = row.iter().zip(offsets).zip(scales);
                    made.extend(features.map(|((feature, offset), scale)| scaled(*feature, *offset, *scale)));
                }
            }
        }
    }
}

impl Kernel for Scaler {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let rows = Rows::of(inputs, budget)?;
        let shape = *inputs.tensor(0)?.shape();
        if self.offsets.len() > 1 {
            rows.expect_width(self.offsets.len(), inputs)?;
        }
        budget.tensor(&shape, DataType::Float32)?;
        let mut made = Vec::with_capacity(shape.elements());
        if inputs.tensor(0)?.data_type() == DataType::Float64 {
            self.scale(&rows, &mut made, scaled_double);
        } else {
            self.scale(&rows, &mut made, scaled_float);
        }
        one(Tensor::made(shape, made))
    }
}

/// In 32 bits, as whoever trained the model did: where the offset is large, few numbers are left, and trees behind it have
/// their thresholds between them.
fn scaled_float(feature: f64, offset: f64, scale: f64) -> f32 {
    (feature as f32 - offset as f32) * scale as f32
}

fn scaled_double(feature: f64, offset: f64, scale: f64) -> f32 {
    ((feature - offset) * scale) as f32
}

#[derive(Debug, Clone, Copy)]
enum Norm {
    Max,
    L1,
    L2,
}

/// Divides each row by its norm, if that is not zero.
#[derive(Debug)]
struct Normalizer(Norm);

pub(super) fn build_normalizer(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Normalizer(setup.attributes().choice("norm", &[("MAX", Norm::Max), ("L1", Norm::L1), ("L2", Norm::L2)])?))
}

impl Norm {
    fn of(self, row: &[f64]) -> f64 {
        match self {
            // The largest, and not the largest magnitude, by the standard's text.
            Self::Max => special::largest(row.iter().copied()),
            Self::L1 => row.iter().map(|feature| feature.abs()).sum(),
            Self::L2 => row.iter().map(|feature| feature * feature).sum::<f64>().sqrt(),
        }
    }
}

impl Kernel for Normalizer {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let rows = Rows::of(inputs, budget)?;
        let shape = *inputs.tensor(0)?.shape();
        budget.tensor(&shape, DataType::Float32)?;
        let mut made = Vec::with_capacity(shape.elements());
        for row in rows.iter() {
            let norm = self.0.of(row);
            let divisor = if norm == 0.0 { 1.0 } else { norm };
            made.extend(row.iter().map(|feature| (feature / divisor) as f32));
        }
        one(Tensor::made(shape, made))
    }
}

/// 1 for what is above a threshold, 0 for all else.
#[derive(Debug)]
struct Binarizer {
    threshold: f64,
}

pub(super) fn build_binarizer(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Binarizer { threshold: setup.attributes().float_or("threshold", 0.0)? })
}

impl Kernel for Binarizer {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        budget.tensor(tensor.shape(), tensor.data_type())?;
        let is_above = |number: f64| number > self.threshold;
        let data = match tensor.data() {
            Data::Float32(numbers) => {
                Data::Float32(numbers.iter().map(|number| f32::from(is_above(f64::from(*number)))).collect())
            }
            Data::Float64(numbers) => {
                Data::Float64(numbers.iter().map(|number| f64::from(is_above(*number))).collect())
            }
            Data::Int32(numbers) => {
                Data::Int32(numbers.iter().map(|number| i32::from(is_above(f64::from(*number)))).collect())
            }
            Data::Int64(numbers) => {
                Data::Int64(numbers.iter().map(|number| i64::from(is_above(*number as f64))).collect())
            }
            _ => return Err(inputs.unexpected(0, "FP32, FP64, INT64 or INT32")),
        };
        one(Tensor::of_data(*tensor.shape(), data))
    }
}

/// Puts a value in place of what is missing: one for all features, or for each feature.
#[derive(Debug)]
enum Imputer {
    Floats { missing: f32, values: Vec<f32> },
    Integers { missing: i64, values: Vec<i64> },
}

pub(super) fn build_imputer(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let floats = reader.floats("imputed_value_floats")?.filter(|values| !values.is_empty());
    let integers = reader.ints("imputed_value_int64s")?.filter(|values| !values.is_empty());
    let (missing_float, missing_integer) = (reader.float("replaced_value_float")?, reader.int("replaced_value_int64")?);
    match (floats, integers) {
        (Some(values), None) => {
            ready(Imputer::Floats { missing: missing_float.unwrap_or(0.0), values: values.to_vec() })
        }
        (None, Some(values)) => {
            ready(Imputer::Integers { missing: missing_integer.unwrap_or(0), values: values.to_vec() })
        }
        _ => Err(BuildError::attribute("imputed_value_floats", "or 'imputed_value_int64s' is required, and not both")),
    }
}

/// Replaces along the last axis.
fn imputed<T: Copy, V: Copy>(
    elements: &[T],
    values: &[V],
    is_missing: impl Fn(T) -> bool,
    of: impl Fn(V) -> T,
) -> Vec<T> {
    let replaced = |(element, value): (&T, &V)| if is_missing(*element) { of(*value) } else { *element };
    elements.iter().zip(values.iter().cycle()).map(replaced).collect()
}

impl Kernel for Imputer {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let width = tensor.shape().dimensions().last().copied().unwrap_or(1);
        let count = match self {
            Self::Floats { values, .. } => values.len(),
            Self::Integers { values, .. } => values.len(),
        };
        if count != 1 && count != width {
            return Err(inputs.unexpected(0, &format!("rows of {count} features")));
        }
        budget.tensor(tensor.shape(), tensor.data_type())?;
        let data = match (self, tensor.data()) {
            (Self::Floats { missing, values }, Data::Float32(elements)) => {
                let is_missing = |element: f32| element == *missing || element.is_nan() && missing.is_nan();
                Data::Float32(imputed(elements, values, is_missing, |value| value))
            }
            (Self::Floats { missing, values }, Data::Float64(elements)) => {
                let is_missing = |element: f64| element == f64::from(*missing) || element.is_nan() && missing.is_nan();
                Data::Float64(imputed(elements, values, is_missing, f64::from))
            }
            (Self::Integers { missing, values }, Data::Int64(elements)) => {
                Data::Int64(imputed(elements, values, |element| element == *missing, |value| value))
            }
            (Self::Integers { missing, values }, Data::Int32(elements)) => {
                let narrow: Result<Vec<i32>, _> = values.iter().map(|value| i32::try_from(*value)).collect();
                let narrow = narrow.map_err(|_| inputs.unexpected(0, "INT64, as an imputed value needs it"))?;
                Data::Int32(imputed(elements, &narrow, |element| i64::from(element) == *missing, |value| value))
            }
            (Self::Floats { .. }, _) => return Err(inputs.unexpected(0, "FP32 or FP64")),
            (Self::Integers { .. }, _) => return Err(inputs.unexpected(0, "INT64 or INT32")),
        };
        one(Tensor::of_data(*tensor.shape(), data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_scaled_in_32_bits() {
        let (offset, scale) = (74_973_248.0, f64::from(2.819_4e-9_f32));
        // Floats are 4 and 8 apart there.
        let near: Vec<f32> = [-1.75, 0.0, 0.3, 3.5].map(|feature| scaled_float(feature, offset, scale)).to_vec();
        assert_eq!(near, [-74_973_248.0 * 2.819_4e-9_f32; 4]);
        assert_ne!(scaled_double(3.5, offset, scale), scaled_double(-1.75, offset, scale));
    }
}
