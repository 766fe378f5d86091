//! Classes by weighted sums.

use super::labels::Labels;
use super::linear::Linear;
use super::rows::Rows;
use super::transform::{PostTransform, first_largest};
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready, several};
use crate::shape::Shape;
use crate::special;
use crate::value::{DataType, Tensor};

/// The class of the largest score, and the scores after a transform. One score of two classes is that of the second.
#[derive(Debug)]
struct LinearClassifier {
    linear: Linear,
    labels: Labels,
    transform: PostTransform,
}

pub(super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    // It says how the model was trained, and changes nothing.
    reader.ignore(&["multi_class"]);
    let labels = Labels::of(reader, "classlabels_ints", "classlabels_strings")?;
    let intercepts = reader.floats("intercepts")?.map_or(0, <[f32]>::len);
    let scores = if intercepts == 0 { labels.len() } else { intercepts };
    if scores != labels.len() && (scores, labels.len()) != (1, 2) {
        let problem = format!("expected {}, one for each class, got {scores}", labels.len());
        return Err(BuildError::attribute("intercepts", problem));
    }
    if labels.len() < 2 {
        return Err(BuildError::attribute("classlabels_ints", "expected at least two classes"));
    }
    let transform = PostTransform::of(reader)?;
    if scores == 1 && setup.wants(1) && transform != PostTransform::Logistic {
        let problem = "expected LOGISTIC: of one score for two classes runtimes make different scores otherwise";
        return Err(BuildError::attribute("post_transform", problem));
    }
    ready(LinearClassifier { linear: Linear::of(reader, scores)?, labels, transform })
}

impl LinearClassifier {
    /// Adds the scores of all classes of those that were summed, and tells the class.
    fn classify(&self, scores: &mut [f64], made: &mut Vec<f32>) -> usize {
        if let [score] = *scores {
            made.extend([special::sigmoid(-score) as f32, special::sigmoid(score) as f32]);
            return usize::from(score > 0.0);
        }
        // By the sums: a transform may make equal what is not.
        let class = first_largest(scores);
        self.transform.apply(scores);
        made.extend(scores.iter().map(|score| *score as f32));
        class
    }
}

impl Kernel for LinearClassifier {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let rows = Rows::of(inputs, budget)?;
        rows.expect_width(self.linear.width(), inputs)?;
        let shape = Shape::new(&[rows.count, self.labels.len()])?;
        budget.tensor(&shape, DataType::Float32)?;
        budget.elements(rows.count, self.labels.data_type().size())?;
        budget.work(shape.elements().saturating_mul(rows.width))?;
        let (mut classes, mut made) = (Vec::with_capacity(rows.count), Vec::with_capacity(shape.elements()));
        self.linear.score_each(&rows, budget, &mut |scores| classes.push(self.classify(scores, &mut made)))?;
        several([Tensor::vector(self.labels.pick(&classes)), Tensor::made(shape, made)])
    }
}
