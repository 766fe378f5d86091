//! Products of matrices of whole numbers of few bits.

use super::quantized;
use crate::attribute::Attributes;
use crate::broadcast::Broadcast;
use crate::elementwise::convert;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Input, Inputs, Kernel, Operator, Outputs, Setup, Source, one, ready};
use crate::shape::Shape;
use crate::value::{Data, DataType, Integer, Tensor, Value, each};

/// Exact sums, which wrap around in 32 bits.
#[derive(Debug)]
struct Integers {
    product: Operator,
}

/// Sums that are scaled and quantized again.
#[derive(Debug)]
struct Scaled {
    product: Operator,
}

/// The product of numbers of 64 bits, in which sums of products of 8 bits are exact.
fn product() -> Result<Operator, BuildError> {
    Operator::new("", "MatMul", 13, &Attributes::new(), &[Source::Dynamic, Source::Dynamic], &[true])
}

pub(super) fn build_integer(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Integers { product: product()? })
}

pub(super) fn build(_setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    ready(Scaled { product: product()? })
}

/// One number, or one for each row or column, in a shape that repeats over a matrix.
fn repeated(parameter: &Tensor, is_row: bool) -> Result<Shape, OperatorError> {
    match parameter.shape().dimensions() {
        [rows] if is_row && *rows != 1 => Ok(Shape::new(&[*rows, 1])?),
        _ => Ok(*parameter.shape()),
    }
}

/// Numbers less a zero point, 64 bits wide.
fn moved(
    inputs: &Inputs<'_>,
    index: usize,
    zero: Option<usize>,
    is_row: bool,
    budget: &mut Budget,
) -> Result<Value, OperatorError> {
    let tensor = inputs.tensor(index)?;
    budget.elements(tensor.shape().elements(), 2 * size_of::<f64>())?;
    let wide = |tensor: &Tensor, index: usize| match (tensor.data(), convert(tensor.data(), DataType::Float64)) {
        (Data::Uint8(_) | Data::Int8(_), Some(Data::Float64(numbers))) => Ok(numbers),
        _ => Err(inputs.unexpected(index, "UINT8 or INT8")),
    };
    let numbers = wide(tensor, index)?;
    let Some((at, zero)) = zero.and_then(|at| Some((at, inputs.optional(at).ok()??))) else {
        return Ok(Value::Tensor(Tensor::made(*tensor.shape(), numbers)));
    };
    if zero.data_type() != tensor.data_type() {
        return Err(inputs.unexpected(at, tensor.data_type().label()));
    }
    let met = Broadcast::<2>::of([tensor.shape(), &repeated(zero, is_row)?])?;
    if met.shape() != tensor.shape() {
        return Err(inputs.unexpected(at, &format!("zero points for {}", tensor.shape())));
    }
    let moved = met.map(&numbers, &wide(zero, at)?, |number, zero| number - zero);
    Ok(Value::Tensor(Tensor::made(*tensor.shape(), moved)))
}

/// The product of two inputs less their zero points.
fn sums(
    product: &Operator,
    inputs: &Inputs<'_>,
    sides: [(usize, usize); 2],
    budget: &mut Budget,
) -> Result<Tensor, OperatorError> {
    let [(left, left_zero), (right, right_zero)] = sides;
    let left = moved(inputs, left, Some(left_zero), true, budget)?;
    let right = moved(inputs, right, Some(right_zero), false, budget)?;
    let mut both = Inputs::new([Input::Borrowed(&left), Input::Borrowed(&right)].into_iter().collect());
    match product.kernel().run(&mut both, budget)?.into_iter().next() {
        Some(Value::Tensor(tensor)) => Ok(tensor),
        other => Err(OperatorError::input(0, "a matrix", &other.unwrap_or_default())),
    }
}

impl Kernel for Integers {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let made = sums(&self.product, inputs, [(0, 2), (1, 3)], budget)?;
        budget.tensor(made.shape(), DataType::Int32)?;
        let numbers = made.elements::<f64>().unwrap_or_default();
        let wrapped = numbers.iter().map(|number| (*number as i64) as i32).collect();
        one(Tensor::made(*made.shape(), wrapped))
    }
}

fn requantized<T: Integer>(numbers: &[f64], zero: &[T], shape: &Shape) -> Result<Tensor, OperatorError> {
    let zero = zero.first().map_or(0.0, |zero| zero.to_f64());
    let made = numbers.iter().map(|number| quantized(*number, zero)).collect::<Result<Vec<T>, _>>()?;
    Ok(Tensor::made(*shape, made))
}

impl Kernel for Scaled {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let made = sums(&self.product, inputs, [(0, 2), (3, 5)], budget)?;
        budget.elements(made.shape().elements(), size_of::<f64>())?;
        let scale = |index: usize| {
            let tensor = inputs.tensor(index)?;
            match (tensor.data(), convert(tensor.data(), DataType::Float64)) {
                (Data::Float16(_) | Data::Bfloat16(_) | Data::Float32(_), Some(Data::Float64(numbers))) => Ok(numbers),
                _ => Err(inputs.unexpected(index, "FP32, FP16 or BF16")),
            }
        };
        let [last] = scale(6)?[..] else { return Err(inputs.unexpected(6, "one scale")) };
        let zero = inputs.tensor(7)?;
        if zero.shape().elements() != 1 {
            return Err(inputs.unexpected(7, "one zero point"));
        }
        let (left, right) = (repeated(inputs.tensor(1)?, true)?, repeated(inputs.tensor(4)?, false)?);
        let met = Broadcast::<3>::of([made.shape(), &left, &right])?;
        if met.shape() != made.shape() {
            return Err(inputs.unexpected(1, &format!("scales for {}", made.shape())));
        }
        let numbers = made.elements::<f64>().unwrap_or_default();
        let scaled = met.map(numbers, &scale(1)?, &scale(4)?, |number, left, right| number * (left * right / last));
        one(each!(zero.data(), [Uint8, Int8], zero => requantized(&scaled, zero, made.shape())?,
            _ => return Err(inputs.unexpected(7, "UINT8 or INT8"))))
    }
}
