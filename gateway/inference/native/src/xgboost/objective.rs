//! What a model was trained for, and what follows for its scores.

use crate::link::Link;
use crate::model::Meaning;

/// What an objective does with margins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Objective {
    pub(super) name: &'static str,
    pub(super) link: Link,
    pub(super) meaning: Meaning,
    base: Base,
}

/// How `base_score` becomes a margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Margin,
    Probability,
    Logarithm,
}

/// All objectives: name, link, meaning of the score, `base_score`.
const OBJECTIVES: [(&str, Link, Meaning, Base); 24] = {
    use Base::{Logarithm, Margin as Plain, Probability as Logit};
    use Link::{Identity, Sign, SingleExp, SingleLogistic, SingleSoftmax};
    use Meaning::{Classes, Margin, Probability, Value};
    [
        ("binary:logistic", SingleLogistic, Probability, Logit),
        ("binary:logitraw", Identity, Margin, Plain),
        ("binary:hinge", Sign, Value, Plain),
        ("reg:logistic", SingleLogistic, Probability, Logit),
        ("multi:softprob", SingleSoftmax, Classes, Plain),
        ("multi:softmax", SingleSoftmax, Classes, Plain),
        ("reg:squarederror", Identity, Value, Plain),
        ("reg:linear", Identity, Value, Plain),
        ("reg:squaredlogerror", Identity, Value, Plain),
        ("reg:pseudohubererror", Identity, Value, Plain),
        ("reg:absoluteerror", Identity, Value, Plain),
        ("reg:quantileerror", Identity, Value, Plain),
        ("reg:expectileerror", Identity, Value, Plain),
        ("reg:gamma", SingleExp, Value, Logarithm),
        ("reg:tweedie", SingleExp, Value, Logarithm),
        ("count:poisson", SingleExp, Value, Logarithm),
        ("survival:cox", SingleExp, Value, Logarithm),
        ("survival:aft", SingleExp, Value, Logarithm),
        ("rank:pairwise", Identity, Margin, Plain),
        ("rank:ndcg", Identity, Margin, Plain),
        ("rank:map", Identity, Margin, Plain),
        // Names that versions on graphics processors had.
        ("gpu:reg:linear", Identity, Value, Plain),
        ("gpu:binary:logistic", SingleLogistic, Probability, Logit),
        ("gpu:binary:logitraw", Identity, Margin, Plain),
    ]
};

/// The objective of a name.
pub(super) fn read(name: &str, outputs: usize) -> Option<Objective> {
    let (name, link, meaning, base) = OBJECTIVES.into_iter().find(|(known, ..)| *known == name)?;
    let meaning = if meaning == Meaning::Probability && outputs > 1 { Meaning::Labels } else { meaning };
    Some(Objective { name, link, meaning, base })
}

impl Objective {
    /// `base_score` as a margin, in float as XGBoost computes it.
    pub(super) fn margin(&self, base: f32) -> f32 {
        /// How far probabilities stay away from 0 and 1.
        const NEAR: f32 = 1e-6;
        match self.base {
            Base::Margin => base,
            Base::Probability if !(0.0..=1.0).contains(&base) => f32::NAN,
            Base::Probability => -(1.0 / base.clamp(NEAR, 1.0 - NEAR) - 1.0).ln(),
            Base::Logarithm => base.ln(),
        }
    }
}
