//! Values that may be absent.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Tensor, Value};

#[derive(Debug)]
enum Optional {
    Get,
    Has,
}

pub(super) fn build_get(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Optional::Get)
}

pub(super) fn build_has(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Optional::Has)
}

impl Kernel for Optional {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        match (self, inputs.value(0)) {
            (Self::Has, value) => one(Tensor::scalar(*value != Value::Absent)),
            (Self::Get, Value::Absent) => Err(inputs.unexpected(0, "a value")),
            (Self::Get, value) => {
                budget.bytes(value.bytes())?;
                Ok(std::iter::once(inputs.take(0)).collect())
            }
        }
    }
}
