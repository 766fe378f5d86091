//! Connections of HTTP/2 to endpoints, which requests share.
//!
//! Each proxy thread has its own, as with those of HTTP/1 (`pool`): a request and its connection are on one thread. Requests that
//! come while a connection is being made wait for that one, and fail with it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Ping;
use h2::client::{Builder, Connection, SendRequest};
use parking_lot::Mutex;
use pingora::protocols::ALPN;
use tokio::sync::watch;

use super::{UpstreamError, open_transport};
use crate::proxy::deadline_timer::DeadlineTimer;
use crate::proxy::transport::Transport;
use crate::snapshot::Endpoint;

/// Requests at once on one connection. An endpoint may allow fewer.
const STREAMS_LIMIT: usize = 64;
/// Flow-control windows, in bytes. The first is enough for 40 Mbit/s over 50 ms. The second is all of them together: were it less,
/// clients that take their responses slowly would hold up those of everybody else.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS_LIMIT as u32;
/// What stands for the endpoint's own limit of requests at once until its SETTINGS say it, or that there is none.
const UNKNOWN: usize = usize::MAX - 1;
/// Most bytes of a response's head, counted as RFC 9113, section 6.5.2, does: as much as clients may send, and half as much again
/// for what that counts more than HTTP/1 does.
const HEAD_LIMIT: u32 = 96 * 1024;

/// Most connections of a thread to one endpoint that are kept: a thousand requests at once have enough of them.
const PER_ENDPOINT: usize = 16;
/// How often connections that were closed or have waited for too long are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// How long an endpoint that has not answered a request may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// What is known of a connection, here and where it is driven.
#[derive(Debug, Default)]
struct State {
    streams: AtomicUsize,
    closed: AtomicBool,
    /// A request was given up that had no answer: perhaps nobody is there any more.
    doubted: AtomicBool,
    driver: Mutex<Option<Waker>>,
}

struct Shared {
    sender: SendRequest<Bytes>,
    state: Arc<State>,
    /// When it was last seen to carry a request, and for how long it may carry none.
    used: Instant,
    idle_timeout: Duration,
}

/// A place on a connection.
pub struct Place {
    pub sender: SendRequest<Bytes>,
    state: Arc<State>,
    /// The connection was there before.
    pub reused: bool,
}

impl Place {
    /// The endpoint has left a request unanswered: asks whether it is still there, and closes the connection if it is not.
    pub fn doubt(&self) {
        if !self.state.doubted.swap(true, Ordering::Relaxed)
            && let Some(waker) = self.state.driver.lock().take()
        {
            waker.wake();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.state.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why there is no connection, for all who wait for it.
#[derive(Debug, Clone)]
enum Failed {
    Timeout,
    Unreachable(String),
    Invalid(String),
}

impl From<Failed> for UpstreamError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Timeout => Self::ConnectTimeout,
            Failed::Unreachable(why) => {
                Self::Unreachable(pingora::Error::explain(pingora::ErrorType::ConnectError, why))
            }
            Failed::Invalid(what) => Self::Invalid(what),
        }
    }
}

type Opening = watch::Receiver<Option<Failed>>;

#[derive(Default)]
struct Group {
    connections: Vec<Shared>,
    /// Says when the connection that is being made is there, by closing, or why it will not be.
    opening: Option<Opening>,
}

enum Next {
    Place(Place),
    Wait(Opening),
    Open(watch::Sender<Option<Failed>>),
}

#[derive(Default)]
struct Pool {
    endpoints: HashMap<u64, Group>,
    is_swept: bool,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// A place on a connection to the endpoint, on a new one if there is none.
///
/// # Errors
/// The endpoint cannot be reached, or does not speak HTTP/2.
pub async fn place(endpoint: &Endpoint) -> Result<Place, UpstreamError> {
    loop {
        match POOL.with_borrow_mut(|pool| pool.next(endpoint.key)) {
            Next::Place(place) => return Ok(place),
            Next::Wait(mut opening) => {
                // An error: it is there, or whoever made it has left.
                if opening.changed().await.is_ok()
                    && let Some(failed) = opening.borrow_and_update().clone()
                {
                    return Err(failed.into());
                }
            }
            Next::Open(tell) => {
                let opened = connect(endpoint).await;
                if let Err(error) = &opened {
                    let failed = match error {
                        UpstreamError::ConnectTimeout => Failed::Timeout,
                        UpstreamError::Invalid(what) => Failed::Invalid(what.clone()),
                        UpstreamError::Unreachable(error) => Failed::Unreachable(error.to_string()),
                        _ => Failed::Unreachable("the connection broke at once".to_owned()),
                    };
                    tell.send_replace(Some(failed));
                }
                return opened.map(|(sender, connection)| open(endpoint, (sender, connection), tell));
            }
        }
    }
}

/// Makes a connection.
async fn connect(endpoint: &Endpoint) -> Result<(SendRequest<Bytes>, Connection<Transport, Bytes>), UpstreamError> {
    let stream = open_transport(endpoint).await?;
    if endpoint.peer.is_tls() && !matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
        return Err(UpstreamError::Invalid("the endpoint does not speak HTTP/2".to_owned()));
    }
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(UNKNOWN)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEAD_LIMIT);
    let mut transport = Transport::new(stream);
    transport.adopt();
    builder.handshake(transport).await.map_err(|error| {
        UpstreamError::Unreachable(pingora::Error::because(pingora::ErrorType::ConnectError, "HTTP/2", error))
    })
}

/// Takes the first place on a new connection, and has others wait until the endpoint has said how many there are.
fn open(
    endpoint: &Endpoint,
    (sender, connection): (SendRequest<Bytes>, Connection<Transport, Bytes>),
    tell: watch::Sender<Option<Failed>>,
) -> Place {
    let state = Arc::new(State { streams: AtomicUsize::new(1), ..State::default() });
    let place = Place { sender: sender.clone(), state: Arc::clone(&state), reused: false };
    // On this thread: the runtimes of the proxy do not move tasks.
    tokio::spawn(drive(connection, Arc::clone(&state), (sender.clone(), tell)));
    let shared = Shared { sender, state, used: Instant::now(), idle_timeout: endpoint.idle_timeout };
    POOL.with_borrow_mut(|pool| pool.put(endpoint.key, shared));
    place
}

/// Moves a connection until it has closed. It closes by itself once nobody has a place on it or could take one. `waiting`: to
/// know when the endpoint has said how many requests it takes at once, and to tell those that wait for it.
async fn drive(
    mut connection: Connection<Transport, Bytes>,
    state: Arc<State>,
    waiting: (SendRequest<Bytes>, watch::Sender<Option<Failed>>),
) {
    let mut waiting = Some(waiting);
    let mut pings = connection.ping_pong();
    let (mut timer, mut asked) = (DeadlineTimer::default(), None);
    poll_fn(|context| {
        if Pin::new(&mut connection).poll(context).is_ready() {
            return Poll::Ready(());
        }
        drop(waiting.take_if(|(sender, _)| sender.current_max_send_streams() != UNKNOWN));
        if let Some(pings) = &mut pings {
            if asked.is_none() && state.doubted.load(Ordering::Relaxed) && pings.send_ping(Ping::opaque()).is_ok() {
                asked = Some(Instant::now() + PING_TIMEOUT);
            }
            if let Some(until) = asked {
                match pings.poll_pong(context) {
                    Poll::Ready(_) => {
                        asked = None;
                        state.doubted.store(false, Ordering::Relaxed);
                    }
                    Poll::Pending if timer.poll_at(context, Some(until)).is_ready() => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
        }
        *state.driver.lock() = Some(context.waker().clone());
        Poll::Pending
    })
    .await;
    state.closed.store(true, Ordering::Relaxed);
}

impl Shared {
    /// Whether the endpoint takes more requests on it.
    fn is_open(&mut self) -> bool {
        !self.state.closed.load(Ordering::Relaxed)
            && matches!(self.sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
    }
}

impl Pool {
    fn next(&mut self, key: u64) -> Next {
        let group = self.endpoints.entry(key).or_default();
        group.connections.retain_mut(Shared::is_open);
        // The fullest that has room, so that those not needed grow old.
        let room = |shared: &&mut Shared| {
            let limit = match shared.sender.current_max_send_streams() {
                UNKNOWN => 1,
                limit => limit.min(STREAMS_LIMIT),
            };
            shared.state.streams.load(Ordering::Relaxed) < limit
        };
        let fullest =
            group.connections.iter_mut().filter(room).max_by_key(|shared| shared.state.streams.load(Ordering::Relaxed));
        if let Some(shared) = fullest {
            shared.used = Instant::now();
            shared.state.streams.fetch_add(1, Ordering::Relaxed);
            let (sender, state) = (shared.sender.clone(), Arc::clone(&shared.state));
            return Next::Place(Place { sender, state, reused: true });
        }
        // One that is closed was told, or has been forgotten.
        if let Some(opening) = group.opening.as_ref().filter(|opening| opening.has_changed().is_ok_and(|told| !told)) {
            return Next::Wait(opening.clone());
        }
        let (tell, opening) = watch::channel(None);
        group.opening = Some(opening);
        Next::Open(tell)
    }

    /// Keeps a connection; an endpoint that has too many keeps those it has.
    fn put(&mut self, key: u64, shared: Shared) {
        let group = self.endpoints.entry(key).or_default();
        if group.connections.len() < PER_ENDPOINT {
            group.connections.push(shared);
        }
        if !std::mem::replace(&mut self.is_swept, true) {
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

    /// Lets go of what is closed or was not used for too long; gives the number of connections that are left.
    fn sweep(&mut self) -> usize {
        let now = Instant::now();
        let mut count = 0;
        self.endpoints.retain(|_, group| {
            group.connections.retain_mut(|shared| {
                if shared.state.streams.load(Ordering::Relaxed) > 0 {
                    shared.used = now;
                }
                now < shared.used + shared.idle_timeout && shared.is_open()
            });
            count += group.connections.len();
            !group.connections.is_empty() || group.opening.as_ref().is_some_and(|told| told.has_changed().is_ok())
        });
        self.is_swept = count > 0;
        count
    }
}
