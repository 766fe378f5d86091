//! Keeps calls away from a plugin that fails again and again.
//!
//! Each failure costs an instance, and one that hangs costs its whole time limit of a processor; a plugin that does nothing
//! else is better not called for a while. Only what stops a guest counts: traps, time limits, memory limits. An answer that
//! cannot be used is an answer, and a plugin without a free instance was not called.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open it, however much time lies between them. One request of a client that knows how to crash a
/// plugin, or a few of them, must not be enough; a plugin that is broken reaches it at once.
const IN_ROW: u32 = 5;
/// The last calls that are looked at for a plugin that fails now and then: few enough to see within a second of traffic.
const CALLS: usize = 20;
/// How many of them may not have failed: half. Below it most requests are still served.
const FAILURES: usize = CALLS / 2;
/// Older failures do not count: the cause may be gone. Also the time after a pause within which the next one is longer.
const WINDOW: Duration = Duration::from_secs(10);
/// The first pause: short, for the cause may be a single client.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause: within a minute of the end of an outage, the plugin serves again.
const PAUSE_LIMIT: Duration = Duration::from_secs(60);

/// Whether a plugin is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum BreakerState {
    /// It is.
    #[default]
    Closed,
    /// The pause is over: the next call decides.
    HalfOpen,
    /// It is not: calls fail at once.
    Open,
}

/// What a call changed, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Opened { pause: Duration },
    Closed,
}

/// No failure is remembered: successes need not be told.
const CLEAN: u8 = 0;
/// Calls are let through, and all of them are told.
const WATCHED: u8 = 1;
/// Calls have to ask.
const OPEN: u8 = 2;

/// The breaker of one loaded plugin. While nothing fails a call reads one atomic twice.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// What `record` comes to; written under its lock.
    mode: AtomicU8,
    record: Mutex<Record>,
}

/// Leave to make a call. If it is a probe and is dropped before it was told how the call ended (the client left), the next
/// call is the probe.
#[derive(Debug)]
pub(crate) struct Pass<'a>(Option<&'a Breaker>);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if let Some(breaker) = self.0 {
            breaker.record().probing = false;
        }
    }
}

impl Breaker {
    /// Leave for a call, or how long there will be none; zero while another call is the probe.
    pub(crate) fn admit(&self) -> Result<Pass<'_>, Duration> {
        if self.mode.load(Ordering::Relaxed) != OPEN {
            return Ok(Pass(None));
        }
        let is_probe = self.record().admit(Instant::now())?;
        Ok(Pass(is_probe.then_some(self)))
    }

    /// The call ended well.
    pub(crate) fn succeeded(&self, pass: Pass<'_>) -> Option<Change> {
        if self.mode.load(Ordering::Relaxed) == CLEAN { None } else { self.told(pass, true) }
    }

    /// The guest was stopped.
    pub(crate) fn failed(&self, pass: Pass<'_>) -> Option<Change> {
        self.told(pass, false)
    }

    fn told(&self, mut pass: Pass<'_>, success: bool) -> Option<Change> {
        let is_probe = pass.0.take().is_some();
        let mut record = self.record();
        let change = record.told(Instant::now(), is_probe, success);
        self.mode.store(record.mode(), Ordering::Relaxed);
        change
    }

    pub(crate) fn state(&self) -> BreakerState {
        if self.mode.load(Ordering::Relaxed) == OPEN {
            self.record().state(Instant::now())
        } else {
            BreakerState::Closed
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of the last calls. Time is told, never asked for.
#[derive(Debug, Default)]
struct Record {
    failed_in_row: u32,
    /// Of the last calls, the newest last: when it failed, if it did. Those before the first failure are left out.
    calls: VecDeque<Option<Instant>>,
    /// There while it is open.
    open_until: Option<Instant>,
    /// A probe is under way.
    probing: bool,
    /// Length of the last pause, and when the breaker closed after it.
    pause: Duration,
    closed_at: Option<Instant>,
}

impl Record {
    fn mode(&self) -> u8 {
        match self.open_until {
            Some(_) => OPEN,
            None if self.calls.is_empty() => CLEAN,
            None => WATCHED,
        }
    }

    fn state(&self, now: Instant) -> BreakerState {
        match self.open_until {
            Some(until) if now < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
            None => BreakerState::Closed,
        }
    }

    /// Whether a call that may be made is the probe.
    fn admit(&mut self, now: Instant) -> Result<bool, Duration> {
        let Some(until) = self.open_until else { return Ok(false) };
        let left = until.saturating_duration_since(now);
        if self.probing || !left.is_zero() {
            return Err(left);
        }
        self.probing = true;
        Ok(true)
    }

    fn told(&mut self, now: Instant, is_probe: bool, success: bool) -> Option<Change> {
        if self.open_until.is_some() {
            // Calls that were under way when it opened say nothing new.
            return is_probe.then(|| if success { self.close(now) } else { self.open(now) });
        }
        if self.calls.len() == CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back((!success).then_some(now));
        let failed = self.calls.iter().flatten().filter(|&&at| now.saturating_duration_since(at) < WINDOW).count();
        if success {
            self.failed_in_row = 0;
            if failed == 0 {
                self.calls.clear();
            }
            return None;
        }
        self.failed_in_row = self.failed_in_row.saturating_add(1);
        (self.failed_in_row >= IN_ROW || failed >= FAILURES).then(|| self.open(now))
    }

    fn open(&mut self, now: Instant) -> Change {
        // A plugin that a single good call closed, and that fails on, is no better than one whose probe failed.
        let soon = self.closed_at.is_some_and(|at| now.saturating_duration_since(at) < WINDOW);
        let again = self.open_until.is_some() || soon;
        self.pause = if again { (self.pause * 2).clamp(PAUSE, PAUSE_LIMIT) } else { PAUSE };
        self.open_until = Some(now + self.pause);
        self.forget();
        Change::Opened { pause: self.pause }
    }

    fn close(&mut self, now: Instant) -> Change {
        self.open_until = None;
        self.closed_at = Some(now);
        self.forget();
        Change::Closed
    }

    fn forget(&mut self) {
        self.failed_in_row = 0;
        self.calls.clear();
        self.probing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// Tells of calls a millisecond apart; the last change.
    fn tell(record: &mut Record, now: &mut Instant, calls: impl IntoIterator<Item = bool>) -> Option<Change> {
        let mut change = None;
        for success in calls {
            *now += MILLISECOND;
            change = record.told(*now, false, success);
        }
        change
    }

    fn opened(seconds: u64) -> Option<Change> {
        Some(Change::Opened { pause: Duration::from_secs(seconds) })
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let (mut record, mut now) = (Record::default(), Instant::now());
        assert_eq!(tell(&mut record, &mut now, [false, false, false, false, true, false, false, false, false]), None);
        assert_eq!(record.mode(), WATCHED);
        assert_eq!(tell(&mut record, &mut now, [false]), opened(1));
        assert_eq!((record.mode(), record.state(now)), (OPEN, BreakerState::Open));
    }

    #[test]
    fn five_failures_in_a_row_open_it_however_rare_calls_are() {
        let (mut record, mut now) = (Record::default(), Instant::now());
        for _ in 0..4 {
            now += WINDOW * 6;
            assert_eq!(tell(&mut record, &mut now, [false]), None);
        }
        now += WINDOW * 6;
        assert_eq!(tell(&mut record, &mut now, [false]), opened(1));
    }

    #[test]
    fn half_of_the_last_twenty_calls_open_it_and_less_does_not() {
        let (mut record, mut now) = (Record::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(tell(&mut record, &mut now, [false, true, true]), None);
        }
        let (mut record, mut now) = (Record::default(), Instant::now());
        assert_eq!(tell(&mut record, &mut now, [false, true].repeat(9)), None);
        assert_eq!(tell(&mut record, &mut now, [false]), opened(1));
    }

    #[test]
    fn failures_that_are_long_past_do_not_count() {
        let (mut record, mut now) = (Record::default(), Instant::now());
        tell(&mut record, &mut now, [false, true].repeat(9));
        now += WINDOW;
        assert_eq!(tell(&mut record, &mut now, [false]), None);
        now += WINDOW;
        tell(&mut record, &mut now, [true]);
        assert_eq!(record.mode(), CLEAN, "successes are told for nothing");
    }

    #[test]
    fn one_call_after_the_pause_decides() {
        let (mut record, mut now) = (Record::default(), Instant::now());
        tell(&mut record, &mut now, [false; 5]);
        assert_eq!(record.admit(now), Err(PAUSE));
        now += PAUSE;
        assert_eq!(record.state(now), BreakerState::HalfOpen);
        assert_eq!(record.admit(now), Ok(true));
        assert_eq!(record.admit(now), Err(Duration::ZERO), "one probe at a time");
        assert_eq!(record.told(now, false, true), None, "a call from before it opened");
        assert_eq!(record.told(now, true, true), Some(Change::Closed));
        assert_eq!((record.mode(), record.admit(now)), (CLEAN, Ok(false)));
    }

    #[test]
    fn the_pause_doubles_up_to_a_minute_and_begins_anew_after_a_quiet_time() {
        let (mut record, mut now) = (Record::default(), Instant::now());
        tell(&mut record, &mut now, [false; 5]);
        for seconds in [2, 4, 8, 16, 32, 60, 60] {
            now += PAUSE_LIMIT;
            assert_eq!(record.admit(now), Ok(true));
            assert_eq!(record.told(now, true, false), opened(seconds));
        }
        now += PAUSE_LIMIT;
        assert_eq!((record.admit(now), record.told(now, true, true)), (Ok(true), Some(Change::Closed)));
        assert_eq!(tell(&mut record, &mut now, [false; 5]), opened(60), "it was closed for a moment only");
        now += PAUSE_LIMIT;
        assert_eq!((record.admit(now), record.told(now, true, true)), (Ok(true), Some(Change::Closed)));
        now += WINDOW;
        assert_eq!(tell(&mut record, &mut now, [false; 5]), opened(1));
    }

    #[test]
    fn a_probe_that_is_dropped_leaves_its_turn_to_the_next_call() {
        let breaker = Breaker::default();
        for _ in 0..IN_ROW {
            breaker.failed(breaker.admit().unwrap());
        }
        assert!(breaker.admit().is_err());
        breaker.record().open_until = Some(Instant::now());
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        let probe = breaker.admit().unwrap();
        assert!(breaker.admit().is_err());
        drop(probe);
        let probe = breaker.admit().unwrap();
        assert_eq!(breaker.succeeded(probe), Some(Change::Closed));
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
