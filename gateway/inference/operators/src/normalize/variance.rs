//! Normalization along any axes.

use super::planes::statistics;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::lines::axes_last;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::{RANK_LIMIT, Shape};
use crate::value::{Element, Float, Tensor, each};
use crate::view::View;

/// What the definition adds to a deviation.
const LITTLE: f64 = 1e-9;

/// `(x - mean) / (deviation + 1e-9)`, rounded once.
#[derive(Debug)]
struct MeanVariance {
    axes: Vec<i64>,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let axes = setup.attributes().ints("axes")?;
    ready(MeanVariance { axes: axes.map_or_else(|| vec![0, 2, 3], <[i64]>::to_vec) })
}

fn normalized<T: Float>(elements: &[T], length: usize) -> Vec<T> {
    let mut made = Vec::with_capacity(elements.len());
    for line in elements.chunks(length.max(1)) {
        let (mean, deviation) = statistics(line, 0.0);
        made.extend(line.iter().map(|x| T::narrow((x.wide() - mean) / (deviation + LITTLE))));
    }
    made
}

impl Kernel for MeanVariance {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let mut is_last = [false; RANK_LIMIT];
        for axis in &self.axes {
            let at = shape.axis(*axis).ok_or_else(|| OperatorError::axis(*axis, &shape))?;
            is_last.get_mut(at).into_iter().for_each(|is| *is = true);
        }
        let axes = |last: bool| (0..shape.rank()).filter(move |at| is_last.get(*at).copied().unwrap_or(false) == last);
        // The order of the axes while they are normalized, and the way back.
        let order: Vec<usize> = axes(false).chain(axes(true)).collect();
        let moved = Shape::of(order.iter().map(|axis| shape.dimension(*axis)))?;
        let back = (0..shape.rank()).filter_map(|axis| order.iter().position(|other| *other == axis));
        let back: Vec<usize> = back.collect();
        let length = axes(true).map(|axis| shape.dimension(axis)).product();
        budget.elements(shape.elements(), 3 * tensor.data_type().size())?;
        let data = each!(tensor.data(), float, elements => {
            let made = normalized(&axes_last(elements, &shape, &is_last), length);
            Element::into_data(View::of(&moved).permute(back).copy(&made))
        }, _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")));
        one(Tensor::of_data(shape, data))
    }
}
