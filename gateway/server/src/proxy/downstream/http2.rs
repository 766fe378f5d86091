//! Clients that speak HTTP/2: one stream.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, DATE, EXPECT, HeaderMap};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use parking_lot::Mutex;
use witgate_http::hop;
use witgate_http::http1::body::BodyError;

use super::{ClientError, Length};
use crate::proxy::date;
use crate::proxy::h2_sender::{Sender, is_of_http1};
use crate::proxy::http2::Watch;

/// A stream of a client's connection: one request.
pub struct Http2 {
    body: RecvStream,
    respond: SendResponse<Bytes>,
    watch: Arc<Mutex<Watch>>,
    sender: Option<Sender>,
    is_head: bool,
    /// The client sends its body when it is told to (RFC 9110, section 10.1.1).
    waits_to_send: bool,
    chunk: Bytes,
    body_done: bool,
    trailers: Option<HeaderMap>,
    pub received: u64,
    pub sent: u64,
}

impl Http2 {
    pub fn new(body: RecvStream, (respond, watch): (SendResponse<Bytes>, Arc<Mutex<Watch>>), head: &Parts) -> Self {
        let body_done = body.is_end_stream();
        let expects = |headers: &HeaderMap| {
            headers.get_all(EXPECT).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
        };
        Self {
            body,
            respond,
            watch,
            sender: None,
            is_head: head.method == Method::HEAD,
            waits_to_send: !body_done && expects(&head.headers),
            chunk: Bytes::new(),
            body_done,
            trailers: None,
            received: 0,
            sent: 0,
        }
    }

    /// Whether the response has no body whatever its fields say, for the request's method has none.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// Whether the head of the final response has been sent.
    pub fn has_responded(&self) -> bool {
        self.sender.is_some()
    }

    pub fn is_body_done(&self) -> bool {
        self.body_done && self.chunk.is_empty()
    }

    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// Ready with the number of body bytes at hand, or none at the body's end.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<usize>, ClientError>> {
        while self.chunk.is_empty() && !self.body_done {
            match self.body.poll_data(context) {
                Poll::Ready(Some(Ok(chunk))) => self.chunk = chunk,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(broken(error))),
                Poll::Ready(None) => {
                    self.trailers = ready!(self.body.poll_trailers(context)).map_err(broken)?;
                    self.body_done = true;
                }
                Poll::Pending => {
                    if std::mem::take(&mut self.waits_to_send) && self.sender.is_none() && self.received == 0 {
                        self.interim(StatusCode::CONTINUE, HeaderMap::new());
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok((!self.chunk.is_empty()).then_some(self.chunk.len())))
    }

    pub fn data(&self, count: usize) -> &[u8] {
        self.chunk.get(..count).unwrap_or_default()
    }

    /// Lets the client send as much again.
    pub fn consume(&mut self, count: usize) {
        self.received += u64::try_from(count).unwrap_or(u64::MAX);
        self.chunk.advance(count);
        // It cannot be more than has come.
        let _ = self.body.flow_control().release_capacity(count);
    }

    /// Ready once the client has given the stream up.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(sender) = &mut self.sender {
            return sender.poll_reset(context);
        }
        match ready!(self.respond.poll_reset(context)) {
            // `h2` has found its body malformed: that shows when it is read, and wakes whoever reads it.
            Ok(Reason::PROTOCOL_ERROR) if !self.body_done => Poll::Pending,
            Ok(reason) => Poll::Ready(io::Error::other(format!("stream reset: {reason}"))),
            Err(error) => Poll::Ready(io::Error::other(error)),
        }
    }

    /// Sends an interim response (RFC 9110, section 15.2). The client may be gone; that shows with the final one.
    pub fn interim(&mut self, status: StatusCode, mut headers: HeaderMap) {
        if self.sender.is_some() {
            return;
        }
        clean(&mut headers);
        headers.remove(CONTENT_LENGTH);
        let mut response = Response::new(());
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        let _ = self.respond.send_informational(response);
    }

    /// Sends the head of the final response.
    ///
    /// # Errors
    /// The client has given the stream up.
    pub fn respond(&mut self, status: StatusCode, mut headers: HeaderMap, length: Length) -> Result<(), ClientError> {
        clean(&mut headers);
        if !headers.contains_key(DATE) {
            headers.insert(DATE, date::now());
        }
        let mut response = Response::new(());
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        let end = matches!(length, Length::None | Length::Described | Length::Known(0));
        let stream = self.respond.send_response(response, end);
        self.sender =
            Some(Sender::new(stream.map_err(|error| ClientError::Disconnected(io::Error::other(error)))?, end));
        Ok(())
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.sent += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(sender) = &mut self.sender {
            sender.push(bytes);
        }
    }

    pub fn end(&mut self, trailers: Option<HeaderMap>) {
        if let Some(sender) = &mut self.sender {
            sender.end(trailers);
        }
    }

    pub fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sender.as_mut().map_or(Poll::Ready(Ok(())), |sender| sender.poll_room(context))
    }

    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sender.as_mut().map_or(Poll::Ready(Ok(())), |sender| sender.poll_flush(context))
    }

    pub fn unsent(&self) -> usize {
        self.sender.as_ref().map_or(0, Sender::unsent)
    }

    /// Bytes of a response that is not whole which have been handed on, and wait for the connection's window.
    pub fn held(&self) -> usize {
        match &self.sender {
            Some(sender) if !sender.has_ended() => self.watch.lock().held_of(self.respond.stream_id().as_u32()),
            _ => 0,
        }
    }

    /// Gives the stream up, so that the client sees that the response is not whole.
    pub fn reset(&mut self) {
        match &mut self.sender {
            Some(sender) => sender.reset(),
            None => self.respond.send_reset(Reason::INTERNAL_ERROR),
        }
    }
}

/// Removes what a message of HTTP/2 must not have (RFC 9113, section 8.2.2).
fn clean(headers: &mut HeaderMap) {
    hop::strip(headers, false);
    if headers.keys().any(is_of_http1) {
        let names: Vec<_> = headers.keys().filter(|name| is_of_http1(name)).cloned().collect();
        names.iter().for_each(|name| drop(headers.remove(name)));
    }
}

fn broken(error: h2::Error) -> ClientError {
    // `h2` has counted the body against its length, or found trailers that end nothing (RFC 9113, section 8.1.1).
    if error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR) && error.is_reset() {
        return ClientError::Malformed(BodyError::Length);
    }
    ClientError::Disconnected(io::Error::other(error))
}
