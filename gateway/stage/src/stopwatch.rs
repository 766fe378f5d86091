//! Time of short pieces of work.

use std::sync::LazyLock;
use std::time::Duration;

use quanta::Clock;

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::new);

/// Measures pieces of work that follow one another. Reads the processor's time stamp counter where it is reliable, which
/// takes a quarter of the time of asking the operating system: a hook is measured in hundreds of nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(u64);

impl Stopwatch {
    /// The first one of a process finds out the counter's frequency, which takes up to 0.2 s.
    pub fn start() -> Self {
        Self(CLOCK.raw())
    }

    /// The time since the start, or since the last lap.
    pub fn lap(&mut self) -> Duration {
        let now = CLOCK.raw();
        CLOCK.delta(std::mem::replace(&mut self.0, now), now)
    }
}

#[cfg(test)]
mod tests {
    use std::time;

    use super::*;

    #[test]
    fn laps_add_up_to_the_time_that_the_operating_system_tells() {
        let _ = Stopwatch::start();
        let mut stopwatch = Stopwatch::start();
        let started = time::Instant::now();
        let mut laps = Duration::ZERO;
        while started.elapsed() < Duration::from_millis(50) {
            laps += stopwatch.lap();
        }
        laps += stopwatch.lap();
        let told = started.elapsed();
        let apart = told.abs_diff(laps);
        assert!(apart < told / 50, "{laps:?} and {told:?}");
    }
}
