//! Elements at the places that a pool took them from.

use super::reach::window;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, Tensor};
use crate::window::{Known, Padding, Window, per_axis};

/// Zeros but for the elements that are placed.
#[derive(Debug)]
struct Unpool {
    window: Window,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Unpool { window: window(setup, Known::default())? })
}

impl Unpool {
    /// The size that the pool had before it, as far as it can be told.
    fn shape(&self, pooled: &Shape) -> Result<Shape, OperatorError> {
        let kernel = self.window.kernel.as_deref().unwrap_or_default();
        let [images, channels, spatial @ ..] = pooled.dimensions() else {
            return Err(OperatorError::Shape(format!("expected an image of [N, C, ..], got {pooled}")));
        };
        if kernel.len() != spatial.len() {
            return Err(OperatorError::Shape(format!("a window of {kernel:?} does not fit an image of {pooled}")));
        }
        let count = spatial.len();
        let strides = per_axis("strides", self.window.strides.as_ref(), count, 1)?;
        let told = if let Padding::Told(told) = &self.window.padding { Some(told) } else { None };
        let pads = per_axis("pads", told.filter(|told| !told.is_empty()), 2 * count, 0)?;
        let (before, behind) = pads.split_at(count);
        let sizes = spatial.iter().zip(kernel).zip(strides).zip(before.iter().zip(behind));
        let sizes = sizes.map(|(((size, kernel), stride), (before, behind))| {
            let whole = size.checked_sub(1)?.checked_mul(stride)?.checked_add(*kernel)?;
            whole.checked_sub(before + behind)
        });
        let sizes: Option<Vec<usize>> = sizes.collect();
        let sizes =
            sizes.ok_or_else(|| OperatorError::Shape(format!("no size can be told that {pooled} was pooled from")))?;
        Ok(Shape::of([*images, *channels].into_iter().chain(sizes))?)
    }
}

impl Kernel for Unpool {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = self.shape(tensor.shape())?;
        if let Some(told) = inputs.optional_integers(2)? {
            // Whether places are those of this size or of the pool's is told nowhere, and runtimes differ.
            let is_same =
                told.iter().map(|size| usize::try_from(*size).ok()).eq(shape.dimensions().iter().copied().map(Some));
            if !is_same {
                return Err(inputs.unexpected(2, &format!("{shape}, the size that the attributes tell")));
            }
        }
        let places = inputs.elements::<i64>(1)?;
        if inputs.tensor(1)?.shape() != tensor.shape() {
            return Err(inputs.unexpected(1, &format!("places of {}", tensor.shape())));
        }
        budget.tensor(&shape, tensor.data_type())?;
        let mut data = Data::zeros(tensor.data_type(), shape.elements());
        crate::value::pair!(&mut data, tensor.data(), float, made, elements => {
            for (place, element) in places.iter().zip(elements) {
                let to = usize::try_from(*place).ok().and_then(|place| made.get_mut(place)).ok_or_else(|| {
                    OperatorError::Element(format!("place {place} is out of range for an image of {shape}"))
                })?;
                *to = *element;
            }
        }, _ => return Err(inputs.unexpected(0, "FP32 or another type with fractions")));
        one(Tensor::of_data(shape, data))
    }
}
