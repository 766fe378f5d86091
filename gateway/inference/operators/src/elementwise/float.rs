//! Functions of numbers with fractions.

use std::fmt;

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, one, ready};
use crate::value::{Data, Element, Number, Tensor, Value, each};

/// A function of 64 bits, rounded once to the type of the elements.
struct Function<F>(F);

impl<F> fmt::Debug for Function<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Function")
    }
}

/// The operator that applies a function to each element.
pub(super) fn function<F>(apply: F) -> Result<Box<dyn Kernel>, BuildError>
where
    F: Fn(f64) -> f64 + Send + Sync + 'static,
{
    ready(Function(apply))
}

impl<F: Fn(f64) -> f64 + Send + Sync> Kernel for Function<F> {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        budget.tensor(tensor.shape(), tensor.data_type())?;
        if !matches!(tensor.data(), Data::Float16(_) | Data::Bfloat16(_) | Data::Float32(_) | Data::Float64(_)) {
            return Err(inputs.unexpected(0, "FP32 or another type with fractions"));
        }
        let (shape, data) = inputs.take_tensor(0)?.into_parts();
        let data = each!(data, float, elements => {
            let mut elements = elements;
            for element in &mut elements {
                *element = Number::from_f64((self.0)(element.to_f64()));
            }
            Element::into_data(elements)
        }, _ => return Err(OperatorError::input(0, "a type with fractions", &Value::Absent)));
        one(Tensor::of_data(shape, data))
    }
}
