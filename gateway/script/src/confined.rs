//! What scripts wait for belongs to a thread, and those who drive it ask for what could go to another.
#![expect(unsafe_code, reason = "says of something that it may go to another thread")]

use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// A future that stays on the thread where it was made. Proxy threads run their tasks themselves, so it does.
pub struct Confined<F> {
    future: ManuallyDrop<F>,
    home: u64,
}

// SAFETY: on other threads than its own the future is neither polled nor dropped nor given out.
unsafe impl<F> Send for Confined<F> {}

impl<F> Confined<F> {
    pub fn new(future: F) -> Self {
        Self { future: ManuallyDrop::new(future), home: here() }
    }
}

/// The number of this thread, which no other has. `std::thread::current` counts references to say it.
fn here() -> u64 {
    static THREADS: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static HERE: u64 = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    HERE.with(|number| *number)
}

impl<F: Future> Future for Confined<F> {
    type Output = F::Output;

    /// # Panics
    /// On another thread than its own.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        assert!(self.home == here(), "polled on another thread than its own");
        // SAFETY: the future is pinned as long as this is, and this is its thread.
        unsafe { self.map_unchecked_mut(|confined| &mut *confined.future) }.poll(context)
    }
}

impl<F> Drop for Confined<F> {
    /// On another thread than its own, where it must not be dropped, it stays in memory.
    fn drop(&mut self) {
        if self.home == here() {
            // SAFETY: nobody uses it any more, and this is its thread.
            unsafe { ManuallyDrop::drop(&mut self.future) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::Waker;
    use std::thread;

    use super::*;

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_future_runs_and_goes_on_its_own_thread() {
        let held = Rc::new(());
        let mut future = Box::pin(Confined::new({
            let held = Rc::clone(&held);
            async move {
                tokio::task::yield_now().await;
                Rc::strong_count(&held)
            }
        }));
        assert_eq!(poll(future.as_mut()), Poll::Pending);
        assert_eq!(poll(future.as_mut()), Poll::Ready(2));
        drop(future);
        assert_eq!(Rc::strong_count(&held), 1);
    }

    #[test]
    fn on_another_thread_a_future_is_neither_polled_nor_dropped() {
        let held = Rc::new(());
        let future = Confined::new({
            let held = Rc::clone(&held);
            async move {
                let _held = held;
                pending::<()>().await;
            }
        });
        let polled = thread::spawn(move || {
            let mut future = pin!(future);
            catch_unwind(AssertUnwindSafe(|| poll(future.as_mut()).is_pending())).is_ok()
        });
        assert!(!polled.join().unwrap());
        assert_eq!(Rc::strong_count(&held), 2, "it was not dropped");
    }
}
