//! Bands of frequencies, as they are heard.

use super::spectrum::{length, wide};
use super::window::output_type;
use crate::DataType;
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, Tensor};

/// Weights of the frequencies of a spectrum in triangular bands, which lie at even distances on the mel scale.
#[derive(Debug)]
struct Mel {
    made: DataType,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Mel { made: output_type(setup)? })
}

fn mel(frequency: f64) -> f64 {
    2595.0 * (1.0 + frequency / 700.0).log10()
}

fn frequency(mel: f64) -> f64 {
    700.0 * (10.0_f64.powf(mel / 2595.0) - 1.0)
}

/// What a frequency weighs in a band of three edges; the middle weighs all.
fn weight(at: usize, [low, middle, high]: [usize; 3]) -> f64 {
    if at == middle {
        1.0
    } else if (low..middle).contains(&at) {
        (at - low) as f64 / (middle - low) as f64
    } else if (middle..high).contains(&at) {
        (high - at) as f64 / (high - middle) as f64
    } else {
        0.0
    }
}

impl Kernel for Mel {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let number =
            |index: usize| length(inputs, index)?.ok_or_else(|| inputs.unexpected(index, "a number of at least 1"));
        let (bands, transform, rate) = (number(0)?, number(1)?, number(2)?);
        let mut edge = |index: usize| match wide(inputs, index, budget)?[..] {
            [edge] if edge >= 0.0 && edge.is_finite() => Ok(edge),
            _ => Err(inputs.unexpected(index, "one number of at least 0")),
        };
        let (lower, upper) = (edge(3)?, edge(4)?);
        if lower > upper || 2.0 * upper > rate as f64 {
            return Err(inputs.unexpected(4, "a frequency from the lower one to half the sample rate"));
        }
        let shape = Shape::new(&[transform / 2 + 1, bands])?;
        budget.elements(shape.elements(), size_of::<f64>() + self.made.size())?;
        // The bands' edges divide the scale into two more parts than there are bands, and the last is left out.
        let step = (mel(upper) - mel(lower)) / (bands + 2) as f64;
        let place = |at: usize| {
            let frequency = frequency(mel(lower) + at as f64 * step);
            ((transform + 1) as f64 * frequency / rate as f64).floor() as usize
        };
        let edges: Vec<[usize; 3]> = (0..bands).map(|band| [place(band), place(band + 1), place(band + 2)]).collect();
        let rows = 0..shape.dimension(0);
        let weights = rows.flat_map(|at| edges.iter().map(move |edges| weight(at, *edges))).collect();
        match convert(&Data::Float64(weights), self.made) {
            Some(data) => one(Tensor::of_data(shape, data)),
            None => Err(inputs.unexpected(0, "numbers")),
        }
    }
}
