//! A connection with what has been read and not used, and what is written and not sent.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWrite};

/// First size of a buffer: most heads and small bodies fit.
const SMALL: usize = 4 * 1024;
/// Most that is read at once, and most that waits to be sent before the sender has to wait: enough to keep a fast
/// connection busy, little enough to have for each of many thousands.
const LARGE: usize = 64 * 1024;

/// One end of the gateway's connections.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    pub input: BytesMut,
    pub output: BytesMut,
    /// Written to the stream, which may hold it back until it is flushed.
    unflushed: bool,
    /// How much to make room for: grows while reads fill all of it.
    appetite: usize,
}

impl Wire {
    pub fn new(stream: Stream) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new(), unflushed: false, appetite: SMALL }
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The connection itself, for another protocol, and what was read of it.
    pub fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.input)
    }

    /// Reads more of what comes; 0: the other side has closed.
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < SMALL / 4 {
            self.input.reserve(self.appetite);
        }
        let room = self.input.capacity() - self.input.len();
        let count = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(context))?;
        if count == room && self.appetite < LARGE {
            self.appetite *= 4;
        }
        Poll::Ready(Ok(count))
    }

    /// Whether nothing has come, not even the end: what an idle connection has to be like to be used again.
    pub fn is_quiet(&mut self, context: &mut Context<'_>) -> bool {
        self.input.is_empty() && self.poll_fill(context).is_pending()
    }

    /// Ready once there is room for more output.
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.output.len() < LARGE { Poll::Ready(Ok(())) } else { self.poll_flush(context) }
    }

    /// Whether something waits to be sent.
    pub fn is_flushed(&self) -> bool {
        self.output.is_empty() && !self.unflushed
    }

    /// Sends all output.
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, &self.output))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.output.advance(count);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Tells the other side that nothing more comes.
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    /// Gives all memory back that is not in use: for a connection that may be idle for long.
    pub fn rest(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        if self.output.is_empty() {
            self.output = BytesMut::new();
        }
        self.appetite = SMALL;
    }
}
