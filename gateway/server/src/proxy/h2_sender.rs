//! The sending half of an HTTP/2 stream, under its flow control (RFC 9113, section 5.2).

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::SendStream;
use http::HeaderMap;
use http::header::HeaderName;
use witgate_http::trailer::may_trail;

/// Most that waits for the peer's window before the sender has to wait.
const WAITING_LIMIT: usize = 64 * 1024;

/// Fields that no message of HTTP/2 may have (RFC 9113, section 8.2.2); `h2` sends none that has one.
pub fn is_of_http1(name: &HeaderName) -> bool {
    // By length first, as most are none of these.
    let name = name.as_str();
    matches!(name.len(), 2 | 7 | 10 | 16 | 17)
        && matches!(name, "te" | "upgrade" | "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding")
}

/// What follows the last byte of a body.
#[derive(Debug)]
enum End {
    /// More may come.
    Open,
    /// Nothing but the end itself, or trailers.
    Due(Option<HeaderMap>),
    Sent,
}

/// Sends a body.
#[derive(Debug)]
pub struct Sender {
    stream: SendStream<Bytes>,
    waiting: BytesMut,
    end: End,
}

impl Sender {
    /// `ended`: the head was sent as the whole message.
    pub fn new(stream: SendStream<Bytes>, ended: bool) -> Self {
        Self { stream, waiting: BytesMut::new(), end: if ended { End::Sent } else { End::Open } }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if matches!(self.end, End::Open) {
            self.waiting.extend_from_slice(bytes);
        }
    }

    pub fn end(&mut self, trailers: Option<HeaderMap>) {
        if matches!(self.end, End::Open) {
            self.end = End::Due(trailers);
        }
    }

    /// Whether everything has been handed to the connection, the end included.
    pub fn has_ended(&self) -> bool {
        matches!(self.end, End::Sent)
    }

    /// Bytes that wait for the peer's window.
    pub fn unsent(&self) -> usize {
        self.waiting.len()
    }

    /// Ready once there is room for more.
    ///
    /// # Errors
    /// The peer has given the stream up.
    pub fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.len() < WAITING_LIMIT { Poll::Ready(Ok(())) } else { self.poll_flush(context) }
    }

    /// Hands everything to the connection, as far as the peer's window lets it.
    ///
    /// # Errors
    /// The peer has given the stream up.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            self.stream.reserve_capacity(self.waiting.len());
            if self.stream.capacity() == 0 {
                match ready!(self.stream.poll_capacity(context)) {
                    Some(granted) => granted.map_err(io::Error::other)?,
                    None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                };
                continue;
            }
            let count = self.stream.capacity().min(self.waiting.len());
            let piece = self.waiting.split_to(count).freeze();
            let last = self.waiting.is_empty() && matches!(self.end, End::Due(None));
            self.stream.send_data(piece, last).map_err(io::Error::other)?;
            if last {
                self.end = End::Sent;
            }
        }
        match std::mem::replace(&mut self.end, End::Sent) {
            End::Due(Some(trailers)) => {
                let allowed = trailers.iter().filter(|(name, _)| may_trail(name) && !is_of_http1(name));
                let trailers: HeaderMap = allowed.map(|(name, value)| (name.clone(), value.clone())).collect();
                if trailers.is_empty() {
                    self.stream.send_data(Bytes::new(), true).map_err(io::Error::other)?;
                } else {
                    self.stream.send_trailers(trailers).map_err(io::Error::other)?;
                }
            }
            End::Due(None) => self.stream.send_data(Bytes::new(), true).map_err(io::Error::other)?,
            other => self.end = other,
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once the peer has given the stream up.
    pub fn poll_reset(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.stream.poll_reset(context).map(|reset| match reset {
            Ok(reason) => io::Error::other(format!("stream reset: {reason}")),
            Err(error) => io::Error::other(error),
        })
    }

    pub fn reset(&mut self) {
        self.stream.send_reset(h2::Reason::INTERNAL_ERROR);
    }
}
