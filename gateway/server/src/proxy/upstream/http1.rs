//! Endpoints that speak HTTP/1.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{HeaderMap, HeaderName};
use http::{Method, StatusCode};
use witgate_http::http1::body::{Decoder, Progress};
use witgate_http::http1::field::Names;
use witgate_http::http1::response;
use witgate_http::http1::write::{self, Framing};
use witgate_http::{hop, trailer};

use super::UpstreamError;
use crate::proxy::transport::Transport;
use crate::proxy::wire::Wire;

/// Most bytes of a response's head: as much as clients may send.
const HEAD_LIMIT: usize = 64 * 1024;

/// A connection to an endpoint, and the exchange on it.
#[derive(Debug)]
pub struct Http1 {
    pub wire: Wire,
    body: Decoder,
    framing: Framing,
    request_sent: bool,
    /// Something of the response has arrived.
    answered: bool,
    keep_alive: bool,
    scanned: usize,
    /// What `Connection` of the response named, for its trailers.
    nominated: Vec<HeaderName>,
}

/// A response's head, ready to be passed on. In a box, for it goes through many hands.
#[derive(Debug)]
pub struct ResponseParts {
    pub status: StatusCode,
    pub reason: Bytes,
    pub headers: HeaderMap,
    pub names: Names,
}

impl Http1 {
    pub fn new(transport: Transport) -> Self {
        Self {
            wire: Wire::new(transport),
            body: Decoder::length(0),
            framing: Framing::None,
            request_sent: false,
            answered: false,
            keep_alive: false,
            scanned: 0,
            nominated: Vec::new(),
        }
    }

    /// Begins a request, whose head has been written to the wire's output.
    pub fn begin(&mut self, framing: Framing) {
        self.framing = framing;
        self.request_sent = matches!(framing, Framing::None | Framing::Length(0));
        self.answered = false;
        self.keep_alive = false;
        self.scanned = 0;
    }

    /// Whether anything of the response has come.
    pub fn has_answered(&self) -> bool {
        self.answered
    }

    pub fn push(&mut self, bytes: &[u8]) {
        write::data(self.wire.output(), self.framing, bytes);
    }

    pub fn end(&mut self, trailers: Option<&HeaderMap>) {
        write::end(self.wire.output(), self.framing, trailers);
        self.request_sent = true;
    }

    /// Ready with a head: of an interim response, or of the final one.
    pub fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        method: &Method,
    ) -> Poll<Result<Box<ResponseParts>, UpstreamError>> {
        let end = loop {
            if let Some(end) = response::find_end(&self.wire.input, &mut self.scanned) {
                break end;
            }
            if self.wire.input.len() > HEAD_LIMIT {
                return Poll::Ready(Err(UpstreamError::Invalid(format!("a response head over {HEAD_LIMIT} bytes"))));
            }
            match ready!(self.wire.poll_fill(context)) {
                Ok(0) => return Poll::Ready(Err(UpstreamError::Closed(io::ErrorKind::UnexpectedEof.into()))),
                Ok(_) => self.answered = true,
                Err(error) => return Poll::Ready(Err(UpstreamError::Closed(error))),
            }
        };
        self.scanned = 0;
        let invalid = |error: response::HeadError| UpstreamError::Invalid(format!("invalid response: {error}"));
        let head = response::parse(self.wire.input.get(..end).unwrap_or_default());
        self.wire.input.advance(end);
        let head = head.map_err(invalid)?;
        if !head.status.is_informational() {
            self.body = response::framing(&head, method).map_err(invalid)?;
            self.keep_alive = head.keep_alive;
            // Only such bodies have trailers.
            self.nominated = if head.is_coded() { hop::nominated(&head.headers) } else { Vec::new() };
        }
        let response::Head { status, reason, headers, names, .. } = head;
        Poll::Ready(Ok(Box::new(ResponseParts { status, reason, headers, names })))
    }

    pub fn body_left(&self) -> Option<u64> {
        self.body.left()
    }

    /// Ready with the number of body bytes at hand, or none at the body's end.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<usize>, UpstreamError>> {
        loop {
            let invalid = |error| UpstreamError::Invalid(format!("invalid response body: {error}"));
            match self.body.advance(&mut self.wire.input).map_err(invalid)? {
                Progress::Data(count) => return Poll::Ready(Ok(Some(count))),
                Progress::End => return Poll::Ready(Ok(None)),
                Progress::More => {}
            }
            match ready!(self.wire.poll_fill(context)) {
                Ok(0) => {
                    self.keep_alive = false;
                    self.body.closed().map_err(|_| UpstreamError::Closed(io::ErrorKind::UnexpectedEof.into()))?;
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(UpstreamError::Closed(error))),
            }
        }
    }

    pub fn data(&self, count: usize) -> &[u8] {
        self.wire.input.get(..count).unwrap_or_default()
    }

    pub fn consume(&mut self, count: usize) {
        self.body.consume(&mut self.wire.input, count);
    }

    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        Some(trailer::without(self.body.take_trailers()?, &self.nominated))
    }

    /// Whether another request may be sent: both messages have ended, and nothing that nobody asked for has come.
    pub fn is_reusable(&self) -> bool {
        self.keep_alive
            && self.request_sent
            && self.body.is_done()
            && self.wire.is_flushed()
            && self.wire.input.is_empty()
    }
}
