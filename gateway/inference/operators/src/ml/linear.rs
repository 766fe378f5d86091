//! Weighted sums of features.

use super::rows::{Rows, widened};
use super::transform::PostTransform;
use crate::attribute::Reader;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::linear::{Weights, multiply_each};
use crate::operator::{Inputs, Kernel, Outputs, Setup, one, ready};
use crate::shape::Shape;
use crate::value::{DataType, Tensor};

/// A row of weights for each score, and what is added.
#[derive(Debug)]
pub(super) struct Linear {
    width: usize,
    weights: Weights<f64>,
    intercepts: Vec<f64>,
}

impl Linear {
    /// So many scores, of the attributes `coefficients` and `intercepts`.
    pub fn of(reader: &Reader<'_>, scores: usize) -> Result<Self, BuildError> {
        let weights = widened(Reader::required("coefficients", reader.floats("coefficients")?)?);
        if scores == 0 || weights.is_empty() || !weights.len().is_multiple_of(scores) {
            let problem =
                format!("expected a multiple of {scores} weights, one row for each score, got {}", weights.len());
            return Err(BuildError::attribute("coefficients", problem));
        }
        let intercepts = widened(reader.floats("intercepts")?.unwrap_or_default());
        if !intercepts.is_empty() && intercepts.len() != scores {
            return Err(BuildError::attribute("intercepts", format!("expected {scores}, got {}", intercepts.len())));
        }
        let width = weights.len() / scores;
        Ok(Self {
            width,
            weights: Weights::of(&weights, width, scores, true),
            intercepts: if intercepts.is_empty() { vec![0.0; scores] } else { intercepts },
        })
    }

    pub fn scores(&self) -> usize {
        self.intercepts.len()
    }

    pub fn width(&self) -> usize {
        self.width
    }

    /// Tells the scores of each row.
    pub fn score_each(
        &self,
        rows: &Rows<'_>,
        budget: &Budget,
        tell: &mut dyn FnMut(&mut [f64]),
    ) -> Result<(), OperatorError> {
        multiply_each(rows.numbers(), rows.count, &self.weights, budget, &mut |scores| {
            scores.iter_mut().zip(&self.intercepts).for_each(|(score, intercept)| *score += intercept);
            tell(scores);
        })
    }
}

#[derive(Debug)]
struct LinearRegressor {
    linear: Linear,
    transform: PostTransform,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let targets = reader.int_or("targets", 1)?;
    let count = usize::try_from(targets).ok().filter(|targets| *targets > 0);
    let count = count.ok_or_else(|| BuildError::attribute("targets", format!("expected at least 1, got {targets}")))?;
    let transform = PostTransform::of(reader)?;
    if count == 1 && matches!(transform, PostTransform::Logistic | PostTransform::Softmax | PostTransform::SoftmaxZero)
    {
        // ONNX Runtime leaves it out, against the standard.
        return Err(BuildError::attribute("post_transform", "runtimes differ for one target: apply it in a node"));
    }
    ready(LinearRegressor { linear: Linear::of(reader, count)?, transform })
}

impl Kernel for LinearRegressor {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let rows = Rows::of(inputs, budget)?;
        rows.expect_width(self.linear.width(), inputs)?;
        let shape = Shape::new(&[rows.count, self.linear.scores()])?;
        budget.tensor(&shape, DataType::Float32)?;
        budget.work(shape.elements().saturating_mul(rows.width))?;
        let mut made = Vec::with_capacity(shape.elements());
        self.linear.score_each(&rows, budget, &mut |scores| {
            self.transform.apply(scores);
            made.extend(scores.iter().map(|score| *score as f32));
        })?;
        one(Tensor::made(shape, made))
    }
}
