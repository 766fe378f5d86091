//! `TreeEnsembleClassifier`: scores of classes, and the label of the best.

use super::tables::{features, trees};
use super::{AttributeError, Floats, InputRows, NodeAttributes, VoteAttributes, precision, transform};
use crate::{
    Aggregate, BaseOrder, CompileError, CompileOptions, Element, Ensemble, EnsembleError, Limits, Model, Parts,
    Precision, PredictError, Score, Transform, reference,
};

/// Names of classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

impl Labels {
    pub fn len(&self) -> usize {
        match self {
            Self::Integers(labels) => labels.len(),
            Self::Texts(labels) => labels.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Attributes of `TreeEnsembleClassifier`.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassifierAttributes {
    pub nodes: NodeAttributes,
    pub votes: VoteAttributes,
    /// `classlabels_int64s` or `classlabels_strings`.
    pub labels: Labels,
    /// Empty is `NONE`.
    pub post_transform: String,
    /// `base_values`, or `base_values_as_tensor`; empty is none.
    pub base_values: Floats,
}

/// Which class a row belongs to: an index into the labels.
pub type Class = u32;

/// A classifier: an ensemble, and what is done with its scores.
///
/// If all votes are for the first class, and there are one or two labels, it is binary: the score *s* that comes of the votes
/// is that of the second class. With a transform other than `PROBIT` the first has -*s* before it. Without one, and with
/// `PROBIT`, *s* is a share, and the first has 1 - *s*; but if a vote is negative and there is no transform, *s* is a margin
/// that is 0 where the classes are equal, and the first has -*s*. A single label has to be the integer 1, and stands for the
/// labels 0 and 1.
///
/// The class of a row is the first with the largest score.
#[derive(Debug)]
pub struct Classifier {
    ensemble: Ensemble,
    labels: Labels,
    binary: bool,
    /// What the scores of the two classes of a binary one add up to before the transform: 1, or -0.0, which changes no sign.
    total: f64,
    transform: Transform,
}

impl ClassifierAttributes {
    /// The classifier.
    ///
    /// # Errors
    /// The attributes do not go together, or exceed a limit.
    pub fn classifier(&self, rows: InputRows, limits: &Limits) -> Result<Classifier, EnsembleError> {
        let labels = match &self.labels {
            Labels::Integers(labels) if labels.as_slice() == [1] => Labels::Integers(vec![0, 1]),
            labels if labels.is_empty() => return Err(AttributeError::Empty { name: "classlabels_…" }.into()),
            labels if labels.len() == 1 => {
                let got = match labels {
                    Labels::Integers(labels) => format!("{labels:?}"),
                    Labels::Texts(_) => "a single text".to_owned(),
                };
                let expected = "two or more, or the integer 1 alone";
                return Err(AttributeError::Labels { got, expected }.into());
            }
            labels => labels.clone(),
        };
        let binary = self.labels.len() <= 2 && self.votes.ids.iter().all(|id| *id == 0);
        let targets = if binary { 1 } else { labels.len() };
        let trees = trees(&self.nodes, &self.votes, targets, limits)?;
        let mut base = self.base_values.to_f64();
        if binary && base.len() == labels.len() {
            // The reference implementation lets the first one count.
            base.truncate(1);
        }
        let ensemble = Ensemble::new(
            Parts {
                features: features(&trees, rows),
                targets,
                trees,
                thresholds: precision(rows.is_double() || self.nodes.values.is_double()),
                // The reference implementation adds in float for doubles, too: nearly equal classes then are others than
                // those of ONNX Runtime and of the library.
                scores: precision(rows.is_double() || self.votes.weights.is_double() || self.base_values.is_double()),
                aggregate: Aggregate::Sum,
                base,
                base_order: BaseOrder::BeforeTrees,
                transform: Transform::None,
            },
            limits,
        )?;
        let transform = transform(&self.post_transform)?;
        // The raw scores of boosted trees are margins, and come without a transform as the shares of a forest do. Exporters
        // count on what ONNX Runtime tells them by; the reference implementation takes all of them for shares.
        let is_margin = self.votes.weights.to_f64().iter().any(|weight| *weight < 0.0);
        let total = match transform {
            Transform::None if is_margin => -0.0,
            Transform::None | Transform::Probit => 1.0,
            _ => -0.0,
        };
        Ok(Classifier { ensemble, labels, binary, total, transform })
    }
}

impl Classifier {
    /// The ensemble of its raw scores, to be compiled.
    pub fn ensemble(&self) -> &Ensemble {
        &self.ensemble
    }

    /// Its classes, in the order of scores.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Compiles its ensemble.
    ///
    /// # Errors
    /// As [`Model::compile`].
    pub fn compile(&self, options: &CompileOptions) -> Result<Model, CompileError> {
        Model::compile(&self.ensemble, options)
    }

    /// Classes and scores of rows, with the model that its ensemble was compiled to. `rows` is `[rows, width]`, `classes` is
    /// `[rows]`, `scores` is `[rows, labels]`.
    ///
    /// # Errors
    /// The sizes do not go together.
    pub fn predict<X: Element>(
        &self,
        model: &Model,
        rows: &[X],
        width: usize,
        classes: &mut [Class],
        scores: &mut [f32],
    ) -> Result<(), PredictError> {
        self.with_raw(classes, scores, |raw| model.predict(rows, width, raw))
    }

    /// The same, by the definition.
    ///
    /// # Errors
    /// The sizes do not go together.
    pub fn reference<X: Element>(
        &self,
        rows: &[X],
        width: usize,
        classes: &mut [Class],
        scores: &mut [f32],
    ) -> Result<(), PredictError> {
        self.with_raw(classes, scores, |raw| reference::predict(&self.ensemble, rows, width, raw))
    }

    fn with_raw(
        &self,
        classes: &mut [Class],
        scores: &mut [f32],
        predict: impl FnOnce(&mut [f64]) -> Result<(), PredictError>,
    ) -> Result<(), PredictError> {
        let (targets, labels) = (self.ensemble.parts().targets, self.labels.len());
        let rows = classes.len();
        if scores.len() != rows.saturating_mul(labels) {
            let expected = rows.saturating_mul(labels);
            return Err(PredictError::Room { got: scores.len(), rows, targets: labels, expected });
        }
        // Most requests are for one row.
        let (mut few, mut many) = ([0.0; 16], Vec::new());
        let raw = match few.get_mut(..rows.saturating_mul(targets)) {
            Some(raw) => raw,
            None => {
                many.resize(rows.saturating_mul(targets), 0.0);
                many.as_mut_slice()
            }
        };
        predict(raw)?;
        let rows = raw.chunks_exact(targets.max(1)).zip(scores.chunks_exact_mut(labels.max(1)));
        for (class, (raw, scores)) in classes.iter_mut().zip(rows) {
            *class = match self.ensemble.parts().scores {
                Precision::F32 => self.finish::<f32>(raw, scores),
                Precision::F64 => self.finish::<f64>(raw, scores),
            };
        }
        Ok(())
    }

    /// From the scores of votes to those of classes, in the type that votes were added in.
    fn finish<S: Score>(&self, raw: &[f64], out: &mut [f32]) -> Class {
        let (mut few, mut many) = ([S::default(); 8], Vec::new());
        let scores = match few.get_mut(..out.len()) {
            Some(scores) => scores,
            None => {
                many.resize(out.len(), S::default());
                many.as_mut_slice()
            }
        };
        match (self.binary, raw, &mut *scores) {
            (true, &[score], [first, second]) => {
                *second = S::from_f64(score);
                *first = S::from_f64(self.total).plus(S::from_f64(-score));
            }
            (_, raw, scores) => {
                scores.iter_mut().zip(raw).for_each(|(score, raw)| *score = S::from_f64(*raw));
            }
        }
        S::transform(self.transform, scores);
        let mut best = 0;
        for (class, score) in scores.iter().enumerate().skip(1) {
            // NaN counts as the largest, the first of them if there are several.
            let (score, largest) = (score.to_f64(), scores.get(best).map_or(0.0, |score| score.to_f64()));
            if score > largest || (score.is_nan() && !largest.is_nan()) {
                best = class;
            }
        }
        out.iter_mut().zip(&*scores).for_each(|(out, score)| *out = score.to_f64() as f32);
        best as Class
    }
}
