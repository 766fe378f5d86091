//! How the process comes to its end: it says so and goes on accepting, so that whoever sends it connections can notice; then
//! it accepts nothing more, and what it has may end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// Connections are accepted until then, and told to close after each response.
    Accepting {
        until: Instant,
    },
    /// Listeners are closed. Requests in flight are cut off then.
    Finishing {
        until: Instant,
    },
}

/// The phase of this process, for whoever asks and whoever waits.
#[derive(Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    /// The same for the request path: a load instead of a lock.
    begun: AtomicBool,
    told: watch::Sender<bool>,
}

impl Default for Drain {
    fn default() -> Self {
        let (phase, told) = (watch::Sender::new(Phase::Serving), watch::Sender::new(false));
        Self { phase, begun: AtomicBool::new(false), told }
    }
}

impl Drain {
    /// Goes on accepting for that long.
    pub fn accept_for(&self, time: Duration) {
        self.enter(Phase::Accepting { until: Instant::now() + time });
    }

    /// Waits for that long at most.
    pub fn finish_within(&self, time: Duration) {
        self.enter(Phase::Finishing { until: Instant::now() + time });
    }

    fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
        self.begun.store(true, Ordering::Release);
        self.told.send_if_modified(|told| !std::mem::replace(told, true));
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether connections should be told to close: from the first moment of the drain on, while new ones are accepted, too.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Turns true when [`Self::has_begun`] does.
    pub fn begun(&self) -> watch::Receiver<bool> {
        self.told.subscribe()
    }
}

impl Phase {
    /// What `/ready` says of it, with so many requests in flight; none: nothing is wrong.
    pub fn describe(self, requests: i64) -> Option<String> {
        let left = |until: Instant| until.saturating_duration_since(Instant::now()).as_secs_f64();
        match self {
            Self::Serving => None,
            Self::Accepting { until } => Some(format!(
                "draining\nconnections are accepted for {:.1} s more and told to close; requests in flight: {requests}\n",
                left(until)
            )),
            Self::Finishing { until } => Some(format!(
                "draining\nno connections are accepted; requests in flight: {requests}, cut off in {:.1} s\n",
                left(until)
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_begins_once_and_tells_what_it_waits_for() {
        let drain = Drain::default();
        let begun = drain.begun();
        assert_eq!((drain.has_begun(), drain.phase().describe(1)), (false, None));
        drain.accept_for(Duration::from_secs(3600));
        assert!(drain.has_begun() && *begun.borrow() && begun.has_changed().unwrap());
        let text = drain.phase().describe(2).unwrap();
        assert!(text.starts_with("draining\nconnections are accepted") && text.contains("in flight: 2"), "{text}");
        drain.finish_within(Duration::ZERO);
        let text = drain.phase().describe(0).unwrap();
        assert!(text.contains("no connections are accepted") && text.contains("0.0 s"), "{text}");
    }
}
