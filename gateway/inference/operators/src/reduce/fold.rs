//! Reductions over any axes.

use smallvec::SmallVec;

use super::reduction::Reduction;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::lines::axes_last;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::{RANK_LIMIT, Shape};
use crate::value::{Data, Element, Tensor, each};

#[derive(Debug)]
struct Fold {
    reduction: Reduction,
    /// Axes as an attribute, in versions that have no input for them.
    axes: Option<Vec<i64>>,
    keeps_axes: bool,
    /// Whether no axes are none, and not all.
    is_none_none: bool,
}

pub(super) fn build(setup: &Setup<'_>, reduction: Reduction) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let since_input = if reduction == Reduction::Sum { 13 } else { 18 };
    let has_input = setup.opset() >= since_input;
    let axes = if has_input { None } else { reader.ints("axes")?.map(<[i64]>::to_vec) };
    let is_none_none = has_input && reader.flag("noop_with_empty_axes", false)?;
    ready(Fold { reduction, axes, keeps_axes: reader.flag("keepdims", true)?, is_none_none })
}

impl Fold {
    /// Which axes are reduced.
    fn reduced(&self, shape: &Shape, inputs: &Inputs<'_>) -> Result<[bool; RANK_LIMIT], OperatorError> {
        let axes: Option<SmallVec<[i64; 8]>> = match &self.axes {
            Some(axes) => Some(SmallVec::from_slice(axes)),
            None => inputs.optional_integers(1)?,
        };
        let axes = axes.filter(|axes| !axes.is_empty());
        let mut reduced = [axes.is_none() && !self.is_none_none; RANK_LIMIT];
        for axis in axes.into_iter().flatten() {
            let at = shape.axis(axis).ok_or_else(|| OperatorError::axis(axis, shape))?;
            reduced.get_mut(at).into_iter().for_each(|is| *is = true);
        }
        Ok(reduced)
    }

    /// Of `count` lines that lie behind each other.
    fn lines<T: Element>(elements: &[T], length: usize, count: usize, make: impl Fn(&[T]) -> T) -> Vec<T> {
        if length == 0 {
            return (0..count).map(|_| make(&[])).collect();
        }
        elements.chunks_exact(length).map(make).collect()
    }
}

/// What lies before the one axis that is reduced, its size, and what lies behind it, if something does.
fn middle(shape: &Shape, reduced: &[bool]) -> Option<(usize, usize, usize)> {
    let mut axes = (0..shape.rank()).filter(|axis| reduced.get(*axis).copied().unwrap_or(false));
    let (axis, None) = (axes.next()?, axes.next()) else { return None };
    let (before, size, after) = shape.around(axis);
    (after > 1 && size > 0).then_some((before, size, after))
}

/// Sums across an axis, side by side, each in the order of the axis and in 64 bits.
fn sums_across(elements: &[f32], (before, size, after): (usize, usize, usize), divisor: f64) -> Vec<f32> {
    let mut made = Vec::with_capacity(before.saturating_mul(after));
    let mut sums = vec![0.0_f64; after];
    for block in elements.chunks_exact(size.saturating_mul(after).max(1)) {
        sums.fill(0.0);
        for line in block.chunks_exact(after) {
            sums.iter_mut().zip(line).for_each(|(sum, element)| *sum += f64::from(*element));
        }
        made.extend(sums.iter().map(|sum| (sum / divisor) as f32));
    }
    made
}

impl Kernel for Fold {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        let reduced = self.reduced(&shape, inputs)?;
        let axes = || shape.dimensions().iter().zip(&reduced);
        let kept = axes().filter(|(_, reduced)| self.keeps_axes || !**reduced);
        let made = Shape::of(kept.map(|(size, reduced)| if *reduced { 1 } else { *size }))?;
        let length = axes().filter(|(_, reduced)| **reduced).map(|(size, _)| *size).product();
        budget.tensor(&made, tensor.data_type())?;
        budget.tensor(&shape, tensor.data_type())?;
        let (count, reduction) = (made.elements(), self.reduction);
        if let (Data::Float32(elements), true) = (tensor.data(), matches!(reduction, Reduction::Sum | Reduction::Mean))
            && let Some((before, size, after)) = middle(&shape, &reduced)
        {
            let divisor = if reduction == Reduction::Mean { size as f64 } else { 1.0 };
            return one(Tensor::made(made, sums_across(elements, (before, size, after), divisor)));
        }
        let data = each!(tensor.data(), float, elements => {
            let elements = axes_last(elements, &shape, &reduced);
            Element::into_data(Self::lines(&elements, length, count, |line| reduction.of_floats(line)))
        }, _ => each!(tensor.data(), integer, elements => {
            let elements = axes_last(elements, &shape, &reduced);
            Element::into_data(Self::lines(&elements, length, count, |line| reduction.of_integers(line)))
        }, _ => match (tensor.data(), reduction) {
            // Of truth values, "all" and "any".
            (Data::Bool(elements), Reduction::Max | Reduction::Min) => {
                let elements = axes_last(elements, &shape, &reduced);
                let is_any = reduction == Reduction::Max;
                Data::Bool(Self::lines(&elements, length, count, |line| line.contains(&is_any) == is_any))
            }
            _ => return Err(inputs.unexpected(0, "numbers")),
        }));
        one(Tensor::of_data(made, data))
    }
}
