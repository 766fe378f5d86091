//! One element of each plane.

use super::norm::norm;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, one, ready};
use crate::shape::Shape;
use crate::special;
use crate::value::{Element, Float, Tensor, each};

#[derive(Debug, Clone, Copy)]
pub(super) enum Global {
    Average,
    Max,
    Norm(f64),
}

pub(super) fn build(global: Global) -> Result<Box<dyn Kernel>, BuildError> {
    ready(global)
}

impl Global {
    fn of<T: Float>(self, plane: &[T]) -> T {
        match self {
            Self::Average => {
                let mut sum = T::sum();
                plane.iter().for_each(|element| sum.add(element.wide()));
                T::narrow(sum.total() / plane.len() as f64)
            }
            Self::Max => T::narrow(special::largest(plane.iter().map(|element| element.wide()))),
            Self::Norm(power) => norm(plane.iter().copied(), power),
        }
    }
}

impl Kernel for Global {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let [images, channels, spatial @ ..] = tensor.shape().dimensions() else {
            return Err(inputs.unexpected(0, "an image of [N, C, ..]"));
        };
        let made = Shape::of([*images, *channels].into_iter().chain(spatial.iter().map(|_| 1)))?;
        let plane: usize = spatial.iter().product();
        budget.tensor(&made, tensor.data_type())?;
        budget.work(tensor.shape().elements())?;
        if plane == 0 && made.elements() > 0 && !matches!(self, Self::Norm(_)) {
            return Err(inputs.unexpected(0, "planes with elements"));
        }
        let data = each!(tensor.data(), float, elements => {
            let planes = (0..made.elements()).map(|at| elements.get(at * plane..(at + 1) * plane).unwrap_or_default());
            Element::into_data(planes.map(|plane| self.of(plane)).collect())
        }, _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")));
        one(Tensor::of_data(made, data))
    }
}
