//! Elements of images and matrices: blocks and triangles.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Element, Tensor, alike, each};
use crate::view::View;

/// Between channels and blocks of an image `[N, C, H, W]`.
#[derive(Debug)]
enum Blocks {
    FromDepth { size: usize, is_column_first: bool },
    ToDepth { size: usize, is_column_first: bool },
}

fn block_size(setup: &Setup<'_>) -> Result<usize, BuildError> {
    let size = setup.attributes().int("blocksize")?.and_then(|size| usize::try_from(size).ok());
    size.filter(|size| (1..=1 << 20).contains(size))
        .ok_or_else(|| BuildError::attribute("blocksize", "expected a number of at least 1"))
}

pub(super) fn build_depth_to_space(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let is_column_first = setup.opset() >= 11 && setup.attributes().choice("mode", &[("DCR", false), ("CRD", true)])?;
    ready(Blocks::FromDepth { size: block_size(setup)?, is_column_first })
}

pub(super) fn build_space_to_depth(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let is_column_first = setup.opset() >= 28 && setup.attributes().choice("mode", &[("DCR", false), ("CRD", true)])?;
    ready(Blocks::ToDepth { size: block_size(setup)?, is_column_first })
}

impl Kernel for Blocks {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let [images, channels, height, width] = *tensor.shape().dimensions() else {
            return Err(inputs.unexpected(0, "a tensor of four dimensions"));
        };
        let failure = || inputs.unexpected(0, "dimensions that are multiples of the block");
        let part = |whole: usize, of: usize| if whole.is_multiple_of(of) { Ok(whole / of) } else { Err(failure()) };
        // Six dimensions in between, and what they are taken in another order by.
        let (split, order, made) = match *self {
            Self::FromDepth { size, is_column_first } => {
                let rest = part(channels, size * size)?;
                let made = Shape::new(&[images, rest, height * size, width * size])?;
                if is_column_first {
                    ([images, rest, size, size, height, width], [0, 1, 4, 2, 5, 3], made)
                } else {
                    ([images, size, size, rest, height, width], [0, 3, 4, 1, 5, 2], made)
                }
            }
            Self::ToDepth { size, is_column_first } => {
                let (rows, columns) = (part(height, size)?, part(width, size)?);
                let made = Shape::new(&[images, channels * size * size, rows, columns])?;
                let order = if is_column_first { [0, 1, 3, 5, 2, 4] } else { [0, 3, 5, 1, 2, 4] };
                ([images, channels, rows, size, columns, size], order, made)
            }
        };
        budget.tensor(&made, tensor.data_type())?;
        let view = View::of(&Shape::new(&split)?).permute(order);
        one(Tensor::of_data(made, alike!(tensor.data(), elements => view.copy(elements))))
    }
}

/// Zeros below a diagonal of matrices, or above it.
#[derive(Debug)]
struct Triangle {
    is_upper: bool,
}

pub(super) fn build_triangle(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Triangle { is_upper: setup.attributes().flag("upper", true)? })
}

impl Kernel for Triangle {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let diagonal = match inputs.optional(1)? {
            Some(_) => inputs.integer(1)?,
            None => 0,
        };
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let [.., rows, columns] = *shape.dimensions() else { return Err(inputs.unexpected(0, "matrices")) };
        budget.tensor(&shape, tensor.data_type())?;
        let is_kept = |at: usize| {
            let (row, column) = ((at / columns.max(1) % rows.max(1)) as i64, (at % columns.max(1)) as i64);
            // How far right of the main diagonal.
            if self.is_upper { column - row >= diagonal } else { column - row <= diagonal }
        };
        let mut data = inputs.take_tensor(0)?.into_data();
        each!(&mut data, elements => clear(elements, is_kept));
        one(Tensor::of_data(shape, data))
    }
}

fn clear<T: Element>(elements: &mut [T], is_kept: impl Fn(usize) -> bool) {
    let zeros = elements.iter_mut().enumerate().filter(|(at, _)| !is_kept(*at));
    zeros.for_each(|(_, element)| *element = T::default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triangles_lie_beside_their_diagonal() {
        let mut numbers = [1; 6];
        clear(&mut numbers, |at| at % 2 == 0);
        assert_eq!(numbers, [1, 0, 1, 0, 1, 0]);
    }
}
