//! A product of two matrices, scaled, with a third added.

use super::product::{WIDENED_LIMIT, Weights, multiply_rows};
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
    constant: Option<Weights<f64>>,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    if setup.opset() < 7 {
        // What must not be repeated fits as well as what may be.
        reader.ignore(&["broadcast"]);
    }
    let is_right_transposed = reader.flag("transB", false)?;
    let constant = setup.constant(1).and_then(|tensor| match (tensor.shape().dimensions(), tensor.data()) {
        ([height, width], Data::Float32(elements)) if elements.len() <= WIDENED_LIMIT => {
            let (rows, columns) = if is_right_transposed { (*width, *height) } else { (*height, *width) };
            Some(Weights::of(elements, rows, columns, is_right_transposed))
        }
        _ => None,
    });
    ready(Gemm {
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
    /// Sums of products, in 64 bits for numbers with fractions.
    fn product<T: Number>(
        &self,
        left: &Tensor,
        elements: &[T],
        count: usize,
        weights: &Weights<T::Wide>,
        budget: &Budget,
    ) -> Result<Vec<T::Wide>, OperatorError> {
        let length = elements.len().checked_div(count).unwrap_or(0);
        if self.is_left_transposed {
            let rows = View::of(left.shape()).permute([1, 0]).copy(elements);
            return multiply_rows(&rows, length, count, weights, budget);
        }
        multiply_rows(elements, length, count, weights, budget)
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
    budget: &'a Budget,
}

impl Gemm {
    fn sums<T: Number>(&self, sides: &Sides<'_>, left: &[T], right: &[T]) -> Result<Vec<T::Wide>, OperatorError> {
        let weights = Weights::of(right, sides.length, sides.shape.dimension(1), self.is_right_transposed);
        self.product(sides.left, left, sides.shape.dimension(0), &weights, sides.budget)
    }

    fn floats<T: Float>(&self, sides: &Sides<'_>, left: &[T], right: &[T]) -> Result<Data, OperatorError> {
        let sums = self.scaled(&sides.shape, self.sums(sides, left, right)?, sides.added)?;
        Ok(T::into_data(sums.into_iter().map(T::narrow).collect()))
    }

    /// Exact where nothing is scaled.
    fn integers<T: Integer + Number<Wide = T>>(
        &self,
        sides: &Sides<'_>,
        left: &[T],
        right: &[T],
    ) -> Result<Data, OperatorError> {
        let sums = self.sums(sides, left, right)?;
        let is_scaled = [self.alpha, self.beta].iter().any(|factor| factor.to_bits() != 1.0_f64.to_bits());
        if is_scaled {
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
        if let (Some(weights), Data::Float32(elements)) = (&self.constant, left.data()) {
            let sums = self.scaled(&shape, self.product(left, elements, count, weights, budget)?, added)?;
            return one(Tensor::made(shape, sums.into_iter().map(f32::narrow).collect()));
        }
        budget.elements(right.shape().elements(), size_of::<f64>())?;
        let sides = Sides { shape, length, left, added, budget };
        let data = pair!(left.data(), right.data(), float, a, b => self.floats(&sides, a, b)?,
            _ => pair!(left.data(), right.data(), integer, a, b => self.integers(&sides, a, b)?,
                _ => return Err(inputs.unexpected(1, &format!("{}, as the first", left.data_type().label())))));
        one(Tensor::of_data(shape, data))
    }
}
