//! Questions that each element answers with yes or no.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{DataType, Number, Tensor, each};

#[derive(Debug)]
enum Question {
    IsNan,
    IsInfinite { negative: bool, positive: bool },
    Not,
}

pub(super) fn build_is_nan(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Question::IsNan)
}

pub(super) fn build_is_infinite(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let negative = setup.attributes().flag("detect_negative", true)?;
    let positive = setup.attributes().flag("detect_positive", true)?;
    ready(Question::IsInfinite { negative, positive })
}

pub(super) fn build_not(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Question::Not)
}

impl Question {
    fn of_number(&self, x: f64) -> bool {
        match self {
            Self::IsNan => x.is_nan(),
            Self::IsInfinite { negative, positive } => {
                (*negative && x == f64::NEG_INFINITY) || (*positive && x == f64::INFINITY)
            }
            Self::Not => false,
        }
    }
}

impl Kernel for Question {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        budget.tensor(tensor.shape(), DataType::Bool)?;
        let answers = if let Self::Not = self {
            inputs.elements::<bool>(0)?.iter().map(|element| !element).collect()
        } else {
            each!(tensor.data(), float, elements => {
                elements.iter().map(|element| self.of_number(element.to_f64())).collect()
            }, _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")))
        };
        one(Tensor::made::<bool>(*tensor.shape(), answers))
    }
}
