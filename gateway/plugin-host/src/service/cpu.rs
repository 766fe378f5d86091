//! How much of its processor time the gateway uses.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The present figure, for any thread to read.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    permille: AtomicU32,
}

impl CpuMeter {
    /// 1000 is all that the process may use.
    pub(crate) fn permille(&self) -> u32 {
        self.permille.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, permille: u32) {
        self.permille.store(permille, Ordering::Relaxed);
    }
}

/// A pause of this length weighs the past down to 1/e: long enough to smooth a burst of parsing, short enough to shed
/// before queues form.
const TIME_CONSTANT: Duration = Duration::from_secs(1);

/// Turns readings of two clocks into a smoothed share.
#[derive(Debug)]
pub(crate) struct CpuSampler {
    threads: f64,
    /// Processor time and time of day of the last reading.
    last: (Duration, Duration),
    share: f64,
}

impl CpuSampler {
    /// `threads`: how many can run at once.
    pub(crate) fn new(threads: usize, cpu: Duration, wall: Duration) -> Self {
        Self { threads: threads.max(1) as f64, last: (cpu, wall), share: 0.0 }
    }

    /// Takes a reading and returns the smoothed share in thousandths.
    pub(crate) fn push(&mut self, cpu: Duration, wall: Duration) -> u32 {
        let (last_cpu, last_wall) = self.last;
        let elapsed = wall.saturating_sub(last_wall).as_secs_f64();
        if elapsed > 0.0 {
            let share = (cpu.saturating_sub(last_cpu).as_secs_f64() / elapsed / self.threads).min(1.0);
            let weight = 1.0 - (-elapsed / TIME_CONSTANT.as_secs_f64()).exp();
            self.share += (share - self.share) * weight;
            self.last = (cpu, wall);
        }
        (self.share * 1000.0).round() as u32
    }
}

/// Processor time that this process has used.
pub(crate) fn process_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_steady_load_is_reached_within_a_few_seconds() {
        let mut sampler = CpuSampler::new(2, ms(0), ms(0));
        let last = (1..=20).map(|n| sampler.push(ms(250 * n), ms(250 * n))).last();
        assert!(last.is_some_and(|permille| (490..=500).contains(&permille)), "one of two threads is busy: {last:?}");
    }

    #[test]
    fn one_busy_sample_moves_the_figure_by_a_part_only() {
        let mut sampler = CpuSampler::new(1, ms(0), ms(0));
        let after = sampler.push(ms(250), ms(250));
        assert!((150..350).contains(&after), "{after}");
    }

    #[test]
    fn clocks_that_stand_still_or_step_do_no_harm() {
        let mut sampler = CpuSampler::new(1, ms(100), ms(100));
        assert_eq!(sampler.push(ms(100), ms(100)), 0);
        assert_eq!(sampler.push(ms(50), ms(50)), 0);
        assert!(sampler.push(ms(10_000), ms(200)) <= 1000);
    }

    #[test]
    fn the_process_uses_time() {
        assert!(process_time() > Duration::ZERO);
    }
}
