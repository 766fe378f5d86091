//! What an ensemble of decision trees is, in plain data.
//!
//! The parts are wide enough for ONNX (`ai.onnx.ml` 1 to 5, see [`onnx`](crate::onnx)) and for what the training libraries
//! write themselves:
//!
//! | Library | A node is | Scores |
//! |---|---|---|
//! | LightGBM | [`Comparison::AtMost`] a threshold in double, or [`Test::Category`]; `missing_type` None is [`Missing::NanAsZero`], Zero [`Missing::NanOrZero`], NaN [`Missing::Nan`] | double; [`Value::Linear`] for `linear_tree`; [`Aggregate::Average`] for `boosting = rf` |
//! | XGBoost | [`Comparison::Below`] a threshold in float, [`Missing::Nan`] with the default direction; or [`Test::Category`] | float, `base_score` [before the trees](BaseOrder::BeforeTrees), [`Tree::weight`] for DART |
//! | CatBoost | [`Comparison::Above`] a border in float; an oblivious tree is written out as the tree that it is, which costs no more: equal tests are done once | double |

use std::sync::Arc;

use crate::{EnsembleError, Limits, validate};

/// Type of floating-point numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    F32,
    F64,
}

/// Trees whose leaves vote for targets, and how votes become scores.
///
/// Scores of a row: `base` if it comes before the trees, or else zero; for each tree in order, and each vote of the leaf
/// that the row reaches, in order, its weight is aggregated into the score of its target; then averaging, `base` if it
/// comes after the trees, and `transform`. All of that is done in the precision of `scores`, one operation after the
/// other, so that the result is one and the same to the last bit however it is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// How many numbers a row has at least.
    pub features: usize,
    /// How many scores there are for a row.
    pub targets: usize,
    pub trees: Vec<Tree>,
    /// What features and thresholds are compared in. Numbers of rows are rounded to it, to the nearest.
    pub thresholds: Precision,
    /// What weights are added in.
    pub scores: Precision,
    pub aggregate: Aggregate,
    /// None, or one number for each target.
    pub base: Vec<f64>,
    pub base_order: BaseOrder,
    pub transform: Transform,
}

/// A tree: where it begins, nodes, and leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// What the model's file calls it, for messages.
    pub id: i64,
    pub root: Child,
    pub nodes: Vec<Node>,
    pub leaves: Vec<Leaf>,
    /// What each of its votes is multiplied with before it counts, in the precision of scores. 1 but for DART.
    pub weight: f64,
}

/// Index of a node or of a leaf in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Child {
    Node(u32),
    /// Several nodes may lead to the same leaf.
    Leaf(u32),
}

/// A question to a row, and where it goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What the model's file calls it, for messages.
    pub id: i64,
    /// Index of the number in the row.
    pub feature: u32,
    pub test: Test,
    pub missing: Missing,
    pub yes: Child,
    pub no: Child,
}

/// What is asked of a number.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// As IEEE 754 has it: -0 equals 0, and NaN compares to nothing, so it is only [`Unequal`](Comparison::Unequal).
    Compare { comparison: Comparison, threshold: f64 },
    /// Whether it is one of these. NaN is not.
    Member(Arc<[f64]>),
    /// Whether its integer part is a bit that is set: category `c` is bit `c % 32` of word `c / 32`. Numbers up to -1 and
    /// beyond the last word are not.
    Category(Arc<[u32]>),
}

/// How a number is compared to a threshold; the names of ONNX in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `<=` (`BRANCH_LEQ`)
    AtMost,
    /// `<` (`BRANCH_LT`)
    Below,
    /// `>=` (`BRANCH_GTE`)
    AtLeast,
    /// `>` (`BRANCH_GT`)
    Above,
    /// `==` (`BRANCH_EQ`)
    Equal,
    /// `!=` (`BRANCH_NEQ`)
    Unequal,
}

/// Which numbers are not tested, for they stand for a value that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    /// None is: the test says what becomes of NaN.
    Nothing,
    /// NaN is tested as if it were 0.
    NanAsZero,
    /// NaN is, and goes this way.
    Nan { yes: bool },
    /// NaN is, and what is at most [`ZERO`] away from 0; it goes this way.
    NanOrZero { yes: bool },
}

/// What LightGBM takes for zero: its constant is a float.
pub const ZERO: f64 = 1e-35_f32 as f64;

/// End of a tree: what it says of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// In the order in which they count. May be empty.
    pub votes: Vec<Vote>,
}

/// A number for a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Vote {
    pub target: u32,
    pub value: Value,
}

/// The number of a vote.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Constant(f64),
    Linear(Box<Linear>),
}

/// A linear function of the row, computed in double and then rounded to the precision of scores:
/// `intercept + coefficient * number + …`, from left to right.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    pub intercept: f64,
    /// Indices of features, and their coefficients.
    pub terms: Vec<(u32, f64)>,
    /// What it is if one of the numbers is NaN.
    pub otherwise: f64,
}

/// How the votes for a target become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregate {
    Sum,
    /// The sum divided by the number of trees, also if some of them do not vote for the target. This is what the operators'
    /// reference implementation does up to version 3 and ONNX Runtime in all versions; the reference of version 5 divides
    /// before it adds, which differs in the last bits.
    Average,
    /// Of the votes and the largest finite number.
    Min,
    /// Of the votes and the smallest finite number.
    Max,
}

/// When the base is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BaseOrder {
    /// It is what the votes are added to. Only for [`Aggregate::Sum`].
    BeforeTrees,
    /// To what came of the votes.
    AfterTrees,
}

/// What becomes of the scores of a row at last; the names of ONNX.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Transform {
    #[default]
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

/// [`Parts`] that go together: what is referred to is there, every node is reached, once, and everything is within limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble(Parts);

impl Ensemble {
    /// Holds parts to what they have to be. Takes time in proportion to their size.
    ///
    /// # Errors
    /// The first trouble, with its tree and node.
    pub fn new(parts: Parts, limits: &Limits) -> Result<Self, EnsembleError> {
        validate::check(&parts, limits)?;
        Ok(Self(parts))
    }

    pub fn parts(&self) -> &Parts {
        &self.0
    }
}
