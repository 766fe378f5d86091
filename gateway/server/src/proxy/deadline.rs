//! Ends a request at its route's deadline, whatever it is waiting for.
//!
//! Pingora has timeouts for single reads and writes, but none for a whole request: an upstream that sends one byte now
//! and then would keep it alive for ever. The future that serves a request is therefore wrapped in [`Bounded`], and the
//! code inside says by [`set`] until when it may run. The first answer to a deadline is a 504 by the upstream's read
//! timeout; dropping the whole request here is the last resort, after a response has begun.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

thread_local! {
    /// Deadline of the request that this thread is polling.
    static CURRENT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// How much later than the read timeout a request is dropped: enough for the 504 to be written.
const GRACE: Duration = Duration::from_millis(250);

/// Sets or lifts the deadline of the request being served by the calling task.
pub fn set(deadline: Option<Instant>) {
    CURRENT.set(deadline);
}

/// A request's future, with the deadline that it set for itself.
pub struct Bounded<F> {
    inner: F,
    deadline: Option<Instant>,
    /// Sleeps until the deadline it was made for.
    alarm: Option<(Instant, Pin<Box<tokio::time::Sleep>>)>,
}

impl<F: Future + Unpin> Bounded<F> {
    pub fn new(inner: F) -> Self {
        Self { inner, deadline: None, alarm: None }
    }
}

impl<F: Future + Unpin> Future for Bounded<F> {
    /// None: the deadline passed, and the request has to be dropped.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        CURRENT.set(this.deadline);
        let polled = Pin::new(&mut this.inner).poll(context);
        this.deadline = CURRENT.take();
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Some(output));
        }
        let Some(deadline) = this.deadline else {
            this.alarm = None;
            return Poll::Pending;
        };
        let alarm = match &mut this.alarm {
            Some((set_for, alarm)) if *set_for == deadline => alarm,
            other => {
                let sleep = Box::pin(tokio::time::sleep_until((deadline + GRACE).into()));
                &mut other.insert((deadline, sleep)).1
            }
        };
        alarm.as_mut().poll(context).map(|()| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_future_without_deadline_runs_as_long_as_it_likes() {
        let inner = Box::pin(async { tokio::time::sleep(Duration::from_secs(3600)).await });
        assert_eq!(Bounded::new(inner).await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_ends_at_the_deadline_it_set() {
        let inner = Box::pin(async {
            set(Some(tokio::time::Instant::now().into_std() + Duration::from_secs(1)));
            std::future::pending::<()>().await;
        });
        let started = tokio::time::Instant::now();
        assert_eq!(Bounded::new(inner).await, None);
        assert!(started.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lifted_deadline_no_longer_counts() {
        let inner = Box::pin(async {
            set(Some(tokio::time::Instant::now().into_std() + Duration::from_secs(1)));
            tokio::time::sleep(Duration::from_millis(10)).await;
            set(None);
            tokio::time::sleep(Duration::from_secs(60)).await;
        });
        assert_eq!(Bounded::new(inner).await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_on_one_thread_do_not_see_each_others_deadline() {
        let short = Box::pin(async {
            set(Some(tokio::time::Instant::now().into_std() + Duration::from_secs(1)));
            std::future::pending::<()>().await;
        });
        let long = Box::pin(async { tokio::time::sleep(Duration::from_secs(60)).await });
        let (short, long) = tokio::join!(Bounded::new(short), Bounded::new(long));
        assert_eq!((short, long), (None, Some(())));
    }
}
