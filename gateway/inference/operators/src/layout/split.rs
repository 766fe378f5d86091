//! A tensor in parts.

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready, several};
use crate::value::{Tensor, alike};
use crate::view::View;

/// Lengths of parts along an axis, told by an attribute (before version 13) or an input, or equal.
#[derive(Debug)]
struct Split {
    axis: i64,
    lengths: Option<Vec<i64>>,
    count: usize,
    /// Whether the last of equal parts may be shorter.
    is_last_shorter: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let lengths = if setup.opset() < 13 { reader.ints("split")?.map(<[i64]>::to_vec) } else { None };
    let mut split = Split { axis: reader.int_or("axis", 0)?, lengths, count: setup.outputs(), is_last_shorter: false };
    if setup.opset() >= 18 {
        let count = reader.int("num_outputs")?;
        match (count, setup.has(1)) {
            (Some(_), true) => return Err(BuildError::attribute("num_outputs", "is told beside the input 'split'")),
            (Some(count), false) if usize::try_from(count) != Ok(setup.outputs()) => {
                return Err(BuildError::attribute("num_outputs", format!("expected {}, got {count}", setup.outputs())));
            }
            _ => split.is_last_shorter = true,
        }
    }
    ready(split)
}

impl Kernel for Split {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = tensor.shape();
        let axis = shape.axis(self.axis).ok_or_else(|| OperatorError::axis(self.axis, shape))?;
        let size = shape.dimension(axis);
        let told = match &self.lengths {
            Some(lengths) => Some(lengths.iter().copied().collect()),
            None => inputs.optional_integers(1)?,
        };
        let failure = || {
            OperatorError::Shape(format!("axis {} of {shape} cannot be split into {} parts so", self.axis, self.count))
        };
        let lengths: Vec<usize> = match told {
            Some(told) => {
                let lengths: Option<Vec<usize>> = told.iter().map(|length| usize::try_from(*length).ok()).collect();
                lengths.ok_or_else(failure)?
            }
            None if self.is_last_shorter => {
                let part = size.div_ceil(self.count.max(1));
                (0..self.count).map(|at| part.min(size.saturating_sub(at * part))).collect()
            }
            None if size.checked_rem(self.count) == Some(0) => vec![size / self.count.max(1); self.count],
            None => return Err(failure()),
        };
        if lengths.len() != self.count || lengths.iter().fold(0, |sum: usize, part| sum.saturating_add(*part)) != size {
            return Err(failure());
        }
        budget.tensor(shape, tensor.data_type())?;
        several(cut(tensor, axis, &lengths)?)
    }
}

/// Parts of these lengths, which are together as long as the axis.
pub(crate) fn cut(tensor: &Tensor, axis: usize, lengths: &[usize]) -> Result<Vec<Tensor>, OperatorError> {
    let (shape, mut start, mut parts) = (tensor.shape(), 0, Vec::with_capacity(lengths.len()));
    for length in lengths {
        let mut view = View::of(shape);
        view.slice(axis, start, 1, *length);
        let data = alike!(tensor.data(), elements => view.copy(elements));
        parts.push(Tensor::of_data(shape.with(axis, *length)?, data));
        start += length;
    }
    Ok(parts)
}
