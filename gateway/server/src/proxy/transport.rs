//! What a connection's bytes go over.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as Plain;
use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// A connection that was accepted or made.
#[derive(Debug)]
pub enum Transport {
    /// As Pingora has it.
    Stream(Stream),
    /// A socket in clear text that is asked without a detour, see [`Self::adopt`].
    Socket(AsyncFd<OwnedFd>),
}

impl Transport {
    pub fn new(stream: Stream) -> Self {
        Self::Stream(stream)
    }

    /// Takes the socket over, if it is in clear text: Pingora's stream asks the clock twice for each read, and everything passes two
    /// layers more. It is for connections that are kept, for taking it over costs five system calls. The stream holds nothing back:
    /// listeners have its buffers off (`listen.rs`), and connectors have none.
    pub fn adopt(&mut self) {
        let Some(descriptor) = self.plain() else { return };
        // If there is no descriptor left, it works as well as it is.
        let Ok(socket) = descriptor.try_clone_to_owned() else { return };
        // SAFETY: whoever owns a descriptor gives the same one each time it is asked, and keeps it open.
        #[expect(unsafe_code, reason = "not every type that has a descriptor is like that")]
        if let Ok(socket) = unsafe { AsyncFd::register(socket) } {
            *self = Self::Socket(socket);
        }
    }

    /// The descriptor of a stream in clear text.
    fn plain(&self) -> Option<BorrowedFd<'_>> {
        let Self::Stream(stream) = self else { return None };
        let descriptor = stream.as_any().downcast_ref::<Plain>()?.as_raw_fd();
        // SAFETY: it is open as long as the stream lives, which is lent meanwhile.
        #[expect(unsafe_code, reason = "Pingora's streams do not lend their descriptors")]
        (descriptor >= 0).then(|| unsafe { BorrowedFd::borrow_raw(descriptor) })
    }

    /// Whether nothing has come, not even the end; of what has, some is lost.
    pub fn is_quiet(&mut self) -> bool {
        match self {
            // The kernel is asked only if it has said that there is something.
            Self::Socket(socket) => {
                let read = socket
                    .try_io(Interest::READABLE, |socket| SockRef::from(socket).recv(&mut [MaybeUninit::uninit()]));
                read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Stream(stream) => {
                let mut context = Context::from_waker(Waker::noop());
                Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut [0])).is_pending()
            }
        }
    }

    /// Has the connection reset when it is dropped, so that nobody takes its end for that of a message. Over TLS that is seen without,
    /// for no closing alert is sent.
    pub fn reset_on_close(&self) {
        let descriptor = match self {
            Self::Socket(socket) => Some(socket.as_fd()),
            Self::Stream(_) => self.plain(),
        };
        if let Some(descriptor) = descriptor {
            let _ = SockRef::from(&descriptor).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = match self.get_mut() {
            Self::Socket(socket) => socket,
            Self::Stream(stream) => return Pin::new(stream).poll_read(context, buffer),
        };
        loop {
            let mut ready = ready!(socket.poll_read_ready(context))?;
            let room = buffer.remaining();
            // SAFETY: the kernel is the only one that writes to it, and nothing takes initialised bytes away.
            #[expect(unsafe_code, reason = "the buffer has to be filled first otherwise")]
            let unfilled = unsafe { buffer.unfilled_mut() };
            match SockRef::from(&*socket).recv(unfilled) {
                Ok(count) => {
                    // Less than there was room for is all that has come: asking once more would be in vain.
                    if (1..room).contains(&count) {
                        ready.clear_ready();
                    }
                    // SAFETY: so many have been written.
                    #[expect(unsafe_code, reason = "nothing else says that they are there")]
                    unsafe {
                        buffer.assume_init(count);
                    }
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => ready.clear_ready(),
                    io::ErrorKind::Interrupted => {}
                    _ => return Poll::Ready(Err(error)),
                },
            }
        }
    }
}

/// Sends `length` bytes by `send`, or some of them.
fn poll_send(
    socket: &AsyncFd<OwnedFd>,
    context: &mut Context<'_>,
    length: usize,
    send: impl Fn(SockRef<'_>) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        let mut ready = ready!(socket.poll_write_ready(context))?;
        match send(SockRef::from(socket)) {
            Ok(count) => {
                if count < length {
                    ready.clear_ready();
                }
                return Poll::Ready(Ok(count));
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => ready.clear_ready(),
                io::ErrorKind::Interrupted => {}
                _ => return Poll::Ready(Err(error)),
            },
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Socket(socket) => poll_send(socket, context, bytes.len(), |socket| socket.send(bytes)),
            Self::Stream(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(_) => Poll::Ready(Ok(())),
            Self::Stream(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => Poll::Ready(match SockRef::from(&*socket).shutdown(std::net::Shutdown::Write) {
                // The other side has gone first.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                shut => shut,
            }),
            Self::Stream(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Socket(socket) => {
                let length = pieces.iter().map(|piece| piece.len()).sum();
                poll_send(socket, context, length, |socket| socket.send_vectored(pieces))
            }
            Self::Stream(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Stream(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (TcpStream, Transport) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (client, Transport::new(Box::new(Plain::from(stream))))
    }

    /// Both ways, more than buffers of the kernel hold, in pieces, and to the end.
    async fn exchange(mut near: impl AsyncRead + AsyncWrite + Unpin, mut far: Transport) {
        let sent: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        let (mut to, mut echoed) = (Vec::new(), Vec::new());
        let echo = async {
            let mut piece = vec![0; 10_000];
            loop {
                let count = far.read(&mut piece).await.unwrap();
                if count == 0 {
                    break;
                }
                to.extend_from_slice(&piece[..count]);
            }
            let (front, back) = to.split_at(1_000_000);
            let mut pieces = [front, back].map(IoSlice::new);
            let mut rest = &mut pieces[..];
            while !rest.is_empty() {
                let count = far.write_vectored(rest).await.unwrap();
                IoSlice::advance_slices(&mut rest, count);
            }
            far.flush().await.unwrap();
            far.shutdown().await.unwrap();
        };
        let ask = async {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
            near.read_to_end(&mut echoed).await.unwrap();
        };
        tokio::join!(echo, ask);
        assert!(echoed == sent);
    }

    async fn adopted() -> (TcpStream, Transport) {
        let (near, mut far) = pair().await;
        far.adopt();
        assert!(matches!(far, Transport::Socket(_)));
        (near, far)
    }

    #[tokio::test]
    async fn what_is_sent_arrives_over_sockets_and_in_memory() {
        for (near, far) in [pair().await, adopted().await] {
            exchange(near, far).await;
        }
        let (near, far) = tokio::io::duplex(64 * 1024);
        exchange(near, Transport::new(Box::new(far))).await;
    }

    #[tokio::test]
    async fn a_connection_is_quiet_until_something_comes_be_it_the_end() {
        for (ends, (mut near, mut far)) in
            [(false, pair().await), (true, pair().await), (false, adopted().await), (true, adopted().await)]
        {
            assert!(far.is_quiet());
            near.write_all(b"1").await.unwrap();
            assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 1);
            assert!(far.is_quiet());
            if ends {
                near.shutdown().await.unwrap()
            } else {
                near.write_all(b"2").await.unwrap()
            }
            // It tells whoever waits, and knows by then.
            let mut told = [0];
            let read = far.read(&mut told).await.unwrap();
            assert_eq!((read, told), if ends { (0, [0]) } else { (1, *b"2") });
            assert_eq!(far.is_quiet(), !ends, "it has ended for good");
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_reset_on_close_has_no_end() {
        for (mut near, far) in [pair().await, adopted().await] {
            far.reset_on_close();
            drop(far);
            let error = near.read(&mut [0]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken_after_each_short_read() {
        let (mut near, mut far) = pair().await;
        for piece in 0..100_u8 {
            if piece == 10 {
                // What has come before is there afterwards.
                near.write_all(b"x").await.unwrap();
                far.adopt();
                assert_eq!(far.read_u8().await.unwrap(), b'x');
            }
            let (read, ()) = tokio::join!(
                async {
                    let mut byte = [0; 64];
                    let count =
                        tokio::time::timeout(Duration::from_secs(20), far.read(&mut byte)).await.unwrap().unwrap();
                    byte[..count].to_vec()
                },
                async {
                    tokio::task::yield_now().await;
                    near.write_all(&[piece]).await.unwrap();
                }
            );
            assert_eq!(read, [piece]);
        }
    }
}
