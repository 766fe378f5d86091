//! Functions of numbers of any type, which lose nothing.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::special;
use crate::value::{Data, Element, Float, Integer, Number, Tensor, Value, each};

#[derive(Debug, Clone, Copy)]
pub(super) enum Exact {
    Abs,
    BitwiseNot,
    Neg,
    Relu,
    Sign,
}

pub(super) fn build(exact: Exact) -> Result<Box<dyn Kernel>, BuildError> {
    ready(exact)
}

/// Changes all elements.
fn each<T: Copy>(mut elements: Vec<T>, make: impl Fn(T) -> T) -> Vec<T> {
    elements.iter_mut().for_each(|element| *element = make(*element));
    elements
}

impl Exact {
    fn of_integers<T: Integer>(self, elements: Vec<T>) -> Vec<T> {
        let (zero, one) = (T::default(), T::ONE);
        let minus_one = zero.subtract(one);
        match self {
            Self::Abs => each(elements, |x| if x < zero { zero.subtract(x) } else { x }),
            // All bits of the two's complement.
            Self::BitwiseNot => each(elements, |x| zero.subtract(x).subtract(one)),
            Self::Neg => each(elements, |x| zero.subtract(x)),
            Self::Relu => each(elements, |x| if x < zero { zero } else { x }),
            Self::Sign => each(elements, |x| match x {
                x if x > zero => one,
                x if x < zero => minus_one,
                _ => zero,
            }),
        }
    }

    fn of_floats<T: Float>(self, elements: Vec<T>) -> Option<Vec<T>> {
        let wide = |function: fn(f64) -> f64| move |x: T| T::from_f64(function(x.to_f64()));
        Some(match self {
            Self::Abs => each(elements, |x| T::from_f64(x.to_f64().abs())),
            Self::Neg => each(elements, |x| T::from_f64(-x.to_f64())),
            Self::Relu => each(elements, |x| if x < T::default() { T::default() } else { x }),
            Self::Sign => each(elements, wide(special::sign)),
            Self::BitwiseNot => return None,
        })
    }
}

impl Kernel for Exact {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        budget.tensor(tensor.shape(), tensor.data_type())?;
        let is_float = tensor.data_type().is_float();
        if !each!(tensor.data(), number, _elements => !(is_float && matches!(self, Self::BitwiseNot)), _ => false) {
            return Err(inputs.unexpected(0, "numbers"));
        }
        let (shape, data) = inputs.take_tensor(0)?.into_parts();
        let data = each!(data, integer, elements => Some(Element::into_data(self.of_integers(elements))),
            _ => each!(data, float, elements => self.of_floats(elements).map(Element::into_data), _ => None));
        match data {
            Some(data) => one(Tensor::of_data(shape, data)),
            None => Err(OperatorError::input(0, "numbers", &Value::Absent)),
        }
    }
}

/// Bounds, told by attributes before version 11 and by inputs since.
#[derive(Debug)]
struct Clip {
    bounds: Option<(f64, f64)>,
}

pub(super) fn build_clip(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    if setup.opset() >= 11 {
        return ready(Clip { bounds: None });
    }
    let low = setup.attributes().float("min")?.map_or(f64::NEG_INFINITY, f64::from);
    let high = setup.attributes().float("max")?.map_or(f64::INFINITY, f64::from);
    ready(Clip { bounds: Some((low, high)) })
}

impl Clip {
    fn clipped<T: Number>(&self, elements: &[T], inputs: &Inputs<'_>) -> Result<Vec<T>, OperatorError> {
        let bound = |index: usize, default: T| match inputs.optional(index)? {
            Some(_) => inputs.number::<T>(index),
            None => Ok(default),
        };
        let (low, high) = match self.bounds {
            Some((low, high)) => (T::from_f64(low), T::from_f64(high)),
            None => (bound(1, T::LOWEST)?, bound(2, T::HIGHEST)?),
        };
        // Where bounds cross, the upper one counts; NaN stays, and a bound that is NaN leaves nothing else.
        let clip = |x: T| {
            let raised = if x < low || low.is_nan() { low } else { x };
            if raised > high || high.is_nan() { high } else { raised }
        };
        Ok(elements.iter().map(|element| clip(*element)).collect())
    }
}

impl Kernel for Clip {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        budget.tensor(tensor.shape(), tensor.data_type())?;
        let data = each!(tensor.data(), number, elements => Element::into_data(self.clipped(elements, inputs)?),
            _ => return Err(inputs.unexpected(0, "numbers")));
        one(Tensor::of_data(*tensor.shape(), data))
    }
}

fn mapped<T: Number>(elements: &[T], of: impl Fn(f64) -> f64) -> Data {
    T::into_data(elements.iter().map(|element| T::from_f64(of(element.to_f64()))).collect())
}

/// Pulls numbers towards zero, and to zero those that are near.
#[derive(Debug)]
struct Shrink {
    bias: f64,
    threshold: f64,
}

pub(super) fn build_shrink(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let bias = setup.attributes().float_or("bias", 0.0)?;
    let threshold = setup.attributes().float_or("lambd", 0.5)?;
    ready(Shrink { bias, threshold })
}

impl Kernel for Shrink {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        budget.tensor(tensor.shape(), tensor.data_type())?;
        let shrink = |x: f64| match x {
            x if x < -self.threshold => x + self.bias,
            x if x > self.threshold => x - self.bias,
            _ => 0.0,
        };
        let data = each!(tensor.data(), number, elements => {
            mapped(elements, shrink)
        }, _ => return Err(inputs.unexpected(0, "numbers")));
        one(Tensor::of_data(*tensor.shape(), data))
    }
}
