//! What is there at all, and how often.

use std::cmp::Ordering;

use super::top::order;
use crate::common;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::lines::axes_last;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready, several};
use crate::shape::{RANK_LIMIT, Shape};
use crate::value::{Data, Element, Tensor, each};
use crate::view::View;

/// Elements, or slices along an axis: each once, in order or as they come first. All NaN are one.
#[derive(Debug)]
struct Unique {
    axis: Option<i64>,
    is_sorted: bool,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Unique { axis: setup.attributes().int("axis")?, is_sorted: setup.attributes().flag("sorted", true)? })
}

/// Which rows are there, by the first of each; what each row is; how often.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    firsts: Vec<usize>,
    inverse: Vec<usize>,
    counts: Vec<i64>,
}

impl Unique {
    fn find<T>(&self, rows: &[&[T]], compare: impl Fn(&T, &T) -> Ordering) -> Found {
        let compare_rows = |one: &[T], other: &[T]| {
            let mut orders = one.iter().zip(other).map(|(one, other)| compare(one, other));
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        };
        let row = |at: usize| rows.get(at).copied().unwrap_or_default();
        let mut places: Vec<usize> = (0..rows.len()).collect();
        // Stable, so that the first of equal rows comes first.
        places.sort_by(|one, other| compare_rows(row(*one), row(*other)));
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for place in places {
            match groups.last_mut() {
                Some(group) if group.first().is_some_and(|first| compare_rows(row(*first), row(place)).is_eq()) => {
                    group.push(place);
                }
                _ => groups.push(vec![place]),
            }
        }
        if !self.is_sorted {
            groups.sort_by_key(|group| group.first().copied());
        }
        let mut found = Found { inverse: vec![0; rows.len()], ..Found::default() };
        for (at, group) in groups.iter().enumerate() {
            found.firsts.extend(group.first());
            found.counts.push(group.len() as i64);
            group.iter().for_each(|place| found.inverse.get_mut(*place).into_iter().for_each(|it| *it = at));
        }
        found
    }

    fn of_data(&self, data: &Data, length: usize, count: usize) -> Found {
        match common::ordered(data).as_ref() {
            Data::String(elements) => self.find(&rows(elements, length, count), Ord::cmp),
            data => each!(data, [Int64, Uint64, Float64], elements => {
                self.find(&rows(elements, length, count), order)
            }, _ => Found::default()),
        }
    }
}

/// So many rows of a length, which may be 0.
fn rows<T>(elements: &[T], length: usize, count: usize) -> Vec<&[T]> {
    if length == 0 { vec![&[]; count] } else { elements.chunks_exact(length).take(count).collect() }
}

impl Kernel for Unique {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let tensor = inputs.tensor(0)?;
        let shape = *tensor.shape();
        // The slices of an axis become rows, and are put back to where the axis was.
        let flat = Shape::vector(shape.elements());
        let (shape, axis) = match self.axis {
            Some(axis) => (shape, shape.axis(axis).ok_or_else(|| OperatorError::axis(axis, &shape))?),
            None => (flat, 0),
        };
        let (count, length) = (shape.dimension(axis), shape.elements().checked_div(shape.dimension(axis)).unwrap_or(0));
        budget.elements(count, 64)?;
        budget.bytes(shape.elements().saturating_mul(size_of::<f64>()))?;
        budget.tensor(&shape, tensor.data_type())?;
        let steps = usize::try_from(count.max(2).ilog2()).unwrap_or(64);
        budget.work(shape.elements().saturating_mul(steps))?;
        let mut is_last = [true; RANK_LIMIT];
        is_last.get_mut(axis).into_iter().for_each(|is| *is = false);
        let data = each!(tensor.data(), elements => {
            Element::into_data(axes_last(elements, &shape, &is_last).into_owned())
        });
        let found = self.of_data(&data, length, count);
        let made = shape.with(axis, found.firsts.len())?;
        let picked = each!(&data, elements => Element::into_data(found.firsts.iter().flat_map(|at| {
            elements.get(at * length..(at + 1) * length).unwrap_or_default()
        }).cloned().collect()));
        let moved = Shape::of([found.firsts.len()].into_iter().chain(other_sizes(&shape, axis)))?;
        // From rows back to the axis.
        let back = (0..shape.rank()).map(|at| {
            if at == axis {
                0
            } else if at < axis {
                at + 1
            } else {
                at
            }
        });
        let view = View::of(&moved).permute(back);
        let unique = each!(&picked, elements => Element::into_data(view.copy(elements)));
        let indices = |places: &[usize]| Tensor::vector(Data::Int64(places.iter().map(|at| *at as i64).collect()));
        several([
            Tensor::of_data(made, unique),
            indices(&found.firsts),
            indices(&found.inverse),
            Tensor::vector(Data::Int64(found.counts)),
        ])
    }
}

fn other_sizes(shape: &Shape, axis: usize) -> impl Iterator<Item = usize> {
    let sizes = *shape;
    (0..shape.rank()).filter(move |at| *at != axis).map(move |at| sizes.dimension(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_there_once() {
        let elements = [2.0, 1.0, f32::NAN, 1.0, f32::NAN];
        let find = |is_sorted| Unique { axis: None, is_sorted }.find(&rows(&elements, 1, 5), order);
        let sorted = Found { firsts: vec![1, 0, 2], inverse: vec![1, 0, 2, 0, 2], counts: vec![2, 1, 2] };
        assert_eq!(find(true), sorted);
        let first = Found { firsts: vec![0, 1, 2], inverse: vec![0, 1, 2, 1, 2], counts: vec![1, 2, 2] };
        assert_eq!(find(false), first);
    }
}
