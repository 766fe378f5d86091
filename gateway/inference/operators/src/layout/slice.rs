//! Parts of tensors, and axes in another order.

use smallvec::SmallVec;

use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::{RANK_LIMIT, Shape};
use crate::value::{Tensor, alike};
use crate::view::View;

type Numbers = SmallVec<[i64; 8]>;

/// Where to begin and end, told by attributes before version 10 and by inputs since.
#[derive(Debug)]
struct Slice {
    told: Option<Bounds>,
}

#[derive(Debug, Clone)]
struct Bounds {
    starts: Numbers,
    ends: Numbers,
    axes: Option<Numbers>,
    steps: Option<Numbers>,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    if setup.opset() >= 10 {
        return ready(Slice { told: None });
    }
    let reader = setup.attributes();
    let list = |name: &str| -> Result<Option<Numbers>, BuildError> { Ok(reader.ints(name)?.map(SmallVec::from_slice)) };
    let required = |name: &str| list(name)?.ok_or_else(|| BuildError::attribute(name, "is required"));
    let bounds = Bounds { starts: required("starts")?, ends: required("ends")?, axes: list("axes")?, steps: None };
    ready(Slice { told: Some(bounds) })
}

/// First place, step and count of what lies between two ends, as Python slices.
fn between(size: usize, start: i64, end: i64, step: i64) -> Option<(usize, isize, usize)> {
    let size = i64::try_from(size).ok()?;
    let counted = |place: i64| if place < 0 { place.saturating_add(size) } else { place };
    let (start, end, distance) = if step > 0 {
        let (start, end) = (counted(start).clamp(0, size), counted(end).clamp(0, size));
        (start, end, end - start)
    } else if step < 0 {
        let (start, end) = (counted(start).clamp(-1, size - 1), counted(end).clamp(-1, size - 1));
        (start, end, start - end)
    } else {
        return None;
    };
    let count =
        if distance > 0 { (distance - 1) / i64::try_from(step.unsigned_abs()).unwrap_or(i64::MAX) + 1 } else { 0 };
    debug_assert!(count == 0 || (0..size).contains(&start) && (-1..=size).contains(&end), "a slice lies within");
    let start = usize::try_from(start).unwrap_or(0);
    Some((start, isize::try_from(step).ok()?, usize::try_from(count).ok()?))
}

impl Bounds {
    fn of(inputs: &Inputs<'_>) -> Result<Self, OperatorError> {
        Ok(Self {
            starts: inputs.integers(1)?,
            ends: inputs.integers(2)?,
            axes: inputs.optional_integers(3)?,
            steps: inputs.optional_integers(4)?,
        })
    }

    /// The view of what is wanted, and its shape.
    fn view(&self, shape: &Shape) -> Result<(View, Shape), OperatorError> {
        let count = self.starts.len();
        let axes = self.axes.clone().unwrap_or_else(|| (0..count as i64).collect());
        let steps = self.steps.clone().unwrap_or_else(|| SmallVec::from_elem(1, count));
        if self.ends.len() != count || axes.len() != count || steps.len() != count {
            return Err(OperatorError::Shape("expected as many starts, ends, axes and steps".to_owned()));
        }
        let (mut view, mut made, mut seen) = (View::of(shape), *shape, [false; RANK_LIMIT]);
        for (((start, end), axis), step) in self.starts.iter().zip(&self.ends).zip(&axes).zip(&steps) {
            let at = shape.axis(*axis).ok_or_else(|| OperatorError::axis(*axis, shape))?;
            if seen.get_mut(at).is_some_and(|seen| std::mem::replace(seen, true)) {
                return Err(OperatorError::Shape(format!("axis {axis} is sliced twice")));
            }
            let (start, step, count) = between(shape.dimension(at), *start, *end, *step)
                .ok_or_else(|| OperatorError::Shape(format!("axis {axis} is sliced in steps of {step}")))?;
            // Where nothing is taken, the place must still be one.
            view.slice(at, if count == 0 { 0 } else { start }, step, count);
            made = made.with(at, count)?;
        }
        Ok((view, made))
    }
}

impl Kernel for Slice {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let (view, shape) = match &self.told {
            Some(bounds) => bounds.view(tensor.shape())?,
            None => Bounds::of(inputs)?.view(tensor.shape())?,
        };
        budget.tensor(&shape, tensor.data_type())?;
        one(Tensor::of_data(shape, alike!(tensor.data(), elements => view.copy(elements))))
    }
}

/// Axes in another order; reversed if none is told.
#[derive(Debug)]
struct Transpose {
    order: Option<Vec<usize>>,
}

pub(super) fn build_transpose(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let Some(order) = setup.attributes().ints("perm")? else { return ready(Transpose { order: None }) };
    let order: Option<Vec<usize>> = order.iter().map(|axis| usize::try_from(*axis).ok()).collect();
    let is_order = |order: &Vec<usize>| (0..order.len()).all(|axis| order.contains(&axis));
    match order.filter(is_order) {
        Some(order) => ready(Transpose { order: Some(order) }),
        None => Err(BuildError::attribute("perm", "expected each axis once")),
    }
}

impl Kernel for Transpose {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = tensor.shape();
        let order: SmallVec<[usize; RANK_LIMIT]> = match &self.order {
            Some(order) => SmallVec::from_slice(order),
            None => (0..shape.rank()).rev().collect(),
        };
        if order.len() != shape.rank() {
            return Err(inputs.unexpected(0, &format!("a tensor of {} dimensions", order.len())));
        }
        let made = Shape::of(order.iter().map(|axis| shape.dimension(*axis)))?;
        budget.tensor(&made, tensor.data_type())?;
        // Where axes of one place alone have moved, the elements stay.
        if order.iter().filter(|axis| shape.dimension(**axis) != 1).is_sorted() {
            return one(Tensor::of_data(made, inputs.take_tensor(0)?.into_data()));
        }
        let view = View::of(shape).permute(order);
        one(Tensor::of_data(made, alike!(tensor.data(), elements => view.copy(elements))))
    }
}

/// The beginning of each sequence of a batch backwards.
#[derive(Debug)]
struct ReverseSequence {
    time_axis: i64,
    batch_axis: i64,
}

pub(super) fn build_reverse(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let time_axis = setup.attributes().int_or("time_axis", 0)?;
    let batch_axis = setup.attributes().int_or("batch_axis", 1)?;
    if !matches!((time_axis, batch_axis), (0, 1) | (1, 0)) {
        return Err(BuildError::attribute("time_axis", "expected axes 0 and 1 in either order"));
    }
    ready(ReverseSequence { time_axis, batch_axis })
}

impl Kernel for ReverseSequence {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (tensor, lengths) = (inputs.tensor(0)?, inputs.integers(1)?);
        let shape = *tensor.shape();
        let [first, second, ..] = shape.dimensions() else { return Err(inputs.unexpected(0, "two axes")) };
        let (times, batch) = if self.batch_axis > self.time_axis { (*first, *second) } else { (*second, *first) };
        let lengths: Option<Vec<usize>> = lengths.iter().map(|length| usize::try_from(*length).ok()).collect();
        let lengths = lengths.filter(|all| all.len() == batch && all.iter().all(|length| *length <= times));
        let lengths = lengths.ok_or_else(|| inputs.unexpected(1, &format!("{batch} lengths up to {times}")))?;
        budget.tensor(&shape, tensor.data_type())?;
        let after: usize = shape.dimensions().iter().skip(2).product();
        let source = |block: usize| {
            let (row, column) = (block / second, block % second);
            let (time, at) = if self.batch_axis > self.time_axis { (row, column) } else { (column, row) };
            let length = lengths.get(at).copied().unwrap_or(0);
            let time = if time < length { length - 1 - time } else { time };
            if self.batch_axis > self.time_axis { time * second + at } else { at * second + time }
        };
        let data = alike!(tensor.data(), elements => {
            let blocks = (0..if after == 0 { 0 } else { first * second }).map(source);
            blocks.flat_map(|at| elements.get(at * after..(at + 1) * after).unwrap_or_default()).cloned().collect()
        });
        one(Tensor::of_data(shape, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_of_python() {
        let taken = |size: usize, start, end, step| {
            let (first, step, count) = between(size, start, end, step).unwrap();
            (0..count.cast_signed()).map(|at| first.cast_signed() + at * step).collect::<Vec<_>>()
        };
        assert_eq!(taken(5, 1, 4, 1), [1, 2, 3]);
        assert_eq!(taken(5, -2, i64::MAX, 1), [3, 4]);
        assert_eq!(taken(5, i64::MAX, i64::MIN, -2), [4, 2, 0]);
        assert_eq!(taken(5, -1, 0, -1), [4, 3, 2, 1]);
        assert_eq!(taken(5, 3, 1, 1), [0; 0]);
        assert_eq!(taken(5, 10, 20, 1), [0; 0]);
        assert_eq!(taken(5, -10, -7, -1), [0; 0]);
        assert_eq!(taken(0, 0, -1, -1), [0; 0]);
        assert_eq!(taken(5, 4, i64::MIN, i64::MIN), [4]);
        assert_eq!(between(5, 0, 5, 0), None);
    }
}
