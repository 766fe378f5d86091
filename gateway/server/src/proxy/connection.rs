//! Client connections: from accepted bytes to checked requests.
//!
//! Heads of HTTP/1 are read here and not by Pingora, for what it lacks: a time limit for a whole head instead of for
//! each read, a size limit below its own 1 MiB, strict grammar ([`head`]), and one error envelope for all of that. A
//! checked head goes to Pingora as bytes that it finds already read. HTTP/2 connections are handed over whole; the `h2`
//! crate is strict by itself.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::protocols::{ALPN, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use witgate_config::Downstream;

use crate::envelope::{Answer, Code, Problem, render, rfc3339};
use crate::gateway::Gateway;
use crate::proxy::Proxy;
use crate::proxy::client_stream::ClientStream;
use crate::proxy::deadline::Bounded;
use crate::proxy::head::{self, Body};
use crate::request_id;
use crate::telemetry::Record;

/// What an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Flow-control windows of HTTP/2, in bytes. The protocol's default of 64 KiB throttles a single upload to a few
/// megabytes a second over a long link; a connection can make the gateway hold at most the second figure.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Requests at once on one HTTP/2 connection; browsers use up to 100 (RFC 9113, section 5.1.2).
const STREAMS_LIMIT: u32 = 128;

/// After an answer to a refused head: how long, and for how many bytes, a client is read from so that the closing
/// connection does not reset the answer away (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// Serves every connection of a listener.
pub struct Connections {
    proxy: Arc<HttpProxy<Proxy>>,
    gateway: Arc<Gateway>,
}

impl Connections {
    pub fn new(proxy: Arc<HttpProxy<Proxy>>, gateway: Arc<Gateway>) -> Self {
        Self { proxy, gateway }
    }

    async fn serve_http1(&self, mut client: Box<ClientStream>, shutdown: &ShutdownWatch) {
        loop {
            let config = Arc::clone(&self.gateway.snapshot().config);
            let limits = &config.downstream;
            let (head_length, body) = match read_head(&mut client, limits, shutdown).await {
                Ok(head) => head,
                Err(End::Closed) => return,
                Err(End::Refused(problem)) => return self.refuse(client.into_inner(), problem).await,
            };
            let head = client.begin_request(head_length, body);
            let mut session = ServerSession::new_http1(client);
            // Only whether it is kept alive counts: idle time is measured in `read_head`.
            session.set_keepalive(Some(limits.idle_timeout.as_secs().max(1)));
            session.set_pipelined_prefix(head);
            let request = self.proxy.process_new_http(session, shutdown);
            let reused = Bounded::new(request).await.flatten();
            match reused.and_then(|reused| reused.consume().0.into_any().downcast().ok()) {
                Some(reused) => client = reused,
                None => return,
            }
        }
    }

    async fn serve_http2(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let config = Arc::clone(&self.gateway.snapshot().config);
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(config.downstream.idle_timeout);
        let connection = Http2 {
            proxy: Arc::clone(&self.proxy),
            options,
            header_limit: u32::try_from(config.downstream.header_limit).unwrap_or(u32::MAX),
        };
        Arc::new(connection).process_new(stream, shutdown).await;
    }

    /// Answers a head that cannot become a request, and closes.
    async fn refuse(&self, mut stream: Stream, problem: Problem) {
        let (id, label, message) = (request_id::mint(), problem.code.label(), problem.message.clone());
        let answer = render(problem, &id, None);
        self.gateway.metrics.heads_refused.inc();
        self.gateway.access_log.write(&Record {
            time: rfc3339(SystemTime::now()),
            request_id: &id,
            client: client_of(&stream),
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
            error: Some(&message),
        });
        let _ = tokio::time::timeout(LINGER, async {
            stream.write_all(&serialise(&answer, &id)).await?;
            stream.flush().await?;
            AsyncWriteExt::shutdown(&mut stream).await?;
            let mut sink = [0_u8; 4096];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match stream.read(&mut sink).await? {
                    0 => break,
                    n => left = left.saturating_sub(n),
                }
            }
            std::io::Result::Ok(())
        })
        .await;
    }
}

fn client_of(stream: &Stream) -> Option<String> {
    Some(stream.get_socket_digest()?.peer_addr()?.as_inet()?.to_string())
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
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            self.serve_http2(stream, shutdown).await;
            return None;
        }
        if stream.get_ssl_digest().is_some() {
            self.serve_http1(Box::new(ClientStream::new(stream)), shutdown).await;
            return None;
        }
        let config = Arc::clone(&self.gateway.snapshot().config);
        let mut client = Box::new(ClientStream::new(stream));
        if begins_http2(&mut client, &config.downstream, shutdown).await? {
            // Pingora wants to see the preface itself.
            let read = std::mem::take(client.ahead());
            let mut tcp = client.into_inner().into_any().downcast::<TcpStream>().ok()?;
            tcp.rewind(&read);
            self.serve_http2(tcp, shutdown).await;
        } else {
            self.serve_http1(client, shutdown).await;
        }
        None
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

/// Why a connection is over.
enum End {
    /// Nothing to say: idle for too long, closed by the client, or the gateway is going down.
    Closed,
    Refused(Problem),
}

/// Whether a clear-text connection speaks HTTP/2 with prior knowledge (RFC 9113, section 3.3). None: it is over.
async fn begins_http2(client: &mut ClientStream, limits: &Downstream, shutdown: &ShutdownWatch) -> Option<bool> {
    await_first_byte(client, limits.idle_timeout, shutdown).await.ok()?;
    let rest = async {
        while client.ahead().len() < PREFACE.len() && PREFACE.starts_with(client.ahead()) {
            if client.read_ahead().await.ok()? == 0 {
                return None;
            }
        }
        Some(client.ahead().starts_with(PREFACE))
    };
    tokio::time::timeout(limits.header_timeout, rest).await.ok()?
}

/// Waits for a request to begin; until then a connection is idle and may be closed at any time.
async fn await_first_byte(
    client: &mut ClientStream,
    idle_timeout: Duration,
    shutdown: &ShutdownWatch,
) -> Result<(), End> {
    let mut shutdown = shutdown.clone();
    if *shutdown.borrow() {
        return Err(End::Closed);
    }
    tokio::select! {
        biased;
        got = pingora::time::timeout(idle_timeout, client.read_ahead()) => match got {
            Ok(Ok(n)) if n > 0 => Ok(()),
            _ => Err(End::Closed),
        },
        _ = shutdown.changed() => Err(End::Closed),
    }
}

/// Reads until a complete and valid head has come: its length, and where the body ends.
async fn read_head(
    client: &mut ClientStream,
    limits: &Downstream,
    shutdown: &ShutdownWatch,
) -> Result<(usize, Body), End> {
    if client.ahead().is_empty() {
        await_first_byte(client, limits.idle_timeout, shutdown).await?;
    }
    let mut scanned = 0;
    if let Some(end) = advance(client.ahead(), &mut scanned, limits)? {
        return check(client.ahead(), end);
    }
    let rest = async {
        loop {
            match client.read_ahead().await {
                Ok(n) if n > 0 => {}
                _ => return Err(End::Closed),
            }
            if let Some(end) = advance(client.ahead(), &mut scanned, limits)? {
                return check(client.ahead(), end);
            }
        }
    };
    match tokio::time::timeout(limits.header_timeout, rest).await {
        Ok(result) => result,
        Err(_) => {
            let message = format!("The request head did not arrive within {:?}.", limits.header_timeout);
            Err(End::Refused(Problem::new(Code::RequestTimeout, message)))
        }
    }
}

/// Looks for the end of the head in what has been read.
fn advance(read: &mut BytesMut, scanned: &mut usize, limits: &Downstream) -> Result<Option<usize>, End> {
    // A blank line before a request is ignored: some clients end a body with one (RFC 9112, section 2.2).
    if *scanned == 0 && read.starts_with(b"\r\n") {
        read.advance(2);
    }
    let limit = limits.header_limit;
    let too_large = || {
        End::Refused(Problem::new(Code::HeadTooLarge, format!("The request head exceeds the limit of {limit} bytes.")))
    };
    match head::scan(read, *scanned).map_err(End::Refused)? {
        head::Progress::Complete { end } if end > limit => Err(too_large()),
        head::Progress::Complete { end } => Ok(Some(end)),
        head::Progress::Partial { .. } if read.len() > limit => Err(too_large()),
        head::Progress::Partial { scanned: upto } => {
            *scanned = upto;
            Ok(None)
        }
    }
}

fn check(read: &[u8], end: usize) -> Result<(usize, Body), End> {
    let body = head::check(read.get(..end).unwrap_or_default()).map_err(End::Refused)?;
    Ok((end, body))
}

/// One HTTP/2 connection, under the limits of the generation that was current when it began.
struct Http2 {
    proxy: Arc<HttpProxy<Proxy>>,
    options: HttpServerOptions,
    header_limit: u32,
}

#[async_trait]
impl HttpServerApp for Http2 {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        Bounded::new(self.proxy.process_new_http(session, shutdown)).await.flatten()
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options
            .max_header_list_size(self.header_limit)
            .max_concurrent_streams(STREAMS_LIMIT)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
