//! Numbers by support vectors, and whether a row is one of the usual.

use super::super::rows::{Rows, dot, widened};
use super::super::transform::PostTransform;
use super::kernel::KernelFunction;
use crate::attribute::Reader;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{DataType, Tensor};

#[derive(Debug)]
struct SvmRegressor {
    function: KernelFunction,
    /// Row by row; one row, of the weights themselves, if there are none.
    vectors: Vec<f64>,
    weights: Vec<f64>,
    offset: f64,
    /// Whether the answer is the side: 1 or -1.
    is_one_class: bool,
    /// Of the rows.
    width: usize,
}

pub(in super::super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    if PostTransform::of(reader)? != PostTransform::None {
        return Err(BuildError::attribute("post_transform", "expected NONE: runtimes leave out any other"));
    }
    let list = |name: &str| -> Result<Vec<f64>, BuildError> {
        Ok(widened(Reader::required(name, reader.floats(name)?.filter(|list| !list.is_empty()))?))
    };
    let (weights, rho) = (list("coefficients")?, list("rho")?);
    let offset = match rho.as_slice() {
        [offset] => *offset,
        other => return Err(BuildError::attribute("rho", format!("expected one number, got {}", other.len()))),
    };
    let is_one_class = reader.flag("one_class", false)?;
    let function = KernelFunction::of(reader)?;
    let count = reader.int_or("n_supports", 0)?;
    let vectors = widened(reader.floats("support_vectors")?.unwrap_or_default());
    if count == 0 {
        let (function, width) = (KernelFunction::of_linear(), weights.len());
        return ready(SvmRegressor { function, vectors: weights, weights: vec![1.0], offset, is_one_class, width });
    }
    if usize::try_from(count) != Ok(weights.len()) {
        return Err(BuildError::attribute("coefficients", format!("expected {count} numbers, got {}", weights.len())));
    }
    if vectors.is_empty() || !vectors.len().is_multiple_of(weights.len()) {
        return Err(BuildError::attribute("support_vectors", format!("expected a multiple of {count} numbers")));
    }
    let width = vectors.len() / weights.len();
    ready(SvmRegressor { function, vectors, weights, offset, is_one_class, width })
}

impl SvmRegressor {
    fn score(&self, row: &[f64]) -> f64 {
        let vectors = self.vectors.chunks_exact(self.width.max(1));
        let alike: Vec<f64> = vectors.map(|vector| self.function.between(row, vector)).collect();
        let score = dot(&alike, &self.weights) + self.offset;
        match self.is_one_class {
            false => score,
            true if score > 0.0 => 1.0,
            true => -1.0,
        }
    }
}

impl Kernel for SvmRegressor {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let rows = Rows::of(inputs, budget)?;
        rows.expect_width(self.width, inputs)?;
        let shape = Shape::new(&[rows.count, 1])?;
        budget.tensor(&shape, DataType::Float32)?;
        budget.work(rows.count.saturating_mul(self.vectors.len()))?;
        one(Tensor::made(shape, rows.iter().map(|row| self.score(row) as f32).collect()))
    }
}
