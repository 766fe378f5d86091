//! Elements of sequences by their position.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::resolve_axis;
use crate::value::{Tensor, Value};

#[derive(Debug)]
enum Change {
    At,
    Erase,
    Insert,
    Length,
}

pub(super) fn build_at(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Change::At)
}

pub(super) fn build_erase(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Change::Erase)
}

pub(super) fn build_insert(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Change::Insert)
}

pub(super) fn build_length(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Change::Length)
}

fn sequence<'a>(inputs: &'a Inputs<'_>) -> Result<&'a [Value], OperatorError> {
    match inputs.value(0) {
        Value::Sequence(values) => Ok(values),
        other => Err(OperatorError::input(0, "a sequence", other)),
    }
}

/// A position among so many, counted from the end if it is negative; the last if none is told.
fn position(inputs: &Inputs<'_>, index: usize, count: usize) -> Result<usize, OperatorError> {
    let told = match inputs.optional(index)? {
        Some(_) => inputs.integer(index)?,
        None => count as i64 - 1,
    };
    resolve_axis(told, count)
        .ok_or_else(|| OperatorError::Element(format!("position {told} is out of range for a sequence")))
}

impl Kernel for Change {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let count = sequence(inputs)?.len();
        let changed = match self {
            Self::Length => return one(Tensor::scalar(count as i64)),
            Self::At => {
                let position = position(inputs, 1, count)?;
                let value = sequence(inputs)?.get(position).cloned().unwrap_or_default();
                budget.bytes(value.bytes())?;
                value
            }
            Self::Erase => {
                let position = position(inputs, 1, count)?;
                budget.bytes(inputs.value(0).bytes())?;
                let Value::Sequence(mut values) = inputs.take(0) else {
                    return Err(inputs.unexpected(0, "a sequence"));
                };
                if position < values.len() {
                    values.remove(position);
                }
                Value::Sequence(values)
            }
            Self::Insert => {
                // One behind the last is a position, too. Negative ones count from the end as it is.
                let told = inputs.optional(2)?.map(|_| inputs.integer(2)).transpose()?.unwrap_or(count as i64);
                let counted = if told < 0 { told.saturating_add(count as i64) } else { told };
                let position = usize::try_from(counted).ok().filter(|position| *position <= count);
                let position = position.ok_or_else(|| {
                    OperatorError::Element(format!("position {told} is out of range for a sequence of {count}"))
                })?;
                let (old, new) = (inputs.value(0).bytes(), inputs.tensor(1)?);
                budget.bytes(old.saturating_add(new.data().bytes()))?;
                let data_type = sequence(inputs)?.first().and_then(Value::tensor).map(Tensor::data_type);
                if data_type.is_some_and(|data_type| data_type != new.data_type()) {
                    return Err(inputs.unexpected(1, "a tensor of the sequence's type"));
                }
                let new = inputs.take(1);
                let Value::Sequence(mut values) = inputs.take(0) else {
                    return Err(inputs.unexpected(0, "a sequence"));
                };
                values.insert(position.min(values.len()), new);
                Value::Sequence(values)
            }
        };
        Ok(std::iter::once(changed).collect())
    }
}
