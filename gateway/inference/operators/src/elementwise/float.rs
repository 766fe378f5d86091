//! Functions of numbers with fractions.

use std::fmt;

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, one, ready};
use crate::special;
use crate::value::{Float, Tensor, each};

/// What changes numbers.
type Change = dyn Fn(&mut [f64]) + Send + Sync;

/// A function of 64 bits, rounded once to the type of the elements.
struct Function(Box<Change>);

/// Elements that are widened at one time, on the stack.
const WIDE: usize = 64;

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Function")
    }
}

/// The operator that applies a function to each element.
pub(super) fn function<F>(apply: F) -> Result<Box<dyn Kernel>, BuildError>
where
    F: Fn(f64) -> f64 + Send + Sync + 'static,
{
    ready(Function(Box::new(move |numbers| numbers.iter_mut().for_each(|number| *number = apply(*number)))))
}

/// As [`function`], of one that is made of those that vector instructions are used for.
pub(super) fn vectors<F>(apply: F) -> Result<Box<dyn Kernel>, BuildError>
where
    F: Fn(f64) -> f64 + Copy + Send + Sync + 'static,
{
    ready(Function(Box::new(move |numbers| special::for_each(numbers, apply))))
}

impl Function {
    fn change<T: Float>(&self, elements: &mut [T]) {
        let mut room = [0.0; WIDE];
        for elements in elements.chunks_mut(WIDE) {
            let wide = room.get_mut(..elements.len()).unwrap_or_default();
            wide.iter_mut().zip(&*elements).for_each(|(wide, element)| *wide = element.to_f64());
            (self.0)(wide);
            elements.iter_mut().zip(wide).for_each(|(element, wide)| *element = T::from_f64(*wide));
        }
    }
}

impl Kernel for Function {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        budget.tensor(tensor.shape(), tensor.data_type())?;
        if !tensor.data_type().is_float() {
            return Err(inputs.unexpected(0, "FP32 or another type with fractions"));
        }
        let (shape, mut data) = inputs.take_tensor(0)?.into_parts();
        each!(&mut data, float, elements => self.change(elements), _ => {});
        one(Tensor::of_data(shape, data))
    }
}
