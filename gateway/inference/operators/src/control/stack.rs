//! What a loop makes, one tensor for each turn.

use crate::error::OperatorError;
use crate::layout::concatenate;
use crate::limits::Budget;
use crate::shape::{Shape, resolve_axis};
use crate::value::{Tensor, Value};

/// Values of an output, turn by turn.
#[derive(Debug, Default)]
pub(super) struct Stack(Vec<Tensor>);

impl Stack {
    /// Adds what a turn has made: a tensor of the type and shape of those before it.
    pub fn push(&mut self, value: Value, budget: &mut Budget) -> Result<(), OperatorError> {
        let Value::Tensor(tensor) = value else {
            return Err(OperatorError::Shape(format!("a turn made {value} where a tensor is collected")));
        };
        if let Some(first) = self.0.first()
            && (first.shape() != tensor.shape() || first.data_type() != tensor.data_type())
        {
            let (one, other) = (Value::Tensor(first.clone()), Value::Tensor(tensor));
            return Err(OperatorError::Shape(format!("turns of a loop made {one} and {other}")));
        }
        let bytes = tensor.data().bytes().saturating_add(size_of::<Tensor>());
        budget.bytes(bytes)?;
        budget.hold(bytes);
        self.0.push(tensor);
        Ok(())
    }

    /// All of them, behind each other along a new axis.
    pub fn joined(mut self, axis: i64, is_reversed: bool, budget: &mut Budget) -> Result<Tensor, OperatorError> {
        if is_reversed {
            self.0.reverse();
        }
        let Some(first) = self.0.first() else {
            // What type and shape there would be is not known: the graph never ran.
            let problem = "a loop without turns has no type for what it would collect";
            return Err(OperatorError::Element(problem.to_owned()));
        };
        let shape = *first.shape();
        let at = resolve_axis(axis, shape.rank() + 1)
            .ok_or_else(|| OperatorError::Shape(format!("axis {axis} is out of range for turns of {shape}")))?;
        let (head, tail) = shape.dimensions().split_at_checked(at).unwrap_or_default();
        let with_axis = Shape::of(head.iter().chain([&1]).chain(tail).copied())?;
        let parts = self.0.into_iter().map(|tensor| Tensor::of_data(with_axis, tensor.into_data()));
        let parts: Vec<Tensor> = parts.collect();
        concatenate(&parts.iter().collect::<Vec<_>>(), at as i64, budget)
    }
}
