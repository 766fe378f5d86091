//! Normalization of the planes of an image, one by one or in groups.

use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, DataType, Element, Float, Tensor, each};

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` of each image and group of channels, rounded once.
#[derive(Debug)]
struct Planes {
    epsilon: f64,
    groups: Groups,
}

#[derive(Debug, Clone, Copy)]
enum Groups {
    /// Each channel is one.
    Channels,
    Told {
        count: usize,
        /// Whether a scale and a bias are those of a group, and not of a channel.
        is_scaled: bool,
    },
}

pub(super) fn build_instance(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Planes { epsilon: setup.attributes().float_or("epsilon", 1e-5)?, groups: Groups::Channels })
}

pub(super) fn build_group(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let count = reader.int("num_groups")?.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    let count = count.ok_or_else(|| BuildError::attribute("num_groups", "expected a number of at least 1"))?;
    if setup.opset() >= 21 {
        // Statistics are more precise than any of its types.
        reader.int_or("stash_type", 1)?;
    }
    let groups = Groups::Told { count, is_scaled: setup.opset() < 21 };
    ready(Planes { epsilon: reader.float_or("epsilon", 1e-5)?, groups })
}

/// Mean of numbers, and the root of their variance with a little added.
pub(super) fn statistics<T: Float>(numbers: &[T], epsilon: f64) -> (f64, f64) {
    let count = numbers.len() as f64;
    let mut sum = T::sum();
    numbers.iter().for_each(|number| sum.add(number.wide()));
    let mean = sum.total() / count;
    let mut squares = T::sum();
    numbers.iter().map(|number| number.wide() - mean).for_each(|distance| squares.add(distance * distance));
    (mean, (squares.total() / count + epsilon).sqrt())
}

/// Sizes of a run.
struct Sides {
    channels: usize,
    /// Channels of a group.
    depth: usize,
    plane: usize,
}

impl Planes {
    fn of<T: Float>(&self, elements: &[T], sides: &Sides, scales: &[f64], biases: &[f64]) -> Vec<T> {
        let mut made = Vec::with_capacity(elements.len());
        let per_image = (sides.channels / sides.depth.max(1)).max(1);
        for (at, group) in elements.chunks((sides.depth * sides.plane).max(1)).enumerate() {
            let (mean, deviation) = statistics(group, self.epsilon);
            for (channel, plane) in group.chunks(sides.plane.max(1)).enumerate() {
                let group = at % per_image;
                let index = match self.groups {
                    Groups::Told { is_scaled: true, .. } => group,
                    _ => group * sides.depth + channel,
                };
                let number = |list: &[f64]| list.get(index).copied().unwrap_or(f64::NAN);
                let (scale, bias) = (number(scales), number(biases));
                made.extend(plane.iter().map(|x| T::narrow((x.wide() - mean) / deviation * scale + bias)));
            }
        }
        made
    }
}

impl Kernel for Planes {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let [_, channels, spatial @ ..] = shape.dimensions() else {
            return Err(inputs.unexpected(0, "an image of [N, C, ..]"));
        };
        let (groups, scaled) = match self.groups {
            Groups::Channels => (*channels, *channels),
            Groups::Told { count, is_scaled } => (count, if is_scaled { count } else { *channels }),
        };
        if channels.checked_rem(groups).is_some_and(|rest| rest != 0) {
            return Err(inputs.unexpected(0, &format!("channels in {groups} groups")));
        }
        budget.tensor(&shape, tensor.data_type())?;
        budget.work(shape.elements().saturating_mul(2))?;
        let numbers = |index: usize| {
            let tensor = inputs.tensor(index)?;
            let is_one_each = tensor.shape().dimensions() == [scaled];
            match if is_one_each { convert(tensor.data(), DataType::Float64) } else { None } {
                Some(Data::Float64(numbers)) => Ok(numbers),
                _ => Err(inputs.unexpected(index, &format!("{scaled} numbers"))),
            }
        };
        let (scales, biases) = (numbers(1)?, numbers(2)?);
        let depth = channels.checked_div(groups).unwrap_or(0);
        let sides = Sides { channels: *channels, depth, plane: spatial.iter().product() };
        let data = each!(tensor.data(), float, elements => {
            Element::into_data(self.of(elements, &sides, &scales, &biases))
        }, _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")));
        one(Tensor::of_data(shape, data))
    }
}
