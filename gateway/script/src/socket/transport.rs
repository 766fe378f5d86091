//! The bytes' way: TCP or a Unix domain socket, with or without TLS.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::BufMut;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// A connection without TLS.
pub(crate) enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Plain {
    /// Reads what there is; nobody is woken when more comes.
    pub fn try_read<B: BufMut>(&self, into: &mut B) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read_buf(into),
            Self::Unix(stream) => stream.try_read_buf(into),
        }
    }

    /// As [`Self::try_read`], of writing.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }
}

/// What would block is pending.
pub(super) fn pending_if_blocked<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl AsyncRead for Plain {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Wakes whoever reads and whoever writes. With TLS either may have to wait for the other's direction of the connection below,
/// which remembers one of them only.
#[derive(Default)]
pub(crate) struct Both {
    reader: Mutex<Option<Waker>>,
    writer: Mutex<Option<Waker>>,
}

impl Both {
    /// A waker of both, when the one who polls reads, and is woken too if it has a context.
    pub fn reads(self: &Arc<Self>, context: Option<&mut Context<'_>>) -> Waker {
        *self.reader.lock() = context.map(|context| context.waker().clone());
        Waker::from(Arc::clone(self))
    }

    /// As [`Self::reads`], when it writes.
    fn writes(self: &Arc<Self>, context: Option<&mut Context<'_>>) -> Waker {
        *self.writer.lock() = context.map(|context| context.waker().clone());
        Waker::from(Arc::clone(self))
    }
}

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        for waker in [&self.reader, &self.writer] {
            let waker = waker.lock().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

pub(crate) enum Transport {
    Plain(Plain),
    Tls(Box<TlsStream<Plain>>, Arc<Both>),
}

impl Transport {
    pub fn tls(stream: TlsStream<Plain>) -> Self {
        Self::Tls(Box::new(stream), Arc::default())
    }

    /// Reads what there is to the end of `into`'s capacity.
    pub fn poll_read(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(stream, both) => {
                let waker = both.reads(Some(context));
                Pin::new(&mut **stream).poll_read(&mut Context::from_waker(&waker), into)
            }
        }
    }

    /// Without a context nobody is woken: it is tried once.
    pub fn poll_write(&mut self, context: Option<&mut Context<'_>>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match (self, context) {
            (Self::Plain(stream), None) => pending_if_blocked(stream.try_write(bytes)),
            (Self::Plain(stream), Some(context)) => Pin::new(stream).poll_write(context, bytes),
            (Self::Tls(stream, both), context) => {
                let waker = both.writes(context);
                Pin::new(&mut **stream).poll_write(&mut Context::from_waker(&waker), bytes)
            }
        }
    }

    /// As [`Self::poll_write`].
    pub fn poll_flush(&mut self, context: Option<&mut Context<'_>>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream, both) => {
                let waker = both.writes(context);
                Pin::new(&mut **stream).poll_flush(&mut Context::from_waker(&waker))
            }
        }
    }

    fn below(&self) -> &Plain {
        match self {
            Self::Plain(plain) => plain,
            Self::Tls(stream, _) => stream.get_ref().0,
        }
    }

    pub fn descriptor(&self) -> RawFd {
        match self.below() {
            Plain::Tcp(stream) => stream.as_raw_fd(),
            Plain::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Sets an option by the name that scripts have for it.
    ///
    /// # Errors
    /// The system refuses, or there is no such option.
    pub fn set_option(&self, name: &str, value: i64) -> io::Result<()> {
        let size = || usize::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        let below = self.below();
        let reference = match below {
            Plain::Tcp(stream) => SockRef::from(stream),
            Plain::Unix(stream) => SockRef::from(stream),
        };
        match name {
            "keepalive" => reference.set_keepalive(value != 0),
            "reuseaddr" => reference.set_reuse_address(value != 0),
            "tcp-nodelay" => match below {
                Plain::Tcp(stream) => stream.set_nodelay(value != 0),
                Plain::Unix(_) => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
            },
            "sndbuf" => reference.set_send_buffer_size(size()?),
            "rcvbuf" => reference.set_recv_buffer_size(size()?),
            _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }
}

/// An error as scripts see it: the system's words in small letters, as LuaSocket has them.
pub(crate) fn describe(error: &io::Error) -> String {
    if let Some(number) = error.raw_os_error() {
        let text = io::Error::from_raw_os_error(number).to_string();
        return text.split(" (os error").next().unwrap_or_default().to_ascii_lowercase();
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            "closed".to_owned()
        }
        io::ErrorKind::TimedOut => "timeout".to_owned(),
        _ => "error".to_owned(),
    }
}
