//! How one endpoint fares, across requests, threads and reloads.
//!
//! All of it are atomics that are read and written without order among each other: they decide which endpoint is tried
//! next, and nothing is read through them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Cause;

/// Exchanges in a row that have to fail before an endpoint is said to fail. One broken response may be that of one request;
/// three without a good one in between are the endpoint's.
const BROKEN_LEAST: u32 = 3;

/// The draw of an endpoint that is passed over: what comes of it changes no backoff, see [`EndpointState::failed`].
pub(super) const FORCED: u64 = u64::MAX;

/// Which endpoint: equal keys share a state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    pub upstream: Arc<str>,
    pub address: SocketAddr,
    /// Stands for everything that decides whether it can be spoken to: protocol, TLS and its names. An endpoint that is
    /// spoken to in another way after a reload has yet to show how it fares.
    pub manner: u64,
}

/// For how long an endpoint is passed over that could not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After the first failure. Each further one, with no success in between, doubles it.
    pub first: Duration,
    /// At most.
    pub most: Duration,
    /// Longest time that setting up a connection takes: for so long one request that tries again is left to itself.
    pub connect: Duration,
}

impl Patience {
    fn after(&self, step: u32) -> Duration {
        let factor = 1_u32.checked_shl(step).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.most)
    }
}

/// How an endpoint fares.
#[derive(Debug)]
pub struct EndpointState {
    key: EndpointKey,
    /// Which of two with the same address is newer.
    pub(super) serial: u64,
    /// Moments below are milliseconds since then.
    began: Instant,
    changed: Arc<Notify>,
    in_flight: AtomicU32,
    /// Until when it is passed over; 0: it is not.
    until: AtomicU64,
    /// Backoffs so far, without a success in between.
    step: AtomicU32,
    /// Attempts in a row that found no connection.
    unreached: AtomicU32,
    /// Exchanges in a row that failed.
    broken: AtomicU32,
    /// Since when it fails; of no meaning while it does not.
    since: AtomicU64,
    /// Of the last failure.
    cause: AtomicU8,
    /// How often it began to fail, and how many failures there had been before.
    episodes: AtomicU32,
    before: AtomicU64,
    counts: [AtomicU64; Cause::ALL.len()],
    told: parking_lot::Mutex<Told>,
}

/// What has been said of it.
#[derive(Debug, Default)]
struct Told {
    failing: bool,
    episodes: u32,
}

/// What has become of an endpoint since it was last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub kind: ChangeKind,
    /// Of the last failure.
    pub cause: Cause,
    /// In a row.
    pub failures: u64,
    /// Since the first of them.
    pub time: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeKind {
    /// It began to fail.
    Fails,
    /// It is back.
    Back,
    /// It failed and is back already.
    Flapped,
}

impl EndpointState {
    pub(super) fn new(key: EndpointKey, serial: u64, began: Instant, changed: Arc<Notify>) -> Self {
        Self {
            key,
            serial,
            began,
            changed,
            in_flight: AtomicU32::new(0),
            until: AtomicU64::new(0),
            step: AtomicU32::new(0),
            unreached: AtomicU32::new(0),
            broken: AtomicU32::new(0),
            since: AtomicU64::new(0),
            cause: AtomicU8::new(0),
            episodes: AtomicU32::new(0),
            before: AtomicU64::new(0),
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            told: parking_lot::Mutex::default(),
        }
    }

    pub fn key(&self) -> &EndpointKey {
        &self.key
    }

    /// Requests that are with it now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Whether it fails: it could not be reached when it was last tried, or several exchanges in a row have failed.
    pub fn is_failing(&self) -> bool {
        self.unreached.load(Relaxed) > 0 || self.broken.load(Relaxed) >= BROKEN_LEAST
    }

    /// For how long it has failed, if it does.
    pub fn failing_for(&self, now: Instant) -> Option<Duration> {
        let since = Duration::from_millis(self.since.load(Relaxed));
        self.is_failing().then(|| now.saturating_duration_since(self.began + since))
    }

    /// Why an attempt last failed.
    pub fn cause(&self) -> Option<Cause> {
        Cause::from_index(usize::from(self.cause.load(Relaxed)))
    }

    /// Attempts that have failed so far, by cause.
    pub fn failures(&self) -> [(Cause, u64); Cause::ALL.len()] {
        let count = |cause: Cause| self.counts.get(cause.index()).map_or(0, |count| count.load(Relaxed));
        Cause::ALL.map(|cause| (cause, count(cause)))
    }

    fn all_failures(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    fn moment(&self, now: Instant) -> u64 {
        // A millisecond later than it is, for 0 says something else.
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(FORCED - 1).saturating_add(1)
    }

    /// Whether it is not passed over.
    pub(super) fn is_free(&self) -> bool {
        self.until.load(Relaxed) == 0
    }

    /// Draws it, unless it is passed over now. After a backoff one request gets it, and others only if that one tells
    /// nothing for longer than connecting takes. The number is to be given back with what became of it.
    pub(super) fn draw(&self, now: Instant, patience: &Patience) -> Option<u64> {
        let until = self.until.load(Relaxed);
        if until == 0 {
            return Some(0);
        }
        if self.moment(now) < until {
            return None;
        }
        let lease = self.moment(now + patience.connect);
        self.until.compare_exchange(until, lease, Relaxed, Relaxed).ok().map(|_| lease)
    }

    /// When its backoff ends, and whether a failure is quick to show: then trying costs little.
    pub(super) fn backoff(&self) -> (u64, bool) {
        (self.until.load(Relaxed), self.cause() != Some(Cause::ConnectTimeout))
    }

    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// There is a connection to it.
    pub(super) fn reached(&self) {
        // Nearly always nothing to do, and reading costs less than writing.
        if self.until.load(Relaxed) != 0 {
            self.until.store(0, Relaxed);
            self.step.store(0, Relaxed);
        }
        if self.unreached.load(Relaxed) > 0 && self.unreached.swap(0, Relaxed) > 0 && !self.is_failing() {
            self.changed.notify_one();
        }
    }

    /// It has answered a request to the end.
    pub(super) fn succeeded(&self) {
        self.reached();
        if self.broken.load(Relaxed) > 0 && self.broken.swap(0, Relaxed) >= BROKEN_LEAST && !self.is_failing() {
            self.changed.notify_one();
        }
    }

    /// An attempt has failed. `drawn`: what [`Self::draw`] gave for it. A hundred requests that wait for the same dead
    /// endpoint are one failure for the backoff: the first changes the number that all have drawn.
    pub(super) fn failed(&self, cause: Cause, drawn: u64, now: Instant, patience: &Patience) {
        if let Some(count) = self.counts.get(cause.index()) {
            count.fetch_add(1, Relaxed);
        }
        self.cause.store(u8::try_from(cause.index()).unwrap_or_default(), Relaxed);
        let was_failing = self.is_failing();
        let row = if cause.is_unreachable() {
            let step = self.step.load(Relaxed);
            let until = self.moment(now + patience.after(step));
            if self.until.compare_exchange(drawn, until, Relaxed, Relaxed).is_ok() {
                self.step.store(step.saturating_add(1), Relaxed);
            }
            self.unreached.fetch_add(1, Relaxed)
        } else {
            self.broken.fetch_add(1, Relaxed)
        };
        if !was_failing && self.is_failing() {
            self.since.store(self.moment(now), Relaxed);
            self.before.store(self.all_failures().saturating_sub(u64::from(row) + 1), Relaxed);
            self.episodes.fetch_add(1, Relaxed);
            self.changed.notify_one();
        }
    }

    /// What there is to say of it since this was last asked: however often it has changed meanwhile, one thing.
    pub(super) fn take_change(&self, now: Instant) -> Option<Change> {
        let mut told = self.told.lock();
        let (failing, episodes) = (self.is_failing(), self.episodes.load(Relaxed));
        let kind = match (told.failing, failing) {
            (false, true) => ChangeKind::Fails,
            (true, false) => ChangeKind::Back,
            (false, false) if episodes != told.episodes => ChangeKind::Flapped,
            _ => return None,
        };
        *told = Told { failing, episodes };
        Some(Change {
            kind,
            cause: self.cause().unwrap_or(Cause::Unreachable),
            failures: self.all_failures().saturating_sub(self.before.load(Relaxed)),
            time: now.saturating_duration_since(self.began + Duration::from_millis(self.since.load(Relaxed))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { first: Duration::from_secs(1), most: Duration::from_secs(8), connect: Duration::from_secs(2) };

    fn state() -> (EndpointState, Instant) {
        let began = Instant::now();
        let key = EndpointKey { upstream: "u".into(), address: ([127, 0, 0, 1], 1).into(), manner: 0 };
        (EndpointState::new(key, 0, began, Arc::default()), began)
    }

    fn at(began: Instant, milliseconds: u64) -> Instant {
        began + Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_time_for_which_it_is_passed_over_doubles_up_to_a_limit_and_begins_anew_after_a_success() {
        let (state, began) = state();
        let mut now = 0;
        for pause in [1_000, 2_000, 4_000, 8_000, 8_000] {
            let drawn = state.draw(at(began, now), &PATIENCE).expect("free, or due");
            state.failed(Cause::Refused, drawn, at(began, now), &PATIENCE);
            assert_eq!(state.draw(at(began, now + pause - 1), &PATIENCE), None, "{pause}");
            now += pause;
        }
        let drawn = state.draw(at(began, now), &PATIENCE);
        assert!(drawn.is_some_and(|drawn| drawn > 0), "tried again after a backoff");
        state.reached();
        assert_eq!(state.draw(at(began, now), &PATIENCE), Some(0));
        state.failed(Cause::Refused, 0, at(began, now), &PATIENCE);
        assert_eq!(state.draw(at(began, now + 999), &PATIENCE), None);
        assert!(state.draw(at(began, now + 1_000), &PATIENCE).is_some());
    }

    #[test]
    fn after_a_backoff_one_request_tries_and_another_only_if_nothing_is_heard_of_it() {
        let (state, began) = state();
        state.failed(Cause::ConnectTimeout, 0, began, &PATIENCE);
        assert!(state.draw(at(began, 1_000), &PATIENCE).is_some());
        assert_eq!(state.draw(at(began, 1_000), &PATIENCE), None);
        assert_eq!(state.draw(at(began, 2_999), &PATIENCE), None);
        assert!(state.draw(at(began, 3_000), &PATIENCE).is_some(), "the first has left without a word");
    }

    #[test]
    fn many_requests_that_wait_for_one_dead_endpoint_are_one_failure_for_the_backoff() {
        let (state, began) = state();
        let drawn: Vec<_> = (0..100).map(|_| state.draw(began, &PATIENCE).expect("free")).collect();
        for drawn in drawn {
            state.failed(Cause::Refused, drawn, began, &PATIENCE);
        }
        state.failed(Cause::Refused, FORCED, began, &PATIENCE);
        assert!(state.draw(at(began, 1_000), &PATIENCE).is_some());
        assert_eq!(state.failures().iter().map(|(_, count)| count).sum::<u64>(), 101);
    }

    #[test]
    fn what_reached_it_and_failed_then_does_not_take_it_away_from_others() {
        let (state, began) = state();
        for cause in Cause::ALL.into_iter().filter(|cause| !cause.is_unreachable()) {
            state.failed(cause, 0, began, &PATIENCE);
            assert_eq!(state.draw(began, &PATIENCE), Some(0), "{cause:?}");
        }
        assert!(state.is_failing(), "but it is said");
    }

    #[test]
    fn one_broken_response_is_no_news_and_three_in_a_row_are() {
        let (state, began) = state();
        for _ in 0..20 {
            state.failed(Cause::Closed, 0, began, &PATIENCE);
            state.failed(Cause::Closed, 0, began, &PATIENCE);
            state.succeeded();
        }
        assert_eq!(state.take_change(began), None);
        for _ in 0..3 {
            state.failed(Cause::Reset, 0, at(began, 500), &PATIENCE);
        }
        let change = state.take_change(at(began, 600)).expect("news");
        assert_eq!((change.kind, change.cause, change.failures), (ChangeKind::Fails, Cause::Reset, 3));
        state.reached();
        assert_eq!(state.take_change(began), None, "a connection is not a response");
        state.failed(Cause::Closed, 0, began, &PATIENCE);
        state.succeeded();
        let change = state.take_change(at(began, 2_501)).expect("news");
        assert_eq!((change.kind, change.failures, change.time.as_secs()), (ChangeKind::Back, 4, 2));
    }

    #[test]
    fn however_often_it_changes_between_two_looks_one_thing_is_said() {
        let (state, began) = state();
        for _ in 0..5 {
            state.failed(Cause::Refused, 0, began, &PATIENCE);
            state.succeeded();
        }
        let change = state.take_change(began).expect("news");
        assert_eq!((change.kind, change.cause, change.failures), (ChangeKind::Flapped, Cause::Refused, 1));
        assert_eq!(state.take_change(began), None);
    }

    #[test]
    fn times_without_bounds_are_no_trouble() {
        let (state, began) = state();
        let patience = Patience { first: Duration::MAX, most: Duration::MAX, connect: Duration::from_secs(1) };
        assert_eq!(
            Patience { first: Duration::from_secs(1), ..patience }.after(200),
            Duration::from_secs(4_294_967_295)
        );
        assert_eq!(patience.after(1), Duration::MAX);
        state.failed(Cause::Refused, 0, began, &Patience { most: Duration::from_secs(3600), ..patience });
        assert_eq!(state.draw(at(began, 3_599_999), &patience), None);
    }
}
