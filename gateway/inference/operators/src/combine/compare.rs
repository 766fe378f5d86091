//! Comparisons of two elements, and what connects two truth values.

use super::legacy::Meeting;
use crate::broadcast::Broadcast;
use crate::common;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, DataType, Tensor, pair};

/// NaN equals nothing and is neither less nor greater.
#[derive(Debug, Clone, Copy)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug)]
struct Compare {
    comparison: Comparison,
    meeting: Meeting,
}

pub(super) fn build(setup: &Setup<'_>, comparison: Comparison) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Compare { comparison, meeting: Meeting::of(setup)? })
}

impl Compare {
    fn compared<T: PartialOrd>(&self, met: &Broadcast<2>, one: &[T], other: &[T]) -> Vec<bool> {
        match self.comparison {
            Comparison::Equal => met.map(one, other, |a, b| a == b),
            Comparison::Greater => met.map(one, other, |a, b| a > b),
            Comparison::GreaterOrEqual => met.map(one, other, |a, b| a >= b),
            Comparison::Less => met.map(one, other, |a, b| a < b),
            Comparison::LessOrEqual => met.map(one, other, |a, b| a <= b),
        }
    }
}

impl Kernel for Compare {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (first, second) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let met = self.meeting.meet(first, second)?;
        budget.tensor(met.shape(), DataType::Bool)?;
        common::ask(budget, met.shape(), [first, second])?;
        let is_number = !matches!(first.data_type(), DataType::Bool | DataType::String);
        if !is_number && !matches!(self.comparison, Comparison::Equal) {
            return Err(inputs.unexpected(0, "numbers"));
        }
        if first.data_type() != second.data_type() {
            return Err(inputs.unexpected(1, &format!("{}, as the first", first.data_type().label())));
        }
        let (one_side, other) = (common::widened(first.data()), common::widened(second.data()));
        let answers = match (one_side.as_ref(), other.as_ref()) {
            (Data::String(a), Data::String(b)) => met.map(a, b, |a, b| a == b),
            (a, b) => pair!(a, b, common, a, b => self.compared(&met, a, b),
                _ => return Err(inputs.unexpected(0, "elements that can be compared"))),
        };
        one(Tensor::made(*met.shape(), answers))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Connective {
    And,
    Or,
    Xor,
}

#[derive(Debug)]
struct Connect {
    connective: Connective,
    meeting: Meeting,
}

pub(super) fn build_connective(setup: &Setup<'_>, connective: Connective) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Connect { connective, meeting: Meeting::of(setup)? })
}

impl Kernel for Connect {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let met = self.meeting.meet(inputs.tensor(0)?, inputs.tensor(1)?)?;
        budget.tensor(met.shape(), DataType::Bool)?;
        let (first, second) = (inputs.elements::<bool>(0)?, inputs.elements::<bool>(1)?);
        let answers = match self.connective {
            Connective::And => met.map(first, second, |a, b| *a && *b),
            Connective::Or => met.map(first, second, |a, b| *a || *b),
            Connective::Xor => met.map(first, second, |a, b| *a != *b),
        };
        one(Tensor::made(*met.shape(), answers))
    }
}
