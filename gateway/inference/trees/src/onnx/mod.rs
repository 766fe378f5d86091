//! Ensembles from the attributes of the operators `TreeEnsembleClassifier`, `TreeEnsembleRegressor` (`ai.onnx.ml` 1 and 3,
//! deprecated in 5) and `TreeEnsemble` (5).
//!
//! Attributes are taken as they stand in a file; whoever reads the file fills them in. Where the text of the operators says
//! nothing, the reference implementation of the `onnx` package (1.23) is followed:
//!
//! * Features and thresholds are compared in double if one of them is, or else in float; integers become floats.
//! * Weights are added in float, tree by tree in the order of tree ids, vote by vote in the order of the attributes; in
//!   double if weights, base values or the input are given in double.
//! * Base values of a classifier come before the trees, those of a regressor after aggregation.
//! * A classifier that only votes for its first class, and has one or two, is binary: see [`Classifier`].
//!
//! Otherwise than there: NaN is unequal to every threshold in all versions (the reference says so for version 5 only, ONNX
//! Runtime always), binary classifiers with negative votes and no transform have margins (see [`Classifier`]), averages are
//! sums that are divided at the end ([`Aggregate::Average`](crate::Aggregate)), 0 may be a member of a set, and post
//! transforms are applied by all operators.

mod chains;
mod classifier;
mod tables;
mod v5;

pub use classifier::{Class, Classifier, ClassifierAttributes, Labels};
pub use tables::{NodeAttributes, RegressorAttributes, VoteAttributes};
pub use v5::TreeEnsembleAttributes;

use crate::{Aggregate, Element, Precision, Transform};

/// Floating-point numbers of an attribute, in the type that the file has them in.
#[derive(Debug, Clone, PartialEq)]
pub enum Floats {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Default for Floats {
    fn default() -> Self {
        Self::F32(Vec::new())
    }
}

impl Floats {
    pub fn len(&self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::F64(numbers) => numbers.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get(&self, index: usize) -> Option<f64> {
        match self {
            Self::F32(numbers) => numbers.get(index).copied().map(f64::from),
            Self::F64(numbers) => numbers.get(index).copied(),
        }
    }

    fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::F32(numbers) => numbers.iter().copied().map(f64::from).collect(),
            Self::F64(numbers) => numbers.clone(),
        }
    }

    fn is_double(&self) -> bool {
        matches!(self, Self::F64(_)) && !self.is_empty()
    }
}

/// Type of the operator's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    F32,
    F64,
    I32,
    I64,
}

/// What the rows of an operator are: the type, and how many numbers if the model says so. `None`: as many as nodes look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputRows {
    pub input: Input,
    pub features: Option<usize>,
}

impl InputRows {
    /// Of elements of a type.
    pub fn of<X: Element>(features: Option<usize>) -> Self {
        Self { input: X::INPUT, features }
    }

    fn is_double(self) -> bool {
        self.input == Input::F64
    }
}

fn precision(double: bool) -> Precision {
    if double { Precision::F64 } else { Precision::F32 }
}

/// Attributes that do not make an ensemble.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AttributeError {
    #[error("`{name}` has {got} elements, and `{other}` has {expected}: they belong together one by one")]
    Length { name: &'static str, got: usize, other: &'static str, expected: usize },
    #[error("`{name}` is missing or empty")]
    Empty { name: &'static str },
    #[error("`nodes_modes` has {mode} at {index}: expected one of {expected}")]
    Mode { index: usize, mode: String, expected: &'static str },
    #[error("`{name}` has {got} at {index}: expected {expected}")]
    Number { name: &'static str, index: usize, got: i64, expected: &'static str },
    #[error("`{name}` is {got}: expected {expected}")]
    Option { name: &'static str, got: String, expected: &'static str },
    #[error("the node {node} of the tree {tree} is there twice")]
    DuplicateNode { tree: i64, node: i64 },
    #[error("the {branch} branch of the node {node} of the tree {tree} leads to the node {child}, which is not there")]
    ChildId { tree: i64, node: i64, branch: &'static str, child: i64 },
    #[error("the vote {index} belongs to the node {node} of the tree {tree}, which is not there")]
    VoteNode { index: usize, tree: i64, node: i64 },
    #[error("the vote {index} belongs to the node {node} of the tree {tree}, which is no leaf")]
    VoteBranch { index: usize, tree: i64, node: i64 },
    #[error("the node {node} is part of several trees: in trees each node has one parent")]
    SharedNode { node: i64 },
    #[error("no tree has the node {node}")]
    UnusedNode { node: i64 },
    #[error("`membership_values` has {got} sets, each of which ends with NaN, and {expected} nodes test for members")]
    Members { got: usize, expected: usize },
    #[error("the class labels are {got}: expected {expected}")]
    Labels { got: String, expected: &'static str },
}

/// # Errors
/// The lengths differ.
fn same_length(name: &'static str, got: usize, other: &'static str, expected: usize) -> Result<(), AttributeError> {
    if got == expected { Ok(()) } else { Err(AttributeError::Length { name, got, other, expected }) }
}

/// The attribute `aggregate_function`, as text; empty is the default.
fn aggregate(name: &str) -> Result<Aggregate, AttributeError> {
    Ok(match name {
        "" | "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => {
            let expected = "SUM, AVERAGE, MIN or MAX";
            return Err(AttributeError::Option { name: "aggregate_function", got: other.to_owned(), expected });
        }
    })
}

/// The attribute `post_transform`, as text; empty is the default.
fn transform(name: &str) -> Result<Transform, AttributeError> {
    Ok(match name {
        "" | "NONE" => Transform::None,
        "SOFTMAX" => Transform::Softmax,
        "LOGISTIC" => Transform::Logistic,
        "SOFTMAX_ZERO" => Transform::SoftmaxZero,
        "PROBIT" => Transform::Probit,
        other => {
            let expected = "NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT";
            return Err(AttributeError::Option { name: "post_transform", got: other.to_owned(), expected });
        }
    })
}

/// An id or an index.
fn index(name: &'static str, index: usize, got: i64) -> Result<u32, AttributeError> {
    let expected = "a number from 0 to 4294967295";
    u32::try_from(got).map_err(|_| AttributeError::Number { name, index, got, expected })
}

/// How many features there are if nobody says so.
fn count_features(declared: Option<usize>, used: impl Iterator<Item = u32>) -> usize {
    declared.unwrap_or_else(|| used.max().map_or(1, |last| last as usize + 1))
}
