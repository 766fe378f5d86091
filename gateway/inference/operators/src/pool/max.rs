//! Largest elements of windows.

use super::reach::{Reach, empty, window};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready};
use crate::value::{Data, DataType, Element, Number, Tensor, Value, each};
use crate::window::{Axis, Known, Window};

/// The first of the largest; NaN is larger than all.
#[derive(Debug)]
struct Max {
    window: Window,
    /// Whether places are told, and whether they are counted by columns within a plane.
    tells_places: bool,
    is_column_first: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let opset = setup.opset();
    let window = window(setup, Known { dilations: opset >= 10, ceil_mode: opset >= 10 })?;
    let is_column_first = opset >= 8 && setup.attributes().flag("storage_order", false)?;
    ready(Max { window, tells_places: setup.wants(1), is_column_first })
}

fn largest<T: Number>(plane: &[T], places: &[usize]) -> Option<(T, usize)> {
    let mut elements = places.iter().filter_map(|place| Some((*plane.get(*place)?, *place)));
    let mut largest = elements.next()?;
    for (element, place) in elements {
        if !largest.0.is_nan() && (element > largest.0 || element.is_nan()) {
            largest = (element, place);
        }
    }
    Some(largest)
}

/// A place of a plane, counted with the first dimension varying fastest.
fn by_columns(axes: &[Axis], place: usize) -> usize {
    let (mut rest, mut step) = (place, axes.iter().map(|axis| axis.input).product::<usize>());
    let mut counted = 0;
    for axis in axes.iter().rev() {
        step /= axis.input.max(1);
        counted += rest % axis.input.max(1) * step;
        rest /= axis.input.max(1);
    }
    counted
}

impl Max {
    fn places<T: Number>(&self, image: &[T], reach: &Reach) -> Result<Vec<i64>, OperatorError> {
        let outputs = reach.windows.outputs();
        let mut places = reach.make(image, |plane, places, _| {
            let (_, place) = largest(plane, places).ok_or_else(empty)?;
            let axes = reach.windows.axes();
            Ok(if self.is_column_first { by_columns(axes, place) } else { place } as i64)
        })?;
        for (number, places) in places.chunks_mut(outputs.max(1)).enumerate() {
            places.iter_mut().for_each(|place| *place += (number * reach.plane) as i64);
        }
        Ok(places)
    }
}

impl Kernel for Max {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let reach = Reach::of(&self.window, tensor.shape())?;
        reach.ask(tensor.data_type(), budget)?;
        if self.tells_places {
            reach.ask(DataType::Int64, budget)?;
        }
        let (data, places) = each!(tensor.data(), number, image => {
            let made = reach.make(image, |plane, places, _| Ok(largest(plane, places).ok_or_else(empty)?.0))?;
            let places = if self.tells_places { Some(self.places(image, &reach)?) } else { None };
            (Element::into_data(made), places)
        }, _ => return Err(inputs.unexpected(0, "numbers")));
        let mut outputs = Outputs::new();
        outputs.push(Value::Tensor(Tensor::of_data(reach.shape, data)));
        outputs.extend(places.map(|places| Value::Tensor(Tensor::of_data(reach.shape, Data::Int64(places)))));
        Ok(outputs)
    }
}
