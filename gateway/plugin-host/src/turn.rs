//! Whose turn it is: how many hooks of a plugin run at once, and how many wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time;

use crate::spec::PluginLimits;
use crate::stats::Slots;

/// The turns of one plugin.
#[derive(Debug)]
pub(crate) struct Turns {
    /// None: whoever finds an instance has its turn, because nothing else was asked for and that costs nothing.
    counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted {
    free: Semaphore,
    /// Taken by whoever waits, who may give up at any time.
    queue: Arc<Slots>,
    queue_limit: usize,
    timeout: Duration,
}

/// The right to run one hook, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(#[expect(dead_code, reason = "given back when it is dropped")] Option<SemaphorePermit<'a>>);

/// Why there is no turn.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoTurn {
    #[error("as many hooks run as may, and nobody may wait (`queue_limit`)")]
    Busy,
    #[error("as many hooks run as may, and {0} wait")]
    Full(usize),
    #[error("as many hooks run as may; waited for {0:?}")]
    Late(Duration),
}

impl Turns {
    pub(crate) fn new(limits: &PluginLimits) -> Self {
        let PluginLimits { instances, concurrency, queue, queue_timeout: timeout, .. } = *limits;
        let at_once = concurrency.min(instances);
        let free = || Semaphore::new(at_once.min(Semaphore::MAX_PERMITS));
        let counted = (queue > 0 || at_once < instances).then(|| Counted {
            free: free(),
            queue: Slots::new(queue),
            queue_limit: queue,
            timeout,
        });
        Self { counted }
    }

    /// A turn, if there is one now and nobody waits for it.
    pub(crate) fn take(&self) -> Option<Turn<'_>> {
        match &self.counted {
            None => Some(Turn(None)),
            Some(counted) => counted.free.try_acquire().ok().map(|permit| Turn(Some(permit))),
        }
    }

    /// A turn, after waiting if need be: first come, first served.
    ///
    /// # Errors
    /// [`NoTurn`]: the queue is full, or it took too long.
    pub(crate) async fn wait(&self) -> Result<Turn<'_>, NoTurn> {
        if let Some(turn) = self.take() {
            return Ok(turn);
        }
        let Some(Counted { free, queue, queue_limit, timeout }) = &self.counted else { return Ok(Turn(None)) };
        let Some(_place) = queue.take() else {
            return Err(if *queue_limit == 0 { NoTurn::Busy } else { NoTurn::Full(*queue_limit) });
        };
        match time::timeout(*timeout, free.acquire()).await {
            // It is never closed.
            Ok(permit) => Ok(Turn(permit.ok())),
            Err(_) => Err(NoTurn::Late(*timeout)),
        }
    }

    /// Hooks that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.counted.as_ref().map_or(0, |counted| counted.queue.taken())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(concurrency: usize, queue: usize) -> Turns {
        let limits = PluginLimits::new(1, Duration::from_millis(1), 4);
        Turns::new(&PluginLimits { concurrency, queue, queue_timeout: Duration::from_millis(20), ..limits })
    }

    #[test]
    fn without_a_limit_of_its_own_everybody_has_a_turn() {
        let turns = turns(4, 0);
        assert!((0..100).map(|_| turns.take()).all(|turn| turn.is_some()));
    }

    #[tokio::test]
    async fn so_many_run_at_once_so_many_wait_and_the_rest_is_turned_away() {
        let turns = turns(1, 1);
        let running = turns.take().unwrap();
        assert!(turns.take().is_none());
        let mut waits = Box::pin(turns.wait());
        assert!(futures_poll(&mut waits).await.is_none());
        assert_eq!(turns.waiting(), 1);
        assert_eq!(turns.wait().await.unwrap_err(), NoTurn::Full(1));
        drop(running);
        assert!(turns.take().is_none(), "whoever waits is first");
        drop(waits.await.unwrap());
        assert_eq!(turns.waiting(), 0);
        assert!(turns.take().is_some());
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_the_timeout_or_without_a_queue() {
        let (queued, unqueued) = (turns(1, 1), turns(1, 0));
        let _running = (queued.take().unwrap(), unqueued.take().unwrap());
        assert_eq!(queued.wait().await.unwrap_err(), NoTurn::Late(Duration::from_millis(20)));
        assert_eq!(unqueued.wait().await.unwrap_err(), NoTurn::Busy);
        assert_eq!(queued.waiting(), 0);
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_the_queue() {
        let turns = turns(1, 1);
        let _running = turns.take().unwrap();
        let mut waits = Box::pin(turns.wait());
        assert!(futures_poll(&mut waits).await.is_none());
        drop(waits);
        assert_eq!(turns.waiting(), 0);
    }

    /// Polls once.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
