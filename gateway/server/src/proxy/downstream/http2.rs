//! Clients that speak HTTP/2: one stream.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use pingora::http::ResponseHeader;
use pingora::protocols::http::v2::server::HttpSession;

use super::{ClientError, Length};
use crate::proxy::h2_sender::Sender;

/// A stream of a client's connection: one request.
pub struct Http2 {
    session: HttpSession,
    sender: Option<Sender>,
    chunk: Bytes,
    body_done: bool,
    pub received: u64,
    pub sent: u64,
}

impl Http2 {
    pub fn new(session: HttpSession) -> Self {
        let body_done = session.is_body_empty();
        Self { session, sender: None, chunk: Bytes::new(), body_done, received: 0, sent: 0 }
    }

    /// As far as the head tells.
    pub fn body_length(&self) -> Length {
        if self.body_done {
            return Length::Known(0);
        }
        let length = self.session.req_header().headers.get(CONTENT_LENGTH);
        length.and_then(|value| value.to_str().ok()?.parse().ok()).map_or(Length::Unknown, Length::Known)
    }

    pub fn is_body_done(&self) -> bool {
        self.body_done && self.chunk.is_empty()
    }

    /// Ready with the number of body bytes at hand, or none at the body's end.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<usize>, ClientError>> {
        while self.chunk.is_empty() && !self.body_done {
            match ready!(self.session.poll_read_body_bytes(context)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => return Poll::Ready(Err(ClientError::Gone(io::Error::other(error)))),
                None => self.body_done = true,
            }
        }
        Poll::Ready(Ok((!self.chunk.is_empty()).then_some(self.chunk.len())))
    }

    pub fn data(&self, count: usize) -> &[u8] {
        self.chunk.get(..count).unwrap_or_default()
    }

    pub fn consume(&mut self, count: usize) {
        self.received += u64::try_from(count).unwrap_or(u64::MAX);
        self.chunk.advance(count);
    }

    /// Ready once the client has given the stream up.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(sender) = &mut self.sender {
            return sender.poll_reset(context);
        }
        match ready!(Pin::new(&mut self.session.idle()).poll(context)) {
            Ok(reason) => Poll::Ready(io::Error::other(format!("stream reset: {reason}"))),
            Err(error) => Poll::Ready(io::Error::other(error)),
        }
    }

    /// Sends the head of the final response.
    ///
    /// # Errors
    /// The client has given the stream up.
    pub fn respond(&mut self, status: StatusCode, headers: HeaderMap, length: Length) -> Result<(), ClientError> {
        let broken = |error: Box<pingora::Error>| ClientError::Gone(io::Error::other(error));
        let mut head = ResponseHeader::build_no_case(status, Some(headers.len() + 1)).map_err(broken)?;
        let mut last = None;
        for (name, value) in headers {
            last = name.or(last);
            if let Some(name) = last.as_ref().filter(|name| **name != TRANSFER_ENCODING) {
                head.append_header(name, value).map_err(broken)?;
            }
        }
        let end = matches!(length, Length::None | Length::Described | Length::Known(0));
        self.session.write_response_header(Box::new(head), end).map_err(broken)?;
        self.sender = self.session.take_response_body_writer().map(|stream| Sender::new(stream, end));
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

    /// Gives the stream up, so that the client sees that the response is not whole.
    pub fn reset(&mut self) {
        match &mut self.sender {
            Some(sender) => sender.reset(),
            None => self.session.shutdown(),
        }
    }
}
