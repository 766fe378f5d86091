//! Clients that speak HTTP/1.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use http::header::{HeaderMap, HeaderName};
use http::{StatusCode, Version};
use witgate_http::http1::body::{Decoder, Progress};
use witgate_http::http1::field::Names;
use witgate_http::http1::request::{self, Body};
use witgate_http::http1::write::{self, Connection, Framing};
use witgate_http::{hop, trailer};

use super::{ClientError, Length};
use crate::proxy::transport::Transport;
use crate::proxy::wire::Wire;

/// Bytes of later requests that are read ahead while one is served; beyond it the client has to wait.
const AHEAD_LIMIT: usize = 64 * 1024;

/// What is left of a body that nobody wants and that is taken off the connection all the same, so that it serves again: some round
/// trips of the client's.
const SOON: u64 = 64 * 1024;

/// A client's connection, and the request on it that is being served.
#[derive(Debug)]
pub struct Http1 {
    pub wire: Wire,
    body: Decoder,
    version: Version,
    /// What `Connection` of the request named, for its trailers.
    nominated: Vec<HeaderName>,
    /// The client sends its body when it is told to.
    waits_to_send: bool,
    /// Another request may follow.
    keep_alive: bool,
    framing: Framing,
    /// The response breaks off where a close would be its end.
    broken: bool,
    /// Body bytes of this request and its response.
    pub received: u64,
    pub sent: u64,
}

impl Http1 {
    pub fn new(transport: Transport) -> Self {
        Self {
            wire: Wire::new(transport),
            body: Decoder::length(0),
            version: Version::HTTP_11,
            nominated: Vec::new(),
            waits_to_send: false,
            keep_alive: false,
            framing: Framing::None,
            broken: false,
            received: 0,
            sent: 0,
        }
    }

    /// Begins a request, whose head has been taken off the input.
    pub fn begin(&mut self, head: &request::Head) {
        self.body = match head.body {
            Body::Length(length) => Decoder::length(length),
            Body::Chunked => Decoder::chunked(),
        };
        self.version = head.version;
        self.nominated = if head.body == Body::Chunked { hop::nominated(&head.headers) } else { Vec::new() };
        self.waits_to_send = head.expects_continue && !self.body.is_done();
        self.keep_alive = head.keep_alive;
        (self.framing, self.broken) = (Framing::None, false);
        (self.received, self.sent) = (0, 0);
    }

    /// Closes the connection after this response.
    pub fn end_after_response(&mut self) {
        self.keep_alive = false;
    }

    /// See [`super::Downstream::refuse_body`].
    pub fn refuse_body(&mut self) {
        // Whether the body of a client that waits to send follows all the same is its own choice: nobody can tell what comes
        // next.
        let soon = self.body.left().is_some_and(|left| left <= SOON);
        self.keep_alive &= self.body.is_done() || (soon && !self.waits_to_send);
    }

    /// Makes sure that the client sees that its response is not whole.
    pub fn abort(&mut self) {
        self.keep_alive = false;
        // The end of the connection would be the end of such a body.
        self.broken |= self.framing == Framing::UntilClose;
    }

    /// Tells the client that nothing more comes, if so it is: that is the end of some responses.
    pub async fn shut_down(&mut self) {
        if self.keep_alive {
            return;
        }
        if self.broken {
            return self.wire.reset_on_close();
        }
        let wire = &mut self.wire;
        // What cannot be sent at once is not waited for.
        poll_fn(|context| Poll::Ready(wire.poll_shutdown(context).is_ready())).await;
    }

    pub fn body_length(&self) -> Length {
        self.body.left().map_or(Length::Unknown, Length::Known)
    }

    pub fn is_body_done(&self) -> bool {
        self.body.is_done()
    }

    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        Some(trailer::without(self.body.take_trailers()?, &self.nominated))
    }

    /// Ready with the number of body bytes at hand, or none at the body's end.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<usize>, ClientError>> {
        loop {
            match self.body.advance(&mut self.wire.input).map_err(ClientError::Malformed)? {
                Progress::Data(count) => return Poll::Ready(Ok(Some(count))),
                Progress::End => return Poll::Ready(Ok(None)),
                Progress::More => {}
            }
            if std::mem::take(&mut self.waits_to_send) && self.framing == Framing::None {
                self.wire.output().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                if let Poll::Ready(sent) = self.wire.poll_flush(context) {
                    sent.map_err(ClientError::Disconnected)?;
                }
            }
            if ready!(self.wire.poll_fill(context)).map_err(ClientError::Disconnected)? == 0 {
                return Poll::Ready(Err(ClientError::Disconnected(io::ErrorKind::UnexpectedEof.into())));
            }
        }
    }

    pub fn data(&self, count: usize) -> &[u8] {
        self.wire.input.get(..count).unwrap_or_default()
    }

    pub fn consume(&mut self, count: usize) {
        self.received += u64::try_from(count).unwrap_or(u64::MAX);
        self.body.consume(&mut self.wire.input, count);
    }

    /// Ready once the client has closed; keeps what else comes for later. Only while no body is left to read.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        // Nothing wakes us beyond the limit: whoever waits here ends with the request.
        while self.wire.input.len() < AHEAD_LIMIT {
            match ready!(self.wire.poll_fill(context)) {
                Ok(0) => return Poll::Ready(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
        Poll::Pending
    }

    /// Whether the client waits to be told to send its body, and has not been.
    pub fn waits_to_send(&self) -> bool {
        self.waits_to_send
    }

    /// Writes an interim response (RFC 9110, section 15.2), to clients that know them.
    pub fn interim(&mut self, status: StatusCode, reason: &[u8], fields: (&HeaderMap, &Names)) {
        if self.version == Version::HTTP_11 {
            write::response(self.wire.output(), status, reason, fields, Framing::None, Connection::Silent);
        }
    }

    /// Writes the head of the response that switches the connection to another protocol.
    pub fn switch(&mut self, reason: &[u8], fields: (&HeaderMap, &Names)) {
        self.keep_alive = false;
        let status = StatusCode::SWITCHING_PROTOCOLS;
        write::response(self.wire.output(), status, reason, fields, Framing::None, Connection::Upgrade);
    }

    /// Writes the head of the final response.
    pub fn respond(&mut self, status: StatusCode, reason: &[u8], fields: (&HeaderMap, &Names), length: Length) {
        self.framing = match length {
            Length::None => Framing::None,
            Length::Described => Framing::Described,
            Length::Known(length) => Framing::Length(length),
            Length::Unknown if self.version == Version::HTTP_11 => Framing::Chunked,
            Length::Unknown => Framing::UntilClose,
        };
        self.keep_alive &= self.framing != Framing::UntilClose;
        let connection = match (self.keep_alive, self.version) {
            (false, _) => Connection::Close,
            (true, Version::HTTP_10) => Connection::KeepAlive,
            (true, _) => Connection::Silent,
        };
        write::response(self.wire.output(), status, reason, fields, self.framing, connection);
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.sent += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        write::data(self.wire.output(), self.framing, bytes);
    }

    pub fn end(&mut self, trailers: Option<&HeaderMap>) {
        write::end(self.wire.output(), self.framing, trailers);
    }

    /// Whether the connection can be used again, if the rest of the body is taken off it.
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive
    }
}
