//! Why a call into a guest failed.

use std::fmt;

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use witgate_stage::{FailureKind, FieldError};

/// A call that gave no answer, or none that can be used.
#[derive(Debug)]
pub struct Fault {
    pub kind: FailureKind,
    /// For logs and diagnostics; one line.
    reason: String,
}

impl Fault {
    pub(crate) fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// An answer with a field, status or body that cannot be sent.
    pub(crate) fn invalid_output(what: &str, error: FieldError) -> Self {
        Self::new(FailureKind::InvalidOutput, format!("the answer's {what} cannot be used: {error}"))
    }

    /// What the engine reported. `denied` says that the guest was refused memory in the same call: a guest that then
    /// aborts died of the limit.
    pub(crate) fn from_engine(error: &wasmtime::Error, denied: bool) -> Self {
        let trap = error.downcast_ref::<Trap>();
        let kind = if trap == Some(&Trap::Interrupt) {
            FailureKind::Deadline
        } else if denied {
            FailureKind::Limit
        } else if error.is::<PoolConcurrencyLimitError>() {
            FailureKind::Unavailable
        } else {
            FailureKind::Trap
        };
        let mut reason = trap.and_then(words).map_or_else(|| error.root_cause().to_string(), str::to_owned);
        if let Some(function) = innermost(error) {
            reason.push_str(" in ");
            reason.push_str(&function);
        }
        Self::new(kind, reason)
    }
}

/// What a guest did to be stopped, as its operator may know it; none: the engine's words have to do.
fn words(trap: &Trap) -> Option<&'static str> {
    Some(match trap {
        Trap::UnreachableCodeReached => "it gave up (`unreachable`: a panic or an abort)",
        Trap::MemoryOutOfBounds | Trap::TableOutOfBounds => "it reached beyond its memory",
        Trap::StackOverflow => "its calls nested too deeply for its stack",
        Trap::IntegerDivisionByZero => "it divided by zero",
        Trap::IntegerOverflow | Trap::BadConversionToInteger => "a number was too large for its type",
        Trap::IndirectCallToNull | Trap::BadSignature | Trap::NullReference => "it called a function that is not there",
        Trap::Interrupt => "it was stopped at its time limit",
        _ => return None,
    })
}

/// The function that was running: enough to know where to look, and it fits in a line.
fn innermost(error: &wasmtime::Error) -> Option<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    // The guest's own machinery of panics and aborts tops most backtraces and explains nothing.
    let machinery =
        |name: &&str| ["panic", "abort", "rust_", "alloc::", "core::"].iter().any(|part| name.contains(part));
    let name = names.clone().find(|name| !machinery(name)).or_else(|| names.clone().next())?;
    Some(name.chars().take(200).collect())
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Fault {}
