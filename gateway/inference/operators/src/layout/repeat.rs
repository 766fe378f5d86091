//! Elements several times.

use smallvec::SmallVec;

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::{RANK_LIMIT, Shape};
use crate::value::{Tensor, alike};
use crate::view::View;

/// Repeats dimensions of one place, to a shape that both fit into.
#[derive(Debug)]
struct Expand;

pub(super) fn build_expand(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Expand)
}

fn sizes(inputs: &Inputs<'_>, index: usize) -> Result<SmallVec<[usize; RANK_LIMIT]>, OperatorError> {
    let sizes = inputs.integers(index)?;
    let sizes: Option<_> = sizes.iter().map(|size| usize::try_from(*size).ok()).collect();
    sizes.ok_or_else(|| OperatorError::Shape("a dimension is negative".to_owned()))
}

impl Kernel for Expand {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (tensor, wanted) = (inputs.tensor(0)?, Shape::new(&sizes(inputs, 1)?)?);
        let shape = *tensor.shape();
        let made = shape
            .broadcast(&wanted)
            .ok_or_else(|| OperatorError::Shape(format!("a tensor of {shape} cannot be repeated to {wanted}")))?;
        budget.tensor(&made, tensor.data_type())?;
        if made.elements() == shape.elements() {
            return one(Tensor::of_data(made, inputs.take_tensor(0)?.into_data()));
        }
        let (missing, strides) = (made.rank() - shape.rank(), shape.strides());
        let own = shape.dimensions().iter().zip(strides).map(|(size, stride)| if *size == 1 { 0 } else { stride });
        let strides = std::iter::repeat_n(0, missing).chain(own);
        let view =
            View::new(0, made.dimensions().iter().zip(strides).map(|(size, stride)| (*size, stride.cast_signed())));
        one(Tensor::of_data(made, alike!(tensor.data(), elements => view.copy(elements))))
    }
}

/// Puts copies behind each other along each axis, or along the one that is told.
#[derive(Debug)]
struct Tile {
    along_one: bool,
}

pub(super) fn build_tile(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Tile { along_one: false })
}

/// Before version 6: how many copies, and along which axis.
pub(super) fn build_tile_along(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Tile { along_one: true })
}

impl Kernel for Tile {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let repeats = if self.along_one {
            let (axis, count) = (inputs.integer(2)?, inputs.integer(1)?);
            let axis = shape.axis(axis).ok_or_else(|| OperatorError::axis(axis, &shape))?;
            let count = usize::try_from(count).map_err(|_| inputs.unexpected(1, "a number of copies"))?;
            (0..shape.rank()).map(|at| if at == axis { count } else { 1 }).collect()
        } else {
            sizes(inputs, 1)?
        };
        if repeats.len() != shape.rank() {
            return Err(inputs.unexpected(1, &format!("{} numbers of copies", shape.rank())));
        }
        let product = |(size, count): (&usize, &usize)| size.saturating_mul(*count);
        let made = Shape::of(shape.dimensions().iter().zip(&repeats).map(product))?;
        budget.tensor(&made, tensor.data_type())?;
        let axes = shape.dimensions().iter().zip(shape.strides()).zip(&repeats);
        let view = View::new(0, axes.flat_map(|((size, stride), count)| [(*count, 0), (*size, stride.cast_signed())]));
        one(Tensor::of_data(made, alike!(tensor.data(), elements => view.copy(elements))))
    }
}
