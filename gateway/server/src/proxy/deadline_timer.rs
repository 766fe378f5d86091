//! The deadline timer: one for all the time limits of a connection.
//!
//! Every request has a deadline, every pause a limit, and nearly none is ever reached. Setting a timer for each costs more
//! than the rest of their bookkeeping, so one sleeps until the earliest moment that it was ever asked for, and only then
//! looks whether that still counts.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// Longer than any request: what `none` comes to.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// A timer that is asked for one moment after the other.
#[derive(Debug, Default)]
pub struct DeadlineTimer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Who is woken by it.
    listener: Option<Waker>,
}

impl DeadlineTimer {
    /// Ready once `moment` has passed. The task is woken then, and perhaps before.
    pub fn poll_at(&mut self, context: &mut Context<'_>, moment: Option<Instant>) -> Poll<()> {
        let Some(moment) = moment else { return Poll::Pending };
        let target = tokio::time::Instant::from_std(moment);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(target)));
        if sleep.deadline() > target {
            sleep.as_mut().reset(target);
            self.listener = None;
        }
        let waker = context.waker();
        // Asking takes two locked instructions, several times in a request.
        if !sleep.is_elapsed() && self.listener.as_ref().is_some_and(|listener| listener.will_wake(waker)) {
            return Poll::Pending;
        }
        self.listener = None;
        while sleep.as_mut().poll(context).is_ready() {
            if tokio::time::Instant::now() >= target {
                // For whoever asks next: most likely for later.
                sleep.as_mut().reset(target + FAR);
                return Poll::Ready(());
            }
            sleep.as_mut().reset(target);
        }
        self.listener = Some(waker.clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn until(timer: &mut DeadlineTimer, moment: Instant) -> Duration {
        let started = tokio::time::Instant::now();
        poll_fn(|context| timer.poll_at(context, Some(moment))).await;
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_each_moment_whether_later_or_earlier_than_the_last() {
        let mut timer = DeadlineTimer::default();
        for seconds in [5, 1, 3, 3, 1] {
            let moment = tokio::time::Instant::now().into_std() + Duration::from_secs(seconds);
            let took = until(&mut timer, moment).await;
            assert!(took >= Duration::from_secs(seconds) && took < Duration::from_secs(seconds + 1), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_once_for_the_past_and_never_without_a_moment() {
        let mut timer = DeadlineTimer::default();
        let now = tokio::time::Instant::now().into_std();
        assert_eq!(until(&mut timer, now).await, Duration::ZERO);
        let never = poll_fn(|context| timer.poll_at(context, None));
        assert!(tokio::time::timeout(Duration::from_secs(3600), never).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_whoever_asked_last_even_if_the_moment_stays() {
        let mut timer = DeadlineTimer::default();
        let moment = tokio::time::Instant::now().into_std() + Duration::from_secs(2);
        assert!(timer.poll_at(&mut Context::from_waker(Waker::noop()), Some(moment)).is_pending());
        assert_eq!(until(&mut timer, moment).await, Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_that_was_left_does_not_ring_for_the_next() {
        let mut timer = DeadlineTimer::default();
        let now = tokio::time::Instant::now().into_std();
        let soon = poll_fn(|context| timer.poll_at(context, Some(now + Duration::from_secs(2))));
        assert!(tokio::time::timeout(Duration::from_secs(1), soon).await.is_err());
        assert!(until(&mut timer, now + Duration::from_secs(10)).await >= Duration::from_secs(9));
    }
}
