//! Convolutions of whole numbers of 8 bits.

use super::conv::{Conv, Sides};
use super::filters::Filters;
use super::slide::Slide;
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::quantized::quantized;
use crate::value::{Data, DataType, Element, Integer, Tensor, each};

/// Exact sums, which wrap around in 32 bits. Padding is the zero point.
#[derive(Debug)]
struct ConvInteger(Conv);

/// Sums that are scaled and quantized again.
#[derive(Debug)]
struct QLinearConv(Conv);

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(ConvInteger(Conv::of(setup)?))
}

pub(super) fn build_scaled(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(QLinearConv(Conv::of(setup)?))
}

/// Numbers of a tensor, at most so many; 0 if it is not there.
fn numbers(inputs: &Inputs<'_>, index: usize, most: usize) -> Result<Vec<f64>, OperatorError> {
    let Some(tensor) = inputs.optional(index)? else { return Ok(vec![0.0]) };
    if tensor.shape().elements() > most {
        return Err(inputs.unexpected(index, &format!("at most {most} numbers")));
    }
    match convert(tensor.data(), DataType::Float64) {
        Some(Data::Float64(numbers)) => Ok(numbers),
        _ => Err(inputs.unexpected(index, "numbers")),
    }
}

fn single(inputs: &Inputs<'_>, index: usize) -> Result<f64, OperatorError> {
    match numbers(inputs, index, 1)?[..] {
        [number] => Ok(number),
        _ => Err(inputs.unexpected(index, "one number")),
    }
}

/// One number, or one for each of so many.
fn for_each(inputs: &Inputs<'_>, index: usize, count: usize) -> Result<Vec<f64>, OperatorError> {
    let numbers = numbers(inputs, index, count.max(1))?;
    if let [one] = numbers.as_slice() {
        return Ok(vec![*one; count]);
    }
    if numbers.len() == count { Ok(numbers) } else { Err(inputs.unexpected(index, &format!("1 or {count} numbers"))) }
}

/// Of an operator's inputs: the image and the filters, each with its zero point.
struct Places {
    image: (usize, usize),
    filters: (usize, usize),
}

/// Makes an element of the sum of each filter at each place.
fn slide<R: Element>(
    conv: &Conv,
    inputs: &Inputs<'_>,
    places: &Places,
    budget: &mut Budget,
    make: impl Fn(usize, f64) -> R,
) -> Result<(Sides, Vec<R>), OperatorError> {
    let (image, weights) = (inputs.tensor(places.image.0)?, inputs.tensor(places.filters.0)?);
    for (index, zero) in [places.image, places.filters] {
        let data_type = inputs.tensor(index)?.data_type();
        if inputs.optional(zero)?.is_some_and(|zero| zero.data_type() != data_type) {
            return Err(inputs.unexpected(zero, data_type.label()));
        }
    }
    let sides = conv.sides(image.shape(), weights.shape())?;
    budget.elements(sides.shape.elements(), size_of::<R>())?;
    let length = sides.channels.saturating_mul(sides.windows.places());
    let all = sides.count * conv.groups;
    budget.elements(Filters::size(conv.groups, sides.count, length), size_of::<f64>())?;
    budget.elements(all, size_of::<f64>())?;
    let zeros = for_each(inputs, places.filters.1, all)?;
    let zero = single(inputs, places.image.1)?;
    let filters = each!(weights.data(), [Uint8, Int8], weights => {
        Filters::new(conv.groups, sides.count, length, |group, filter, place| {
            let filter = group * sides.count + filter;
            let weight = weights.get(filter * length + place).map_or(0.0, |weight| f64::from(*weight));
            weight - zeros.get(filter).copied().unwrap_or(0.0)
        })
    }, _ => return Err(inputs.unexpected(places.filters.0, "UINT8 or INT8")));
    let made = {
        let Sides { images, channels, windows, .. } = &sides;
        let slide = Slide { images: *images, channels: *channels, windows, filters: &filters, zero };
        slide.ask(budget)?;
        each!(image.data(), [Uint8, Int8], image => slide.over(image, make),
            _ => return Err(inputs.unexpected(places.image.0, "UINT8 or INT8")))
    };
    Ok((sides, made))
}

impl Kernel for ConvInteger {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let places = Places { image: (0, 2), filters: (1, 3) };
        let (sides, made) = slide(&self.0, inputs, &places, budget, |_, sum| (sum as i64) as i32)?;
        one(Tensor::made(sides.shape, made))
    }
}

fn requantized<T: Integer>(sums: &[f64], zero: &[T]) -> Result<Data, OperatorError> {
    let zero = zero.first().map_or(0.0, |zero| zero.to_f64());
    let made = sums.iter().map(|sum| quantized(*sum, zero)).collect::<Result<Vec<T>, _>>()?;
    Ok(T::into_data(made))
}

impl Kernel for QLinearConv {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let filters = inputs.tensor(3)?.shape().dimension(0);
        let (image_scale, made_scale) = (single(inputs, 1)?, single(inputs, 6)?);
        single(inputs, 7)?;
        budget.elements(filters, 2 * size_of::<f64>())?;
        let scales = for_each(inputs, 4, filters)?;
        let bias = match inputs.optional(8)? {
            None => vec![0.0; filters],
            Some(bias) if bias.shape().dimensions() == [filters] && bias.data_type() == DataType::Int32 => {
                numbers(inputs, 8, filters)?
            }
            Some(_) => return Err(inputs.unexpected(8, &format!("INT32 of [{filters}]"))),
        };
        let places = Places { image: (0, 2), filters: (3, 5) };
        let (sides, sums) = slide(&self.0, inputs, &places, budget, |filter, sum| {
            let (scale, bias) = (scales.get(filter).copied(), bias.get(filter).copied());
            (sum + bias.unwrap_or(0.0)) * (image_scale * scale.unwrap_or(f64::NAN) / made_scale)
        })?;
        budget.elements(sums.len(), 1)?;
        let data = each!(inputs.tensor(7)?.data(), [Uint8, Int8], zero => requantized(&sums, zero)?,
            _ => return Err(inputs.unexpected(7, "UINT8 or INT8")));
        one(Tensor::of_data(sides.shape, data))
    }
}
