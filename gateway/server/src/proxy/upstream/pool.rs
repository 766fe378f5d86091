//! Idle HTTP/1 connections to endpoints, for the next request to the same one.
//!
//! Each proxy thread has its own: a connection is used by the thread whose reactor it is registered with, and nothing is
//! locked. The price is that threads do not share connections.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::http1::Http1;

/// Most idle connections of a thread to one endpoint, and to all: each costs a descriptor and a few KiB here and there.
const PER_ENDPOINT: usize = 128;
const PER_THREAD: usize = 512;
/// How often connections that were closed or have waited for too long are looked for.
const SWEEP: Duration = Duration::from_secs(1);

struct Idle {
    connection: Box<Http1>,
    expires: Instant,
}

#[derive(Default)]
struct Pool {
    /// The one used last is used next, so that those not needed grow old.
    endpoints: HashMap<u64, VecDeque<Idle>>,
    count: usize,
    is_swept: bool,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// An idle connection to the endpoint of this key that is still open.
pub fn take(key: u64, now: Instant) -> Option<Box<Http1>> {
    POOL.with_borrow_mut(|pool| {
        let Pool { endpoints, count, .. } = pool;
        let idle = endpoints.get_mut(&key)?;
        while let Some(Idle { mut connection, expires }) = idle.pop_back() {
            *count -= 1;
            // An endpoint that has closed, or said something that nobody asked for, has made the connection readable.
            if expires > now && connection.wire.is_quiet() {
                return Some(connection);
            }
        }
        None
    })
}

/// Keeps a connection for at most `timeout` from `now` on; the oldest give way.
pub fn put(key: u64, mut connection: Box<Http1>, timeout: Duration, now: Instant) {
    connection.wire.rest();
    connection.wire.adopt();
    let expires = now + timeout;
    let must_sweep = POOL.with_borrow_mut(|pool| {
        let idle = pool.endpoints.entry(key).or_default();
        if idle.len() >= PER_ENDPOINT {
            idle.pop_front();
        } else if pool.count >= PER_THREAD {
            return false;
        } else {
            pool.count += 1;
        }
        idle.push_back(Idle { connection, expires });
        !std::mem::replace(&mut pool.is_swept, true)
    });
    if must_sweep {
        // On this thread: the runtimes of the proxy do not move tasks.
        tokio::spawn(async {
            loop {
                tokio::time::sleep(SWEEP).await;
                if POOL.with_borrow_mut(Pool::sweep) == 0 {
                    break;
                }
            }
        });
    }
}

impl Pool {
    /// Closes what cannot be used again; gives the number of connections that are left.
    fn sweep(&mut self) -> usize {
        let now = Instant::now();
        for idle in self.endpoints.values_mut() {
            idle.retain_mut(|idle| idle.expires > now && idle.connection.wire.is_quiet_and_left());
        }
        self.endpoints.retain(|_, idle| !idle.is_empty());
        self.count = self.endpoints.values().map(VecDeque::len).sum();
        self.is_swept = self.count > 0;
        self.count
    }
}
