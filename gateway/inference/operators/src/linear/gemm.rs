//! A product of two matrices, scaled, with a third added.

use std::borrow::Cow;

use super::WIDENED_LIMIT;
use super::product::{Weights, multiply_each, multiply_integers, multiply_rows};
use crate::broadcast::Broadcast;
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{Data, DataType, Float, Integer, Number, Tensor, pair};
use crate::view::View;

/// `alpha * A * B + beta * C`, rounded once.
#[derive(Debug)]
struct Gemm {
    alpha: f64,
    beta: f64,
    is_left_transposed: bool,
    is_right_transposed: bool,
    /// The right side, if it is a constant matrix of 32-bit numbers.
    constant: Option<Weights<f32>>,
    /// What is added to each row, if it is a constant row or number of 32 bits.
    added: Option<Vec<f64>>,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    if setup.opset() < 7 {
        // What must not be repeated fits as well as what may be.
        reader.ignore(&["broadcast"]);
    }
    let is_right_transposed = reader.flag("transB", false)?;
    let constant = setup.constant(1).and_then(|tensor| match (tensor.shape().dimensions(), tensor.data()) {
        ([height, width], Data::Float32(elements)) => {
            let (rows, columns) = if is_right_transposed { (*width, *height) } else { (*height, *width) };
            let may_keep = setup.may_keep(Weights::<f32>::bytes(rows, columns));
            may_keep.then(|| Weights::of(elements, rows, columns, is_right_transposed))
        }
        _ => None,
    });
    let added = setup.constant(2).and_then(|tensor| match (tensor.shape().dimensions(), tensor.data()) {
        ([] | [_] | [1, _], Data::Float32(numbers))
            if numbers.len() <= WIDENED_LIMIT && setup.may_keep(numbers.len() * size_of::<f64>()) =>
        {
            Some(numbers.iter().copied().map(f64::from).collect())
        }
        _ => None,
    });
    ready(Gemm {
        added,
        alpha: reader.float_or("alpha", 1.0)?,
        beta: reader.float_or("beta", 1.0)?,
        is_left_transposed: reader.flag("transA", false)?,
        is_right_transposed,
        constant,
    })
}

/// Rows and columns of a matrix, as it is multiplied.
fn sides(shape: &Shape, is_transposed: bool) -> Option<(usize, usize)> {
    match shape.dimensions() {
        [rows, columns] => Some(if is_transposed { (*columns, *rows) } else { (*rows, *columns) }),
        _ => None,
    }
}

impl Gemm {
    /// The left side row by row.
    fn rows<'a, T: Number>(&self, left: &Tensor, elements: &'a [T]) -> Cow<'a, [T]> {
        if self.is_left_transposed {
            return Cow::Owned(View::of(left.shape()).permute([1, 0]).copy(elements));
        }
        Cow::Borrowed(elements)
    }

    /// Whether nothing is scaled.
    fn is_plain(&self) -> bool {
        [self.alpha, self.beta].iter().all(|factor| factor.to_bits() == 1.0_f64.to_bits())
    }

    fn scaled(&self, shape: &Shape, product: Vec<f64>, added: Option<&Tensor>) -> Result<Vec<f64>, OperatorError> {
        let mut sums = product;
        if self.alpha.to_bits() != 1.0_f64.to_bits() {
            sums.iter_mut().for_each(|sum| *sum *= self.alpha);
        }
        let Some(added) = added else { return Ok(sums) };
        let met = repeated(shape, added)?;
        let Some(Data::Float64(added)) = convert(added.data(), DataType::Float64) else { return Ok(sums) };
        Ok(met.map(&sums, &added, |sum, added| sum + self.beta * added))
    }
}

/// What is multiplied, and the shape of the product.
struct Sides<'a> {
    shape: Shape,
    length: usize,
    left: &'a Tensor,
    added: Option<&'a Tensor>,
    budget: &'a mut Budget,
}

impl Gemm {
    fn floats<T: Float>(&self, sides: &Sides<'_>, left: &[T], right: &[T]) -> Result<Data, OperatorError> {
        let weights = Weights::of(right, sides.length, sides.shape.dimension(1), self.is_right_transposed);
        self.scaled_floats(sides, left, &weights)
    }

    fn scaled_floats<T: Float>(
        &self,
        sides: &Sides<'_>,
        left: &[T],
        right: &Weights<T>,
    ) -> Result<Data, OperatorError> {
        let sums = multiply_rows(&self.rows(sides.left, left), sides.shape.dimension(0), right, sides.budget)?;
        let sums = self.scaled(&sides.shape, sums, sides.added)?;
        Ok(T::into_data(sums.into_iter().map(T::narrow).collect()))
    }

    /// Exact where nothing is scaled.
    fn integers<T: Integer + Number<Wide = T>>(
        &self,
        sides: &Sides<'_>,
        left: &[T],
        right: &[T],
    ) -> Result<Data, OperatorError> {
        let sizes = (sides.shape.dimension(0), sides.length, sides.shape.dimension(1));
        let matrix = if self.is_right_transposed {
            Cow::Owned(View::of(&Shape::new(&[sizes.2, sizes.1])?).permute([1, 0]).copy(right))
        } else {
            Cow::Borrowed(right)
        };
        let sums = multiply_integers(&self.rows(sides.left, left), sizes, &matrix, sides.budget)?;
        if !self.is_plain() {
            let wide = sums.into_iter().map(Number::to_f64).collect();
            let sums = self.scaled(&sides.shape, wide, sides.added)?;
            return Ok(T::into_data(sums.into_iter().map(T::from_f64).collect()));
        }
        let Some(added) = sides.added else { return Ok(T::into_data(sums)) };
        let met = repeated(&sides.shape, added)?;
        Ok(T::into_data(met.map(&sums, added.elements().unwrap_or_default(), |sum, added: &T| sum.add(*added))))
    }
}

/// A third matrix in the shape of a product.
fn repeated(shape: &Shape, added: &Tensor) -> Result<Broadcast<2>, OperatorError> {
    let met = Broadcast::<2>::of([shape, added.shape()])?;
    if met.shape() == shape {
        return Ok(met);
    }
    Err(OperatorError::Shape(format!("a tensor of {} cannot be repeated to {shape}", added.shape())))
}

impl Kernel for Gemm {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let (left, right, added) = (inputs.tensor(0)?, inputs.tensor(1)?, inputs.optional(2)?);
        if added.is_some_and(|added| added.data_type() != left.data_type()) {
            return Err(inputs.unexpected(2, &format!("{}, as the first", left.data_type().label())));
        }
        let sides = sides(left.shape(), self.is_left_transposed).zip(sides(right.shape(), self.is_right_transposed));
        let ((count, length), (_, columns)) =
            sides.filter(|((_, length), (height, _))| length == height).ok_or_else(|| {
                OperatorError::Shape(format!("tensors of {} and {} cannot be multiplied", left.shape(), right.shape()))
            })?;
        let shape = Shape::new(&[count, columns])?;
        budget.elements(shape.elements(), size_of::<f64>())?;
        budget.work(shape.elements().saturating_mul(length))?;
        let sides = Sides { shape, length, left, added, budget };
        if let (Some(weights), Data::Float32(elements)) = (&self.constant, left.data()) {
            let data = match &self.added {
                Some(row) if self.is_plain() && row.len() == columns => {
                    let mut made = Vec::with_capacity(shape.elements());
                    let mut tell = |sums: &mut [f64]| {
                        made.extend(sums.iter().zip(row).map(|(sum, added)| f32::narrow(sum + added)));
                    };
                    multiply_each(&self.rows(left, elements), count, weights, sides.budget, &mut tell)?;
                    Data::Float32(made)
                }
                _ => self.scaled_floats(&sides, elements, weights)?,
            };
            return one(Tensor::of_data(shape, data));
        }
        sides.budget.bytes(Weights::<f64>::bytes(length, columns))?;
        sides.budget.work(right.shape().elements())?;
        let data = pair!(left.data(), right.data(), float, a, b => self.floats(&sides, a, b)?,
            _ => pair!(left.data(), right.data(), integer, a, b => self.integers(&sides, a, b)?,
                _ => return Err(inputs.unexpected(1, &format!("{}, as the first", left.data_type().label())))));
        one(Tensor::of_data(shape, data))
    }
}
