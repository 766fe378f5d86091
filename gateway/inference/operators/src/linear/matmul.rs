//! Products of matrices, and of stacks of them.

use smallvec::SmallVec;

use super::product::{WIDENED_LIMIT, Weights, multiply_rows};
use crate::broadcast::Broadcast;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::{RANK_LIMIT, Shape};
use crate::value::{Data, Element, Number, Tensor, pair};

/// As `numpy.matmul`: a vector is a row on the left and a column on the right, and dimensions before the last two repeat.
#[derive(Debug)]
struct MatMul {
    /// The right side, if it is one constant matrix of 32-bit numbers.
    constant: Option<Weights<f64>>,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let constant = setup.constant(1).and_then(|tensor| match (tensor.shape().dimensions(), tensor.data()) {
        ([rows, columns], Data::Float32(elements)) if elements.len() <= WIDENED_LIMIT => {
            Some(Weights::of(elements, *rows, *columns, false))
        }
        _ => None,
    });
    ready(MatMul { constant })
}

/// Stacks of matrices, and what their product is like.
struct Stacks {
    rows: usize,
    length: usize,
    columns: usize,
    /// Of the product, with vectors' ones left out.
    shape: Shape,
    /// Which matrix of each side makes each of the product.
    pairs: Vec<(usize, usize)>,
}

impl Stacks {
    fn of(left: &Shape, right: &Shape) -> Result<Self, OperatorError> {
        let failure = || OperatorError::Shape(format!("tensors of {left} and {right} cannot be multiplied"));
        let (before_left, rows, length) = match left.dimensions() {
            [] => return Err(failure()),
            [length] => (&[][..], None, *length),
            [before @ .., rows, length] => (before, Some(*rows), *length),
        };
        let (before_right, height, columns) = match right.dimensions() {
            [] => return Err(failure()),
            [height] => (&[][..], *height, None),
            [before @ .., height, columns] => (before, *height, Some(*columns)),
        };
        if length != height {
            return Err(failure());
        }
        let (before_left, before_right) = (Shape::new(before_left)?, Shape::new(before_right)?);
        let met = Broadcast::<2>::of([&before_left, &before_right]).map_err(|_| failure())?;
        let dimensions: SmallVec<[usize; RANK_LIMIT]> =
            met.shape().dimensions().iter().copied().chain(rows).chain(columns).collect();
        let shape = Shape::new(&dimensions)?;
        // Of no elements there may be any number of matrices.
        let pairs = if shape.elements() == 0 {
            Vec::new()
        } else {
            let (left, right) = (numbered(&before_left), numbered(&before_right));
            met.map(&left, &right, |left, right| (*left, *right))
        };
        Ok(Self { rows: rows.unwrap_or(1), length, columns: columns.unwrap_or(1), shape, pairs })
    }

    fn multiply<T: Number>(&self, left: &[T], right: &[T], budget: &Budget) -> Result<Vec<T>, OperatorError> {
        let (rows, columns) = (self.rows * self.length, self.length * self.columns);
        let mut made = Vec::with_capacity(self.shape.elements());
        let mut last: Option<(usize, Weights<T::Wide>)> = None;
        for (at_left, at_right) in &self.pairs {
            if last.as_ref().is_none_or(|(at, _)| at != at_right) {
                let matrix = right.get(at_right * columns..(at_right + 1) * columns).unwrap_or_default();
                last = Some((*at_right, Weights::of(matrix, self.length, self.columns, false)));
            }
            let matrix = left.get(at_left * rows..(at_left + 1) * rows).unwrap_or_default();
            if let Some((_, weights)) = &last {
                let sums = multiply_rows(matrix, self.length, self.rows, weights, budget)?;
                made.extend(sums.into_iter().map(T::narrow));
            }
        }
        Ok(made)
    }
}

fn numbered(shape: &Shape) -> Vec<usize> {
    (0..shape.elements()).collect()
}

impl Kernel for MatMul {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (left, right) = (inputs.tensor(0)?, inputs.tensor(1)?);
        if let (Some(weights), Data::Float32(elements), [.., length]) =
            (&self.constant, left.data(), left.shape().dimensions())
            && *length == right.shape().dimension(0)
        {
            let columns = weights.columns();
            let before = left.shape().dimensions().split_last().map_or(&[][..], |(_, before)| before);
            let shape = Shape::of(before.iter().copied().chain([columns]))?;
            budget.tensor(&shape, left.data_type())?;
            budget.work(elements.len().saturating_mul(columns))?;
            let count = shape.elements().checked_div(columns).unwrap_or(0);
            let sums = multiply_rows(elements, *length, count, weights, budget)?;
            return one(Tensor::made(shape, sums.into_iter().map(f32::narrow).collect()));
        }
        let stacks = Stacks::of(left.shape(), right.shape())?;
        budget.tensor(&stacks.shape, left.data_type())?;
        budget.work(stacks.shape.elements().saturating_mul(stacks.length))?;
        budget
            .elements(right.shape().elements().min(stacks.length.saturating_mul(stacks.columns)), size_of::<f64>())?;
        let data = pair!(left.data(), right.data(), number, a, b => Element::into_data(stacks.multiply(a, b, budget)?),
            _ => return Err(inputs.unexpected(1, &format!("numbers of {}, as the first", left.data_type().label()))));
        one(Tensor::of_data(stacks.shape, data))
    }
}
