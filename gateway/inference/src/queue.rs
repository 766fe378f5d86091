//! Requests that wait for a run of a model, and those who wait for the answers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::model::Model;
use crate::stats::RunOutcome;
use crate::{Cancel, InferError, Tensor};

pub(crate) type Answer = Result<Vec<Tensor>, InferError>;

/// Requests in the order in which they came.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) jobs: VecDeque<Job>,
    /// Turns of threads that are taken or asked for, and those of them that have not begun.
    pub(crate) turns: usize,
    pub(crate) turns_pending: usize,
}

/// A request that waits.
pub(crate) struct Job {
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) outputs: Vec<usize>,
    pub(crate) rows: usize,
    pub(crate) queued_at: Instant,
    pub(crate) reply: oneshot::Sender<Answer>,
    pub(crate) run: Arc<OnceLock<Arc<Run>>>,
}

/// A run for one or several requests: cancelled once nobody waits for it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) cancel: Cancel,
    awaited_by: AtomicUsize,
}

impl Run {
    pub(crate) fn new(requests: usize) -> Arc<Self> {
        Arc::new(Self { cancel: Cancel::default(), awaited_by: AtomicUsize::new(requests) })
    }

    fn leave(&self) {
        if self.awaited_by.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.cancel.cancel();
        }
    }
}

/// The answer to come. Dropping it takes the request back: out of the queue, or out of the run.
pub(crate) struct Waiting {
    pub(crate) model: Arc<Model>,
    pub(crate) reply: oneshot::Receiver<Answer>,
    pub(crate) run: Arc<OnceLock<Arc<Run>>>,
    pub(crate) queued_at: Instant,
    pub(crate) deadline: Option<Instant>,
    /// How it ended, once it has.
    pub(crate) outcome: Option<RunOutcome>,
}

impl Waiting {
    /// Waits, for a place in a run no longer than the model's limit says, and for the answer until the deadline.
    pub(crate) async fn answer(mut self) -> Answer {
        let queue_until = self.queued_at + self.model.options().queue_timeout;
        let first = self.deadline.map_or(queue_until, |deadline| deadline.min(queue_until));
        let mut answer = self.until(Some(first)).await;
        if answer.is_none() && self.deadline != Some(first) {
            answer = if self.run.get().is_some() {
                self.until(self.deadline).await
            } else {
                Some(Err(InferError::Overloaded))
            };
        }
        let answer = answer.unwrap_or(Err(InferError::Deadline));
        self.outcome = Some(RunOutcome::of(&answer));
        answer
    }

    /// None: the time is over.
    async fn until(&mut self, end: Option<Instant>) -> Option<Answer> {
        let gone = |_| Err(InferError::Failed("the run was given up".to_owned()));
        let Some(end) = end else { return Some((&mut self.reply).await.unwrap_or_else(gone)) };
        tokio::select! {
            biased;
            answer = &mut self.reply => Some(answer.unwrap_or_else(gone)),
            () = tokio::time::sleep_until(end.into()) => None,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or(RunOutcome::Cancelled);
        self.model.stats().ended(outcome);
        // From here on the request is not begun any more, and if it was, its run has one less to run for.
        self.reply.close();
        if let Some(run) = self.run.get() {
            run.leave();
        }
    }
}
