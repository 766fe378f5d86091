//! The time that scripts see: the machine's, or one that a test moves.
//!
//! With a stand-in, time passes where a script waits for it, and nowhere else: what waits longest is waited for last, whatever
//! the machine does. Everything here concerns one thread, as VMs do. Timeouts of sockets and the limits of scripts stay on the
//! machine's clock.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::deadline::Deadlines;

/// A clock that stands still until it is moved.
pub trait StandIn: Send + Sync {
    /// Since 1970.
    fn time_of_day(&self) -> Duration;
    /// Since it was made; never goes back.
    fn elapsed(&self) -> Duration;
    fn advance(&self, time: Duration);
}

thread_local! {
    static STAND_IN: RefCell<Option<Arc<dyn StandIn>>> = const { RefCell::new(None) };
    static WAITING: RefCell<Vec<Waiting>> = const { RefCell::new(Vec::new()) };
    static LAST: Cell<u64> = const { Cell::new(0) };
}

struct Waiting {
    number: u64,
    due: Duration,
    waker: Option<Waker>,
}

/// Who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// A script that goes on when the time has passed: it lets it pass.
    Goes,
    /// A timer, which waits for others to let it pass.
    Stays,
}

/// Until it is dropped, the scripts of this thread see the time of a stand-in.
#[must_use]
pub struct Guard(());

/// Has the scripts of this thread, and shared dictionaries as they see them, live by another clock. Comes before any VM is
/// made.
pub fn stand_in(clock: Arc<dyn StandIn>) -> Guard {
    STAND_IN.set(Some(clock));
    Guard(())
}

impl Drop for Guard {
    fn drop(&mut self) {
        STAND_IN.set(None);
        WAITING.take();
    }
}

impl Guard {
    /// Wakes what waited for the time that it is now.
    pub fn ring(&self) {
        if let Some(clock) = present() {
            ring(clock.elapsed());
        }
    }
}

fn present() -> Option<Arc<dyn StandIn>> {
    STAND_IN.with_borrow(Clone::clone)
}

pub(crate) fn is_stood_in() -> bool {
    STAND_IN.with_borrow(Option::is_some)
}

/// Since 1970.
pub(crate) fn time_of_day() -> Duration {
    STAND_IN.with_borrow(|clock| match clock {
        Some(clock) => clock.time_of_day(),
        None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
    })
}

/// Since a moment at which the machine's clock was asked.
pub(crate) fn since(origin: Instant) -> Duration {
    STAND_IN.with_borrow(|clock| match clock {
        Some(clock) => clock.elapsed(),
        None => origin.elapsed(),
    })
}

/// Times that others get to do what they can at once, before time passes.
const TURNS: u32 = 8;

/// Waits.
pub(crate) async fn sleep(time: Duration, patience: Patience) {
    let Some(clock) = present() else { return tokio::time::sleep(time).await };
    let number = LAST.get() + 1;
    LAST.set(number);
    let due = clock.elapsed().saturating_add(time);
    WAITING.with_borrow_mut(|waiting| waiting.push(Waiting { number, due, waker: None }));
    let _entry = Entry(number);
    let mut turns = 0;
    poll_fn(|context| {
        if clock.elapsed() >= due {
            return Poll::Ready(());
        }
        turns += 1;
        let next = WAITING.with_borrow(|waiting| waiting.iter().map(|one| (one.due, one.number)).min());
        if patience == Patience::Goes && turns > TURNS {
            // Whoever is due before goes first.
            if let Some((earliest, _)) = next {
                let now = clock.elapsed();
                clock.advance(earliest.saturating_sub(now));
                ring(clock.elapsed());
                if earliest >= due {
                    return Poll::Ready(());
                }
                turns = 0;
            }
        }
        WAITING.with_borrow_mut(|waiting| {
            if let Some(own) = waiting.iter_mut().find(|one| one.number == number) {
                own.waker = Some(context.waker().clone());
            }
        });
        if patience == Patience::Goes {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}

/// Waits for something, but no longer than for some time; none: it did not come.
pub(crate) async fn timeout<F: Future>(deadlines: &Rc<Deadlines>, time: Duration, future: F) -> Option<F::Output> {
    if !is_stood_in() {
        return deadlines.within(time, future).await;
    }
    tokio::select! {
        biased;
        output = future => Some(output),
        () = sleep(time, Patience::Goes) => None,
    }
}

/// Wakes those who are due.
fn ring(now: Duration) {
    let wakers: Vec<_> = WAITING.with_borrow_mut(|waiting| {
        waiting.iter_mut().filter(|one| one.due <= now).filter_map(|one| one.waker.take()).collect()
    });
    wakers.into_iter().for_each(Waker::wake);
}

/// Takes somebody off the list who no longer waits.
struct Entry(u64);

impl Drop for Entry {
    fn drop(&mut self) {
        // The list may be gone before what waits, when the thread ends.
        let _ = WAITING.try_with(|waiting| waiting.borrow_mut().retain(|one| one.number != self.0));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::join;

    use super::*;

    struct Still(AtomicU64);

    impl StandIn for Still {
        fn time_of_day(&self) -> Duration {
            Duration::from_secs(1000) + self.elapsed()
        }

        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }

        fn advance(&self, time: Duration) {
            self.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn time_passes_where_it_is_waited_for_and_the_first_who_is_due_goes_first() {
        let clock = Arc::new(Still(AtomicU64::new(0)));
        let guard = stand_in(Arc::clone(&clock) as _);
        let order = RefCell::new(Vec::new());
        let wait = async |millis: u64| {
            sleep(Duration::from_millis(millis), Patience::Goes).await;
            order.borrow_mut().push((millis, clock.elapsed().as_millis()));
        };
        join(wait(50_000), wait(20)).await;
        assert_eq!(*order.borrow(), [(20, 20), (50_000, 50_000)]);
        assert_eq!(time_of_day(), Duration::from_secs(1050));
        let later = sleep(Duration::from_secs(5), Patience::Stays);
        tokio::pin!(later);
        let deadlines = Rc::default();
        assert_eq!(
            timeout(&deadlines, Duration::from_secs(1), later.as_mut()).await,
            None,
            "a timer lets no time pass"
        );
        assert_eq!(timeout(&deadlines, Duration::from_secs(9), later).await, Some(()));
        assert_eq!(clock.elapsed().as_secs(), 55);
        drop(guard);
        assert!(time_of_day() > Duration::from_secs(1_000_000));
    }
}
