//! An HTTP/1 client connection that gives each request exactly its own bytes.
//!
//! A client may send its next requests before it has the answers (pipelining, RFC 9112, section 9.3.2). Pingora takes
//! bytes after the end of a request for a mistake and drops the connection; here they wait until their turn.
//!
//! It also sends what is written as soon as nothing more follows at once: Pingora keeps the pieces of a body of known
//! length until they fill a buffer, so that a slow upstream's bytes would come late.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::tls::TlsRef;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::head::Body;

/// Bytes of later requests that are read ahead; beyond it the client has to wait.
const AHEAD_LIMIT: usize = 64 * 1024;

/// First allocation for a head: most fit.
const HEAD_CAPACITY: usize = 4096;

/// What a reader may have of the bytes that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// Everything: the body's end is for Pingora to find.
    Open,
    /// This much of a body; nothing once it is 0.
    Left(u64),
}

/// A client connection between Pingora and the socket.
#[derive(Debug)]
pub struct ClientStream {
    inner: Stream,
    /// Read, but not given to anybody yet.
    ahead: BytesMut,
    gate: Gate,
    /// Something was written since the last flush.
    unsent: bool,
}

impl ClientStream {
    pub fn new(inner: Stream) -> Self {
        Self { inner, ahead: BytesMut::with_capacity(HEAD_CAPACITY), gate: Gate::Left(0), unsent: false }
    }

    /// What has been read and not given to anybody.
    pub fn ahead(&mut self) -> &mut BytesMut {
        &mut self.ahead
    }

    /// Reads more of what comes; 0: the client has closed. Cancel-safe.
    pub async fn read_ahead(&mut self) -> io::Result<usize> {
        if self.ahead.capacity() == self.ahead.len() {
            self.ahead.reserve(HEAD_CAPACITY);
        }
        self.inner.read_buf(&mut self.ahead).await
    }

    /// Takes a request's head off, and lets just its body through from now on.
    pub fn begin_request(&mut self, head_length: usize, body: Body) -> BytesMut {
        self.gate = match body {
            Body::Length(length) => Gate::Left(length),
            Body::Unknown => Gate::Open,
        };
        self.ahead.split_to(head_length.min(self.ahead.len()))
    }

    /// The connection itself, for another protocol. What was read ahead is lost.
    pub fn into_inner(self) -> Stream {
        self.inner
    }

    /// Hands out bytes that were read ahead, as many as the gate lets through.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let allowed = match self.gate {
            Gate::Open => usize::MAX,
            Gate::Left(left) => usize::try_from(left).unwrap_or(usize::MAX),
        };
        let count = self.ahead.len().min(buffer.remaining()).min(allowed);
        buffer.put_slice(self.ahead.get(..count).unwrap_or_default());
        self.ahead.advance(count);
        self.took(count);
    }

    fn took(&mut self, count: usize) {
        if let Gate::Left(left) = &mut self.gate {
            *left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    /// Nothing of the request is left: waits for the client to close, and keeps what else comes for later.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() < AHEAD_LIMIT {
            let before = self.ahead.len();
            let mut chunk = [0_u8; 1024];
            let mut buffer = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
            self.ahead.extend_from_slice(buffer.filled());
            if self.ahead.len() == before {
                return Poll::Ready(Ok(()));
            }
        }
        // Nothing wakes us: whoever waits here is dropped when the request has ended.
        Poll::Pending
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.unsent && Pin::new(&mut this.inner).poll_flush(context).is_ready() {
            // A failure shows again when the response is written.
            this.unsent = false;
        }
        match this.gate {
            Gate::Left(0) => this.poll_closed(context),
            _ if !this.ahead.is_empty() => {
                this.give(buffer);
                Poll::Ready(Ok(()))
            }
            Gate::Open => Pin::new(&mut this.inner).poll_read(context, buffer),
            Gate::Left(left) => {
                let room = buffer.remaining().min(usize::try_from(left).unwrap_or(usize::MAX));
                let mut limited = ReadBuf::new(buffer.initialize_unfilled_to(room));
                ready!(Pin::new(&mut this.inner).poll_read(context, &mut limited))?;
                let count = limited.filled().len();
                buffer.advance(count);
                this.took(count);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.unsent = true;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(context))?;
        self.unsent = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unsent = true;
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for ClientStream {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

/// Pingora peeks for an HTTP/2 preface; that has been looked for before.
impl Peek for ClientStream {}
