//! How many guests there are, for the threads that keep their time.
//!
//! Without guests these threads wake for the processor clock only: to do it for each epoch would take other threads off their
//! processors a thousand times a second, for nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// Those of all engines of the process.
pub(crate) static GUESTS: Guests = Guests::new();

#[derive(Debug)]
pub(crate) struct Guests {
    count: AtomicUsize,
    keepers: Mutex<Vec<Thread>>,
}

impl Guests {
    const fn new() -> Self {
        Self { count: AtomicUsize::new(0), keepers: Mutex::new(Vec::new()) }
    }

    /// Counts one more, for as long as the result lives, and wakes the threads if it is the first.
    pub(crate) fn one_more(&self) -> Guest<'_> {
        if self.count.fetch_add(1, Ordering::AcqRel) == 0 {
            self.keepers().iter().for_each(Thread::unpark);
        }
        Guest(self)
    }

    pub(crate) fn are_none(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Makes this thread one of those that are unparked by the first guest, for as long as the result lives.
    pub(crate) fn keep_time(&self) -> Keeping<'_> {
        self.keepers().push(thread::current());
        Keeping(self)
    }

    fn keepers(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Guest<'a>(&'a Guests);

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug)]
pub(crate) struct Keeping<'a>(&'a Guests);

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        let own = thread::current().id();
        self.0.keepers().retain(|keeper| keeper.id() != own);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_first_guest_wakes_those_who_keep_time() {
        let guests = Guests::new();
        thread::scope(|scope| {
            let (tell, told) = channel();
            let guests = &guests;
            let keeper = scope.spawn(move || {
                let _keeping = guests.keep_time();
                tell.send(()).unwrap();
                while guests.are_none() {
                    thread::park();
                }
            });
            told.recv().unwrap();
            let (first, second) = (guests.one_more(), guests.one_more());
            keeper.join().unwrap();
            drop(first);
            assert!(!guests.are_none());
            drop(second);
        });
        assert!(guests.are_none());
        assert!(guests.keepers().is_empty());
    }
}
