//! What goes wrong in a stage.

use std::error::Error;

/// What kind of failure a stage had. The kind, not the stage, decides the answer to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The guest or script crashed.
    Trap,
    /// It was stopped at its time limit.
    Deadline,
    /// It asked for more memory than its limit.
    Limit,
    /// Its answer cannot be used: a forbidden field, an impossible status, a body that is too large.
    InvalidOutput,
    /// No instance was free.
    Unavailable,
    /// It was not called, because it had failed again and again.
    Breaker,
}

impl FailureKind {
    pub const ALL: [Self; 6] =
        [Self::Trap, Self::Deadline, Self::Limit, Self::InvalidOutput, Self::Unavailable, Self::Breaker];

    /// Label in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Limit => "limit",
            Self::InvalidOutput => "invalid_output",
            Self::Unavailable => "unavailable",
            Self::Breaker => "breaker",
        }
    }
}

/// A stage failed; it decided nothing.
#[derive(Debug, thiserror::Error)]
#[error("stage `{stage}` failed ({})", kind.label())]
pub struct StageError {
    /// [`crate::Stage::name`].
    pub stage: String,
    pub kind: FailureKind,
    /// For the log alone; a client never sees it.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}
