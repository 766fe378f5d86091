//! The client's side of a request, in either version of HTTP.

mod http1;
mod http2;

pub use http1::Http1;
pub use http2::Http2;

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use witgate_http::hop;
use witgate_http::http1::body::BodyError;
use witgate_http::http1::field::Names;

/// How long a message's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// There is none, and its fields say nothing about one.
    None,
    /// There is none; its fields describe the one that another request would get (HEAD, 304).
    Described,
    Known(u64),
    Unknown,
}

impl Length {
    /// Of a body that is there.
    pub fn of(body: &Bytes) -> Self {
        Self::Known(u64::try_from(body.len()).unwrap_or(u64::MAX))
    }
}

/// What went wrong on the client's side.
#[derive(Debug)]
pub enum ClientError {
    /// It closed, or the connection broke: nobody is left to answer.
    Disconnected(io::Error),
    /// It paused for too long within its body.
    BodyTimeout,
    Malformed(BodyError),
}

/// Where a request came from, and where its response goes.
pub enum Downstream<'a> {
    Http1(&'a mut Http1),
    Http2(&'a mut Http2),
}

/// Fields, and names as they were written.
pub type FieldsRef<'a> = (&'a HeaderMap, &'a Names);

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self {
            Downstream::Http1($stream) => $call,
            Downstream::Http2($stream) => $call,
        }
    };
}

impl Downstream<'_> {
    pub fn is_body_done(&self) -> bool {
        either!(self, stream => stream.is_body_done())
    }

    /// Ready with the number of body bytes at hand, or none at the body's end.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<usize>, ClientError>> {
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

    /// Ready once the client has closed or given up. Only while no body is left to read.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        either!(self, stream => stream.poll_gone(context))
    }

    /// Sends an interim response of an endpoint's (RFC 9110, section 15.2), without what concerned the endpoint's connection,
    /// to a client that knows them; [`Self::poll_flush`] takes it on its way. Does nothing once the final one has begun.
    pub fn interim(&mut self, status: StatusCode, reason: &[u8], mut headers: HeaderMap, names: &Names) {
        hop::strip(&mut headers, false);
        match self {
            Self::Http1(stream) => stream.interim(status, reason, (&headers, names)),
            Self::Http2(stream) => stream.interim(status, headers),
        }
    }

    /// Sends the head of the final response.
    ///
    /// # Errors
    /// The client is gone.
    pub fn respond(
        &mut self,
        status: StatusCode,
        reason: &[u8],
        fields: FieldsRef<'_>,
        length: Length,
    ) -> Result<(), ClientError> {
        match self {
            Self::Http1(stream) => {
                stream.respond(status, reason, fields, length);
                Ok(())
            }
            Self::Http2(stream) => stream.respond(status, fields.0.clone(), length),
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        either!(self, stream => stream.push(bytes));
    }

    pub fn end(&mut self, trailers: Option<HeaderMap>) {
        match self {
            Self::Http1(stream) => stream.end(trailers.as_ref()),
            Self::Http2(stream) => stream.end(trailers),
        }
    }

    /// Ready once there is room for more of the response.
    ///
    /// # Errors
    /// The client is gone.
    pub fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Http1(stream) => stream.wire.poll_room(context),
            Self::Http2(stream) => stream.poll_room(context),
        }
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// The client is gone.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Http1(stream) => stream.wire.poll_flush(context),
            Self::Http2(stream) => stream.poll_flush(context),
        }
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        match self {
            Self::Http1(stream) => stream.wire.unsent(),
            Self::Http2(stream) => stream.unsent(),
        }
    }

    /// Body bytes of the request that were taken, and of the response that were sent.
    pub fn counts(&self) -> (u64, u64) {
        let (received, written) = either!(self, stream => (stream.received, stream.sent));
        let held = if let Self::Http2(stream) = self { stream.held() } else { 0 };
        // What waits may have framing in it as well: a body that was cut off counts a little short.
        (received, written.saturating_sub(u64::try_from(self.unsent() + held).unwrap_or(u64::MAX)))
    }

    /// Makes sure that the client sees that its response is not whole.
    pub fn abort(&mut self) {
        match self {
            Self::Http1(stream) => stream.abort(),
            Self::Http2(stream) => stream.reset(),
        }
    }

    /// Waits until a response that has been flushed can be read to its end, as far as that is up to the gateway.
    pub async fn settle(&mut self) {
        match self {
            Self::Http1(stream) => stream.shut_down().await,
            // The connection's own task sends it.
            Self::Http2(_) => tokio::task::yield_now().await,
        }
    }

    /// The request's body has not come, and will not be waited for: the connection serves no other request, unless so little is
    /// left that it is soon taken off.
    pub fn refuse_body(&mut self) {
        if let Self::Http1(stream) = self {
            stream.refuse_body();
        }
    }

    /// The connection serves no other request.
    pub fn end_after_response(&mut self) {
        if let Self::Http1(stream) = self {
            stream.end_after_response();
        }
    }
}
