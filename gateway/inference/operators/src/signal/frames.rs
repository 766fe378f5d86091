//! Spectra of the parts of a signal.

use super::fourier::{Complex, Fourier};
use super::spectrum::{length, wide};
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, Tensor};

/// Frames at even distances, weighed with a window.
#[derive(Debug)]
struct Frames {
    is_onesided: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Frames { is_onesided: setup.attributes().flag("onesided", true)? })
}

impl Kernel for Frames {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (shape, data_type) = (*inputs.tensor(0)?.shape(), inputs.tensor(0)?.data_type());
        let (batch, size, parts) = match shape.dimensions() {
            [batch, size, parts @ (1 | 2)] => (*batch, *size, *parts),
            _ => return Err(inputs.unexpected(0, "a signal of [batch, length, 1] or [batch, length, 2]")),
        };
        if self.is_onesided && parts == 2 {
            return Err(inputs.unexpected(0, "real numbers, of which a one-sided spectrum is made"));
        }
        let step = length(inputs, 1)?.ok_or_else(|| inputs.unexpected(1, "a number of at least 1"))?;
        let weights = inputs.optional(2)?.map(|_| wide(inputs, 2, budget)).transpose()?;
        let own = weights.as_ref().map_or(size, Vec::len);
        let frame = length(inputs, 3)?.unwrap_or(own);
        if weights
            .as_ref()
            .is_some_and(|weights| weights.len() != frame || inputs.tensor(2).is_ok_and(|it| it.shape().rank() != 1))
        {
            return Err(inputs.unexpected(2, &format!("a window of {frame} numbers")));
        }
        if frame == 0 || frame > size {
            return Err(inputs.unexpected(0, &format!("signals of at least {frame} numbers, and at least one")));
        }
        let (frames, outputs) = ((size - frame) / step + 1, if self.is_onesided { frame / 2 + 1 } else { frame });
        let made = Shape::new(&[batch, frames, outputs, 2])?;
        budget.elements(made.elements(), size_of::<f64>())?;
        budget.elements(frame, 4 * size_of::<Complex>())?;
        budget.work(batch.saturating_mul(frames).saturating_mul(Fourier::steps(frame)))?;
        let numbers = wide(inputs, 0, budget)?;
        let fourier = Fourier::new(frame, false);
        let mut spectra = Vec::with_capacity(made.elements());
        for place in 0..batch * frames {
            let first = place / frames * size + place % frames * step;
            let number = |at: usize| {
                let start = (first + at) * parts;
                let part = |part: usize| numbers.get(start + part).copied().unwrap_or(0.0);
                let weight = weights.as_ref().and_then(|weights| weights.get(at)).copied().unwrap_or(1.0);
                (part(0) * weight, if parts == 2 { part(1) * weight } else { 0.0 })
            };
            let line: Vec<Complex> = (0..frame).map(number).collect();
            let spectrum = fourier.of(&line).into_iter().take(outputs);
            spectra.extend(spectrum.flat_map(|(real, imaginary)| [real, imaginary]));
        }
        match convert(&Data::Float64(spectra), data_type) {
            Some(data) => one(Tensor::of_data(made, data)),
            None => Err(inputs.unexpected(0, "numbers")),
        }
    }
}
