//! The contract between the proxy and the stages of a route's pipeline.
//!
//! A [`Stage`] sees an [`Exchange`] (one request and, later, its response) and answers with a [`Verdict`]: carry on with
//! these [`Edits`], or respond now. What a stage *decides* is `Ok(Verdict)`; what goes *wrong* in a stage is a
//! [`StageError`], and the stage's [`FailurePolicy`] says what the client then gets. A [`Pipeline`] runs the stages of a
//! route in order for the request and in reverse for the response.
//!
//! This crate names no proxy and no runtime of plugins. An exchange is the proxy's own state of a request, so nothing is
//! copied or converted to run a stage.

mod desk;
mod edit;
mod error;
mod exchange;
mod log_limit;
mod pipeline;
mod refusal;
mod response;
mod stopwatch;
mod store;
mod usage;

pub use desk::BodyDesk;
pub use edit::{EDITS_LIMIT, Edit, Edits, FieldError, Side, VALUE_LIMIT, is_forbidden};
pub use error::{FailureKind, StageError};
pub use exchange::{Attributes, Client, Ended, Exchange, Home, Original, RequestHead, ResponseHead, Score};
pub use log_limit::{FAILURE_LINES, LogLimit};
pub use pipeline::{BodyMode, Disposition, FailurePolicy, Hook, Observer, Outcome, Pipeline, Progress, Step};
pub use refusal::{ErrorCode, Refusal};
pub use response::Response;
pub use stopwatch::Stopwatch;
pub use store::{Store, StoreRefusal, StoreWhen};
pub use usage::{Account, Accounts, Usage};

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

/// What a stage decided. Answers are in boxes: a verdict is handed on many times, and most carry none.
#[derive(Debug)]
pub enum Verdict {
    /// On to the next stage, with these changes made to the head in hand.
    Continue(Edits),
    /// As `Continue`, with these bytes in the place of those in hand (body hooks only).
    Replace(Edits, Bytes),
    /// Answer the client with this response. In a request hook nothing later sees the request; in a response hook the
    /// upstream's response is replaced.
    Respond(Box<Response>),
    /// Answer the client with the gateway's own error envelope; in a response hook, in the place of the response.
    Refuse(Box<Refusal>),
}

/// A running hook: gives the exchange back, whatever happened.
pub type StageFuture<'a> = Pin<Box<dyn Future<Output = (Box<Exchange>, Result<Verdict, StageError>)> + Send + 'a>>;

/// A hook that was called: it has ended, or it goes on.
pub enum Run<'a> {
    /// What its [`StageFuture`] would have given.
    Ended(Box<Exchange>, Result<Verdict, StageError>),
    Waits(StageFuture<'a>),
}

/// One configured step of a pipeline.
///
/// Hooks take the exchange and give it back, because a stage may have to move it somewhere that outlives a borrow, such
/// as the store of a WASM instance. A hook that is dropped before it ends takes the exchange with it: only the end of
/// the request itself may do that.
pub trait Stage: Send + Sync {
    /// Name for logs and metrics: the plugin's, model's or script's name in the configuration.
    fn name(&self) -> &str;

    /// Whether this hook does anything; the pipeline does not call hooks that do not.
    fn has(&self, hook: Hook) -> bool;

    /// How a body hook that it has wants the body.
    fn body_mode(&self, hook: Hook) -> BodyMode {
        let _ = hook;
        BodyMode::Chunks
    }

    /// How a body hook that it has wants the body of the message in hand; at most what [`Stage::body_mode`] says. Asked when
    /// the hooks for the head have run.
    fn body_need(&self, hook: Hook, exchange: &Exchange) -> BodyMode {
        let _ = exchange;
        self.body_mode(hook)
    }

    /// Whether its response hooks see the answers that its own request hooks make, as filters of nginx do.
    fn filters_own_answers(&self) -> bool {
        false
    }

    /// Whether it may ask for the request's body while it looks at the head ([`Exchange::desk`]).
    fn may_ask_for_body(&self) -> bool {
        false
    }

    /// Whether it can answer in the upstream's place: the request has nobody else to answer it then.
    fn answers(&self) -> bool {
        false
    }

    /// Calls a hook. What it needs is in the exchange: the response's head from [`Hook::ResponseHeaders`] on, a piece of a
    /// body in the body hooks.
    fn run(&self, hook: Hook, exchange: Box<Exchange>) -> Run<'_>;
}
