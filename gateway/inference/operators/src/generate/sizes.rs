//! Sizes of tensors, as tensors.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::value::{Data, Tensor};

/// Dimensions, from an axis up to another.
#[derive(Debug)]
struct Dimensions {
    start: i64,
    end: Option<i64>,
}

pub(super) fn build_shape(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    if setup.opset() < 15 {
        return ready(Dimensions { start: 0, end: None });
    }
    ready(Dimensions { start: setup.attributes().int_or("start", 0)?, end: setup.attributes().int("end")? })
}

impl Kernel for Dimensions {
    fn run(&self, inputs: &mut Inputs<'_>, _budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let shape = inputs.tensor(0)?.shape();
        let rank = shape.rank() as i64;
        // Beyond the ends there is nothing more.
        let place = |axis: i64| {
            let counted = if axis < 0 { axis.saturating_add(rank) } else { axis };
            usize::try_from(counted.clamp(0, rank)).unwrap_or(0)
        };
        let (start, end) = (place(self.start), self.end.map_or(shape.rank(), place));
        let dimensions = shape.dimensions().get(start..end).unwrap_or_default();
        one(Tensor::vector(Data::Int64(dimensions.iter().map(|size| *size as i64).collect())))
    }
}

#[derive(Debug)]
struct Size;

pub(super) fn build_size(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Size)
}

impl Kernel for Size {
    fn run(&self, inputs: &mut Inputs<'_>, _budget: &mut Budget) -> Result<Outputs, OperatorError> {
        one(Tensor::scalar(inputs.tensor(0)?.shape().elements() as i64))
    }
}
