//! Convolutions, and their transposes.

use super::filters::Filters;
use super::slide::Slide;
use super::transposed::Outputs as TransposedOutputs;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::linear::WIDENED_LIMIT;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Element, Float, Tensor, each, pair};
use crate::window::{Known, Window, Windows};

/// Sums of products and a bias in 64 bits, rounded once. Padding counts as zeros.
#[derive(Debug)]
pub(super) struct Conv {
    pub window: Window,
    pub groups: usize,
    transposed: Option<TransposedOutputs>,
    constant: Option<Filters>,
}

/// Sizes of the sides of a convolution.
pub(super) struct Sides {
    pub images: usize,
    /// Channels of a group, and filters of one.
    pub channels: usize,
    pub count: usize,
    pub windows: Windows,
    pub shape: Shape,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let mut conv = Conv::of(setup)?;
    conv.keep(setup);
    ready(conv)
}

pub(super) fn build_transposed(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let mut conv = Conv::of(setup)?;
    conv.transposed = Some(TransposedOutputs::of(setup)?);
    conv.keep(setup);
    ready(conv)
}

impl Conv {
    pub fn of(setup: &Setup<'_>) -> Result<Self, BuildError> {
        let window = Window::of(setup, Known { dilations: true, ceil_mode: false })?;
        let groups = setup.attributes().int_or("group", 1)?;
        let groups = usize::try_from(groups).ok().filter(|groups| *groups > 0);
        let groups = groups.ok_or_else(|| BuildError::attribute("group", "expected a number of at least 1"))?;
        Ok(Self { window, groups, transposed: None, constant: None })
    }

    /// Widens weights once if they are the same in each run.
    fn keep(&mut self, setup: &Setup<'_>) {
        let Some(weights) = setup.constant(1) else { return };
        let [first, second, kernel @ ..] = weights.shape().dimensions() else { return };
        let (channels, count) = if self.transposed.is_some() {
            (first.checked_div(self.groups), Some(*second))
        } else {
            (Some(*second), first.checked_div(self.groups))
        };
        let (Some(channels), Some(count)) = (channels, count) else { return };
        let length = channels.saturating_mul(kernel.iter().product());
        let size = Filters::size(self.groups, count, length);
        if first % self.groups == 0 && size <= WIDENED_LIMIT && setup.may_keep(size * size_of::<f64>()) {
            self.constant = each!(weights.data(), float, elements => Some(self.filters(elements, channels, count, length)), _ => None);
        }
    }

    fn filters<T: Float>(&self, weights: &[T], channels: usize, count: usize, length: usize) -> Filters {
        let places = length.checked_div(channels).unwrap_or(0).max(1);
        let at = |at: usize| weights.get(at).map_or(0.0, |weight| weight.wide());
        if self.transposed.is_none() {
            return Filters::new(self.groups, count, length, |group, filter, place| {
                at((group * count + filter) * length + place)
            });
        }
        Filters::new(self.groups, count, length, |group, filter, place| {
            let (channel, place) = (place / places, place % places);
            at(((group * channels + channel) * count + filter) * places + place)
        })
    }

    /// How an image and filters fit.
    pub fn sides(&self, image: &Shape, filters: &Shape) -> Result<Sides, OperatorError> {
        let failure = || {
            let groups = self.groups;
            OperatorError::Shape(format!("filters of {filters} in {groups} groups do not fit an image of {image}"))
        };
        let ([images, depth, spatial @ ..], [first, second, kernel @ ..]) = (image.dimensions(), filters.dimensions())
        else {
            return Err(failure());
        };
        let is_transposed = self.transposed.is_some();
        let (channels, count) =
            if is_transposed { (first / self.groups, *second) } else { (*second, first / self.groups) };
        if first % self.groups != 0
            || channels.checked_mul(self.groups) != Some(*depth)
            || spatial.len() != kernel.len()
            || self.window.kernel.as_ref().is_some_and(|told| told.as_slice() != kernel)
        {
            return Err(failure());
        }
        let windows = match &self.transposed {
            None => self.window.over(spatial, kernel)?,
            Some(outputs) => outputs.windows(&self.window, spatial, kernel)?,
        };
        let all = count.checked_mul(self.groups).ok_or_else(failure)?;
        let shape = Shape::of([*images, all].into_iter().chain(windows.dimensions()))?;
        Ok(Sides { images: *images, channels, count, windows, shape })
    }
}

impl Kernel for Conv {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (image, weights, bias) = (inputs.tensor(0)?, inputs.tensor(1)?, inputs.optional(2)?);
        let sides = self.sides(image.shape(), weights.shape())?;
        budget.tensor(&sides.shape, image.data_type())?;
        if bias.is_some_and(|bias| bias.shape().dimensions() != [sides.count * self.groups]) {
            return Err(inputs.unexpected(2, &format!("{} numbers", sides.count * self.groups)));
        }
        let length = sides.channels.saturating_mul(sides.windows.places());
        let data = pair!(image.data(), weights.data(), float, image, weights => {
            let made;
            let filters = match &self.constant {
                Some(filters) => filters,
                None => {
                    let size = Filters::size(self.groups, sides.count, length);
                    budget.elements(size, size_of::<f64>())?;
                    made = self.filters(weights, sides.channels, sides.count, length);
                    &made
                }
            };
            let Sides { images, channels, windows, .. } = &sides;
            let slide = Slide { images: *images, channels: *channels, windows, filters, zero: 0.0 };
            slide.ask(budget)?;
            let bias = bias.map(|_| inputs.elements(2)).transpose()?;
            Element::into_data(with_bias(&slide, image, bias))
        }, _ => return Err(inputs.unexpected(1, &format!("numbers of {}, as the image", image.data_type().label()))));
        one(Tensor::of_data(sides.shape, data))
    }
}

fn with_bias<T: Float>(slide: &Slide<'_>, image: &[T], bias: Option<&[T]>) -> Vec<T> {
    match bias {
        None => slide.over(image, |_, sum| T::narrow(sum)),
        Some(bias) => {
            slide.over(image, |filter, sum| T::narrow(sum + bias.get(filter).map_or(0.0, |bias| bias.wide())))
        }
    }
}
