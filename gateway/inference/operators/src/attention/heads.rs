//! Heads of attention, by themselves.

use crate::elementwise::convert;
use crate::error::OperatorError;
use crate::limits::Budget;
use crate::operator::Inputs;
use crate::shape::Shape;
use crate::value::{Data, DataType, Tensor};
use crate::view::View;

/// Rows of each head of a batch, 64 bits wide: `[batch, heads, rows, width]`.
#[derive(Debug)]
pub(super) struct Heads {
    pub batch: usize,
    pub heads: usize,
    pub rows: usize,
    pub width: usize,
    numbers: Vec<f64>,
}

/// Numbers with fractions, 64 bits wide.
pub(super) fn wide(inputs: &Inputs<'_>, index: usize, budget: &mut Budget) -> Result<Vec<f64>, OperatorError> {
    let tensor = inputs.tensor(index)?;
    budget.elements(tensor.shape().elements(), size_of::<f64>())?;
    match (tensor.data(), convert(tensor.data(), DataType::Float64)) {
        (Data::Float16(_) | Data::Bfloat16(_) | Data::Float32(_) | Data::Float64(_), Some(Data::Float64(numbers))) => {
            Ok(numbers)
        }
        _ => Err(inputs.unexpected(index, "FP32 or another type with fractions")),
    }
}

/// Numbers of 64 bits as a tensor of a type.
pub(super) fn narrowed(shape: Shape, numbers: Vec<f64>, data_type: DataType) -> Result<Tensor, OperatorError> {
    match convert(&Data::Float64(numbers), data_type) {
        Some(data) => Ok(Tensor::of_data(shape, data)),
        None => Err(OperatorError::Shape("numbers cannot be strings".to_owned())),
    }
}

impl Heads {
    /// Of four dimensions, or of three that have all heads in the last.
    pub fn of(
        inputs: &Inputs<'_>,
        index: usize,
        heads: Option<usize>,
        budget: &mut Budget,
    ) -> Result<Self, OperatorError> {
        let shape = inputs.tensor(index)?.shape();
        let numbers = wide(inputs, index, budget)?;
        match (shape.dimensions(), heads) {
            ([batch, heads, rows, width], told) if told.is_none_or(|told| told == *heads) => {
                Ok(Self { batch: *batch, heads: *heads, rows: *rows, width: *width, numbers })
            }
            ([batch, rows, all], Some(heads)) if all.is_multiple_of(heads) => {
                budget.elements(numbers.len(), size_of::<f64>())?;
                let width = all / heads;
                let split = Shape::new(&[*batch, *rows, heads, width])?;
                let numbers = View::of(&split).permute([0, 2, 1, 3]).copy(&numbers);
                Ok(Self { batch: *batch, heads, rows: *rows, width, numbers })
            }
            _ => {
                let told = heads.map_or_else(|| "its heads in the second".to_owned(), |heads| format!("{heads} heads"));
                Err(inputs.unexpected(index, &format!("a tensor of four dimensions, or of three with {told}")))
            }
        }
    }

    pub fn shape(&self) -> Result<Shape, OperatorError> {
        Ok(Shape::new(&[self.batch, self.heads, self.rows, self.width])?)
    }

    /// The rows of one head.
    pub fn head(&self, batch: usize, head: usize) -> &[f64] {
        let size = self.rows * self.width;
        let start = (batch * self.heads + head) * size;
        self.numbers.get(start..start + size).unwrap_or_default()
    }

    /// With the rows of another before its own.
    pub fn behind(self, before: &Self, budget: &mut Budget) -> Result<Self, OperatorError> {
        let rows = before.rows.saturating_add(self.rows);
        let count = Shape::new(&[self.batch, self.heads, rows, self.width])?.elements();
        budget.elements(count, size_of::<f64>())?;
        let mut numbers = Vec::with_capacity(count);
        for batch in 0..self.batch {
            for head in 0..self.heads {
                numbers.extend_from_slice(before.head(batch, head));
                numbers.extend_from_slice(self.head(batch, head));
            }
        }
        Ok(Self { rows, numbers, ..self })
    }

    pub fn into_tensor(self, data_type: DataType) -> Result<Tensor, OperatorError> {
        narrowed(self.shape()?, self.numbers, data_type)
    }
}
