//! Classes by support vectors.

use super::super::labels::Labels;
use super::super::rows::{Rows, dot, widened};
use super::super::transform::{PostTransform, first_largest};
use super::SIZE_LIMIT;
use super::kernel::KernelFunction;
use super::probability::couple;
use crate::attribute::Reader;
use crate::error::{BuildError, OperatorError};
use crate::limits::Budget;
use crate::operator::{Inputs, Kernel, Outputs, Setup, ready, several};
use crate::shape::Shape;
use crate::special;
use crate::value::{DataType, Tensor};

/// What the rows are compared with.
#[derive(Debug)]
enum Machine {
    /// A row of weights for each class, and what is added to all.
    Linear { weights: Vec<f64>, offset: f64 },
    /// Each two classes have a score, and vote.
    Pairs(Pairs),
}

#[derive(Debug)]
struct Pairs {
    function: KernelFunction,
    /// Row by row, those of the first class first.
    vectors: Vec<f64>,
    /// Where the vectors of each class begin and how many they are.
    ranges: Vec<(usize, usize)>,
    /// A row for all classes but one: what a vector weighs against each other class.
    weights: Vec<f64>,
    offsets: Vec<f64>,
    /// Platt's numbers of each pair.
    platt: Option<(Vec<f64>, Vec<f64>)>,
}

#[derive(Debug)]
struct SvmClassifier {
    machine: Machine,
    labels: Labels,
    transform: PostTransform,
    /// Of the rows.
    width: usize,
}

fn list(reader: &Reader<'_>, name: &str) -> Result<Vec<f64>, BuildError> {
    Ok(widened(reader.floats(name)?.unwrap_or_default()))
}

fn expect(name: &str, got: usize, expected: usize) -> Result<(), BuildError> {
    if got == expected {
        Ok(())
    } else {
        Err(BuildError::attribute(name, format!("expected {expected} numbers, got {got}")))
    }
}

pub(in super::super) fn build(setup: &Setup<'_>) -> Result<Box<dyn Kernel>, BuildError> {
    let reader = setup.attributes();
    let labels = Labels::of(reader, "classlabels_ints", "classlabels_strings")?;
    let classes = labels.len();
    if classes < 2 {
        return Err(BuildError::attribute("classlabels_ints", "expected at least two classes"));
    }
    let (weights, rho, vectors) =
        (list(reader, "coefficients")?, list(reader, "rho")?, list(reader, "support_vectors")?);
    let (function, transform) = (KernelFunction::of(reader)?, PostTransform::of(reader)?);
    let (a, b) = (list(reader, "prob_a")?, list(reader, "prob_b")?);
    let counts = reader.ints("vectors_per_class")?.unwrap_or_default();
    if weights.is_empty() {
        return Err(BuildError::attribute("coefficients", "is required"));
    }
    if classes == 2 && setup.wants(0) && a.is_empty() && weights.iter().all(|weight| *weight >= 0.0) {
        // The reference tells the second class always, ONNX Runtime that of the vote.
        let problem = "expected weights of both signs: runtimes differ in the label otherwise";
        return Err(BuildError::attribute("coefficients", problem));
    }
    if counts.iter().all(|count| *count == 0) {
        let offset = *rho.first().ok_or_else(|| BuildError::attribute("rho", "is required"))?;
        if weights.len() % classes != 0 {
            return Err(BuildError::attribute("coefficients", format!("expected a multiple of {classes} numbers")));
        }
        if classes == 2 && setup.wants(0) {
            return Err(BuildError::Unsupported(
                "runtimes differ in the label of two classes without vectors".to_owned(),
            ));
        }
        let width = weights.len() / classes;
        let machine = Machine::Linear { weights, offset };
        return ready(SvmClassifier { machine, labels, transform, width });
    }
    expect("vectors_per_class", counts.len(), classes)?;
    let mut ranges = Vec::with_capacity(classes);
    let mut total = 0_usize;
    for count in counts {
        let count = usize::try_from(*count).ok().filter(|count| *count <= SIZE_LIMIT);
        let count =
            count.ok_or_else(|| BuildError::attribute("vectors_per_class", "expected numbers of at least 0"))?;
        ranges.push((total, count));
        total += count;
    }
    let pairs = classes * (classes - 1) / 2;
    expect("coefficients", weights.len(), total.saturating_mul(classes - 1))?;
    expect("rho", rho.len(), pairs)?;
    if !vectors.len().is_multiple_of(total) || vectors.is_empty() {
        return Err(BuildError::attribute("support_vectors", format!("expected a multiple of {total} numbers")));
    }
    let width = vectors.len() / total;
    let platt = if a.is_empty() && b.is_empty() {
        None
    } else {
        expect("prob_a", a.len(), pairs)?;
        expect("prob_b", b.len(), pairs)?;
        Some((a, b))
    };
    let is_open = matches!(transform, PostTransform::Softmax | PostTransform::SoftmaxZero | PostTransform::Probit);
    if classes == 2 && platt.is_none() && is_open && setup.wants(1) {
        let problem =
            "expected NONE or LOGISTIC: of one score for two classes runtimes make different scores otherwise";
        return Err(BuildError::attribute("post_transform", problem));
    }
    let machine = Machine::Pairs(Pairs { function, vectors, ranges, weights, offsets: rho, platt });
    ready(SvmClassifier { machine, labels, transform, width })
}

impl Pairs {
    fn total(&self) -> usize {
        self.ranges.iter().map(|(_, count)| count).sum()
    }

    /// Scores of the pairs, and the votes for each class.
    fn score(&self, row: &[f64], scores: &mut Vec<f64>, votes: &mut Vec<f64>) {
        let (total, classes) = (self.total(), self.ranges.len());
        let vectors = self.vectors.chunks_exact(row.len().max(1));
        let alike: Vec<f64> = vectors.map(|vector| self.function.between(row, vector)).collect();
        let part = |numbers: &[f64], of: (usize, usize), line: usize| {
            let weights = self.weights.get(line * total + of.0..line * total + of.0 + of.1).unwrap_or_default();
            dot(numbers.get(of.0..of.0 + of.1).unwrap_or_default(), weights)
        };
        scores.clear();
        votes.clear();
        votes.resize(classes, 0.0);
        let mut offsets = self.offsets.iter();
        for (first, of_first) in self.ranges.iter().enumerate() {
            for (second, of_second) in self.ranges.iter().enumerate().skip(first + 1) {
                let sum = part(&alike, *of_first, second - 1) + part(&alike, *of_second, first);
                let score = sum + offsets.next().copied().unwrap_or(0.0);
                scores.push(score);
                let winner = if score > 0.0 { first } else { second };
                votes.get_mut(winner).into_iter().for_each(|votes| *votes += 1.0);
            }
        }
    }
}

impl SvmClassifier {
    /// The class of a row; its scores are left in the first of the two.
    fn classify(&self, row: &[f64], scores: &mut Vec<f64>, votes: &mut Vec<f64>) -> usize {
        let class = match &self.machine {
            Machine::Linear { weights, offset } => {
                scores.clear();
                scores.extend(weights.chunks_exact(self.width.max(1)).map(|weights| dot(row, weights) + offset));
                first_largest(scores)
            }
            Machine::Pairs(pairs) => {
                pairs.score(row, scores, votes);
                first_largest(votes)
            }
        };
        if let Machine::Pairs(Pairs { platt: Some((a, b)), .. }) = &self.machine {
            *scores = couple(self.labels.len(), scores, a, b);
        }
        if let [score] = **scores {
            // A single score is above zero for the first class, and yet is the second's: the reference and ONNX Runtime agree
            // on that, and the text is silent.
            let sides = match self.transform {
                PostTransform::Logistic => [special::sigmoid(-score), special::sigmoid(score)],
                _ => [-score, score],
            };
            scores.clear();
            scores.extend(sides);
        } else {
            self.transform.apply(scores);
        }
        class
    }

    /// Scores of a row.
    fn scores(&self) -> usize {
        match &self.machine {
            Machine::Pairs(Pairs { platt: None, offsets, .. }) => offsets.len().max(2),
            _ => self.labels.len(),
        }
    }
}

impl Kernel for SvmClassifier {
    fn run(&self, inputs: &mut Inputs<'_>, budget: &mut Budget) -> Result<Outputs, OperatorError> {
        let rows = Rows::of(inputs, budget)?;
        rows.expect_width(self.width, inputs)?;
        let shape = Shape::new(&[rows.count, self.scores()])?;
        budget.tensor(&shape, DataType::Float32)?;
        budget.elements(rows.count, self.labels.data_type().size())?;
        let steps = match &self.machine {
            Machine::Linear { weights, .. } => weights.len(),
            Machine::Pairs(pairs) => pairs.vectors.len() + pairs.weights.len(),
        };
        budget.work(rows.count.saturating_mul(steps))?;
        let (mut classes, mut made) = (Vec::with_capacity(rows.count), Vec::with_capacity(shape.elements()));
        let (mut scores, mut votes) = (Vec::new(), Vec::new());
        for row in rows.iter() {
            classes.push(self.classify(row, &mut scores, &mut votes));
            made.extend(scores.iter().map(|score| *score as f32));
        }
        several([Tensor::vector(self.labels.pick(&classes)), Tensor::made(shape, made)])
    }
}
