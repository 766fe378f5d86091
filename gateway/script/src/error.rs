//! What goes wrong with scripts.

use std::fmt;

use witgate_stage::FailureKind;

/// Why a script did not end as it should. The text is for the log; a client never sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// An error that the script raised, with its traceback.
    #[error("runtime error: {0}")]
    Runtime(String),
    /// It ran for longer than it may.
    #[error("stopped after {limit_ms} ms of run time (`cpu_limit`) at:{traceback}")]
    RunTime { limit_ms: u128, traceback: String },
    /// It waited for longer than it may.
    #[error("stopped after {limit_ms} ms (`wall_timeout`)")]
    WallTime { limit_ms: u128 },
    #[error("{0}")]
    Memory(MemoryLimit),
    /// What it answers with cannot be sent.
    #[error("unusable response: {0}")]
    Output(String),
    /// Its VM could not be made.
    #[error("the VM cannot be started: {0}")]
    Start(String),
}

/// Which limit was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    Request,
    Vm,
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "out of memory: it took more than `request_memory_limit`",
            Self::Vm => "out of memory: its VM has reached `memory_limit`",
        })
    }
}

impl ScriptError {
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Runtime(_) => FailureKind::Trap,
            Self::RunTime { .. } | Self::WallTime { .. } => FailureKind::Deadline,
            Self::Memory(_) => FailureKind::Limit,
            Self::Output(_) => FailureKind::InvalidOutput,
            Self::Start(_) => FailureKind::Unavailable,
        }
    }
}

/// Something in a configuration that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    pub concern: Concern,
    /// Of the code that it concerns, from 1.
    pub line: Option<usize>,
    pub message: String,
    pub help: String,
}

/// Where the mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// Settings of the VM.
    Vm,
    Init,
    InitWorker,
    Phase(crate::Phase),
}
