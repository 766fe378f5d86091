//! What can be wrong with a node, a graph, or the values that they are given.

use crate::shape::{Shape, ShapeError};
use crate::value::Value;

/// A node that no operator can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// There is no such operator, or none of this version.
    #[error("{op_type} of {} in version {opset} is not known{}", domain_name(.domain), other_version(*.since))]
    Unknown {
        domain: String,
        op_type: String,
        opset: u32,
        /// The oldest version that has the operator, if another version has it.
        since: Option<u32>,
    },
    #[error("attribute '{name}': {problem}")]
    Attribute { name: String, problem: String },
    /// An input, counted from 0.
    #[error("input {index}: {problem}")]
    Input { index: usize, problem: String },
    #[error("expected {expected} {what}, got {got}")]
    Count { what: &'static str, expected: String, got: usize },
    /// What the standard allows and this crate does not do, or what runtimes answer differently.
    #[error("{0}")]
    Unsupported(String),
    /// A graph within the node.
    #[error("attribute '{name}': {problem}")]
    Graph { name: String, problem: Box<GraphError> },
}

fn domain_name(domain: &str) -> &str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

fn other_version(version: Option<u32>) -> String {
    version.map(|version| format!("; it is known since {version}")).unwrap_or_default()
}

impl BuildError {
    pub fn attribute(name: &str, problem: impl Into<String>) -> Self {
        Self::Attribute { name: name.to_owned(), problem: problem.into() }
    }
}

/// Values that an operator cannot be run with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// An input, counted from 0, of another kind or type.
    #[error("input {index}: expected {expected}, got {got}")]
    Input { index: usize, expected: String, got: String },
    #[error("{0}")]
    Shape(String),
    /// An element that there is no answer for: an index out of range, a word where a number should be.
    #[error("{0}")]
    Element(String),
    #[error("{what}: {needed} needed, {limit} allowed")]
    Limit { what: &'static str, needed: u64, limit: u64 },
    /// Whoever asked for the run does not wait for it any more.
    #[error("the run was stopped")]
    Stopped,
    /// A node of a graph within the node.
    #[error("{node}: {problem}")]
    Within { node: String, problem: Box<Self> },
}

impl OperatorError {
    fn is_stopped(&self) -> bool {
        match self {
            Self::Stopped => true,
            Self::Within { problem, .. } => problem.is_stopped(),
            _ => false,
        }
    }

    pub fn input(index: usize, expected: impl Into<String>, got: &Value) -> Self {
        Self::Input { index, expected: expected.into(), got: got.to_string() }
    }

    pub fn limit(what: &'static str, needed: usize, limit: usize) -> Self {
        Self::Limit { what, needed: needed as u64, limit: limit as u64 }
    }

    pub(crate) fn axis(axis: i64, shape: &Shape) -> Self {
        Self::Shape(format!("axis {axis} is out of range for a tensor of {shape}"))
    }
}

/// What went wrong in a graph within a node.
impl From<RunError> for OperatorError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Node { node, problem } => Self::Within { node, problem: Box::new(problem) },
            RunError::Limit(problem) => problem,
            other @ RunError::Inputs { .. } => Self::Shape(other.to_string()),
        }
    }
}

impl From<ShapeError> for OperatorError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error.to_string())
    }
}

/// Nodes that no graph can be made of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Those that are not known, each once; [`UNKNOWN_LIMIT`](crate::graph::UNKNOWN_LIMIT) of them at most.
    #[error("operators that are not known: {}", .0.join(", "))]
    Unknown(Vec<String>),
    #[error("{node}: {problem}")]
    Node { node: String, problem: BuildError },
    /// A node of constants alone that fails whatever is asked.
    #[error("{node}: {problem}")]
    Constant { node: String, problem: OperatorError },
    #[error("'{name}', which {needed_by} needs, is neither an input nor made by a node")]
    Missing { name: String, needed_by: String },
    #[error("'{0}' is made twice")]
    Twice(String),
    #[error("{0} need each other")]
    Cycle(String),
    #[error("expected at most {limit} {what}, got {got}")]
    Limit { what: &'static str, limit: usize, got: usize },
    #[error("{0}")]
    Opset(String),
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("expected {expected} inputs, got {got}")]
    Inputs { expected: usize, got: usize },
    #[error("{node}: {problem}")]
    Node { node: String, problem: OperatorError },
    #[error("the inputs: {0}")]
    Limit(OperatorError),
}

impl RunError {
    /// Whether it ended because it was stopped.
    pub fn is_stopped(&self) -> bool {
        match self {
            Self::Node { problem, .. } | Self::Limit(problem) => problem.is_stopped(),
            Self::Inputs { .. } => false,
        }
    }
}
