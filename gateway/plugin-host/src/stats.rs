//! What a plugin's instances did: for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::BreakerState;

/// Figures of one loaded plugin. Counters only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginStats {
    /// Instances that exist now.
    pub instances: usize,
    /// Of them, those that wait for a call.
    pub idle: usize,
    /// Counter: instances made.
    pub created: u64,
    /// Counter: instances replaced because of their age or size.
    pub recycled: u64,
    /// Counter: instances thrown away after a failed or cancelled call.
    pub discarded: u64,
    /// Counter: calls that took more than an epoch or two on their thread's stack and were begun again on a fiber.
    pub overran: u64,
    /// Calls that wait for their turn now.
    pub waiting: usize,
    /// Counter: calls that were refused because every instance was busy, or whose turn did not come in time.
    pub exhausted: u64,
    /// Counter: calls that had to wait until an instance was made.
    pub cold: u64,
    /// Counter: lines that a guest wrote beyond its allowance.
    pub log_lines_dropped: u64,
    /// Most bytes of memory that one instance has had.
    pub memory_peak: usize,
    /// Whether it is called at all.
    pub breaker: BreakerState,
}

/// The counters behind [`PluginStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) created: AtomicU64,
    pub(crate) recycled: AtomicU64,
    pub(crate) discarded: AtomicU64,
    pub(crate) overran: AtomicU64,
    pub(crate) exhausted: AtomicU64,
    pub(crate) cold: AtomicU64,
    pub(crate) log_lines_dropped: AtomicU64,
    pub(crate) memory_peak: AtomicUsize,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A number of places, given out without waiting.
#[derive(Debug)]
pub(crate) struct Slots {
    limit: usize,
    taken: AtomicUsize,
}

impl Slots {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: AtomicUsize::new(0) })
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// A place until the guard is dropped, or none: there is no queue.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Slot> {
        let more = |taken| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Slot(Arc::clone(self)))
    }
}

/// A place in [`Slots`].
#[derive(Debug)]
pub(crate) struct Slot(Arc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_come_back() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take(), slots.take());
        assert!(first.is_some() && second.is_some());
        assert!(slots.take().is_none());
        drop(first);
        assert!(slots.take().is_some());
        drop(second);
        assert_eq!(slots.taken(), 0);
    }
}
