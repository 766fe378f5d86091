//! A connection with what has been read and not used, and what is written and not sent.

use std::cell::RefCell;
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

/// Buffers of the first size that a thread keeps for connections that begin to read: an idle connection has none, and asking the
/// allocator anew for each request costs more than all the rest of reading it.
const SPARE_LIMIT: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

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
    /// The buffer for what is read is larger than at first.
    grown: bool,
}

impl Wire {
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            unflushed: false,
            appetite: SMALL,
            grown: false,
        }
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
            if self.input.capacity() == 0
                && let Some(spare) = SPARE.with_borrow_mut(Vec::pop)
            {
                self.input = spare;
            }
            self.grown |= !self.input.is_empty() || self.appetite > SMALL;
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
            let mut input = std::mem::take(&mut self.input);
            // Nothing that was read into it may be in use any more.
            if !std::mem::take(&mut self.grown) && input.capacity() > 0 && input.try_reclaim(SMALL) {
                SPARE.with_borrow_mut(|spare| {
                    if spare.len() < SPARE_LIMIT {
                        spare.push(input);
                    }
                });
            }
        }
        if self.output.is_empty() {
            self.output = BytesMut::new();
        }
        self.appetite = SMALL;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use pingora::protocols::l4::stream::Stream as Connection;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (TcpStream, Wire) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (client, Wire::new(Box::new(Connection::from(stream))))
    }

    async fn read(wire: &mut Wire, length: usize) -> BytesMut {
        while wire.input.len() < length {
            assert_ne!(poll_fn(|context| wire.poll_fill(context)).await.unwrap(), 0);
        }
        wire.input.split_to(length)
    }

    fn spare() -> usize {
        SPARE.with_borrow(Vec::len)
    }

    #[tokio::test]
    async fn buffers_of_idle_connections_serve_others_once_nothing_refers_to_them() {
        let (mut one_client, mut one) = pair().await;
        let (mut other_client, mut other) = pair().await;
        one_client.write_all(b"first head").await.unwrap();
        let head = read(&mut one, 10).await.freeze();
        one.rest();
        assert_eq!((spare(), one.input.capacity()), (0, 0), "a head that is in use keeps its buffer");
        drop(head);

        one_client.write_all(b"second").await.unwrap();
        drop(read(&mut one, 6).await);
        one.rest();
        assert_eq!((spare(), one.input.capacity()), (1, 0));
        other_client.write_all(b"of another").await.unwrap();
        assert_eq!(read(&mut other, 10).await, "of another");
        assert_eq!(spare(), 0);

        // What has grown is not kept.
        let large = vec![b'x'; 3 * SMALL];
        other_client.write_all(&large).await.unwrap();
        assert_eq!(read(&mut other, large.len()).await, large);
        other.rest();
        assert_eq!(spare(), 0);
    }
}
