//! A client's connection as `h2` sees it, watched from below.
//!
//! `h2` tells its user of whole, valid requests alone. What it cannot tell lies in the bytes: a head that has begun and does not
//! end, frames that cost work and bring none, and streams that it refuses by itself. [`Watched`] follows the frames in both
//! directions for that: those of the client in `inbound`, those for it in `outbound`, which puts an answer of the gateway's
//! before the reset where `h2` refuses a stream, within the client's windows. `h2` does not know that these have become smaller by
//! it: what it sends beyond them is held back (`held`) until the client opens them, and nothing else waits.

mod held;
mod inbound;
mod outbound;
#[cfg(test)]
mod tests;

pub use inbound::Breach;
pub use outbound::Refusal;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::envelope::Problem;
use crate::proxy::transport::Transport;
use inbound::Inbound;
use outbound::{Look, Outbound};

/// Bytes that are read after the connection's end, so that it does not take the last words away (see RFC 9112, section 9.6).
const LINGER_BYTES: usize = 256 * 1024;

/// What is known of a connection from its bytes.
#[derive(Debug)]
pub struct Watch {
    inbound: Inbound,
    outbound: Outbound,
}

impl Watch {
    fn new(now: Instant) -> Self {
        Self { inbound: Inbound::new(now), outbound: Outbound::new() }
    }

    /// When the head began that is not complete; the preface and the first SETTINGS count as one.
    pub fn head_since(&self) -> Option<Instant> {
        self.inbound.head_since()
    }

    /// Whether the client has sent anything.
    pub fn has_begun(&self) -> bool {
        self.inbound.has_begun()
    }

    /// Whether anything has come since this was last asked.
    pub fn take_heard(&mut self) -> bool {
        self.inbound.take_heard()
    }

    pub fn take_breach(&mut self) -> Option<Breach> {
        self.inbound.take_breach()
    }

    pub fn take_refusals(&mut self) -> Vec<Refusal> {
        self.outbound.take_refusals()
    }

    /// Whether the client has been told that the connection ends for what it did.
    pub fn has_ended(&self) -> bool {
        self.outbound.has_ended()
    }

    /// The stream has become a request.
    pub fn accepted(&mut self, stream: u32) {
        self.inbound.known(stream);
    }

    /// Data of a stream that `h2` takes for sent, and that waits for the client's window, in bytes.
    pub fn held_of(&self, stream: u32) -> usize {
        self.outbound.held_of(stream)
    }

    /// Answers the stream whose head is not complete. None: there is no such stream.
    pub fn refuse_partial(&mut self, problem: Problem) -> Option<Refusal> {
        let stream = self.inbound.partial()?;
        Some(self.outbound.refuse(stream, problem, true, &mut self.inbound))
    }

    fn read(&mut self, bytes: &mut [u8]) {
        self.inbound.read(bytes, &mut self.outbound);
    }

    fn look(&mut self, slices: &[IoSlice<'_>]) -> Look {
        self.outbound.look(slices, &mut self.inbound)
    }

    fn hold(&mut self, slices: &[IoSlice<'_>]) -> usize {
        self.outbound.hold(slices, &mut self.inbound)
    }

    fn written(&mut self, slices: &[IoSlice<'_>], count: usize) {
        self.outbound.written(slices, count, &mut self.inbound);
    }
}

/// The connection, for `h2`.
pub struct Watched {
    stream: Transport,
    /// What was read of it before.
    ahead: BytesMut,
    watch: Arc<Mutex<Watch>>,
    /// The other side knows that nothing more comes.
    shut: bool,
    /// Bytes that are still read after that.
    linger: usize,
}

impl Watched {
    pub fn new(stream: Transport, ahead: BytesMut) -> (Self, Arc<Mutex<Watch>>) {
        let watch = Arc::new(Mutex::new(Watch::new(Instant::now())));
        (Self { stream, ahead, watch: Arc::clone(&watch), shut: false, linger: LINGER_BYTES }, watch)
    }

    /// Writes frames of our own, between two of `h2`.
    fn poll_own(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut watch = self.watch.lock();
        while let Some(own) = watch.outbound.own() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, own))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            own.drain(..count);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what `h2` takes for sent and the client's window does not take yet. Not for ever, nor for a client that has been told
    /// to go.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_own(context))?;
            let waits = {
                let watch = self.watch.lock();
                watch.outbound.has_held() && !watch.has_ended()
            };
            if !waits || self.linger == 0 {
                return Poll::Ready(Ok(()));
            }
            let mut sink = [0_u8; 4096];
            let mut buffer = ReadBuf::new(&mut sink);
            ready!(Pin::new(&mut *self).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.linger = self.linger.saturating_sub(buffer.filled().len());
        }
    }

    fn poll_write_slices(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        loop {
            ready!(self.poll_own(context))?;
            let look = self.watch.lock().look(slices);
            let stream = Pin::new(&mut self.stream);
            let count = match (look, slices.first()) {
                (Look::Own, _) => continue,
                (Look::Hold, _) => return Poll::Ready(Ok(self.watch.lock().hold(slices))),
                // What opens the window comes to the same task, which tries again then.
                (Look::Wait, _) => return Poll::Pending,
                (Look::Upto(count), _) if count == total => ready!(stream.poll_write_vectored(context, slices))?,
                (Look::Upto(count), Some(first)) => {
                    ready!(stream.poll_write(context, first.get(..count).unwrap_or(first)))?
                }
                (Look::Upto(_), None) => 0,
            };
            self.watch.lock().written(slices, count);
            return Poll::Ready(Ok(count));
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.ahead.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        } else {
            let count = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(this.ahead.get(..count).unwrap_or_default());
            this.ahead.advance(count);
            if this.ahead.is_empty() {
                this.ahead = BytesMut::new();
            }
        }
        if let Some(bytes) = buffer.filled_mut().get_mut(before..).filter(|bytes| !bytes.is_empty()) {
            this.watch.lock().read(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_slices(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_slices(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_own(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    /// After an end for what the client did, what it still sends is read for a while: closing at once would reset the connection
    /// and take the reason away.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.shut {
            ready!(this.poll_held(context))?;
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.shut = true;
        }
        if !this.watch.lock().has_ended() {
            return Poll::Ready(Ok(()));
        }
        let mut sink = [0_u8; 4096];
        while this.linger > 0 {
            let mut buffer = ReadBuf::new(&mut sink);
            match ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    this.linger = this.linger.saturating_sub(buffer.filled().len())
                }
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
