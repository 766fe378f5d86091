//! Where time and random bytes come from: the machine, or a simulation of it.

use std::fmt::Debug;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock and random bytes that somebody else controls: for tests of plugins. Run-time limits of guests stay on the
/// machine's clock.
pub trait Simulation: Debug + Send + Sync {
    /// Time of day, since 1970-01-01T00:00:00Z.
    fn time_of_day(&self) -> Duration;

    /// Time since any fixed point. It must never step back.
    fn elapsed(&self) -> Duration;

    /// Fills all of `bytes` for a guest that asks for random ones.
    fn fill(&self, bytes: &mut [u8]);

    /// As [`Simulation::fill`], for the guest's language runtime, which seeds its tables with them: apart, so that what a
    /// plugin asks for does not depend on how many of those there are.
    fn seed(&self, bytes: &mut [u8]);
}

/// The machine's time and random bytes, unless they are simulated.
#[derive(Debug, Clone, Default)]
pub struct Surroundings(Option<Arc<dyn Simulation>>);

/// What clocks that never step back count from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Surroundings {
    pub fn simulated(simulation: Arc<dyn Simulation>) -> Self {
        Self(Some(simulation))
    }

    pub(crate) fn simulation(&self) -> Option<&dyn Simulation> {
        self.0.as_deref()
    }

    /// Tells simulations that are in use from each other, and from none.
    pub(crate) fn identity(&self) -> usize {
        self.0.as_ref().map_or(0, |simulation| Arc::as_ptr(simulation).cast::<()>().addr())
    }

    /// What lifetimes and rates are reckoned by.
    pub(crate) fn now(&self) -> Instant {
        match &self.0 {
            None => Instant::now(),
            Some(simulation) => START.checked_add(simulation.elapsed()).unwrap_or(*START),
        }
    }

    /// Time of day; zero on a machine that believes to live before 1970.
    pub(crate) fn since_epoch(&self) -> Duration {
        match &self.0 {
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Some(simulation) => simulation.time_of_day(),
        }
    }

    /// Nanoseconds since the first use in this process, or since the start of the simulation.
    pub(crate) fn monotonic_nanos(&self) -> u64 {
        self.0.as_ref().map_or_else(machine_nanos, |simulation| nanos(simulation.elapsed()))
    }
}

/// Nanoseconds since the first use in this process, by the machine's clock. Never zero, which Go's runtime takes for a
/// broken clock.
pub(crate) fn machine_nanos() -> u64 {
    nanos(START.elapsed()).max(1)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::service::{Bucket, BucketSpec};

    /// Milliseconds since its start, which was the beginning of 1970.
    #[derive(Debug, Default)]
    struct Millis(AtomicU64);

    impl Simulation for Millis {
        fn time_of_day(&self) -> Duration {
            self.elapsed()
        }

        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }

        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }

        fn seed(&self, bytes: &mut [u8]) {
            bytes.fill(8);
        }
    }

    #[test]
    fn the_machines_clock_goes_on_and_is_never_at_zero() {
        let first = machine_nanos();
        assert!(first > 0 && machine_nanos() >= first);
    }

    #[test]
    fn simulated_time_stands_still_until_it_is_moved() {
        let millis = Arc::new(Millis::default());
        let surroundings = Surroundings::simulated(Arc::clone(&millis) as _);
        let before = surroundings.now();
        assert_eq!((surroundings.now(), surroundings.monotonic_nanos()), (before, 0));
        millis.0.store(5, Ordering::Relaxed);
        assert_eq!(surroundings.now() - before, Duration::from_millis(5));
        assert_eq!((surroundings.since_epoch(), surroundings.monotonic_nanos()), (Duration::from_millis(5), 5_000_000));
    }

    #[test]
    fn a_bucket_fills_by_the_time_of_its_surroundings() {
        let millis = Arc::new(Millis(AtomicU64::new(99)));
        let spec = BucketSpec { tokens: 1, period: Duration::from_secs(1), burst: 1, keys_limit: 1 };
        let bucket = Bucket::within(&spec, Surroundings::simulated(Arc::clone(&millis) as _));
        assert!(bucket.take(b"k", 1).allowed);
        millis.0.store(1098, Ordering::Relaxed);
        assert!(!bucket.take(b"k", 1).allowed);
        millis.0.store(1099, Ordering::Relaxed);
        assert!(bucket.take(b"k", 1).allowed);
    }

    #[test]
    fn simulations_are_told_apart_from_each_other_and_from_the_machine() {
        let [one, other] = [(); 2].map(|()| Surroundings::simulated(Arc::new(Millis::default())));
        assert_eq!(one.identity(), one.clone().identity());
        assert!(one.identity() != other.identity() && one.identity() != Surroundings::default().identity());
    }
}
