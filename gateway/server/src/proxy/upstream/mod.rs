//! The endpoint's side of a request, in either version of HTTP.

pub mod http1;
mod http2;
mod http2_pool;
mod pool;

pub use http1::ResponseParts;

use std::io;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use pingora::ErrorType;
use pingora::connectors::TransportConnector;
use pingora::protocols::Stream;
use witgate_http::http1::field::Names;
use witgate_http::http1::write::{self, Connection, Framing};

use crate::proxy::transport::Transport;
use crate::snapshot::Endpoint;
use crate::upstream::Cause;
use http1::Http1;
use http2::Http2;

/// How often a request is sent again because endpoints said that they had done nothing with it: once for a connection that was
/// ending and once more for bad luck. One that refuses everything is not asked for ever.
pub const UNPROCESSED_LIMIT: u32 = 2;

/// Makes connections, with TLS where an endpoint wants it.
static TRANSPORT: LazyLock<TransportConnector> = LazyLock::new(|| TransportConnector::new(None));

/// A new connection, without anything said on it.
async fn open_transport(endpoint: &Endpoint) -> Result<Stream, UpstreamError> {
    TRANSPORT.new_stream(&endpoint.peer).await.map_err(|error| match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => UpstreamError::ConnectTimeout,
        _ => UpstreamError::Unreachable(error),
    })
}

/// What went wrong on the endpoint's side.
#[derive(Debug)]
pub enum UpstreamError {
    /// No connection: nothing was sent.
    Unreachable(Box<pingora::Error>),
    /// It took too long to connect.
    ConnectTimeout,
    /// It closed, or the connection broke.
    Closed(io::Error),
    /// It sent something that is not HTTP.
    Invalid(String),
    /// It takes nothing of the request's body.
    WriteTimeout,
    /// It owes a response and says nothing.
    ReadTimeout,
    /// It has said that it has done nothing with the request, which may be sent again, whatever its method (RFC 9113,
    /// section 8.7); or the connection ended before it was sent.
    Unprocessed(io::Error),
}

impl UpstreamError {
    /// The failure as it is counted and remembered.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Unreachable(error) => match error.etype() {
                ErrorType::ConnectRefused => Cause::Refused,
                ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::HandshakeError => Cause::Tls,
                // No descriptor or no port was free: Pingora's word for what is wrong on this side.
                ErrorType::SocketError | ErrorType::BindError | ErrorType::InternalError => Cause::Local,
                _ => Cause::Unreachable,
            },
            Self::ConnectTimeout => Cause::ConnectTimeout,
            Self::Closed(error) if error.kind() == io::ErrorKind::ConnectionReset => Cause::Reset,
            Self::Closed(_) | Self::Unprocessed(_) => Cause::Closed,
            Self::Invalid(_) => Cause::Invalid,
            Self::WriteTimeout => Cause::WriteTimeout,
            Self::ReadTimeout => Cause::ReadTimeout,
        }
    }
}

/// A connection or stream that carries one request.
pub enum Upstream {
    Http1 { connection: Box<Http1>, key: u64, idle_timeout: Duration, reused: bool },
    Http2(Box<Http2>),
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self {
            Upstream::Http1 { connection: $stream, .. } => $call,
            Upstream::Http2($stream) => $call,
        }
    };
}

impl Upstream {
    /// An idle connection, if there is one.
    pub fn reuse(endpoint: &Endpoint, now: Instant) -> Option<Self> {
        if endpoint.http2 {
            return None;
        }
        let connection = pool::take(endpoint.key, now)?;
        Some(Self::Http1 { connection, key: endpoint.key, idle_timeout: endpoint.idle_timeout, reused: true })
    }

    /// A new connection, or a stream of a shared one.
    ///
    /// # Errors
    /// The endpoint cannot be reached.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, UpstreamError> {
        if endpoint.http2 {
            let place = http2_pool::place(endpoint).await?;
            return Ok(Self::Http2(Box::new(Http2::new(place, endpoint.peer.is_tls()))));
        }
        let stream = open_transport(endpoint).await?;
        let connection = Box::new(Http1::new(Transport::new(stream)));
        Ok(Self::Http1 { connection, key: endpoint.key, idle_timeout: endpoint.idle_timeout, reused: false })
    }

    /// Whether the endpoint may have closed the connection before it saw this request.
    pub fn may_be_stale(&self) -> bool {
        match self {
            Self::Http1 { connection, reused, .. } => *reused && !connection.has_answered(),
            Self::Http2(stream) => stream.may_be_stale(),
        }
    }

    /// Writes a request's head.
    ///
    /// # Errors
    /// A connection of HTTP/2 does not take it.
    pub fn send(
        &mut self,
        method: &Method,
        path: &PathAndQuery,
        (headers, names): (&HeaderMap, &Names),
        framing: Framing,
        upgrade: bool,
    ) -> Result<(), UpstreamError> {
        match self {
            Self::Http1 { connection, .. } => {
                let option = if upgrade { Connection::Upgrade } else { Connection::Silent };
                write::request(connection.wire.output(), method, path, (headers, names), framing, option);
                connection.begin(framing);
                Ok(())
            }
            Self::Http2(stream) => {
                stream.send(method, path, headers, matches!(framing, Framing::None | Framing::Length(0)))
            }
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        either!(self, stream => stream.push(bytes));
    }

    pub fn end(&mut self, trailers: Option<HeaderMap>) {
        match self {
            Self::Http1 { connection, .. } => connection.end(trailers.as_ref()),
            Self::Http2(stream) => stream.end(trailers),
        }
    }

    pub fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Http1 { connection, .. } => connection.wire.poll_room(context),
            Self::Http2(stream) => stream.poll_room(context),
        }
    }

    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Http1 { connection, .. } => connection.wire.poll_flush(context),
            Self::Http2(stream) => stream.poll_flush(context),
        }
    }

    /// Ready with a head: of an interim response, or of the final one.
    pub fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        method: &Method,
    ) -> Poll<Result<Box<ResponseParts>, UpstreamError>> {
        match self {
            Self::Http1 { connection, .. } => connection.poll_head(context, method),
            Self::Http2(stream) => stream.poll_head(context),
        }
    }

    /// Bytes of the response's body, if they are known beforehand.
    pub fn body_left(&self) -> Option<u64> {
        either!(self, stream => stream.body_left())
    }

    /// Ready with the number of body bytes at hand, or none at the body's end.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<usize>, UpstreamError>> {
        either!(self, stream => stream.poll_body(context))
    }

    pub fn data(&self, count: usize) -> &[u8] {
        either!(self, stream => stream.data(count))
    }

    pub fn consume(&mut self, count: usize) {
        either!(self, stream => stream.consume(count));
    }

    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        either!(self, stream => stream.take_trailers())
    }

    /// Keeps the connection for others, if it is in a state for that.
    pub fn release(self, now: Instant) {
        if let Self::Http1 { connection, key, idle_timeout, .. } = self
            && connection.is_reusable()
        {
            pool::put(key, connection, idle_timeout, now);
        }
    }
}
