//! The clock and the random bytes of cases: whatever a file of them says, and the same in each run.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use witgate_plugin_host::Simulation;

/// Time that stands still until it is moved, and random bytes that follow from a seed.
#[derive(Debug)]
pub(crate) struct Simulated(Mutex<State>);

#[derive(Debug)]
struct State {
    time_of_day: Duration,
    elapsed: Duration,
    /// What comes before the random bytes.
    given: Bytes,
    random: fastrand::Rng,
    /// For the runtimes of guests' languages.
    seeds: fastrand::Rng,
}

impl Simulated {
    /// Begins at `now`, or at the machine's time of day.
    pub(crate) fn new(now: Option<Duration>, seed: u64) -> Self {
        let time_of_day = now.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let random = || fastrand::Rng::with_seed(seed);
        let (given, elapsed) = (Bytes::new(), Duration::ZERO);
        Self(Mutex::new(State { time_of_day, elapsed, given, random: random(), seeds: random() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass.
    pub(crate) fn advance(&self, time: Duration) {
        let mut state = self.state();
        state.time_of_day = state.time_of_day.saturating_add(time);
        state.elapsed = state.elapsed.saturating_add(time);
    }

    /// Goes to a time of day. The time until then passes; if it is over already, the clock is set back, and no time passes.
    pub(crate) fn go_to(&self, now: Duration) {
        let mut state = self.state();
        state.elapsed = state.elapsed.saturating_add(now.saturating_sub(state.time_of_day));
        state.time_of_day = now;
    }

    /// Has random bytes follow from another seed.
    pub(crate) fn reseed(&self, seed: u64) {
        self.state().random = fastrand::Rng::with_seed(seed);
    }

    /// What whoever asks for random bytes gets first.
    pub(crate) fn give(&self, bytes: Bytes) {
        self.state().given = bytes;
    }
}

impl Simulation for Simulated {
    fn time_of_day(&self) -> Duration {
        self.state().time_of_day
    }

    fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.state();
        let given = state.given.len().min(bytes.len());
        let given = state.given.split_to(given);
        let (first, rest) = bytes.split_at_mut(given.len());
        first.copy_from_slice(&given);
        state.random.fill(rest);
    }

    fn seed(&self, bytes: &mut [u8]) {
        self.state().seeds.fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_clock_that_is_set_back_lets_no_time_pass() {
        let simulated = Simulated::new(Some(5 * SECOND), 0);
        simulated.advance(SECOND);
        assert_eq!((simulated.time_of_day(), simulated.elapsed()), (6 * SECOND, SECOND));
        simulated.go_to(10 * SECOND);
        assert_eq!((simulated.time_of_day(), simulated.elapsed()), (10 * SECOND, 5 * SECOND));
        simulated.go_to(SECOND);
        assert_eq!((simulated.time_of_day(), simulated.elapsed()), (SECOND, 5 * SECOND));
    }

    #[test]
    fn random_bytes_follow_from_the_seed_after_those_that_are_given() {
        let bytes = |simulated: &Simulated| {
            let mut bytes = [0; 8];
            simulated.fill(&mut bytes);
            bytes
        };
        let (one, same, other) = (Simulated::new(None, 1), Simulated::new(None, 1), Simulated::new(None, 2));
        let first = bytes(&one);
        same.seed(&mut [0; 16]);
        assert_eq!(first, bytes(&same), "runtimes of languages take nothing away from plugins");
        assert_ne!(first, bytes(&other));
        one.reseed(1);
        one.give(Bytes::from_static(b"ten bytes."));
        assert_eq!((&bytes(&one), &bytes(&one)[..2]), (b"ten byte", &b"s."[..]));
        assert_ne!(bytes(&one), bytes(&one));
    }
}
