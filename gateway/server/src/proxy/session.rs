//! One request and its client: what every step of the walk has in hand.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::proxy::closing::Closing;
use crate::proxy::context::RequestCtx;
use crate::proxy::deadline_timer::DeadlineTimer;
use crate::proxy::downstream::{ClientError, Downstream};
use crate::proxy::failure::Failure;
use crate::proxy::origin::Origin;

/// What a request uses of its connection.
pub struct Connected<'c> {
    pub client: Downstream<'c>,
    pub timer: &'c mut DeadlineTimer,
    pub closing: &'c mut Closing,
    pub origin: &'c Origin,
}

/// A request that is served.
pub struct Session<'c> {
    pub client: Downstream<'c>,
    pub timer: &'c mut DeadlineTimer,
    pub closing: &'c mut Closing,
    pub origin: &'c Origin,
    pub ctx: RequestCtx<'c>,
}

/// Why there is no more waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The gateway ends.
    CutOff,
    /// The request's deadline has passed.
    Deadline,
    /// The moment that was asked for has passed.
    Moment,
}

impl Over {
    /// As a failure; `paused`: who has paused for too long if it was for the moment.
    pub fn into_failure(self, paused: impl FnOnce() -> Failure) -> Failure {
        match self {
            Self::CutOff => Failure::CutOff,
            Self::Deadline => Failure::DeadlineExceeded,
            Self::Moment => paused(),
        }
    }
}

impl Session<'_> {
    /// Longest pause of the client within a body.
    pub fn pause(&self) -> Duration {
        self.ctx.snapshot.config.downstream.body_timeout
    }

    /// Ready once the request is over, or a moment has passed.
    pub fn poll_over(&mut self, context: &mut Context<'_>, moment: Option<Instant>) -> Poll<Over> {
        if self.closing.poll_cut_off(context).is_ready() {
            return Poll::Ready(Over::CutOff);
        }
        let deadline = self.ctx.deadline;
        let earlier = match (deadline, moment) {
            (Some(deadline), Some(moment)) => Some(deadline.min(moment)),
            (deadline, moment) => deadline.or(moment),
        };
        self.timer.poll_at(context, earlier).map(|()| {
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if late { Over::Deadline } else { Over::Moment }
        })
    }

    /// Runs `work` while the client is there and the request is not over.
    ///
    /// # Errors
    /// The client is gone, or the request is over; `work` is dropped then.
    pub async fn bounded<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(output) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            if let Poll::Ready(error) = self.client.poll_gone(context) {
                return Poll::Ready(Err(ClientError::Disconnected(error).into()));
            }
            self.poll_over(context, None).map(|over| Err(over.into_failure(|| Failure::DeadlineExceeded)))
        })
        .await
    }

    /// Sends what has been written to the client.
    ///
    /// # Errors
    /// It is gone or takes nothing for too long, or the request is over.
    pub async fn flush(&mut self) -> Result<(), Failure> {
        let (mut waits, mut moved) = (0, None);
        poll_fn(|context| {
            if let Poll::Ready(sent) = self.client.poll_flush(context) {
                return Poll::Ready(sent.map_err(|error| ClientError::Disconnected(error).into()));
            }
            let unsent = self.client.unsent();
            let since = moved.get_or_insert_with(Instant::now);
            if unsent != waits {
                (waits, *since) = (unsent, Instant::now());
            }
            let until = *since + self.pause();
            self.poll_over(context, Some(until)).map(|over| Err(over.into_failure(takes_nothing)))
        })
        .await
    }
}

/// The client has taken nothing of what waits for it, for too long.
pub fn takes_nothing() -> Failure {
    ClientError::Disconnected(io::Error::new(io::ErrorKind::TimedOut, "it takes nothing of the response")).into()
}
