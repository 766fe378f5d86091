//! A value that another lets through.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::special::sigmoid;
use crate::value::{Element, Float, Tensor, pair};

/// `a * sigmoid(alpha * a) * b`, rounded once.
#[derive(Debug)]
struct Gate {
    alpha: f64,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Gate { alpha: setup.attributes().float_or("alpha", 1.0)? })
}

impl Gate {
    fn of<T: Float>(&self, gates: &[T], values: &[T]) -> Vec<T> {
        let each = |(gate, value): (&T, &T)| {
            let gate = gate.wide();
            T::narrow(gate * sigmoid(self.alpha * gate) * value.wide())
        };
        gates.iter().zip(values).map(each).collect()
    }
}

impl Kernel for Gate {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (gates, values) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let expected = || format!("{} of {}, as the first", gates.data_type().label(), gates.shape());
        if gates.shape() != values.shape() {
            return Err(inputs.unexpected(1, &expected()));
        }
        budget.tensor(gates.shape(), gates.data_type())?;
        let data = pair!(gates.data(), values.data(), float, a, b => Element::into_data(self.of(a, b)),
            _ => return Err(inputs.unexpected(1, &expected())));
        one(Tensor::of_data(*gates.shape(), data))
    }
}
