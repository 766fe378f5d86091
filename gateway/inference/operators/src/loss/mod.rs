//! How far predictions are from what is right.

mod likelihood;

use crate::operator::{Definition, define};

pub(crate) const DEFINITIONS: &[Definition] = define! { "":
    "NegativeLogLikelihoodLoss" 12, 2..=3 => 1..=1, likelihood::build;
    "SoftmaxCrossEntropyLoss" 12, 2..=3 => 1..=2, likelihood::build_of_scores;
};
