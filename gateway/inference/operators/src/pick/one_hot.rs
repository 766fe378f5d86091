//! An axis on which one place stands out.

use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::{Shape, resolve_axis};
use crate::value::{Data, DataType, Tensor, alike};

#[derive(Debug)]
struct OneHot {
    axis: i64,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(OneHot { axis: setup.attributes().int_or("axis", -1)? })
}

impl Kernel for OneHot {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (tensor, values) = (inputs.tensor(0)?, inputs.tensor(2)?);
        let depth = match convert(inputs.tensor(1)?.data(), DataType::Int64) {
            Some(Data::Int64(depths)) => {
                depths.as_slice().try_into().ok().and_then(|[depth]: [i64; 1]| depth.try_into().ok())
            }
            _ => None,
        };
        let depth: usize = depth.ok_or_else(|| inputs.unexpected(1, "a number of places"))?;
        if values.data().len() != 2 {
            return Err(inputs.unexpected(2, "two elements"));
        }
        let shape = tensor.shape();
        let axis = resolve_axis(self.axis, shape.rank() + 1).ok_or_else(|| OperatorError::axis(self.axis, shape))?;
        let (head, tail) = (shape.dimensions().iter().take(axis), shape.dimensions().iter().skip(axis));
        let made = Shape::of(head.chain([&depth]).chain(tail).copied())?;
        budget.tensor(&made, values.data_type())?;
        budget.elements(shape.elements(), size_of::<i64>())?;
        let Some(Data::Int64(places)) = convert(tensor.data(), DataType::Int64) else {
            return Err(inputs.unexpected(0, "numbers"));
        };
        let (_, _, after) = made.around(axis);
        let on = places.iter().enumerate().filter_map(|(at, place)| {
            // What is out of range stands out nowhere.
            let place = resolve_axis(*place, depth)?;
            let (block, inner) = (at / after.max(1), at % after.max(1));
            Some((block * depth + place) * after + inner)
        });
        let data = alike!(values.data(), values => {
            let [off, on_value] = [values.first(), values.last()].map(|value| value.cloned().unwrap_or_default());
            let mut elements = vec![off; made.elements()];
            on.for_each(|at| elements.get_mut(at).into_iter().for_each(|element| element.clone_from(&on_value)));
            elements
        });
        one(Tensor::of_data(made, data))
    }
}
