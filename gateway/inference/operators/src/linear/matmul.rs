//! Products of matrices, and of stacks of them.

use smallvec::SmallVec;

use super::product::{Weights, multiply_each, multiply_integers};
use crate::broadcast::Broadcast;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::{RANK_LIMIT, Shape};
use crate::value::{Data, DataType, Element, Float, Integer, Tensor, pair};

/// As `numpy.matmul`: a vector is a row on the left and a column on the right, and dimensions before the last two repeat.
#[derive(Debug)]
struct MatMul {
    /// The right side, if it is one constant matrix of 32-bit numbers.
    constant: Option<Weights<f32>>,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let constant = setup.constant(1).and_then(|tensor| match (tensor.shape().dimensions(), tensor.data()) {
        ([rows, columns], Data::Float32(elements)) if setup.may_keep(Weights::<f32>::bytes(*rows, *columns)) => {
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
    /// Asks for the product of numbers of a type, and for what tells which matrices meet: shapes of no elements can have
    /// any number of them.
    fn of(left: &Shape, right: &Shape, data_type: DataType, budget: &mut Budget) -> Result<Self, OperatorError> {
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
        budget.tensor(&shape, data_type)?;
        // Of no elements there may be any number of matrices.
        let pairs = if shape.elements() == 0 {
            Vec::new()
        } else {
            budget.elements(met.shape().elements(), 2 * size_of::<(usize, usize)>())?;
            let (left, right) = (numbered(&before_left), numbered(&before_right));
            met.map(&left, &right, |left, right| (*left, *right))
        };
        Ok(Self { rows: rows.unwrap_or(1), length, columns: columns.unwrap_or(1), shape, pairs })
    }

    fn floats<T: Float>(&self, left: &[T], right: &[T], budget: &Budget) -> Result<Vec<T>, OperatorError> {
        let (rows, columns) = (self.rows * self.length, self.length * self.columns);
        let mut made = Vec::with_capacity(self.shape.elements());
        let mut last: Option<(usize, Weights<T>)> = None;
        for (at_left, at_right) in &self.pairs {
            if last.as_ref().is_none_or(|(at, _)| at != at_right) {
                let matrix = right.get(at_right * columns..(at_right + 1) * columns).unwrap_or_default();
                last = Some((*at_right, Weights::of(matrix, self.length, self.columns, false)));
            }
            let matrix = left.get(at_left * rows..(at_left + 1) * rows).unwrap_or_default();
            if let Some((_, weights)) = &last {
                let mut tell = |sums: &mut [f64]| made.extend(sums.iter().map(|sum| T::narrow(*sum)));
                multiply_each(matrix, self.rows, weights, budget, &mut tell)?;
            }
        }
        Ok(made)
    }

    fn integers<T: Integer>(&self, left: &[T], right: &[T], budget: &Budget) -> Result<Vec<T>, OperatorError> {
        let (rows, columns) = (self.rows * self.length, self.length * self.columns);
        let mut made = Vec::with_capacity(self.shape.elements());
        for (at_left, at_right) in &self.pairs {
            let matrix = right.get(at_right * columns..(at_right + 1) * columns).unwrap_or_default();
            let left = left.get(at_left * rows..(at_left + 1) * rows).unwrap_or_default();
            made.extend(multiply_integers(left, (self.rows, self.length, self.columns), matrix, budget)?);
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
            let mut made = Vec::with_capacity(shape.elements());
            let mut tell = |sums: &mut [f64]| made.extend(sums.iter().map(|sum| *sum as f32));
            multiply_each(elements, count, weights, budget, &mut tell)?;
            return one(Tensor::made(shape, made));
        }
        let stacks = Stacks::of(left.shape(), right.shape(), left.data_type(), budget)?;
        budget.work(stacks.shape.elements().saturating_mul(stacks.length))?;
        // Laid out one matrix at a time.
        budget.bytes(Weights::<f64>::bytes(stacks.length, stacks.columns))?;
        budget.work(right.shape().elements())?;
        let data = pair!(left.data(), right.data(), float, a, b => Element::into_data(stacks.floats(a, b, budget)?),
            _ => pair!(left.data(), right.data(), integer, a, b => Element::into_data(stacks.integers(a, b, budget)?),
                _ => return Err(inputs.unexpected(1, &format!("numbers of {}, as the first", left.data_type().label())))));
        one(Tensor::of_data(stacks.shape, data))
    }
}
