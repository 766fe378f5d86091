//! Where a place of the output lies in the input.

use crate::error::OperatorError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coordinate {
    AlignCorners,
    Asymmetric,
    Crop,
    HalfPixel,
    HalfPixelSymmetric,
    /// As PyTorch: an output of one place is at the first.
    PytorchHalfPixel,
    /// As TensorFlow for nearest places; until version 13.
    TensorflowHalfPixel,
}

/// How much larger an axis becomes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scale {
    /// As a scale tells. Both the reference and ONNX Runtime compute with it in 32 bits, which decides what is nearest.
    Told(f32),
    /// As sizes tell.
    Of(f64),
}

impl Scale {
    pub fn wide(self) -> f64 {
        match self {
            Self::Told(scale) => f64::from(scale),
            Self::Of(scale) => scale,
        }
    }

    /// A number of places, divided by the scale.
    fn divide(self, number: f64) -> f64 {
        match self {
            Self::Told(scale) => f64::from(number as f32 / scale),
            Self::Of(scale) => number / scale,
        }
    }
}

/// An axis with what it becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    pub input: usize,
    pub output: usize,
    pub scale: Scale,
    /// From where to where the input is taken, in parts of its length.
    pub start: f64,
    pub end: f64,
}

impl Length {
    /// Whether each place stays where it is.
    pub fn is_same(&self, coordinate: Coordinate) -> bool {
        let is_cut = coordinate == Coordinate::Crop && (self.start != 0.0 || self.end != 1.0);
        self.input == self.output && (self.scale.wide() - 1.0).abs() < f64::EPSILON && !is_cut
    }
}

impl Coordinate {
    pub fn check(self, length: &Length) -> Result<(), OperatorError> {
        let Length { input, output, scale, .. } = length;
        let exact = *input as f64 * scale.wide();
        let needs_whole = matches!(self, Self::AlignCorners | Self::Crop);
        if needs_whole && *output > 1 && matches!(scale, Scale::Told(_)) && (exact - exact.round()).abs() > 1e-5 {
            return Err(OperatorError::Shape(format!(
                "Resize of {input} places by {} has {exact} places, and where the last of them lies is told in two ways; \
                 tell sizes instead of scales",
                scale.wide()
            )));
        }
        Ok(())
    }

    pub fn of(self, length: &Length, place: usize) -> f64 {
        let Length { input, output, scale, start, end } = *length;
        let (at, last) = (place as f64, input.saturating_sub(1) as f64);
        let steps = output.saturating_sub(1) as f64;
        let half_pixel = || round(scale, scale.divide(at + 0.5) - 0.5);
        match self {
            Self::HalfPixel => half_pixel(),
            Self::PytorchHalfPixel if output > 1 => half_pixel(),
            Self::PytorchHalfPixel => 0.0,
            Self::TensorflowHalfPixel => scale.divide(at + 0.5),
            Self::Asymmetric => scale.divide(at),
            Self::HalfPixelSymmetric => {
                let adjustment = output as f64 / (input as f64 * scale.wide());
                input as f64 / 2.0 * (1.0 - adjustment) + scale.divide(at + 0.5) - 0.5
            }
            Self::AlignCorners if output > 1 => at * last / steps,
            Self::AlignCorners => 0.0,
            Self::Crop if output > 1 => start * last + at * (end - start) * last / steps,
            Self::Crop => 0.5 * (start + end) * last,
        }
    }
}

fn round(scale: Scale, number: f64) -> f64 {
    if let Scale::Told(_) = scale { f64::from(number as f32) } else { number }
}
