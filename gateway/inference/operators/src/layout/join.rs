//! Tensors behind each other.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{DataType, Element, Tensor, each};

#[derive(Debug)]
struct Concat {
    axis: i64,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let axis = match setup.attributes().int("axis")? {
        Some(axis) => axis,
        None if setup.opset() < 4 => 1,
        None => return Err(BuildError::attribute("axis", "is required")),
    };
    ready(Concat { axis })
}

impl Kernel for Concat {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensors = inputs.tensors()?;
        one(concatenate(&tensors, self.axis, budget)?)
    }
}

/// One tensor of several that agree in all dimensions but one.
pub(crate) fn concatenate(tensors: &[&Tensor], axis: i64, budget: &mut Budget) -> Result<Tensor, OperatorError> {
    let Some((first, rest)) = tensors.split_first() else {
        return Err(OperatorError::Shape("there is nothing to concatenate".to_owned()));
    };
    let shape = first.shape();
    let at = shape.axis(axis).ok_or_else(|| OperatorError::axis(axis, shape))?;
    let mut size = shape.dimension(at);
    for (before, tensor) in rest.iter().enumerate() {
        if tensor.data_type() != first.data_type() {
            let (expected, got) = (first.data_type().label().to_owned(), tensor.data_type().label().to_owned());
            return Err(OperatorError::Input { index: before + 1, expected, got });
        }
        let own = tensor.shape().dimension(at);
        if tensor.shape().rank() != shape.rank() || shape.with(at, own)? != *tensor.shape() {
            return Err(OperatorError::Shape(format!(
                "tensors of {shape} and {} cannot be concatenated along axis {axis}",
                tensor.shape()
            )));
        }
        size = size.saturating_add(own);
    }
    let made = shape.with(at, size)?;
    budget.tensor(&made, first.data_type())?;
    // Of no elements there may be any number of rows.
    let before = if made.elements() == 0 { 0 } else { made.around(at).0 };
    Ok(Tensor::of_data(made, each!(first.data(), elements => joined(elements, tensors, before).into())))
}

/// Elements of one type, on their way to [`crate::Data`].
struct Joined<T>(Vec<T>);

impl<T: Element> From<Joined<T>> for crate::Data {
    fn from(joined: Joined<T>) -> Self {
        T::into_data(joined.0)
    }
}

fn joined<T: Element>(_typed: &[T], tensors: &[&Tensor], before: usize) -> Joined<T> {
    let count = tensors.iter().map(|tensor| tensor.shape().elements()).sum();
    let mut joined = Vec::with_capacity(count);
    let parts: Vec<(&[T], usize)> = tensors
        .iter()
        .filter_map(|tensor| tensor.elements::<T>())
        .map(|elements| (elements, elements.len().checked_div(before).unwrap_or(0)))
        .collect();
    for row in 0..before {
        for (elements, length) in &parts {
            joined.extend_from_slice(elements.get(row * length..(row + 1) * length).unwrap_or_default());
        }
    }
    debug_assert!(count == joined.len() || T::TYPE == DataType::String, "rows fill the output");
    Joined(joined)
}
