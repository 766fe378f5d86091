//! Sequences of tensors, and tensors of sequences.

use crate::elementwise::type_attribute;
use crate::error::{BuildError, OperatorError};
use crate::layout::{concatenate, cut};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::{Shape, resolve_axis};
use crate::value::{Tensor, Value};

#[derive(Debug)]
struct Construct;

pub(super) fn build_construct(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Construct)
}

impl Kernel for Construct {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensors = inputs.tensors()?;
        let first = tensors.first().map(|tensor| tensor.data_type());
        if let Some(index) = tensors.iter().position(|tensor| Some(tensor.data_type()) != first) {
            return Err(inputs.unexpected(index, "a tensor of the first one's type"));
        }
        budget.bytes(tensors.iter().map(|tensor| tensor.data().bytes()).sum())?;
        drop(tensors);
        let values = (0..inputs.len()).map(|index| inputs.take(index)).collect();
        Ok(std::iter::once(Value::Sequence(values)).collect())
    }
}

#[derive(Debug)]
struct Empty;

pub(super) fn build_empty(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    // A sequence without elements has no type here.
    type_attribute(setup.attributes(), "dtype")?;
    ready(Empty)
}

impl Kernel for Empty {
    fn run(&self, _inputs: &mut Inputs<'_>, _budget: &mut Budget) -> Result<Outputs, OperatorError> {
        Ok(std::iter::once(Value::Sequence(Vec::new())).collect())
    }
}

#[derive(Debug)]
struct Concat {
    axis: i64,
    /// Whether the axis is a new one.
    is_stacked: bool,
}

pub(super) fn build_concat(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let axis = setup.attributes().int("axis")?.ok_or_else(|| BuildError::attribute("axis", "is required"))?;
    ready(Concat { axis, is_stacked: setup.attributes().flag("new_axis", false)? })
}

impl Kernel for Concat {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let Value::Sequence(values) = inputs.value(0) else { return Err(inputs.unexpected(0, "a sequence")) };
        let tensors: Option<Vec<&Tensor>> = values.iter().map(Value::tensor).collect();
        let tensors = tensors.ok_or_else(|| inputs.unexpected(0, "a sequence of tensors"))?;
        if !self.is_stacked {
            return one(concatenate(&tensors, self.axis, budget)?);
        }
        let rank = tensors.first().map_or(0, |tensor| tensor.shape().rank());
        let axis = resolve_axis(self.axis, rank + 1)
            .ok_or_else(|| OperatorError::Shape(format!("axis {} is out of range for tensors of {rank}", self.axis)))?;
        let stacked = tensors.into_iter().map(|tensor| {
            let (head, tail) = tensor.shape().dimensions().split_at_checked(axis).unwrap_or_default();
            let shape = Shape::of(head.iter().chain([&1]).chain(tail).copied())?;
            Ok(Tensor::of_data(shape, tensor.data().clone()))
        });
        let stacked = stacked.collect::<Result<Vec<_>, OperatorError>>()?;
        one(concatenate(&stacked.iter().collect::<Vec<_>>(), axis as i64, budget)?)
    }
}

#[derive(Debug)]
struct Split {
    axis: i64,
    keeps_axis: bool,
}

pub(super) fn build_split(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let keeps_axis = setup.attributes().flag("keepdims", true)? || setup.has(1);
    ready(Split { axis: setup.attributes().int_or("axis", 0)?, keeps_axis })
}

impl Split {
    /// Lengths of parts: those that are told, or equal ones of which the last may be shorter.
    fn lengths(&self, inputs: &Inputs<'_>, size: usize) -> Result<Vec<usize>, OperatorError> {
        let failure = || inputs.unexpected(1, &format!("lengths of parts of {size}"));
        let part = match inputs.optional(1)? {
            None => 1,
            Some(told) if told.shape().rank() > 0 => {
                let told = inputs.integers(1)?;
                let lengths: Option<Vec<usize>> = told.iter().map(|length| usize::try_from(*length).ok()).collect();
                let sum = |lengths: &Vec<usize>| lengths.iter().fold(0_usize, |sum, part| sum.saturating_add(*part));
                return lengths.filter(|lengths| sum(lengths) == size).ok_or_else(failure);
            }
            Some(_) => usize::try_from(inputs.integer(1)?).ok().filter(|part| *part > 0).ok_or_else(failure)?,
        };
        Ok((0..size.div_ceil(part)).map(|at| part.min(size - at * part)).collect())
    }
}

impl Kernel for Split {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = tensor.shape();
        let axis = shape.axis(self.axis).ok_or_else(|| OperatorError::axis(self.axis, shape))?;
        budget.elements(shape.dimension(axis), size_of::<Value>())?;
        budget.tensor(shape, tensor.data_type())?;
        let mut parts = cut(tensor, axis, &self.lengths(inputs, shape.dimension(axis))?)?;
        if !self.keeps_axis {
            let kept = shape.dimensions().iter().enumerate().filter(|(at, _)| *at != axis).map(|(_, size)| *size);
            let kept = Shape::of(kept)?;
            parts = parts.into_iter().map(|part| Tensor::of_data(kept, part.into_data())).collect();
        }
        Ok(std::iter::once(Value::Sequence(parts.into_iter().map(Value::Tensor).collect())).collect())
    }
}
