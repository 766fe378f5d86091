//! What is made of scores at last.

use crate::attribute::Reader;
use crate::error::BuildError;
use crate::special;

/// The attribute `post_transform`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PostTransform {
    None,
    Logistic,
    Softmax,
    /// Softmax of the scores that are not zero.
    SoftmaxZero,
    Probit,
}

/// Scores as small as this count as zero.
const ZERO: f64 = 1e-7;

impl PostTransform {
    pub fn of(reader: &Reader<'_>) -> Result<Self, BuildError> {
        const NAMES: [(&str, PostTransform); 5] = [
            ("NONE", PostTransform::None),
            ("LOGISTIC", PostTransform::Logistic),
            ("SOFTMAX", PostTransform::Softmax),
            ("SOFTMAX_ZERO", PostTransform::SoftmaxZero),
            ("PROBIT", PostTransform::Probit),
        ];
        reader.choice("post_transform", &NAMES)
    }

    /// Of the scores of one row.
    pub fn apply(self, scores: &mut [f64]) {
        match self {
            Self::None => {}
            Self::Logistic => special::for_each(scores, special::sigmoid),
            Self::Softmax => special::softmax(scores),
            Self::SoftmaxZero => softmax_zero(scores),
            Self::Probit => scores.iter_mut().for_each(|score| *score = special::probit(*score)),
        }
    }
}

fn softmax_zero(scores: &mut [f64]) {
    let largest = special::largest(scores.iter().copied());
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = if score.abs() <= ZERO { *score * special::exp(-largest) } else { special::exp(*score - largest) };
        sum += *score;
    }
    // Of nothing but zeros, each has the same share.
    let share = |score: f64| if sum == 0.0 { 0.5 } else { score / sum };
    scores.iter_mut().for_each(|score| *score = share(*score));
}

/// The first of the largest; NaN is none, unless it is the first.
pub(super) fn first_largest(scores: &[f64]) -> usize {
    let mut best = (0, scores.first().copied().unwrap_or(f64::NAN));
    for (at, score) in scores.iter().enumerate().skip(1) {
        if *score > best.1 {
            best = (at, *score);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_have_no_share() {
        let mut scores = [0.0, 1.0, 1.0];
        PostTransform::SoftmaxZero.apply(&mut scores);
        assert_eq!(scores, [0.0, 0.5, 0.5]);
        let mut zeros = [0.0, 0.0, 0.0];
        PostTransform::SoftmaxZero.apply(&mut zeros);
        assert_eq!(zeros, [0.5; 3]);
    }

    #[test]
    fn the_first_of_the_largest_counts() {
        assert_eq!(first_largest(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(first_largest(&[1.0, f64::NAN, 3.0]), 2);
        assert_eq!(first_largest(&[f64::NAN; 2]), 0);
    }
}
