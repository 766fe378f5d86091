//! Means of windows.

use super::reach::{Reach, empty, window};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Element, Float, Tensor, each};
use crate::window::{Known, Window};

/// In 64 bits, rounded once.
#[derive(Debug)]
struct Average {
    window: Window,
    /// Whether what stands in padding counts. What lies beyond the padding never does.
    counts_padding: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let opset = setup.opset();
    let window = window(setup, Known { dilations: opset >= 19, ceil_mode: opset >= 10 })?;
    let counts_padding = opset >= 7 && setup.attributes().flag("count_include_pad", false)?;
    ready(Average { window, counts_padding })
}

impl Average {
    fn of<T: Float>(&self, image: &[T], reach: &Reach) -> Result<Vec<T>, OperatorError> {
        reach.make(image, |plane, places, output| {
            let mut sum = T::sum();
            places.iter().filter_map(|place| plane.get(*place)).for_each(|element| sum.add(element.wide()));
            let count = if self.counts_padding {
                let coordinates = reach.windows.coordinates(output);
                reach.windows.axes().iter().zip(coordinates).map(|(axis, at)| axis.padded(at)).product()
            } else {
                places.len()
            };
            if count == 0 { Err(empty()) } else { Ok(T::narrow(sum.total() / count as f64)) }
        })
    }
}

impl Kernel for Average {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let reach = Reach::of(&self.window, tensor.shape())?;
        reach.ask(tensor.data_type(), budget)?;
        let data = each!(tensor.data(), float, image => Element::into_data(self.of(image, &reach)?),
            _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")));
        one(Tensor::of_data(reach.shape, data))
    }
}
