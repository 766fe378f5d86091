//! Elements that conditions name, and where elements are not zero.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, DataType, Element, Tensor, alike, each};

/// Slices along an axis, or single elements, where a condition is true.
#[derive(Debug)]
struct Compress {
    axis: Option<i64>,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Compress { axis: setup.attributes().int("axis")? })
}

impl Kernel for Compress {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (tensor, conditions) = (inputs.tensor(0)?, inputs.elements::<bool>(1)?);
        let shape = *tensor.shape();
        let (before, size, after, axis) = match self.axis {
            Some(axis) => {
                let at = shape.axis(axis).ok_or_else(|| OperatorError::axis(axis, &shape))?;
                let (before, size, after) = shape.around(at);
                (before, size, after, Some(at))
            }
            None => (1, shape.elements(), 1, None),
        };
        let chosen: Vec<usize> = conditions.iter().enumerate().filter(|(_, is)| **is).map(|(at, _)| at).collect();
        if let Some(beyond) = chosen.iter().find(|at| **at >= size) {
            return Err(OperatorError::Element(format!("condition {beyond} is out of range for an axis of {size}")));
        }
        let made = match axis {
            Some(axis) => shape.with(axis, chosen.len())?,
            None => Shape::vector(chosen.len()),
        };
        budget.tensor(&made, tensor.data_type())?;
        if made.elements() == 0 {
            return one(Tensor::of_data(made, Data::zeros(tensor.data_type(), 0)));
        }
        let starts = || (0..before).flat_map(|block| chosen.iter().map(move |at| (block * size + at) * after));
        let data = alike!(tensor.data(), elements => {
            starts().filter_map(|start| elements.get(start..start + after)).flatten().cloned().collect()
        });
        one(Tensor::of_data(made, data))
    }
}

/// Places that are not zero: a row for each axis.
#[derive(Debug)]
struct NonZero;

pub(super) fn build_non_zero(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(NonZero)
}

fn non_zero<T: Element>(elements: &[T]) -> Vec<usize> {
    let zero = T::default();
    elements.iter().enumerate().filter(|(_, element)| **element != zero).map(|(at, _)| at).collect()
}

impl Kernel for NonZero {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        budget.work(shape.elements())?;
        let places = each!(tensor.data(), elements => non_zero(elements));
        if matches!(tensor.data(), Data::String(_)) {
            return Err(inputs.unexpected(0, "numbers"));
        }
        let made = Shape::new(&[shape.rank(), places.len()])?;
        budget.tensor(&made, DataType::Int64)?;
        let (sizes, strides) = (shape.dimensions().iter(), shape.strides());
        let rows = sizes
            .zip(strides)
            .flat_map(|(size, stride)| places.iter().map(move |place| (place / stride.max(1) % (*size).max(1)) as i64));
        one(Tensor::made(made, rows.collect()))
    }
}
