//! How many failures of stages go to the log: clients decide how often a stage fails, and a line with a traceback for each
//! would fill a disk.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Failures of stages, and of what they leave running. Twenty a second show what goes wrong in each of several stages.
pub static FAILURE_LINES: LogLimit = LogLimit::per_second(20);

/// Admits so many lines in a second, and counts the others.
#[derive(Debug)]
pub struct LogLimit {
    limit: u64,
    began: OnceLock<Instant>,
    /// Seconds since then, in the upper half, and lines in that second, in the lower.
    window: AtomicU64,
    dropped: AtomicU64,
    told: AtomicU64,
}

/// Lines of one second are counted in so many bits.
const LINES: u32 = 32;

impl LogLimit {
    pub const fn per_second(limit: u32) -> Self {
        Self {
            limit: limit as u64,
            began: OnceLock::new(),
            window: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    /// Whether a line may be written now, and how many were dropped since the last that was; none: this one is dropped.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let second = now.saturating_duration_since(*self.began.get_or_init(|| now)).as_secs();
        let window = self.window.fetch_update(Relaxed, Relaxed, |window| {
            let same = window >> LINES == second;
            let lines = if same { window & u64::from(u32::MAX) } else { 0 };
            (lines < self.limit).then_some(second << LINES | (lines + 1))
        });
        if window.is_err() {
            self.dropped.fetch_add(1, Relaxed);
            return None;
        }
        let dropped = self.dropped.load(Relaxed);
        Some(dropped.saturating_sub(self.told.swap(dropped, Relaxed)))
    }

    /// Lines that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_too_much_in_a_second_is_dropped_counted_and_told_of_with_the_next() {
        let (limit, began) = (LogLimit::per_second(3), Instant::now());
        let admitted = |milliseconds: u64| limit.admit(began + Duration::from_millis(milliseconds));
        let first: Vec<_> = [0, 10, 20, 30, 999].map(admitted).to_vec();
        assert_eq!(first, [Some(0), Some(0), Some(0), None, None]);
        assert_eq!([1_000, 1_001].map(admitted), [Some(2), Some(0)]);
        assert_eq!(limit.dropped(), 2);
    }

    #[test]
    fn threads_share_it() {
        let (limit, now) = (LogLimit::per_second(5), Instant::now());
        let admitted: usize = std::thread::scope(|scope| {
            let count = || (0..100).filter(|_| limit.admit(now).is_some()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
        });
        assert_eq!((admitted, limit.dropped()), (5, 395));
    }
}
