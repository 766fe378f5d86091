//! Norms of windows.

use super::global::{Global, build as build_pool};
use super::reach::{Reach, window};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Element, Float, Tensor, each};
use crate::window::{Known, Window};

/// The root of the sum of powers of magnitudes, in 64 bits and rounded once.
#[derive(Debug)]
struct Norm {
    window: Window,
    power: f64,
}

/// A whole number since version 2.
fn power(setup: &Setup<'_>) -> Result<f64, BuildError> {
    let power = match setup.opset() {
        1 => setup.attributes().float_or("p", 2.0)?,
        _ => setup.attributes().int_or("p", 2)? as f64,
    };
    if power >= 1.0 { Ok(power) } else { Err(BuildError::attribute("p", "expected a number of at least 1")) }
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let is_new = setup.opset() >= 18;
    let window = window(setup, Known { dilations: is_new, ceil_mode: is_new })?;
    ready(Norm { window, power: power(setup)? })
}

pub(super) fn build_global(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    build_pool(Global::Norm(power(setup)?))
}

/// Of numbers in their order.
pub(super) fn norm<T: Float>(numbers: impl Iterator<Item = T>, power: f64) -> T {
    let mut sum = T::sum();
    for number in numbers {
        let magnitude = number.wide().abs();
        sum.add(match power {
            1.0 => magnitude,
            2.0 => magnitude * magnitude,
            other => magnitude.powf(other),
        });
    }
    T::narrow(match power {
        1.0 => sum.total(),
        2.0 => sum.total().sqrt(),
        other => sum.total().powf(other.recip()),
    })
}

impl Kernel for Norm {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let reach = Reach::of(&self.window, tensor.shape())?;
        reach.ask(tensor.data_type(), budget)?;
        let data = each!(tensor.data(), float, image => Element::into_data(reach.make(image, |plane, places, _| {
            Ok(norm(places.iter().filter_map(|place| plane.get(*place)).copied(), self.power))
        })?), _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")));
        one(Tensor::of_data(reach.shape, data))
    }
}
