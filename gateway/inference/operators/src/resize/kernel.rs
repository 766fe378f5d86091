//! Resize and Upsample.

use super::axis::{taps, weighed};
use super::coordinate::{Coordinate, Length};
use super::filter::{Filter, Nearest, Taps, Weighing};
use super::sizes::{Places, Sizes};
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, DataType, Tensor, alike};

/// Along one axis after the other, in 64 bits and rounded once.
#[derive(Debug)]
struct Resize {
    weighing: Weighing,
    sizes: Sizes,
    places: Places,
    /// Scales as an attribute.
    told: Option<Vec<f32>>,
    outside: f64,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    const COORDINATES: [(&str, Coordinate); 7] = [
        ("half_pixel", Coordinate::HalfPixel),
        ("pytorch_half_pixel", Coordinate::PytorchHalfPixel),
        ("align_corners", Coordinate::AlignCorners),
        ("asymmetric", Coordinate::Asymmetric),
        ("tf_crop_and_resize", Coordinate::Crop),
        ("half_pixel_symmetric", Coordinate::HalfPixelSymmetric),
        ("tf_half_pixel_for_nn", Coordinate::TensorflowHalfPixel),
    ];
    const NEAREST: [(&str, Nearest); 4] = [
        ("round_prefer_floor", Nearest::RoundPreferFloor),
        ("round_prefer_ceil", Nearest::RoundPreferCeil),
        ("floor", Nearest::Floor),
        ("ceil", Nearest::Ceil),
    ];
    let reader = setup.attributes();
    let coordinate = reader.choice("coordinate_transformation_mode", &COORDINATES)?;
    let nearest = reader.choice("nearest_mode", &NEAREST)?;
    let slope = reader.float_or("cubic_coeff_a", -0.75)?;
    let modes = [("nearest", Filter::Nearest(nearest)), ("linear", Filter::Linear), ("cubic", Filter::Cubic(slope))];
    let filter = reader.choice("mode", &modes)?;
    let excludes_outside = reader.flag("exclude_outside", false)?;
    let is_wide = setup.opset() >= 18 && reader.flag("antialias", false)? && !matches!(filter, Filter::Nearest(_));
    let is_removed = coordinate == Coordinate::TensorflowHalfPixel && setup.opset() >= 13;
    let is_new = coordinate == Coordinate::HalfPixelSymmetric && setup.opset() < 19;
    if is_removed || is_new {
        let problem = format!("'{coordinate:?}' is not known in version {}", setup.opset());
        return Err(BuildError::attribute("coordinate_transformation_mode", problem));
    }
    ready(Resize {
        weighing: Weighing { filter, coordinate, excludes_outside, is_wide },
        sizes: Sizes::of(setup)?,
        places: Places { roi: 1, scales: 2, sizes: 3 },
        told: None,
        outside: reader.float_or("extrapolation_value", 0.0)?,
    })
}

/// Older versions, which know scales alone.
pub(super) fn build_simple(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let modes = [("nearest", Filter::Nearest(Nearest::Floor)), ("linear", Filter::Linear)];
    let filter = reader.choice("mode", &modes)?;
    let told = if setup.opset() < 9 { reader.floats("scales")?.map(<[f32]>::to_vec) } else { None };
    let weighing = Weighing { filter, coordinate: Coordinate::Asymmetric, excludes_outside: false, is_wide: false };
    ready(Resize {
        weighing,
        sizes: Sizes::plain(),
        places: Places { roi: usize::MAX, scales: 1, sizes: usize::MAX },
        told,
        outside: 0.0,
    })
}

impl Resize {
    /// Each output is an element, or what stands outside.
    fn picked(&self, inputs: &Inputs<'_>, shape: Shape, all: &[Vec<Taps>]) -> Result<Tensor, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let strides = tensor.shape().strides();
        let mut sources = vec![Some(0_usize)];
        for (taps, stride) in all.iter().zip(strides) {
            let place = |taps: &Taps| match taps {
                Taps::Inside(taps) => taps.first().map(|(place, _)| place * stride),
                Taps::Outside => None,
            };
            let places: Vec<Option<usize>> = taps.iter().map(place).collect();
            let joined = sources
                .iter()
                .flat_map(|base| places.iter().map(move |place| base.zip(*place).map(|(base, place)| base + place)));
            sources = joined.collect();
        }
        let outside = convert(&Data::Float64(vec![self.outside]), tensor.data_type());
        let outside = outside.unwrap_or_else(|| Data::zeros(tensor.data_type(), 1));
        let data = alike!(tensor.data(), elements => {
            let fill = crate::value::Element::of_data(&outside).and_then(|data| data.first()).cloned();
            let fill = fill.unwrap_or_default();
            let pick = |source: &Option<usize>| source.and_then(|at| elements.get(at)).unwrap_or(&fill);
            sources.iter().map(pick).cloned().collect()
        });
        Ok(Tensor::of_data(shape, data))
    }

    fn summed(
        &self,
        inputs: &Inputs<'_>,
        lengths: &[Length],
        all: &[Vec<Taps>],
        budget: &mut Budget,
    ) -> Result<Tensor, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let data_type = tensor.data_type();
        let is_float =
            !matches!(tensor.data(), Data::Float16(_) | Data::Bfloat16(_) | Data::Float32(_) | Data::Float64(_));
        // How whole numbers are rounded is told nowhere.
        let (false, Some(Data::Float64(mut numbers))) = (is_float, convert(tensor.data(), DataType::Float64)) else {
            return Err(inputs.unexpected(0, "FP32 or another type with fractions, or the mode nearest"));
        };
        let mut shape = *tensor.shape();
        for (axis, (length, taps)) in lengths.iter().zip(all).enumerate() {
            if length.is_same(self.weighing.coordinate) {
                continue;
            }
            let made = shape.with(axis, length.output)?;
            budget.elements(made.elements(), 2 * size_of::<f64>())?;
            budget.work(made.elements().saturating_mul(self.weighing.width(length)))?;
            numbers = weighed(&numbers, &shape, axis, taps);
            shape = made;
        }
        for (axis, taps) in all.iter().enumerate() {
            if taps.contains(&Taps::Outside) {
                let (_, size, inner) = shape.around(axis);
                for (at, number) in numbers.iter_mut().enumerate() {
                    if taps.get(at / inner.max(1) % size.max(1)) == Some(&Taps::Outside) {
                        *number = self.outside;
                    }
                }
            }
        }
        match convert(&Data::Float64(numbers), data_type) {
            Some(data) => Ok(Tensor::of_data(shape, data)),
            None => Err(inputs.unexpected(0, "numbers")),
        }
    }
}

impl Kernel for Resize {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (data_type, input) = (inputs.tensor(0)?.data_type(), *inputs.tensor(0)?.shape());
        let lengths = self.sizes.lengths(inputs, self.places, self.told.as_deref(), self.weighing.coordinate)?;
        if self.places.sizes == usize::MAX && lengths.iter().any(|length| length.scale.wide() < 1.0) {
            return Err(OperatorError::Element(
                "what is nearest in a smaller image is told since version 11 of Resize alone".to_owned(),
            ));
        }
        let shape = Shape::of(lengths.iter().map(|length| length.output))?;
        budget.tensor(&shape, data_type)?;
        budget.elements(input.elements(), size_of::<f64>())?;
        budget.elements(shape.elements(), 2 * size_of::<usize>() + size_of::<f64>())?;
        if shape.elements() == 0 {
            return one(Tensor::of_data(shape, Data::zeros(data_type, 0)));
        }
        let all = lengths.iter().map(|length| taps(&self.weighing, length, budget));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        one(match self.weighing.filter {
            Filter::Nearest(_) => self.picked(inputs, shape, &all)?,
            Filter::Linear | Filter::Cubic(_) => self.summed(inputs, &lengths, &all, budget)?,
        })
    }
}
