//! The definition: scores of rows, computed as the operators are described, node by node and vote by vote.
//!
//! Nothing here is fast, and nothing is shared with what is compiled but the types of the ensemble, rounding and the post
//! transforms. Whatever is compiled is compared with this, bit by bit.

use crate::ensemble::{
    Aggregate, BaseOrder, Child, Comparison, Ensemble, Leaf, Linear, Missing, Node, Parts, Precision,
};
use crate::ensemble::{Test, Tree, Value, ZERO};
use crate::{Element, PredictError, Score};

/// Scores of rows. `rows` is `[rows, width]`, `out` is `[rows, targets]`, both row by row.
///
/// # Errors
/// The sizes do not go together.
pub fn predict<X: Element, Y: Score>(
    ensemble: &Ensemble,
    rows: &[X],
    width: usize,
    out: &mut [Y],
) -> Result<(), PredictError> {
    let parts = ensemble.parts();
    let count = crate::check_sizes(parts.features, parts.targets, rows.len(), width, out.len())?;
    if count == 0 {
        return Ok(());
    }
    for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(parts.targets)) {
        let row: Vec<f64> = row.iter().map(|number| rounded(*number, parts.thresholds)).collect();
        for (out, score) in out.iter_mut().zip(scores(parts, &row)) {
            *out = Y::from_f64(score);
        }
    }
    Ok(())
}

/// A number in the type that it is compared in.
fn rounded<X: Element>(number: X, precision: Precision) -> f64 {
    match precision {
        Precision::F32 => number.to_f32().into(),
        Precision::F64 => number.to_f64(),
    }
}

/// Scores of a row: numbers of the type that the ensemble adds them up in.
fn scores(parts: &Parts, row: &[f64]) -> Vec<f64> {
    let precision = parts.scores;
    let begin = match parts.aggregate {
        Aggregate::Sum | Aggregate::Average => 0.0,
        Aggregate::Min => largest(precision),
        Aggregate::Max => -largest(precision),
    };
    let mut scores = match parts.base_order {
        BaseOrder::BeforeTrees if !parts.base.is_empty() => parts.base.clone(),
        _ => vec![begin; parts.targets],
    };
    for tree in &parts.trees {
        let Some(leaf) = leaf(tree, row) else { continue };
        for vote in &leaf.votes {
            let value = match &vote.value {
                Value::Constant(value) => *value,
                Value::Linear(linear) => round(linear_value(linear, row), precision),
            };
            let value = round(tree.weight * value, precision);
            let Some(score) = scores.get_mut(vote.target as usize) else { continue };
            *score = match parts.aggregate {
                Aggregate::Sum | Aggregate::Average => round(*score + value, precision),
                Aggregate::Min => {
                    if value < *score {
                        value
                    } else {
                        *score
                    }
                }
                Aggregate::Max => {
                    if value > *score {
                        value
                    } else {
                        *score
                    }
                }
            };
        }
    }
    if parts.aggregate == Aggregate::Average {
        scores.iter_mut().for_each(|score| *score = round(*score / parts.trees.len() as f64, precision));
    }
    if parts.base_order == BaseOrder::AfterTrees {
        for (score, base) in scores.iter_mut().zip(&parts.base) {
            *score = round(*score + base, precision);
        }
    }
    match precision {
        Precision::F64 => crate::transform::double(parts.transform, &mut scores),
        Precision::F32 => {
            let mut singles: Vec<f32> = scores.iter().map(|score| *score as f32).collect();
            crate::transform::single(parts.transform, &mut singles);
            scores = singles.into_iter().map(f64::from).collect();
        }
    }
    scores
}

/// To the nearest number of a type. An operation on two numbers of f32 that is done in f64 and then rounded is the
/// operation in f32: 53 bits are more than twice 24 and two.
fn round(value: f64, precision: Precision) -> f64 {
    match precision {
        Precision::F32 => f64::from(value as f32),
        Precision::F64 => value,
    }
}

fn largest(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => f32::MAX.into(),
        Precision::F64 => f64::MAX,
    }
}

/// The leaf that a row reaches.
fn leaf<'a>(tree: &'a Tree, row: &[f64]) -> Option<&'a Leaf> {
    let mut place = tree.root;
    loop {
        match place {
            Child::Leaf(index) => return tree.leaves.get(index as usize),
            Child::Node(index) => {
                let node = tree.nodes.get(index as usize)?;
                let number = *row.get(node.feature as usize)?;
                place = if goes_yes(node, number) { node.yes } else { node.no };
            }
        }
    }
}

fn goes_yes(node: &Node, number: f64) -> bool {
    let number = match node.missing {
        Missing::Nothing => number,
        Missing::NanAsZero => {
            if number.is_nan() {
                0.0
            } else {
                number
            }
        }
        Missing::Nan { yes } => {
            if number.is_nan() {
                return yes;
            }
            number
        }
        Missing::NanOrZero { yes } => {
            if number.is_nan() || (-ZERO..=ZERO).contains(&number) {
                return yes;
            }
            number
        }
    };
    match &node.test {
        Test::Compare { comparison, threshold } => match comparison {
            Comparison::AtMost => number <= *threshold,
            Comparison::Below => number < *threshold,
            Comparison::AtLeast => number >= *threshold,
            Comparison::Above => number > *threshold,
            Comparison::Equal => number == *threshold,
            Comparison::Unequal => number != *threshold,
        },
        Test::Member(members) => members.contains(&number),
        Test::Category(words) => {
            let category = number.trunc();
            let bits = words.len() as f64 * 32.0;
            if number <= -1.0 || category.is_nan() || category >= bits {
                return false;
            }
            let category = category as usize;
            words.get(category / 32).is_some_and(|word| word >> (category % 32) & 1 == 1)
        }
    }
}

fn linear_value(linear: &Linear, row: &[f64]) -> f64 {
    let mut value = linear.intercept;
    for (feature, coefficient) in &linear.terms {
        let number = row.get(*feature as usize).copied().unwrap_or(f64::NAN);
        if number.is_nan() {
            return linear.otherwise;
        }
        value += coefficient * number;
    }
    value
}
