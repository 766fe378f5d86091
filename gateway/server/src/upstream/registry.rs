//! All endpoints and names of the process: one state for each, for as long as a generation has it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::resolve::Answer;
use super::state::{Change, ChangeKind};
use super::{Cause, EndpointKey, EndpointState, Name};

/// Pause between two looks at what has changed. An endpoint that comes and goes with every request is told of once in this
/// time, and not once for each of them.
const TELL_PAUSE: Duration = Duration::from_secs(1);

/// Names of upstreams that were looked up last, each with what went wrong, if anything did.
type LookedUp = BTreeMap<(Arc<str>, Name), Option<String>>;

/// Endpoints and names by what they are.
#[derive(Debug)]
pub struct Registry {
    began: Instant,
    serial: AtomicU64,
    endpoints: Mutex<HashMap<EndpointKey, Weak<EndpointState>>>,
    /// Names of the generation that serves, by upstream; what is wrong with those that do not resolve.
    names: Mutex<LookedUp>,
    changed: Arc<Notify>,
    unresolved: Notify,
}

/// What metrics and people are told of an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointFigures {
    pub upstream: Arc<str>,
    pub address: SocketAddr,
    /// None: it does not fail.
    pub failing: Option<(Cause, Duration)>,
    pub in_flight: u64,
    /// Attempts that have failed so far, by cause.
    pub failures: [(Cause, u64); Cause::ALL.len()],
}

/// What metrics and people are told of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameFigures {
    pub upstream: Arc<str>,
    pub name: Name,
    /// None: it resolves.
    pub problem: Option<String>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            // Moments of states are counted from here, and none may be before.
            began: Instant::now(),
            serial: AtomicU64::new(0),
            endpoints: Mutex::default(),
            names: Mutex::default(),
            changed: Arc::default(),
            unresolved: Notify::new(),
        }
    }
}

impl Registry {
    /// The state of an endpoint: the one that there is, or a new one.
    pub fn endpoint(&self, key: EndpointKey) -> Arc<EndpointState> {
        let mut endpoints = self.endpoints.lock();
        if let Some(present) = endpoints.get(&key).and_then(Weak::upgrade) {
            return present;
        }
        // Only here does the map grow, so here is where what has gone is removed.
        endpoints.retain(|_, state| state.strong_count() > 0);
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let state = Arc::new(EndpointState::new(key.clone(), serial, self.began, Arc::clone(&self.changed)));
        endpoints.insert(key, Arc::downgrade(&state));
        state
    }

    fn living(&self) -> Vec<Arc<EndpointState>> {
        let mut living: Vec<_> = self.endpoints.lock().values().filter_map(Weak::upgrade).collect();
        living.sort_by_key(|state| (state.key().clone(), state.serial));
        living
    }

    /// All endpoints that a generation has, in the order of upstreams and addresses. One that is spoken to in two ways by
    /// generations side by side is one here, with the failures of both; how it fares now is what the newer one found.
    pub fn endpoints(&self, now: Instant) -> Vec<EndpointFigures> {
        let mut figures: BTreeMap<(Arc<str>, SocketAddr), (u64, EndpointFigures)> = BTreeMap::new();
        for state in self.living() {
            let EndpointKey { upstream, address, manner: _ } = state.key().clone();
            let one = EndpointFigures {
                failing: state.cause().zip(state.failing_for(now)),
                in_flight: u64::from(state.in_flight()),
                failures: state.failures(),
                upstream: Arc::clone(&upstream),
                address,
            };
            match figures.entry((upstream, address)) {
                std::collections::btree_map::Entry::Vacant(place) => drop(place.insert((state.serial, one))),
                std::collections::btree_map::Entry::Occupied(mut place) => {
                    let (serial, sum) = place.get_mut();
                    sum.in_flight += one.in_flight;
                    sum.failures.iter_mut().zip(one.failures).for_each(|((_, sum), (_, more))| *sum += more);
                    if state.serial > *serial {
                        (*serial, sum.failing) = (state.serial, one.failing);
                    }
                }
            }
        }
        figures.into_values().map(|(_, figures)| figures).collect()
    }

    /// All names of the generation that serves.
    pub fn names(&self) -> Vec<NameFigures> {
        let names = self.names.lock();
        let figures = |((upstream, name), problem): (&(Arc<str>, Name), &Option<String>)| NameFigures {
            upstream: Arc::clone(upstream),
            name: name.clone(),
            problem: problem.clone(),
        };
        names.iter().map(figures).collect()
    }

    /// Takes what look-ups gave for all names of the generation that serves now, and says which have changed.
    pub fn looked_up<'a>(&self, answers: impl Iterator<Item = (Arc<str>, &'a Answer)>) {
        let mut names = self.names.lock();
        let mut now = BTreeMap::new();
        for (upstream, answer) in answers {
            let key = (upstream, answer.name.clone());
            let was_well = names.get(&key).is_none_or(Option::is_none);
            let (upstream, name) = (&*key.0, &key.1);
            match &answer.problem {
                Some(problem) if was_well && answer.addresses.is_empty() => {
                    warn!(upstream, %name, problem, "a name does not resolve; its upstream has no address of it");
                }
                Some(problem) if was_well => {
                    warn!(upstream, %name, problem, "a name does not resolve; its last addresses go on serving");
                }
                None if !was_well => info!(upstream, %name, "a name resolves again"),
                _ => {}
            }
            now.insert(key, answer.problem.clone());
        }
        if now.values().any(Option::is_some) {
            self.unresolved.notify_one();
        }
        *names = now;
    }

    /// Whether there are names that do not resolve.
    pub fn has_unresolved(&self) -> bool {
        self.names.lock().values().any(Option::is_some)
    }

    /// Returns when there are names that do not resolve. Cancel-safe.
    pub async fn unresolved(&self) {
        while !self.has_unresolved() {
            self.unresolved.notified().await;
        }
    }

    /// Writes to the log, for as long as it is polled, which endpoints begin to fail and which are back: one line for each
    /// at a time.
    pub async fn tell(&self) {
        loop {
            self.changed.notified().await;
            let now = Instant::now();
            for state in self.living() {
                if let Some(change) = state.take_change(now) {
                    tell(state.key(), &change);
                }
            }
            tokio::time::sleep(TELL_PAUSE).await;
        }
    }
}

fn tell(EndpointKey { upstream, address, .. }: &EndpointKey, change: &Change) {
    let Change { kind, cause, failures, time } = change;
    let (cause, seconds) = (cause.label(), time.as_secs_f64());
    match kind {
        ChangeKind::Fails => warn!(%upstream, %address, cause, failures, "an endpoint fails"),
        ChangeKind::Back => info!(%upstream, %address, cause, failures, seconds, "an endpoint is back"),
        ChangeKind::Flapped => info!(%upstream, %address, cause, failures, "an endpoint failed and is back"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Patience;

    const PATIENCE: Patience =
        Patience { first: Duration::from_secs(1), most: Duration::from_secs(8), connect: Duration::from_secs(2) };

    fn key(upstream: &str, port: u16, manner: u64) -> EndpointKey {
        EndpointKey { upstream: upstream.into(), address: ([127, 0, 0, 1], port).into(), manner }
    }

    #[test]
    fn equal_endpoints_share_a_state_and_one_that_is_gone_is_forgotten() {
        let registry = Registry::default();
        let one = registry.endpoint(key("u", 1, 0));
        one.failed(Cause::Refused, 0, Instant::now(), &PATIENCE);
        assert!(Arc::ptr_eq(&one, &registry.endpoint(key("u", 1, 0))));
        for other in [key("v", 1, 0), key("u", 2, 0), key("u", 1, 1)] {
            assert!(!registry.endpoint(other).is_failing());
        }
        drop(one);
        assert!(registry.endpoints(Instant::now()).is_empty());
        assert!(!registry.endpoint(key("u", 1, 0)).is_failing());
        assert_eq!(registry.endpoints.lock().len(), 1);
    }

    #[test]
    fn of_one_address_in_two_manners_the_newer_tells_how_it_fares() {
        let registry = Registry::default();
        let (old, new) = (registry.endpoint(key("u", 1, 9)), registry.endpoint(key("u", 1, 4)));
        old.failed(Cause::Tls, 0, Instant::now(), &PATIENCE);
        let figures = registry.endpoints(Instant::now());
        assert_eq!((figures.len(), figures[0].failing), (1, None));
        new.failed(Cause::Refused, 0, Instant::now(), &PATIENCE);
        let figures = registry.endpoints(Instant::now());
        assert_eq!(figures[0].failing.map(|(cause, _)| cause), Some(Cause::Refused));
        assert_eq!(figures[0].failures.iter().map(|(_, count)| count).sum::<u64>(), 2);
    }

    #[test]
    fn names_are_those_of_the_last_look_up() {
        let registry = Registry::default();
        let answer = |host: &str, problem: Option<&str>| Answer {
            name: Name { host: host.to_owned(), port: 1 },
            addresses: Vec::new(),
            problem: problem.map(str::to_owned),
        };
        registry.looked_up([("u".into(), &answer("a", None)), ("u".into(), &answer("b", Some("gone")))].into_iter());
        assert!(registry.has_unresolved());
        let problems: Vec<_> = registry.names().into_iter().map(|name| (name.name.host, name.problem)).collect();
        assert_eq!(problems, [("a".to_owned(), None), ("b".to_owned(), Some("gone".to_owned()))]);
        registry.looked_up([("u".into(), &answer("b", None))].into_iter());
        assert!(!registry.has_unresolved());
        assert_eq!(registry.names().len(), 1);
    }
}
