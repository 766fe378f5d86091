//! What the inputs tell of the output's size.

use super::coordinate::{Coordinate, Length, Scale};
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::operator::{Inputs, Setup};
use crate::shape::Shape;
use crate::value::{Data, DataType};

/// What becomes of the relation of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aspect {
    Stretch,
    NotLarger,
    NotSmaller,
}

#[derive(Debug)]
pub(super) struct Sizes {
    axes: Option<Vec<i64>>,
    aspect: Aspect,
}

/// Inputs, where they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub roi: usize,
    pub scales: usize,
    pub sizes: usize,
}

impl Sizes {
    pub fn of(setup: &Setup<'_>) -> Result<Self, BuildError> {
        if setup.opset() < 18 {
            return Ok(Self { axes: None, aspect: Aspect::Stretch });
        }
        let choices =
            [("stretch", Aspect::Stretch), ("not_larger", Aspect::NotLarger), ("not_smaller", Aspect::NotSmaller)];
        let aspect = setup.attributes().choice("keep_aspect_ratio_policy", &choices)?;
        Ok(Self { axes: setup.attributes().ints("axes")?.map(<[i64]>::to_vec), aspect })
    }

    pub fn plain() -> Self {
        Self { axes: None, aspect: Aspect::Stretch }
    }

    /// The axes of an image, with what they become.
    pub fn lengths(
        &self,
        inputs: &Inputs<'_>,
        places: Places,
        told: Option<&[f32]>,
        coordinate: Coordinate,
    ) -> Result<Vec<Length>, OperatorError> {
        let shape = *inputs.tensor(0)?.shape();
        let same =
            |input: &usize| Length { input: *input, output: *input, scale: Scale::Of(1.0), start: 0.0, end: 1.0 };
        let mut lengths: Vec<Length> = shape.dimensions().iter().map(same).collect();
        let axes = self.axes_of(&shape)?;
        if coordinate == Coordinate::Crop {
            let roi = numbers(inputs, places.roi, 2 * axes.len())?;
            for (axis, (start, end)) in axes.iter().zip(roi.iter().zip(roi.iter().skip(axes.len()))) {
                if !(start.is_finite() && end.is_finite()) {
                    return Err(inputs.unexpected(places.roi, "finite numbers"));
                }
                if let Some(length) = lengths.get_mut(*axis) {
                    (length.start, length.end) = (*start, *end);
                }
            }
        }
        // An empty tensor among the inputs stands for none, in versions that have no optional ones.
        let is_told = |index: usize| inputs.value(index).tensor().is_some_and(|tensor| tensor.shape().elements() > 0);
        if told.is_none() && is_told(places.sizes) {
            if is_told(places.scales) {
                return Err(inputs.unexpected(places.sizes, "nothing, as there are scales"));
            }
            self.sized(inputs, places.sizes, &axes, &mut lengths)?;
            return Ok(lengths);
        }
        let scales = match told {
            Some(scales) if scales.len() == axes.len() => scales.to_vec(),
            Some(_) => return Err(OperatorError::Shape(format!("expected {} scales", axes.len()))),
            None => match inputs.tensor(places.scales)?.data() {
                Data::Float32(scales) if scales.len() == axes.len() => scales.clone(),
                _ => return Err(inputs.unexpected(places.scales, &format!("FP32 of [{}]", axes.len()))),
            },
        };
        for (axis, scale) in axes.iter().zip(scales) {
            if !(scale > 0.0 && scale.is_finite()) {
                return Err(OperatorError::Element(format!("a scale of {scale} is not more than 0")));
            }
            if let Some(length) = lengths.get_mut(*axis) {
                let taken = if coordinate == Coordinate::Crop { (length.end - length.start) as f32 } else { 1.0 };
                let output = (length.input as f32 * taken * scale).floor();
                length.output = if output >= 0.0 { output as usize } else { 0 };
                length.scale = Scale::Told(scale);
            }
        }
        Ok(lengths)
    }

    fn axes_of(&self, shape: &Shape) -> Result<Vec<usize>, OperatorError> {
        let Some(axes) = &self.axes else { return Ok((0..shape.rank()).collect()) };
        let axis = |axis: &i64| shape.axis(*axis).ok_or_else(|| OperatorError::axis(*axis, shape));
        let axes = axes.iter().map(axis).collect::<Result<Vec<_>, _>>()?;
        let is_twice = |(at, axis): (usize, &usize)| axes.iter().skip(at + 1).any(|other| other == axis);
        if axes.iter().enumerate().any(is_twice) {
            return Err(OperatorError::Shape("Resize names an axis twice".to_owned()));
        }
        Ok(axes)
    }

    fn sized(
        &self,
        inputs: &Inputs<'_>,
        index: usize,
        axes: &[usize],
        lengths: &mut [Length],
    ) -> Result<(), OperatorError> {
        let told = inputs.integers(index)?;
        let sizes: Option<Vec<usize>> = told.iter().map(|size| usize::try_from(*size).ok()).collect();
        let sizes = sizes.filter(|sizes| sizes.len() == axes.len());
        let sizes = sizes.ok_or_else(|| inputs.unexpected(index, &format!("{} sizes", axes.len())))?;
        let pairs = || axes.iter().zip(&sizes);
        let scales =
            pairs().filter_map(|(axis, size)| lengths.get(*axis).map(|length| *size as f64 / length.input as f64));
        let common = match self.aspect {
            Aspect::Stretch => None,
            Aspect::NotLarger => scales.reduce(f64::min),
            Aspect::NotSmaller => scales.reduce(f64::max),
        };
        for (axis, size) in pairs() {
            let Some(length) = lengths.get_mut(*axis) else { continue };
            let input = length.input as f64;
            (length.output, length.scale) = match common {
                None => (*size, Scale::Of(*size as f64 / input)),
                Some(scale) if scale.is_finite() => ((scale * input + 0.5).floor() as usize, Scale::Of(scale)),
                Some(_) => return Err(inputs.unexpected(0, "axes of at least one place")),
            };
        }
        Ok(())
    }
}

/// Numbers of an input, so many.
fn numbers(inputs: &Inputs<'_>, index: usize, count: usize) -> Result<Vec<f64>, OperatorError> {
    let tensor = inputs.tensor(index)?;
    let expected = || inputs.unexpected(index, &format!("{count} numbers"));
    if tensor.shape().elements() != count {
        return Err(expected());
    }
    match convert(tensor.data(), DataType::Float64) {
        Some(Data::Float64(numbers)) => Ok(numbers),
        _ => Err(expected()),
    }
}
