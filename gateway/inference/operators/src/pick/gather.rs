//! Elements at the places that indices name.

use super::place::{along, fits, places, tuples};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, Tensor, alike};

/// Slices along an axis.
#[derive(Debug)]
struct Gather {
    axis: i64,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Gather { axis: setup.attributes().int_or("axis", 0)? })
}

/// Elements that begin at some places, so many each.
fn slices<T: Clone>(elements: &[T], starts: &[usize], length: usize) -> Vec<T> {
    if length == 1 {
        return starts.iter().filter_map(|start| elements.get(*start)).cloned().collect();
    }
    let mut made = Vec::with_capacity(starts.len().saturating_mul(length));
    for start in starts {
        made.extend_from_slice(elements.get(*start..start + length).unwrap_or_default());
    }
    made
}

impl Kernel for Gather {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (tensor, indices) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let shape = *tensor.shape();
        let axis = shape.axis(self.axis).ok_or_else(|| OperatorError::axis(self.axis, &shape))?;
        let (before, size, after) = shape.around(axis);
        let places = places(inputs, 1, size)?;
        let (head, tail) = (shape.dimensions().iter().take(axis), shape.dimensions().iter().skip(axis + 1));
        let made = Shape::of(head.chain(indices.shape().dimensions()).chain(tail).copied())?;
        budget.tensor(&made, tensor.data_type())?;
        if made.elements() == 0 {
            return one(Tensor::of_data(made, Data::zeros(tensor.data_type(), 0)));
        }
        budget.elements(before.saturating_mul(places.len()), size_of::<usize>())?;
        let starts: Vec<usize> =
            (0..before).flat_map(|block| places.iter().map(move |place| (block * size + place) * after)).collect();
        one(Tensor::of_data(made, alike!(tensor.data(), elements => slices(elements, &starts, after))))
    }
}

/// Single elements along an axis.
#[derive(Debug)]
struct GatherElements {
    axis: i64,
}

pub(super) fn build_elements(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(GatherElements { axis: setup.attributes().int_or("axis", 0)? })
}

impl Kernel for GatherElements {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (tensor, indices) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (shape, made) = (*tensor.shape(), *indices.shape());
        let axis = shape.axis(self.axis).ok_or_else(|| OperatorError::axis(self.axis, &shape))?;
        if !fits(&shape, axis, &made) {
            return Err(OperatorError::Shape(format!("indices of {made} do not fit a tensor of {shape}")));
        }
        budget.tensor(&made, tensor.data_type())?;
        budget.elements(made.elements(), 2 * size_of::<usize>())?;
        let starts = along(&shape, axis, &made, &places(inputs, 1, shape.dimension(axis))?);
        one(Tensor::of_data(made, alike!(tensor.data(), elements => slices(elements, &starts, 1))))
    }
}

/// Slices that tuples of indices name.
#[derive(Debug)]
struct GatherNd {
    batch: usize,
}

pub(super) fn build_nd(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let batch = setup.attributes().int_or("batch_dims", 0)?;
    let batch = usize::try_from(batch).map_err(|_| BuildError::attribute("batch_dims", "expected at least 0"))?;
    ready(GatherNd { batch })
}

impl Kernel for GatherNd {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (tensor, indices) = (inputs.tensor(0)?, inputs.tensor(1)?.shape());
        let shape = *tensor.shape();
        budget.elements(indices.elements(), 2 * size_of::<usize>())?;
        let (starts, length) = tuples(inputs, &shape, self.batch)?;
        let width = indices.dimensions().last().copied().unwrap_or(0);
        let outer = indices.dimensions().iter().take(indices.rank().saturating_sub(1));
        let made = Shape::of(outer.chain(shape.dimensions().iter().skip(self.batch + width)).copied())?;
        budget.tensor(&made, tensor.data_type())?;
        one(Tensor::of_data(made, alike!(tensor.data(), elements => slices(elements, &starts, length))))
    }
}
