//! What can be wrong with an ensemble, with compiling it, and with the rows that it is run on.

use std::io;
use std::time::Duration;

/// Parts that make no ensemble. Trees and nodes are named as the model's file names them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EnsembleError {
    #[error("the ensemble has no trees: it needs at least one")]
    NoTrees,
    #[error("the ensemble has no targets: it needs at least one")]
    NoTargets,
    #[error("the ensemble has {count} {what}, and at most {limit} are taken")]
    TooMany { what: &'static str, count: usize, limit: usize },
    #[error("the tree {tree} is deeper than {limit} nodes")]
    Depth { tree: i64, limit: usize },
    /// A child that is not there.
    #[error("{from} of the tree {tree} leads to the {kind} at {index}, and the tree has only {count} of them")]
    Child { tree: i64, from: Place, kind: &'static str, index: u32, count: usize },
    #[error("the node {node} of the tree {tree} leads back to itself: trees have no cycles")]
    Cycle { tree: i64, node: i64 },
    #[error("several nodes of the tree {tree} lead to the node {node}: in a tree each node has one parent")]
    Shared { tree: i64, node: i64 },
    #[error("no way leads from the root of the tree {tree} to its {kind} {index}")]
    Unreachable { tree: i64, kind: &'static str, index: i64 },
    #[error("the node {node} of the tree {tree} tests the feature {feature}, and rows have {features} (0 to {last})",
        last = features.saturating_sub(1))]
    Feature { tree: i64, node: i64, feature: i64, features: usize },
    #[error("the leaf {leaf} of the tree {tree} is linear in the feature {feature}, and rows have {features}")]
    LinearFeature { tree: i64, leaf: usize, feature: u32, features: usize },
    #[error("the leaf {leaf} of the tree {tree} votes for the target {target}, and there are {targets} (0 to {last})",
        last = targets.saturating_sub(1))]
    Target { tree: i64, leaf: i64, target: i64, targets: usize },
    #[error("{what} of the tree {tree} is {value}, which is no number of the type {precision}")]
    Rounded { tree: i64, what: Place, value: f64, precision: &'static str },
    #[error("{what} of the tree {tree} is NaN: it has to be a number")]
    Nan { tree: i64, what: Place },
    #[error("the weight of the tree {tree} is {value}: it has to be a finite number")]
    TreeWeight { tree: i64, value: f64 },
    #[error("base values: got {got}, and there have to be none or {expected}, one for each target")]
    BaseLength { got: usize, expected: usize },
    #[error("the base value {index} is {value}: it has to be a finite number of the type {precision}")]
    BaseValue { index: usize, value: f64, precision: &'static str },
    #[error("base values can only come before the trees if votes are summed up")]
    BaseOrder,
    /// Attributes of an operator that do not go together.
    #[error(transparent)]
    Attributes(#[from] crate::onnx::AttributeError),
}

/// A place in a tree, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Root,
    Node(i64),
    Threshold(i64),
    Member(i64),
    Vote(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("the root"),
            Self::Node(id) => write!(f, "the node {id}"),
            Self::Threshold(id) => write!(f, "the threshold of the node {id}"),
            Self::Member(id) => write!(f, "a member of the set of the node {id}"),
            Self::Vote(leaf) => write!(f, "a vote of the leaf {leaf}"),
        }
    }
}

/// An ensemble that cannot be compiled as asked for.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Only if that layout was asked for; otherwise another one is taken.
    #[error("the ensemble does not go into the layout `{layout}`: {reason}")]
    Layout { layout: &'static str, reason: String },
    #[error("machine code for {trees} of {total} trees takes {bytes} bytes, and at most {limit} are allowed")]
    CodeSize { trees: usize, total: usize, bytes: usize, limit: usize },
    #[error(
        "generating code for {trees} of {total} trees took {took:.1?} of processor time, and at most {limit:?} are allowed"
    )]
    CodeTime { trees: usize, total: usize, took: Duration, limit: Duration },
    #[error("tables of the ensemble take {bytes} bytes, and at most {limit} are allowed")]
    Tables { bytes: usize, limit: usize },
    /// A fault of the code generator, or a processor that it does not know.
    #[error("no machine code can be generated: {0}")]
    Generator(String),
    #[error("no memory can be had for machine code: {0}")]
    Memory(#[source] io::Error),
    #[error("rows of f32 were promised for thresholds of f32 or f64, and f64 for thresholds of f32 is no promise")]
    Rows,
    #[error("the compiled model cannot be used: {0}")]
    Artifact(&'static str),
}

/// Rows that an ensemble cannot be run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PredictError {
    #[error("a row has {got} numbers, and the ensemble looks at {expected}")]
    Width { got: usize, expected: usize },
    #[error("{got} numbers do not make whole rows of {width}")]
    Rows { got: usize, width: usize },
    #[error("there is room for {got} scores, and {rows} rows with {targets} targets have {expected}")]
    Room { got: usize, rows: usize, targets: usize, expected: usize },
    #[error("the ensemble was compiled for rows of f32, and other numbers do not fit in there")]
    Wider,
}
