//! Spectra of signals along an axis.

use super::fourier::{Complex, Fourier};
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, DataType, Tensor};

/// Largest length of a transform: 16 Mi, minutes of sound.
const LENGTH_LIMIT: usize = 1 << 24;

/// In 64 bits, rounded once.
#[derive(Debug)]
struct Spectrum {
    /// An attribute before version 20.
    axis: Option<i64>,
    is_inverse: bool,
    is_onesided: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let axis = if setup.opset() < 20 { Some(reader.int_or("axis", 1)?) } else { None };
    let is_inverse = reader.flag("inverse", false)?;
    ready(Spectrum { axis, is_inverse, is_onesided: reader.flag("onesided", false)? })
}

/// A length that an input tells.
pub(super) fn length(inputs: &Inputs<'_>, index: usize) -> Result<Option<usize>, OperatorError> {
    if inputs.optional(index)?.is_none() {
        return Ok(None);
    }
    let told = usize::try_from(inputs.integer(index)?).ok().filter(|length| (1..=LENGTH_LIMIT).contains(length));
    told.map(Some).ok_or_else(|| inputs.unexpected(index, &format!("a number from 1 to {LENGTH_LIMIT}")))
}

/// Numbers with fractions, 64 bits wide, of which one or two are a number of the signal.
pub(super) fn wide(inputs: &Inputs<'_>, index: usize, budget: &mut Budget) -> Result<Vec<f64>, OperatorError> {
    let tensor = inputs.tensor(index)?;
    budget.elements(tensor.shape().elements(), size_of::<f64>())?;
    match (tensor.data(), convert(tensor.data(), DataType::Float64)) {
        (Data::Float16(_) | Data::Bfloat16(_) | Data::Float32(_) | Data::Float64(_), Some(Data::Float64(wide))) => {
            Ok(wide)
        }
        _ => Err(inputs.unexpected(index, "FP32 or another type with fractions")),
    }
}

impl Spectrum {
    /// A line of the input, as long as the transform.
    fn line(&self, numbers: &[f64], first: usize, step: usize, sizes: (usize, usize, usize)) -> Vec<Complex> {
        let (size, parts, length) = sizes;
        let number = |at: usize| {
            let start = (first + at * step) * parts;
            let part = |part: usize| numbers.get(start + part).copied().unwrap_or(0.0);
            if at < size { (part(0), if parts == 2 { part(1) } else { 0.0 }) } else { (0.0, 0.0) }
        };
        if !(self.is_inverse && self.is_onesided) {
            return (0..length).map(number).collect();
        }
        // The other half of a spectrum of real numbers.
        let mirrored = |at: usize| {
            if at <= length / 2 {
                return number(at);
            }
            let (real, imaginary) = number(length - at);
            (real, -imaginary)
        };
        (0..length).map(mirrored).collect()
    }
}

impl Kernel for Spectrum {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (shape, data_type) = (*inputs.tensor(0)?.shape(), inputs.tensor(0)?.data_type());
        let Some((parts @ (1 | 2), signal)) = shape.dimensions().split_last() else {
            return Err(inputs.unexpected(0, "a signal whose last dimension is 1 or 2"));
        };
        if self.is_onesided && *parts != if self.is_inverse { 2 } else { 1 } {
            let kind = if self.is_inverse { "complex numbers" } else { "real numbers" };
            return Err(inputs.unexpected(0, &format!("{kind}, of which a one-sided spectrum is made")));
        }
        let told = match self.axis {
            Some(axis) => axis,
            None => inputs.optional(2)?.map(|_| inputs.integer(2)).transpose()?.unwrap_or(-2),
        };
        let axis = shape.axis(told).filter(|axis| *axis < signal.len());
        let axis = axis.ok_or_else(|| OperatorError::axis(told, &shape))?;
        let size = shape.dimension(axis);
        let own = if self.is_inverse && self.is_onesided { 2 * size.saturating_sub(1) } else { size };
        let length = length(inputs, 1)?.unwrap_or(own);
        if length == 0 || length > LENGTH_LIMIT {
            return Err(inputs.unexpected(0, &format!("an axis of 1 to {LENGTH_LIMIT} numbers")));
        }
        let (outputs, made_parts) = match (self.is_onesided, self.is_inverse) {
            (true, false) => (length / 2 + 1, 2),
            (true, true) => (length, 1),
            (false, _) => (length, 2),
        };
        let whole = Shape::new(signal)?;
        let (before, _, after) = whole.around(axis);
        let made = Shape::of(whole.with(axis, outputs)?.dimensions().iter().copied().chain([made_parts]))?;
        budget.elements(made.elements(), size_of::<f64>())?;
        budget.elements(length, 4 * size_of::<Complex>())?;
        budget.work(before.saturating_mul(after).saturating_mul(Fourier::steps(length)))?;
        let numbers = wide(inputs, 0, budget)?;
        let fourier = Fourier::new(length, self.is_inverse);
        let divisor = if self.is_inverse { length as f64 } else { 1.0 };
        let mut spectra = vec![0.0; made.elements()];
        for outer in 0..before {
            for inner in 0..after {
                let line = self.line(&numbers, outer * size * after + inner, after, (size, *parts, length));
                for (at, (real, imaginary)) in fourier.of(&line).into_iter().take(outputs).enumerate() {
                    let start = ((outer * outputs + at) * after + inner) * made_parts;
                    let place = spectra.get_mut(start..start + made_parts).unwrap_or_default();
                    for (place, number) in place.iter_mut().zip([real, imaginary]) {
                        *place = number / divisor;
                    }
                }
            }
        }
        match convert(&Data::Float64(spectra), data_type) {
            Some(data) => one(Tensor::of_data(made, data)),
            None => Err(inputs.unexpected(0, "numbers")),
        }
    }
}
