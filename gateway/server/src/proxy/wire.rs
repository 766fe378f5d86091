//! A connection with what has been read and not used, and what is written and not sent.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::thread::LocalKey;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::proxy::transport::Transport;

/// First size of a buffer: most heads and small bodies fit.
const SMALL: usize = 4 * 1024;
/// Most that is read at once, and most that waits to be sent before the sender has to wait: enough to keep a fast
/// connection busy, little enough to have for each of many thousands.
const LARGE: usize = 64 * 1024;

/// Buffers of the first size that a thread keeps for connections that begin to read, and as many for those that begin to write:
/// an idle connection has none, and asking the allocator anew for each request costs more than all the rest of reading it.
const SPARE_LIMIT: usize = 256;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static SPARE_OUTPUT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a buffer of the first size, if there are not enough already.
fn keep<B>(spare: &'static LocalKey<RefCell<Vec<B>>>, buffer: B) {
    spare.with_borrow_mut(|spare| {
        if spare.len() < SPARE_LIMIT {
            spare.push(buffer);
        }
    });
}

/// One end of the gateway's connections.
#[derive(Debug)]
pub struct Wire {
    transport: Transport,
    pub input: BytesMut,
    output: Output,
    /// Written to the stream, which may hold it back until it is flushed.
    unflushed: bool,
    /// How much to make room for: grows while reads fill all of it.
    appetite: usize,
    /// The buffer for what is read is larger than at first.
    grown: bool,
}

impl Wire {
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            input: BytesMut::new(),
            output: Output::default(),
            unflushed: false,
            appetite: SMALL,
            grown: false,
        }
    }

    /// The connection itself, for another protocol, and what was read of it.
    pub fn into_parts(self) -> (Transport, BytesMut) {
        (self.transport, self.input)
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
        let count = ready!(pin!(self.transport.read_buf(&mut self.input)).poll(context))?;
        if count == room && self.appetite < LARGE {
            self.appetite *= 4;
        }
        Poll::Ready(Ok(count))
    }

    /// Whether nothing has come, not even the end: what an idle connection has to be like to be used again.
    pub fn is_quiet(&mut self) -> bool {
        self.input.is_empty() && self.transport.is_quiet()
    }

    /// As [`Self::is_quiet`]; besides, lets go of whoever waited for the connection last, whose memory is kept for as long as it may
    /// be woken.
    pub fn is_quiet_and_left(&mut self) -> bool {
        self.input.is_empty() && self.poll_fill(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// What is written and not sent, to append to.
    pub fn output(&mut self) -> &mut Vec<u8> {
        self.output.more()
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.output.unsent().len()
    }

    /// Ready once there is room for more output.
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent() < LARGE { Poll::Ready(Ok(())) } else { self.poll_flush(context) }
    }

    /// Whether something waits to be sent.
    pub fn is_flushed(&self) -> bool {
        self.unsent() == 0 && !self.unflushed
    }

    /// Sends all output.
    ///
    /// # Errors
    /// The connection broke.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent() > 0 {
            let count = ready!(Pin::new(&mut self.transport).poll_write(context, self.output.unsent()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.output.advance(count);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.transport).poll_flush(context))?;
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
        Pin::new(&mut self.transport).poll_shutdown(context)
    }

    /// For a connection that is kept, see [`Transport::adopt`].
    pub fn adopt(&mut self) {
        self.transport.adopt();
    }

    /// See [`Transport::reset_on_close`].
    pub fn reset_on_close(&self) {
        self.transport.reset_on_close();
    }

    /// Gives all memory back that is not in use: for a connection that may be idle for long.
    pub fn rest(&mut self) {
        if self.input.is_empty() {
            let mut input = std::mem::take(&mut self.input);
            // Nothing that was read into it may be in use any more.
            if !std::mem::take(&mut self.grown) && input.capacity() > 0 && input.try_reclaim(SMALL) {
                keep(&SPARE, input);
            }
        }
        self.output.rest();
        self.appetite = SMALL;
    }
}

/// Bytes on their way out.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
}

impl Output {
    fn unsent(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }

    fn more(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0
            && let Some(spare) = SPARE_OUTPUT.with_borrow_mut(Vec::pop)
        {
            self.bytes = spare;
        }
        // A sender that is always a little ahead of its receiver would keep all that it ever sent.
        if self.sent >= LARGE {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        &mut self.bytes
    }

    fn rest(&mut self) {
        if self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            if (1..=SMALL).contains(&bytes.capacity()) {
                keep(&SPARE_OUTPUT, bytes);
            }
        }
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
        (client, Wire::new(Transport::new(Box::new(Connection::from(stream)))))
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

    #[tokio::test]
    async fn what_is_sent_to_a_slow_reader_arrives_in_order_and_takes_no_more_memory_than_waits() {
        let (mut client, mut wire) = pair().await;
        let sent: Vec<u8> = (0..4_000_000_u32).map(|at| (at % 251) as u8).collect();
        let receiving = tokio::spawn(async move {
            let mut received = Vec::new();
            client.read_to_end(&mut received).await.unwrap();
            received
        });
        for piece in sent.chunks(LARGE / 4) {
            poll_fn(|context| wire.poll_room(context)).await.unwrap();
            wire.output().extend_from_slice(piece);
            assert!(wire.output.bytes.len() <= 2 * LARGE + LARGE / 4, "{}", wire.output.bytes.len());
        }
        poll_fn(|context| wire.poll_shutdown(context)).await.unwrap();
        drop(wire);
        assert!(receiving.await.unwrap() == sent);
    }

    #[test]
    fn output_keeps_what_is_not_sent_and_small_buffers_serve_again() {
        let mut output = Output::default();
        output.more().extend_from_slice(b"abc");
        output.advance(1);
        output.more().extend_from_slice(b"d");
        assert_eq!(output.unsent(), b"bcd");
        output.rest();
        assert_eq!(output.unsent(), b"bcd");
        // More is sent than waits: what is sent is let go of as soon as there is more.
        output.more().resize(2 * LARGE, b'x');
        output.advance(LARGE);
        output.more().push(b'y');
        assert_eq!((output.bytes.len(), output.unsent().last()), (LARGE, Some(&b'y')));
        output.advance(LARGE);
        assert!(output.unsent().is_empty());
        output.rest();
        assert_eq!(SPARE_OUTPUT.with_borrow(Vec::len), 0, "what has grown is not kept");
        output.more().extend_from_slice(b"small");
        output.advance(5);
        output.rest();
        assert_eq!((SPARE_OUTPUT.with_borrow(Vec::len), output.bytes.capacity()), (1, 0));
        output.more();
        assert_eq!(SPARE_OUTPUT.with_borrow(Vec::len), 0);
    }
}
