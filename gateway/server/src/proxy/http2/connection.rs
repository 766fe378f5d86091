//! One connection: requests come off it side by side.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use h2::server::{Builder, Connection as Protocol, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::request::Parts;
use parking_lot::Mutex;
use pingora::server::ShutdownWatch;
use tracing::error;
use witgate_http::http1::field::Names;

use super::head;
use super::watched::{Breach, Refusal, Watch, Watched};
use super::{BODY_LINGER_PAUSE, CONNECTION_WINDOW, LINGER, SILENCE, STREAM_WINDOW, STREAMS_LIMIT};

use crate::envelope::{Answer, Audience, Code, Problem, render, rfc3339};
use crate::gateway::Gateway;
use crate::proxy::closing::Closing;
use crate::proxy::deadline_timer::DeadlineTimer;
use crate::proxy::downstream::{Downstream, Http2, Length};
use crate::proxy::origin::Origin;
use crate::proxy::panic::guard;
use crate::proxy::relay;
use crate::proxy::serve::serve as serve_request;
use crate::proxy::session::Connected;
use crate::proxy::transport::Transport;
use crate::request_id;
use crate::telemetry::Record;

/// Serves a connection that speaks HTTP/2. `ahead`: what was read of it before, the preface included.
pub async fn serve(gateway: &Arc<Gateway>, wire: (Transport, BytesMut), origin: Origin, shutdown: &ShutdownWatch) {
    serve_patiently(gateway, wire, origin, (shutdown, SILENCE)).await;
}

/// As [`serve`], with another [`SILENCE`].
pub async fn serve_patiently(
    gateway: &Arc<Gateway>,
    (mut transport, ahead): (Transport, BytesMut),
    origin: Origin,
    (shutdown, silence): (&ShutdownWatch, Duration),
) {
    transport.adopt();
    let (wire, watch) = Watched::new(transport, ahead);
    let mut keeper = Keeper { silence, ..Keeper::new(Arc::clone(gateway), Arc::new(origin), watch, shutdown) };
    let handshake = pin!(settings(gateway).handshake::<_, Bytes>(wire));
    let Some(mut protocol) = keeper.greet(handshake).await else { return };
    keeper.pings = protocol.ping_pong();
    let mut told = shutdown.clone();
    // An error means that nobody is left who could tell.
    let mut told = Box::pin(async move { drop(told.wait_for(|going_down| *going_down).await) });
    poll_fn(|context| {
        if keeper.leaving.is_none() && told.as_mut().poll(context).is_ready() {
            keeper.leave(&mut protocol);
        }
        keeper.poll(context, &mut protocol)
    })
    .await;
}

fn settings(gateway: &Gateway) -> Builder {
    let limit = u32::try_from(gateway.limits().header_limit).unwrap_or(u32::MAX);
    let mut builder = Builder::new();
    builder
        // What is above our own limit gets an answer that says so; `h2` gives none beyond twice that.
        .max_header_list_size(limit.saturating_mul(2))
        .max_concurrent_streams(STREAMS_LIMIT)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Requests of a connection that are being served.
#[derive(Default)]
struct Live {
    count: usize,
    /// The connection, which waits until there are none.
    waker: Option<Waker>,
    /// Of requests that have ended, for those to come: beginning to ask for time takes longer than asking.
    spare: Vec<Ends>,
}

/// What ends a request before its time: the clock, and the gateway's end.
struct Ends {
    timer: DeadlineTimer,
    closing: Closing,
}

/// Most that is kept of them on a connection; each has a few hundred bytes.
const SPARE_LIMIT: usize = 8;

/// One of the requests.
struct Lease {
    live: Arc<Mutex<Live>>,
    ends: Option<Ends>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut live = self.live.lock();
        if live.spare.len() < SPARE_LIMIT {
            live.spare.extend(self.ends.take());
        }
        live.count -= 1;
        if live.count == 0
            && let Some(waker) = live.waker.take()
        {
            waker.wake();
        }
    }
}

/// Keeps the limits of a connection.
struct Keeper {
    gateway: Arc<Gateway>,
    origin: Arc<Origin>,
    /// What requests hear of the gateway's end.
    drain: ShutdownWatch,
    cut_off: ShutdownWatch,
    watch: Arc<Mutex<Watch>>,
    live: Arc<Mutex<Live>>,
    timer: DeadlineTimer,
    pings: Option<PingPong>,
    silence: Duration,
    /// Since when there is no request.
    idle: Option<Instant>,
    /// When the client was last heard of, as far as anybody has looked; whether it has been asked since.
    heard: Instant,
    asked: bool,
    /// Since when no more requests are wanted.
    leaving: Option<Instant>,
    /// Since when the connection has been over, but for its last words.
    ended: Option<Instant>,
    /// What the client did is in a record.
    recorded: bool,
}

impl Keeper {
    fn new(gateway: Arc<Gateway>, origin: Arc<Origin>, watch: Arc<Mutex<Watch>>, drain: &ShutdownWatch) -> Self {
        let cut_off = gateway.cut_off();
        let (live, timer) = (Arc::default(), DeadlineTimer::default());
        let heard = Instant::now();
        Self {
            gateway,
            origin,
            drain: drain.clone(),
            cut_off,
            watch,
            live,
            timer,
            pings: None,
            silence: SILENCE,
            idle: None,
            heard,
            asked: false,
            leaving: None,
            ended: None,
            recorded: false,
        }
    }

    /// Waits for the preface.
    async fn greet<F>(&mut self, mut handshake: Pin<&mut F>) -> Option<Protocol<Watched, Bytes>>
    where
        F: Future<Output = Result<Protocol<Watched, Bytes>, h2::Error>>,
    {
        let time = self.gateway.limits().header_timeout;
        let until = Instant::now() + time;
        let greeted = poll_fn(|context| {
            if let Poll::Ready(result) = handshake.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            self.timer.poll_at(context, Some(until)).map(|()| None)
        });
        let error = match greeted.await {
            Some(Ok(protocol)) => return Some(protocol),
            Some(Err(error)) if error.is_io() => return None,
            Some(Err(_)) => "what the client sent first is not the preface of HTTP/2".to_owned(),
            None if !self.watch.lock().has_begun() => return None,
            None => format!("the preface of HTTP/2 did not arrive within {time:?}"),
        };
        self.record(&Refusal {
            id: request_id::mint(),
            status: None,
            code: Code::InvalidRequest.label(),
            error,
            bytes: 0,
        });
        None
    }

    fn poll(&mut self, context: &mut Context<'_>, protocol: &mut Protocol<Watched, Bytes>) -> Poll<()> {
        loop {
            match protocol.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                Poll::Ready(Some(Err(error))) => {
                    self.record_refusals();
                    self.end_by(&error);
                    return Poll::Ready(());
                }
                Poll::Ready(None) => {
                    self.record_refusals();
                    return Poll::Ready(());
                }
                Poll::Pending => match self.poll_limits(context, protocol) {
                    Next::Wait => return Poll::Pending,
                    Next::Again => {}
                    Next::Over => return Poll::Ready(()),
                },
            }
        }
    }

    /// Has a request served by a task of its own.
    fn begin(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.watch.lock().accepted(respond.stream_id().as_u32());
        let spare = {
            let mut live = self.live.lock();
            live.count += 1;
            live.spare.pop()
        };
        let mut ends = spare.unwrap_or_else(|| Ends {
            timer: DeadlineTimer::default(),
            closing: Closing::new(&self.drain, &self.drain, &self.cut_off),
        });
        let mut lease = Lease { live: Arc::clone(&self.live), ends: None };
        let (gateway, origin) = (Arc::clone(&self.gateway), Arc::clone(&self.origin));
        let watch = Arc::clone(&self.watch);
        // On this thread: the runtimes of the proxy do not move tasks.
        tokio::spawn(async move {
            serve_stream(&gateway, (&origin, &mut ends), request, (respond, watch)).await;
            lease.ends = Some(ends);
            drop(lease);
        });
    }

    /// What time and bytes say of the connection, while there is nothing else to do.
    fn poll_limits(&mut self, context: &mut Context<'_>, protocol: &mut Protocol<Watched, Bytes>) -> Next {
        let (head, breach, has_ended, refusals) = {
            let mut watch = self.watch.lock();
            (watch.head_since(), watch.take_breach(), watch.has_ended(), watch.take_refusals())
        };
        refusals.iter().for_each(|refusal| self.record(refusal));
        let now = Instant::now();
        if has_ended || self.ended.is_some() {
            let until = *self.ended.get_or_insert(now) + LINGER;
            return if self.timer.poll_at(context, Some(until)).is_ready() { Next::Over } else { Next::Wait };
        }
        if let Some(breach) = breach {
            self.refuse(breach.to_string(), None);
            let is_mistake = breach == Breach::NoSettings;
            return self.end(protocol, if is_mistake { Reason::PROTOCOL_ERROR } else { Reason::ENHANCE_YOUR_CALM });
        }
        let limits = self.gateway.limits();
        let late = head.map(|since| since + limits.header_timeout);
        if late.is_some_and(|late| now >= late) {
            let message = format!("The request head did not arrive within {:?}.", limits.header_timeout);
            let refusal = self.watch.lock().refuse_partial(Problem::new(Code::RequestTimeout, message.clone()));
            self.refuse(message, refusal);
            return self.end(protocol, Reason::ENHANCE_YOUR_CALM);
        }
        let until = if !self.is_idle(context) {
            match self.poll_silence(context, now) {
                Some(until) => until,
                None => return self.end(protocol, Reason::NO_ERROR),
            }
        } else if let Some(since) = self.leaving {
            if now >= since.max(self.idle.unwrap_or(since)) + LINGER {
                return self.end(protocol, Reason::NO_ERROR);
            }
            since.max(*self.idle.get_or_insert(now)) + LINGER
        } else {
            let until = *self.idle.get_or_insert(now) + limits.idle_timeout;
            if now >= until {
                self.leave(protocol);
                return Next::Again;
            }
            until
        };
        let next = late.map_or(until, |late| late.min(until));
        if self.timer.poll_at(context, Some(next)).is_ready() { Next::Again } else { Next::Wait }
    }

    /// Whether no request is being served; whoever asks is woken when that comes to be so.
    fn is_idle(&mut self, context: &Context<'_>) -> bool {
        let mut live = self.live.lock();
        if live.count == 0 {
            // Each keeps hold of the task that asked last: one is enough for a connection that may be idle for long.
            live.spare.truncate(1);
            return true;
        }
        if !live.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            live.waker = Some(context.waker().clone());
        }
        self.idle = None;
        false
    }

    /// Asks a client that has been silent for long whether it is there. Gives when to look again; none: it has not answered.
    fn poll_silence(&mut self, context: &mut Context<'_>, now: Instant) -> Option<Instant> {
        let until = self.heard + self.silence;
        if now < until {
            return Some(until);
        }
        let heard = self.watch.lock().take_heard();
        if self.asked && !heard {
            return None;
        }
        (self.asked, self.heard) = (!heard, now);
        if let Some(pings) = self.pings.as_mut().filter(|_| !heard) {
            // Takes the answer to the one before, if there was one.
            let _ = pings.poll_pong(context);
            let _ = pings.send_ping(Ping::opaque());
        }
        Some(now + self.silence)
    }

    /// Wants no more requests; those that are being served end (RFC 9113, section 6.8).
    fn leave(&mut self, protocol: &mut Protocol<Watched, Bytes>) {
        self.leaving = Some(Instant::now());
        protocol.graceful_shutdown();
    }

    fn end(&mut self, protocol: &mut Protocol<Watched, Bytes>, reason: Reason) -> Next {
        self.ended = Some(Instant::now());
        if reason != Reason::NO_ERROR {
            self.count(reason);
        }
        protocol.abrupt_shutdown(reason);
        Next::Again
    }

    /// `h2` has ended the connection.
    fn end_by(&mut self, error: &h2::Error) {
        let Some(reason) = error.reason().filter(|_| error.is_library()) else { return };
        self.count(reason);
        if !self.recorded {
            self.refuse(error.to_string(), None);
        }
    }

    fn count(&self, reason: Reason) {
        self.gateway.metrics.http2_ended(reason);
    }

    fn refuse(&mut self, error: String, refusal: Option<Refusal>) {
        let (id, code) = (request_id::mint(), Code::InvalidRequest.label());
        let refusal = refusal.unwrap_or(Refusal { id, status: None, code, error, bytes: 0 });
        self.record(&refusal);
    }

    fn record_refusals(&mut self) {
        let refusals = self.watch.lock().take_refusals();
        for refusal in refusals {
            self.record(&refusal);
        }
    }

    fn record(&mut self, refusal: &Refusal) {
        self.recorded = true;
        let Refusal { id, status, code, error, bytes } = refusal;
        record(&self.gateway, &self.origin, &Refused { id, status: *status, code, error, bytes: *bytes, parts: None });
    }
}

enum Next {
    /// Somebody wakes the connection.
    Wait,
    /// There is more to do.
    Again,
    Over,
}

/// Serves one request; nothing that happens here concerns others.
async fn serve_stream(
    gateway: &Gateway,
    (origin, Ends { timer, closing }): (&Origin, &mut Ends),
    request: Request<RecvStream>,
    (respond, watch): (SendResponse<Bytes>, Arc<Mutex<Watch>>),
) {
    let (mut parts, body) = request.into_parts();
    let snapshot = gateway.snapshot();
    let checked = head::check(&mut parts, snapshot.config.downstream.header_limit);
    let length = match parts.headers.get(CONTENT_LENGTH) {
        _ if body.is_end_stream() => Length::Known(0),
        Some(length) => {
            length.to_str().ok().and_then(|length| length.parse().ok()).map_or(Length::Unknown, Length::Known)
        }
        None => Length::Unknown,
    };
    let mut client = Http2::new(body, (respond, watch), &parts);
    let served = {
        let work = pin!(async {
            match checked {
                Ok(()) => {
                    let incoming = head::into_incoming(parts, length);
                    let client = Downstream::Http2(&mut client);
                    let connected = Connected { client, timer: &mut *timer, closing, origin };
                    serve_request(connected, incoming, gateway, &snapshot).await;
                }
                Err(problem) => refuse(gateway, origin, (&mut client, &mut *timer), &parts, problem).await,
            }
            // A stream that is dropped while the client still sends is reset, which some clients take for the answer.
            let downstream = &mut Downstream::Http2(&mut client);
            if !downstream.is_body_done() {
                let time = snapshot.config.downstream.linger_timeout;
                relay::drain(downstream, timer, time, BODY_LINGER_PAUSE).await;
            }
        });
        guard(work).await
    };
    if let Err(panic) = served {
        gateway.metrics.panics.inc();
        let id = request_id::mint();
        error!(request_id = &*id, "{panic}");
        if client.has_responded() {
            return client.reset();
        }
        let problem = Problem::new(Code::Internal, "The gateway could not serve the request.");
        let _ = answer(gateway, (&mut client, timer), render(problem, &id, None), &id).await;
    }
}

/// Sends an answer of the gateway's own. False: the client is gone.
async fn answer(
    gateway: &Gateway,
    (client, timer): (&mut Http2, &mut DeadlineTimer),
    answer: Answer,
    id: &str,
) -> bool {
    let Answer { status, mut headers, body } = answer;
    headers.extend(HeaderValue::from_str(id).map(|id| (witgate_http::request_id::FIELD, id)));
    headers.insert(CONTENT_LENGTH, body.len().into());
    let length =
        if client.is_head() { Length::Described } else { Length::Known(u64::try_from(body.len()).unwrap_or(u64::MAX)) };
    let reason = status.canonical_reason().unwrap_or_default().as_bytes();
    let mut downstream = Downstream::Http2(client);
    if downstream.respond(status, reason, (&headers, &Names::default()), length).is_err() {
        return false;
    }
    if matches!(length, Length::Known(1..)) {
        downstream.push(&body);
        downstream.end(None);
    }
    let until = Instant::now() + gateway.limits().body_timeout;
    poll_fn(|context| match downstream.poll_flush(context) {
        Poll::Ready(sent) => Poll::Ready(sent.is_ok()),
        Poll::Pending => timer.poll_at(context, Some(until)).map(|()| false),
    })
    .await
}

/// Answers a head that cannot become a request.
async fn refuse(
    gateway: &Gateway,
    origin: &Origin,
    client: (&mut Http2, &mut DeadlineTimer),
    parts: &Parts,
    problem: Problem,
) {
    let id = request_id::of(&parts.headers);
    let (code, error) = (problem.code.label(), problem.message.clone());
    let audience = Audience { method: &parts.method, headers: &parts.headers };
    let rendered = render(problem, &id, Some(audience));
    let (status, bytes) = (rendered.status.as_u16(), rendered.body.len());
    let status = answer(gateway, client, rendered, &id).await.then_some(status);
    record(gateway, origin, &Refused { id: &id, status, code, error: &error, bytes, parts: Some(parts) });
}

/// What the record of a refused head says.
struct Refused<'r> {
    id: &'r str,
    status: Option<u16>,
    code: &'static str,
    error: &'r str,
    bytes: usize,
    /// There if the head could be read.
    parts: Option<&'r Parts>,
}

fn record(gateway: &Gateway, origin: &Origin, refused: &Refused<'_>) {
    gateway.metrics.heads_refused.inc();
    let parts = refused.parts;
    let host = parts.and_then(|parts| match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(HOST)?.to_str().ok(),
    });
    gateway.access_log.write(&Record {
        time: rfc3339(SystemTime::now()),
        request_id: refused.id,
        client: origin.address.map(|address| address.to_string()),
        method: parts.map_or("", |parts| parts.method.as_str()),
        host,
        path: parts.map_or("", |parts| parts.uri.path()),
        protocol: "HTTP/2",
        route: None,
        generation: gateway.snapshot().generation,
        status: refused.status.unwrap_or(0),
        code: Some(refused.code),
        stage: None,
        upstream: None,
        bytes_in: 0,
        bytes_out: refused.status.and_then(|_| u64::try_from(refused.bytes).ok()).unwrap_or(0),
        duration_ms: 0.0,
        stages: Vec::new(),
        scores: BTreeMap::new(),
        error: Some(refused.error),
    });
}
