//! What names stand for: asked for all at once, each within its time, on threads that nobody else waits for.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Most look-ups at once in the process, those included that have been given up and have not ended yet: the system's
/// resolver cannot be told to stop. More wait for their turn, within their time.
const LOOKUPS_LIMIT: usize = 64;

/// Most addresses of one name: more are a mistake, or meant to be one.
const ADDRESSES_LIMIT: usize = 1_000;

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// A host name, or an IP address (IPv6 without brackets).
    pub host: String,
    pub port: u16,
}

impl Name {
    /// Whether it is a name, and not an address.
    pub fn is_host(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A name to be looked up.
#[derive(Debug, Clone)]
pub struct Lookup {
    pub name: Name,
    /// How long it may take.
    pub timeout: Duration,
    /// What it stood for before; none: it is new.
    pub last: Option<Vec<SocketAddr>>,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub name: Name,
    /// Each once, in their own order, so that the same addresses are the same list; the last ones, if there is a problem.
    pub addresses: Vec<SocketAddr>,
    /// Why it does not resolve now.
    pub problem: Option<String>,
}

/// Who knows what names stand for.
pub trait Resolve: Send + Sync {
    /// Blocks.
    ///
    /// # Errors
    /// It stands for nothing, or nobody can tell.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver: `/etc/hosts`, DNS, and whatever else `nsswitch.conf` names.
#[derive(Debug, Default)]
pub struct System;

impl Resolve for System {
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// Looks names up, side by side. Blocks for the longest of their times at most. The answers are in the order of the names.
pub fn look_up(lookups: Vec<Lookup>, resolver: &Arc<dyn Resolve>) -> Vec<Answer> {
    let found = ask(&lookups, resolver);
    let answer = |Lookup { name, timeout, last }: Lookup| {
        let found = if let Ok(address) = name.host.parse::<IpAddr>() {
            Ok(vec![address])
        } else {
            found.get(&name.host).cloned().unwrap_or_else(|| Err(format!("no answer within {timeout:?}")))
        };
        match found {
            Ok(addresses) => {
                let mut addresses: Vec<_> =
                    addresses.into_iter().map(|address| SocketAddr::new(address, name.port)).collect();
                addresses.sort_unstable();
                addresses.dedup();
                addresses.truncate(ADDRESSES_LIMIT);
                Answer { name, addresses, problem: None }
            }
            Err(problem) => Answer { name, addresses: last.unwrap_or_default(), problem: Some(problem) },
        }
    };
    lookups.into_iter().map(answer).collect()
}

type Found = Result<Vec<IpAddr>, String>;

/// What became of each host that is a name, as far as it is known in time.
fn ask(lookups: &[Lookup], resolver: &Arc<dyn Resolve>) -> HashMap<String, Found> {
    let began = Instant::now();
    // Until when each is waited for: of two look-ups of one host, the longer time counts.
    let mut waiting: HashMap<String, Instant> = HashMap::new();
    for Lookup { name, timeout, .. } in lookups.iter().filter(|lookup| lookup.name.is_host()) {
        let until = waiting.entry(name.host.clone()).or_insert(began);
        *until = (*until).max(began + *timeout);
    }
    let queue: Arc<Mutex<VecDeque<String>>> = Arc::new(Mutex::new(waiting.keys().cloned().collect()));
    let (sender, answers) = mpsc::channel();
    for _ in 0..waiting.len() {
        let Some(place) = Place::take() else { break };
        let (queue, sender, resolver) = (Arc::clone(&queue), sender.clone(), Arc::clone(resolver));
        let work = move || {
            let _place = place;
            loop {
                let Some(host) = queue.lock().pop_front() else { return };
                let found = found(resolver.resolve(&host));
                // Nobody waits any more: what is left of the queue is nobody's, either.
                if sender.send((host, found)).is_err() {
                    return;
                }
            }
        };
        if std::thread::Builder::new().name("resolve".to_owned()).spawn(work).is_err() {
            break;
        }
    }
    drop(sender);
    let mut known = HashMap::new();
    while let Some(until) = waiting.values().max() {
        match answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((host, found)) => {
                waiting.remove(&host);
                known.insert(host, found);
            }
            Err(_) => break,
        }
    }
    known
}

fn found(resolved: io::Result<Vec<IpAddr>>) -> Found {
    match resolved {
        Ok(addresses) if addresses.is_empty() => Err("it has no address".to_owned()),
        Ok(addresses) => Ok(addresses),
        Err(error) => Err(why(&error)),
    }
}

/// Why a name does not resolve. The standard library tells causes apart in words alone, which are the C library's.
fn why(error: &io::Error) -> String {
    let text = error.to_string();
    let has_no_answer = error.kind() == io::ErrorKind::TimedOut || text.contains("emporary failure");
    let why = if has_no_answer { "no name server answers" } else { "no such name is known here" };
    why.to_owned()
}

/// The right to look something up.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let take = |running: usize| (running < LOOKUPS_LIMIT).then_some(running + 1);
        RUNNING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    /// Answers for `good`, fails for `bad`, and for `hung` not before it is told to.
    struct Double {
        hold: Mutex<mpsc::Receiver<()>>,
    }

    impl Resolve for Double {
        fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
            match host {
                "hung" => {
                    let _ = self.hold.lock().recv();
                    Ok(Vec::new())
                }
                "bad" => Err(io::Error::other("no such name")),
                "empty" => Ok(Vec::new()),
                _ => Ok([[127, 0, 0, 2], [127, 0, 0, 1], [127, 0, 0, 2]].map(IpAddr::from).to_vec()),
            }
        }
    }

    fn lookup(host: &str, last: Option<&str>) -> Lookup {
        Lookup {
            name: Name { host: host.to_owned(), port: 80 },
            timeout: Duration::from_millis(100),
            last: last.map(|address| vec![address.parse().unwrap()]),
        }
    }

    fn addresses(answer: &Answer) -> Vec<String> {
        answer.addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_name_that_hangs_keeps_its_last_addresses_and_delays_no_other() {
        let (release, hold) = mpsc::channel();
        let resolver: Arc<dyn Resolve> = Arc::new(Double { hold: Mutex::new(hold) });
        let names = [
            lookup("hung", Some("10.0.0.1:80")),
            lookup("good", None),
            lookup("bad", Some("10.0.0.2:80")),
            lookup("empty", None),
            lookup("10.0.0.3", None),
            lookup("::1", None),
        ];
        let answers = look_up(names.to_vec(), &resolver);
        drop(release);
        let [hung, good, bad, empty, address, v6] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(addresses(good), ["127.0.0.1:80", "127.0.0.2:80"], "each once, in order");
        assert_eq!((addresses(hung), addresses(bad)), (vec!["10.0.0.1:80".to_owned()], vec!["10.0.0.2:80".to_owned()]));
        assert_eq!((addresses(address), addresses(v6)), (vec!["10.0.0.3:80".to_owned()], vec!["[::1]:80".to_owned()]));
        assert!(empty.addresses.is_empty());
        let problems = answers.iter().map(|answer| answer.problem.as_deref()).collect::<Vec<_>>();
        let expected = [
            Some("no answer within 100ms"),
            None,
            Some("no such name is known here"),
            Some("it has no address"),
            None,
            None,
        ];
        assert_eq!(problems, expected);
    }

    /// Answers once this many ask at the same time.
    struct Together(Barrier);

    impl Resolve for Together {
        fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            self.0.wait();
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        }
    }

    #[test]
    fn names_are_looked_up_side_by_side_and_each_once() {
        let resolver: Arc<dyn Resolve> = Arc::new(Together(Barrier::new(8)));
        let mut names: Vec<_> = (0..8).map(|number| lookup(&format!("n{number}"), None)).collect();
        names.push(names[0].clone());
        names.iter_mut().for_each(|name| name.timeout = Duration::from_secs(60));
        let answers = look_up(names, &resolver);
        assert!(answers.iter().all(|answer| answer.problem.is_none()), "{answers:?}");
    }
}
