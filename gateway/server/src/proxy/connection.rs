//! Client connections: which version they speak, and those of HTTP/1: from bytes to checked requests, one after the other.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::apps::ServerApp;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use witgate_config::Downstream as Limits;
use witgate_http::http1::request;

use crate::envelope::{Answer, Code, Problem, render, rfc3339};
use crate::gateway::Gateway;
use crate::proxy::closing::Closing;
use crate::proxy::deadline_timer::DeadlineTimer;
use crate::proxy::downstream::{Downstream, Http1};
use crate::proxy::http2;
use crate::proxy::origin::{Incoming, Origin};
use crate::proxy::relay;
use crate::proxy::serve::serve;
use crate::proxy::session::Connected;
use crate::proxy::transport::Transport;
use crate::request_id;
use crate::telemetry::Record;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// After an answer to a refused head: for how many bytes a client is read from, besides `linger_timeout`, so that the closing
/// connection does not reset the answer away (RFC 9112, section 9.6).
const LINGER_BYTES: usize = 256 * 1024;

/// How long a client that was answered may send nothing of its body, as nginx has it (`lingering_timeout`): one that has stopped will
/// not go on.
const LINGER_PAUSE: Duration = Duration::from_secs(5);

/// Serves every connection of a listener.
#[derive(Clone)]
pub struct Connections {
    gateway: Arc<Gateway>,
}

impl Connections {
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }

    async fn serve_http1(
        &self,
        mut client: Box<Http1>,
        origin: Origin,
        mut timer: DeadlineTimer,
        mut closing: Closing,
    ) {
        let (mut idle, mut idle_timeout) = (Instant::now(), self.gateway.limits().idle_timeout);
        loop {
            if await_request(&mut client, idle + idle_timeout, &mut timer, &mut closing).await.is_err() {
                return;
            }
            // Once, and when a request has begun: one that comes after a reload is judged by what was loaded.
            let snapshot = self.gateway.snapshot();
            let limits = &snapshot.config.downstream;
            let incoming = match read_head(&mut client, limits, &mut timer).await {
                Ok(incoming) => incoming,
                Err(End::Closed) => return,
                Err(End::Refused(problem)) => {
                    return Box::pin(self.refuse(client.wire.into_parts().0, &origin, problem)).await;
                }
            };
            let connected = Connected {
                client: Downstream::Http1(&mut client),
                timer: &mut timer,
                closing: &mut closing,
                origin: &origin,
            };
            (idle, idle_timeout) = (serve(connected, incoming, &self.gateway, &snapshot).await, limits.idle_timeout);
            let whole = client.is_body_done();
            if !finish(&mut client, &mut timer, limits.linger_timeout).await {
                return;
            }
            if !whole {
                idle = Instant::now();
            }
            client.wire.adopt();
        }
    }

    /// Answers a head that cannot become a request, and closes.
    async fn refuse(&self, mut transport: Transport, origin: &Origin, problem: Problem) {
        let (id, label, message) = (request_id::mint(), problem.code.label(), problem.message.clone());
        let answer = render(problem, &id, None);
        self.gateway.metrics.heads_refused.inc();
        self.gateway.access_log.write(&Record {
            time: rfc3339(SystemTime::now()),
            request_id: &id,
            client: origin.address.map(|address| address.to_string()),
            method: "",
            host: None,
            path: "",
            protocol: "HTTP/1.1",
            route: None,
            generation: self.gateway.snapshot().generation,
            status: answer.status.as_u16(),
            code: Some(label),
            stage: None,
            upstream: None,
            bytes_in: 0,
            bytes_out: u64::try_from(answer.body.len()).unwrap_or(u64::MAX),
            duration_ms: 0.0,
            stages: Vec::new(),
            scores: BTreeMap::new(),
            error: Some(&message),
        });
        let _ = tokio::time::timeout(self.gateway.limits().linger_timeout, async {
            transport.write_all(&serialise(&answer, &id)).await?;
            transport.flush().await?;
            transport.shutdown().await?;
            let mut sink = [0_u8; 4096];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match tokio::time::timeout(LINGER_PAUSE, transport.read(&mut sink)).await?? {
                    0 => break,
                    n => left = left.saturating_sub(n),
                }
            }
            std::io::Result::Ok(())
        })
        .await;
    }
}

/// Serves one request of the gateway to itself.
pub async fn serve_subrequest(gateway: &Arc<Gateway>, stream: Stream, origin: &Origin) {
    let (mut client, mut timer) = (Box::new(Http1::new(Transport::new(stream))), DeadlineTimer::default());
    let mut closing = Closing::never();
    let until = Instant::now() + gateway.limits().idle_timeout;
    if await_request(&mut client, until, &mut timer, &mut closing).await.is_err() {
        return;
    }
    let snapshot = gateway.snapshot();
    let limits = &snapshot.config.downstream;
    match read_head(&mut client, limits, &mut timer).await {
        Ok(incoming) => {
            client.end_after_response();
            let connected =
                Connected { client: Downstream::Http1(&mut client), timer: &mut timer, closing: &mut closing, origin };
            serve(connected, incoming, gateway, &snapshot).await;
            finish(&mut client, &mut timer, limits.linger_timeout).await;
        }
        Err(End::Closed) => {}
        Err(End::Refused(problem)) => {
            Connections::new(Arc::clone(gateway)).refuse(client.wire.into_parts().0, origin, problem).await;
        }
    }
}

fn serialise(answer: &Answer, id: &str) -> Vec<u8> {
    let reason = answer.status.canonical_reason().unwrap_or_default();
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut bytes = format!(
        "HTTP/1.1 {} {reason}\r\ndate: {date}\r\nconnection: close\r\ncontent-length: {}\r\nx-request-id: {id}\r\n",
        answer.status.as_u16(),
        answer.body.len()
    )
    .into_bytes();
    for (name, value) in &answer.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&answer.body);
    bytes
}

#[async_trait]
impl ServerApp for Connections {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (origin, protocol) = (Origin::new(&stream), stream.selected_alpn_proto());
        let transport = Transport::new(stream);
        if matches!(protocol, Some(ALPN::H2)) {
            let wire = (transport, BytesMut::new());
            Box::pin(http2::serve(&self.gateway, wire, origin, &self.gateway.drain.begun())).await;
            return None;
        }
        let (mut client, mut timer) = (Box::new(Http1::new(transport)), DeadlineTimer::default());
        let mut closing = Closing::new(&self.gateway.drain.begun(), shutdown, &self.gateway.cut_off());
        if origin.client.tls || !begins_http2(&mut client, &self.gateway.limits(), &mut timer, &mut closing).await? {
            self.serve_http1(client, origin, timer, closing).await;
            return None;
        }
        Box::pin(http2::serve(&self.gateway, client.wire.into_parts(), origin, &self.gateway.drain.begun())).await;
        None
    }
}

/// Why a connection is over.
enum End {
    /// Nothing to say: idle for too long, closed by the client, or the gateway is going down.
    Closed,
    Refused(Problem),
}

/// Whether a clear-text connection speaks HTTP/2 with prior knowledge (RFC 9113, section 3.3). None: it is over.
async fn begins_http2(
    client: &mut Http1,
    limits: &Limits,
    timer: &mut DeadlineTimer,
    closing: &mut Closing,
) -> Option<bool> {
    await_first_byte(client, Instant::now() + limits.idle_timeout, timer, closing).await.ok()?;
    let end = Instant::now() + limits.header_timeout;
    poll_fn(|context| {
        while client.wire.input.len() < PREFACE.len() && PREFACE.starts_with(&client.wire.input) {
            match client.wire.poll_fill(context) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => return timer.poll_at(context, Some(end)).map(|()| None),
            }
        }
        Poll::Ready(Some(client.wire.input.starts_with(PREFACE)))
    })
    .await
}

/// Waits for a request to begin; until then a connection is idle and may be closed at any time.
async fn await_first_byte(
    client: &mut Http1,
    until: Instant,
    timer: &mut DeadlineTimer,
    closing: &mut Closing,
) -> Result<(), End> {
    poll_fn(|context| {
        // First, so that nothing more is begun once the gateway is going down.
        if closing.poll_begun(context).is_ready() {
            return Poll::Ready(Err(End::Closed));
        }
        match client.wire.poll_fill(context) {
            Poll::Ready(Ok(1..)) => return Poll::Ready(Ok(())),
            Poll::Ready(_) => return Poll::Ready(Err(End::Closed)),
            Poll::Pending => {}
        }
        client.wire.rest();
        timer.poll_at(context, Some(until)).map(|()| Err(End::Closed))
    })
    .await
}

/// Waits for a request to begin, if none has.
async fn await_request(
    client: &mut Http1,
    until: Instant,
    timer: &mut DeadlineTimer,
    closing: &mut Closing,
) -> Result<(), End> {
    if client.wire.input.is_empty() { await_first_byte(client, until, timer, closing).await } else { Ok(()) }
}

/// Reads until a complete and valid head has come, and begins its request.
async fn read_head(client: &mut Http1, limits: &Limits, timer: &mut DeadlineTimer) -> Result<Box<Incoming>, End> {
    let mut scanned = 0;
    if let Some(end) = advance(&mut client.wire.input, &mut scanned, limits)? {
        return begin(client, end);
    }
    let until = Instant::now() + limits.header_timeout;
    let end = poll_fn(|context| {
        loop {
            match client.wire.poll_fill(context) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Err(End::Closed)),
                Poll::Pending => break,
            }
            if let Some(end) = advance(&mut client.wire.input, &mut scanned, limits)? {
                return Poll::Ready(Ok(end));
            }
        }
        timer.poll_at(context, Some(until)).map(|()| {
            let message = format!("The request head did not arrive within {:?}.", limits.header_timeout);
            Err(End::Refused(Problem::new(Code::RequestTimeout, message)))
        })
    })
    .await?;
    begin(client, end)
}

fn begin(client: &mut Http1, end: usize) -> Result<Box<Incoming>, End> {
    let head = request::parse(client.wire.input.get(..end).unwrap_or_default());
    client.wire.input.advance(end);
    let head = head.map_err(|error| End::Refused(error.into()))?;
    client.begin(&head);
    Ok(Incoming::from_http1(head, client.body_length()))
}

/// After a response: takes what is left of the request off the connection, so that another one can follow, or the client can read
/// the answer before its connection is reset (RFC 9112, section 9.6). False: none can follow.
async fn finish(client: &mut Http1, timer: &mut DeadlineTimer, linger: Duration) -> bool {
    let keep = client.keeps_alive();
    client.shut_down().await;
    if client.is_body_done() {
        return keep;
    }
    // A client that still waits to be told to send will send nothing.
    !client.waits_to_send() && relay::drain(&mut Downstream::Http1(client), timer, linger, LINGER_PAUSE).await && keep
}

/// Looks for the end of the head in what has been read.
fn advance(read: &mut BytesMut, scanned: &mut usize, limits: &Limits) -> Result<Option<usize>, End> {
    // A blank line before a request is ignored: some clients end a body with one (RFC 9112, section 2.2).
    if *scanned == 0 && read.starts_with(b"\r\n") {
        read.advance(2);
    }
    let limit = limits.header_limit;
    let too_large = |read: &[u8]| {
        // RFC 9112, section 3: whoever sent a target that is too long learns that it was that.
        let line_fits = memchr::memchr(b'\n', read.get(..limit).unwrap_or(read)).is_some();
        End::Refused(if line_fits {
            Problem::new(Code::HeadTooLarge, format!("The request head exceeds the limit of {limit} bytes."))
        } else {
            Problem::new(Code::UriTooLong, format!("The request line exceeds the limit of {limit} bytes."))
        })
    };
    match request::scan(read, *scanned).map_err(|error| End::Refused(error.into()))? {
        request::Progress::Complete { end } if end > limit => Err(too_large(read)),
        request::Progress::Complete { end } => Ok(Some(end)),
        request::Progress::Partial { .. } if read.len() > limit => Err(too_large(read)),
        request::Progress::Partial { scanned: upto } => {
            *scanned = upto;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output_size<A, B, C, D, E, F>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// Every open connection holds one, busy or idle: what is rarely run has to be in boxes of its own.
    #[test]
    fn the_future_of_a_connection_is_small() {
        let size = output_size(|connections: &'static Connections, client, origin, timer, closing| {
            connections.serve_http1(client, origin, timer, closing)
        });
        assert!(size < 6 * 1024, "{size} bytes");
    }
}
