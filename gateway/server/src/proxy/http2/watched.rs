//! A client's connection as `h2` sees it, watched from below.
//!
//! `h2` tells its user of whole, valid requests alone. What it cannot tell lies in the bytes: a head that has begun and does not
//! end, frames that cost work and bring none, and streams that it refuses by itself. [`Watched`] follows the frames in both
//! directions for that, and where `h2` refuses a stream, puts an answer of the gateway's before the reset, within the client's
//! windows.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer;
use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Follower, GOAWAY, HEADERS, Head, PING, RST_STREAM, SETTINGS,
    Step, WINDOW_UPDATE,
};
use crate::envelope::{Code, Problem, render};
use crate::proxy::transport::Transport;
use crate::request_id;

/// Length of what a client sends before its first frame (RFC 9113, section 3.4).
const PREFACE: u64 = 24;
/// Window of a stream and of a connection, before anybody has said another (RFC 9113, section 6.9.2).
const WINDOW: u32 = 65_535;
/// Size of the compression's table, before anybody has said another (RFC 9113, section 6.5.2).
const TABLE: u32 = 4096;

/// Most frames in [`super::BREATH`] that cost work and bring none: PING, SETTINGS, PRIORITY, what nobody knows, and DATA without
/// data. Each frame with data buys one, because there are clients that measure by PING while they load something.
const IDLE_FRAMES: u32 = 1000;
/// Most streams in the same time that a client gives up itself: what the quickest user of a page cancels is a tenth of it, and
/// more is CVE-2023-44487.
const RESETS: u32 = 1000;

/// Streams whose head has come and that nobody has been given; `h2` refuses those above its own limit long before.
const OPENED_LIMIT: usize = 1024;
/// Bytes of a SETTINGS frame that are looked at: all those that are known, several times.
const SETTINGS_LIMIT: usize = 6 * 32;

/// Bytes that are read after the connection's end, so that it does not take the last words away (see RFC 9112, section 9.6).
const LINGER_BYTES: usize = 256 * 1024;

const INITIAL_WINDOW_SIZE: u16 = 4;
const HEADER_TABLE_SIZE: u16 = 1;

const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A request that was refused before it became one.
#[derive(Debug)]
pub struct Refusal {
    pub id: Arc<str>,
    /// Of the answer, if one was sent.
    pub status: Option<u16>,
    pub code: &'static str,
    pub error: String,
    pub bytes: usize,
}

/// What a client must not do, and nobody but the watcher sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    #[error("the first frame is not SETTINGS")]
    NoSettings,
    #[error(
        "more than {IDLE_FRAMES} frames that bring nothing (PING, SETTINGS, PRIORITY, unknown or empty ones) in 10 seconds"
    )]
    IdleFrames,
    #[error("more than {RESETS} requests given up in 10 seconds")]
    Resets,
}

/// How many are left until the clock is looked at.
#[derive(Debug)]
struct Budget {
    left: u32,
    limit: u32,
    since: Instant,
}

impl Budget {
    fn new(limit: u32, now: Instant) -> Self {
        Self { left: limit, limit, since: now }
    }

    /// False: too many.
    fn spend(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            return true;
        }
        let now = Instant::now();
        let is_slow = now.duration_since(self.since) >= super::BREATH;
        (self.left, self.since) = (self.limit, now);
        is_slow
    }

    fn earn(&mut self) {
        self.left = (self.left + 1).min(self.limit);
    }
}

/// What is known of a connection from its bytes.
#[derive(Debug)]
pub struct Watch {
    /// Bytes of the preface that have not come.
    preface: u64,
    inbound: Follower,
    /// The client's first SETTINGS have come.
    settled: bool,
    began: bool,
    /// The stream whose head, or trailers, are not complete.
    block: Option<u32>,
    last_stream: u32,
    /// Streams that are new, in the order of their heads.
    opened: Vec<u32>,
    head_since: Option<Instant>,
    idle_frames: Budget,
    resets: Budget,
    breach: Option<Breach>,
    heard: bool,
    /// Payload of a frame that is read here.
    gathered: Vec<u8>,

    outbound: Follower,
    /// What the client's windows and table allow of us.
    window: i64,
    stream_window: u32,
    table: u32,
    /// Bytes that were sent and that `h2` does not know of: kept from what the client adds to the window.
    debt: u32,
    /// Frames of our own that go before those of `h2`.
    own: Vec<u8>,
    refusals: Vec<Refusal>,
    /// The connection has been ended for what the client did.
    ended: bool,
}

/// What of some bytes may be written.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Upto(usize),
    /// Our own frames first.
    Own,
    /// Nothing until the client opens its window.
    Wait,
}

impl Watch {
    fn new(now: Instant) -> Self {
        Self {
            preface: PREFACE,
            inbound: Follower::default(),
            settled: false,
            began: false,
            block: None,
            last_stream: 0,
            opened: Vec::new(),
            head_since: Some(now),
            idle_frames: Budget::new(IDLE_FRAMES, now),
            resets: Budget::new(RESETS, now),
            breach: None,
            heard: false,
            gathered: Vec::new(),
            outbound: Follower::default(),
            window: i64::from(WINDOW),
            stream_window: WINDOW,
            table: TABLE,
            debt: 0,
            own: Vec::new(),
            refusals: Vec::new(),
            ended: false,
        }
    }

    /// When the head began that is not complete; the preface and the first SETTINGS count as one.
    pub fn head_since(&self) -> Option<Instant> {
        self.head_since
    }

    /// Whether the client has sent anything.
    pub fn has_begun(&self) -> bool {
        self.began
    }

    /// Whether anything has come since this was last asked.
    pub fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    pub fn take_breach(&mut self) -> Option<Breach> {
        self.breach.take()
    }

    pub fn take_refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals)
    }

    /// Whether the client has been told that the connection ends for what it did.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The stream has become a request.
    pub fn accepted(&mut self, stream: u32) {
        self.opened.retain(|opened| *opened != stream);
    }

    /// Answers the stream whose head is not complete. None: there is no such stream.
    pub fn refuse_partial(&mut self, problem: Problem) -> Option<Refusal> {
        let stream = self.block.or_else(|| Some(self.inbound.within()?.stream))?;
        self.opened.contains(&stream).then(|| self.refuse(stream, problem, true))
    }

    /// What the client sent; what it adds to the connection's window may become less.
    fn read(&mut self, bytes: &mut [u8]) {
        self.heard = true;
        self.began = true;
        let skipped = usize::try_from(self.preface).unwrap_or(usize::MAX).min(bytes.len());
        self.preface = self.preface.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
        let Some((_, bytes)) = bytes.split_at_mut_checked(skipped) else { return };
        let (mut edits, total) = (Vec::new(), bytes.len());
        let mut rest: &[u8] = bytes;
        let mut passed = false;
        while let Some(step) = self.inbound.step(&mut rest) {
            match step {
                Step::Head(head) => {
                    self.begins(head);
                    if head.kind == WINDOW_UPDATE
                        && head.stream == 0
                        && self.debt > 0
                        && let Some(increment) = rest.first_chunk::<4>()
                    {
                        let kept = self.keep(u32::from_be_bytes(*increment) & 0x7fff_ffff);
                        edits.push((total - rest.len(), kept));
                    }
                }
                Step::Payload { head, bytes, last } => {
                    let is_read = matches!(head.kind, SETTINGS | WINDOW_UPDATE) && !head.has(ACK);
                    if is_read && self.gathered.len() + bytes.len() <= SETTINGS_LIMIT {
                        self.gathered.extend_from_slice(bytes);
                    }
                    if last {
                        self.ends(head);
                        passed |= self.block.is_none();
                    }
                }
            }
        }
        for (at, increment) in edits {
            if let Some(field) = bytes.get_mut(at..at + 4) {
                field.copy_from_slice(&increment.to_be_bytes());
            }
        }
        // Another head than before, if one has ended.
        if passed && self.settled {
            self.head_since = None;
        }
        let within = self.inbound.within();
        let is_partial = match within {
            Some(head) => head.kind != DATA,
            None => !self.inbound.is_between_frames(),
        };
        if is_partial || self.block.is_some() || !self.settled {
            self.head_since.get_or_insert_with(Instant::now);
        }
    }

    fn begins(&mut self, head: Head) {
        self.gathered.clear();
        if !self.settled && head.kind != SETTINGS {
            self.breach.get_or_insert(Breach::NoSettings);
        }
        let counts = match head.kind {
            HEADERS => {
                self.block = Some(head.stream);
                if head.stream > self.last_stream {
                    self.last_stream = head.stream;
                    if self.opened.len() >= OPENED_LIMIT {
                        self.opened.remove(0);
                    }
                    self.opened.push(head.stream);
                }
                false
            }
            DATA if head.length > 0 => {
                self.idle_frames.earn();
                false
            }
            DATA => !head.has(END_STREAM),
            RST_STREAM => {
                if !self.resets.spend() {
                    self.breach.get_or_insert(Breach::Resets);
                }
                false
            }
            CONTINUATION | WINDOW_UPDATE => false,
            SETTINGS | PING => !head.has(ACK),
            _ => true,
        };
        if counts && !self.idle_frames.spend() {
            self.breach.get_or_insert(Breach::IdleFrames);
        }
    }

    fn ends(&mut self, head: Head) {
        match head.kind {
            HEADERS | CONTINUATION if head.has(END_HEADERS) => self.block = None,
            SETTINGS if !head.has(ACK) => {
                self.settled = true;
                let (settings, _) = self.gathered.as_chunks::<6>();
                for [a, b, c, d, e, f] in settings {
                    let value = u32::from_be_bytes([*c, *d, *e, *f]);
                    match u16::from_be_bytes([*a, *b]) {
                        INITIAL_WINDOW_SIZE => self.stream_window = value,
                        HEADER_TABLE_SIZE => self.table = value,
                        _ => {}
                    }
                }
            }
            WINDOW_UPDATE if head.stream == 0 => {
                if let Some(increment) = self.gathered.first_chunk::<4>() {
                    self.window += i64::from(u32::from_be_bytes(*increment) & 0x7fff_ffff);
                }
            }
            _ => {}
        }
    }

    /// What `h2` may know of an increment: 0 would be an error.
    fn keep(&mut self, increment: u32) -> u32 {
        let kept = self.debt.min(increment.saturating_sub(1));
        self.debt -= kept;
        increment - kept
    }

    /// What may be written of these bytes of `h2`.
    fn look(&mut self, slices: &[IoSlice<'_>]) -> Look {
        let total = slices.iter().map(|slice| slice.len()).sum();
        if self.opened.is_empty() && self.debt == 0 {
            return Look::Upto(total);
        }
        let (mut follower, mut window, mut before) = (self.outbound, self.window, 0);
        for slice in slices {
            let mut rest: &[u8] = slice;
            loop {
                let start = follower.is_between_frames().then_some(before + slice.len() - rest.len());
                let Some(step) = follower.step(&mut rest) else { break };
                let (Step::Head(head), Some(start)) = (step, start) else { continue };
                let stops = match head.kind {
                    DATA => {
                        window -= i64::from(head.length);
                        self.debt > 0 && window < 0
                    }
                    _ => self.refused(head, rest).is_some(),
                };
                if stops && start > 0 {
                    return Look::Upto(start);
                }
                if stops && head.kind == DATA {
                    return Look::Wait;
                }
                if let Some((stream, problem, answers)) = self.refused(head, rest) {
                    let refusal = self.refuse(stream, problem, answers);
                    self.refusals.push(refusal);
                    return Look::Own;
                }
            }
            before += slice.len();
        }
        Look::Upto(total)
    }

    /// Whether a frame of `h2` refuses a stream that nobody has been given, and why; whether that can be answered.
    fn refused(&self, head: Head, payload: &[u8]) -> Option<(u32, Problem, bool)> {
        let code = |at: usize| Some(u32::from_be_bytes(*payload.get(at..)?.first_chunk::<4>()?));
        match head.kind {
            RST_STREAM if self.opened.contains(&head.stream) => {
                let reason = code(0).unwrap_or(PROTOCOL_ERROR);
                Some((head.stream, problem(reason), reason == PROTOCOL_ERROR))
            }
            // It has answered by itself, with nothing but the status.
            HEADERS if self.opened.contains(&head.stream) => {
                Some((head.stream, Problem::new(Code::HeadTooLarge, "The request head is far too large."), false))
            }
            GOAWAY => {
                let reason = code(4).filter(|reason| *reason != 0)?;
                // What it was read for when that was found.
                let stream = self.opened.last().copied().filter(|stream| *stream == self.last_stream)?;
                Some((stream, problem(reason), true))
            }
            _ => None,
        }
    }

    /// Ends a stream that has not become a request, with an answer if one fits into the client's windows.
    fn refuse(&mut self, stream: u32, problem: Problem, answers: bool) -> Refusal {
        self.accepted(stream);
        let (id, code, error) = (request_id::mint(), problem.code, problem.message.clone());
        let answer = render(problem, &id, None);
        let length = u32::try_from(answer.body.len()).unwrap_or(u32::MAX);
        // A table made smaller has to be told of at the beginning of the next head, which would be ours.
        let fits = self.window >= i64::from(length) && self.stream_window >= length && self.table >= TABLE;
        let mut refusal = Refusal { id, status: None, code: code.label(), error, bytes: 0 };
        if answers && fits {
            answer::write(&mut self.own, stream, &answer, &refusal.id);
            self.window -= i64::from(length);
            self.debt = self.debt.saturating_add(length);
            (refusal.status, refusal.bytes) = (Some(answer.status.as_u16()), answer.body.len());
        } else if code == Code::HeadTooLarge && !answers {
            refusal.status = Some(answer.status.as_u16());
        }
        refusal
    }

    /// What was written of these bytes.
    fn written(&mut self, slices: &[IoSlice<'_>], count: usize) {
        let mut left = count;
        for slice in slices {
            let mut rest: &[u8] = slice.get(..left).unwrap_or(slice);
            left -= rest.len();
            while let Some(step) = self.outbound.step(&mut rest) {
                match step {
                    Step::Head(head) if head.kind == DATA => {
                        self.window -= i64::from(head.length);
                        if head.length > 0 {
                            self.idle_frames.earn();
                        }
                    }
                    Step::Payload { head, bytes, .. } if head.kind == GOAWAY => {
                        self.ended |= bytes.get(4..8).is_some_and(|code| code != [0; 4]);
                    }
                    _ => {}
                }
            }
            if left == 0 {
                break;
            }
        }
    }
}

fn problem(reason: u32) -> Problem {
    match reason {
        REFUSED_STREAM => Problem::new(Code::Overloaded, "Too many requests at once on one connection."),
        ENHANCE_YOUR_CALM => {
            Problem::new(Code::HeadTooLarge, "The request head is far too large, or in far too many pieces.")
        }
        _ => Problem::new(
            Code::InvalidRequest,
            "Malformed request: a pseudo-header field is missing, repeated, misplaced or invalid; or a field name has a capital \
             letter, a value a control character; or a field is not for HTTP/2 (Connection, Keep-Alive, Proxy-Connection, \
             Transfer-Encoding, Upgrade, TE other than \"trailers\"); or Content-Length does not fit.",
        ),
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
        while !watch.own.is_empty() && watch.outbound.is_between_frames() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, &watch.own))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            watch.own.drain(..count);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_slices(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        loop {
            ready!(self.poll_own(context))?;
            let look = self.watch.lock().look(slices);
            let stream = Pin::new(&mut self.stream);
            let count = match (look, slices.first()) {
                (Look::Own, _) => continue,
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
            ready!(this.poll_own(context))?;
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.shut = true;
        }
        if !this.watch.lock().ended {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Head { length: payload.len() as u32, kind, flags, stream }.write(&mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn headers(stream: u32) -> Vec<u8> {
        frame(HEADERS, END_HEADERS, stream, b"block")
    }

    /// A connection that has begun.
    fn begun() -> Watch {
        let mut watch = Watch::new(Instant::now());
        watch.read(&mut [0; PREFACE as usize]);
        watch.read(&mut frame(SETTINGS, 0, 0, b""));
        assert!(watch.head_since().is_none());
        watch
    }

    fn look(watch: &mut Watch, bytes: &[u8]) -> Look {
        watch.look(&[IoSlice::new(bytes)])
    }

    #[test]
    fn a_connection_has_begun_with_its_settings() {
        let mut watch = Watch::new(Instant::now());
        assert!(watch.head_since().is_some() && !watch.has_begun());
        let since = watch.head_since();
        watch.read(&mut [0; PREFACE as usize]);
        let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 7]);
        for byte in &settings[..settings.len() - 1] {
            watch.read(&mut [*byte]);
            assert_eq!(watch.head_since(), since);
        }
        watch.read(&mut settings[settings.len() - 1..].to_vec());
        assert_eq!((watch.head_since(), watch.stream_window), (None, 7));
        assert!(watch.take_breach().is_none());
        let mut other = Watch::new(Instant::now());
        other.read(&mut [0; PREFACE as usize]);
        other.read(&mut headers(1));
        assert_eq!(other.take_breach(), Some(Breach::NoSettings));
    }

    #[test]
    fn a_head_lasts_from_its_first_byte_to_its_last() {
        let mut watch = begun();
        let head = headers(1);
        watch.read(&mut head[..3].to_vec());
        let since = watch.head_since();
        assert!(since.is_some());
        watch.read(&mut head[3..12].to_vec());
        assert_eq!(watch.head_since(), since);
        watch.read(&mut head[12..].to_vec());
        assert!(watch.head_since().is_none());
        // Without the end of its block.
        watch.read(&mut frame(HEADERS, 0, 3, b"block"));
        let since = watch.head_since();
        assert!(since.is_some());
        watch.read(&mut frame(CONTINUATION, 0, 3, b"more"));
        assert_eq!(watch.head_since(), since);
        watch.read(&mut frame(CONTINUATION, END_HEADERS, 3, b""));
        assert!(watch.head_since().is_none());
        // A body that comes slowly is none.
        watch.read(&mut frame(DATA, 0, 3, b"body")[..11].to_vec());
        assert!(watch.head_since().is_none());
    }

    #[test]
    fn another_head_begins_anew() {
        let mut watch = begun();
        watch.read(&mut headers(1)[..5].to_vec());
        let since = watch.head_since();
        let mut next = headers(1)[5..].to_vec();
        next.extend_from_slice(&headers(3)[..5]);
        std::thread::yield_now();
        watch.read(&mut next);
        assert!(watch.head_since().is_some() && watch.head_since() > since);
    }

    #[test]
    fn only_streams_that_nobody_was_given_are_answered() {
        let mut watch = begun();
        watch.read(&mut headers(1));
        watch.read(&mut headers(3));
        watch.accepted(1);
        let reset = |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 1]);
        let mut bytes = frame(DATA, 0, 1, b"data");
        assert_eq!(look(&mut watch, &reset(1)), Look::Upto(13));
        // What comes before goes first.
        let before = bytes.len();
        bytes.extend_from_slice(&reset(3));
        assert_eq!(look(&mut watch, &bytes), Look::Upto(before));
        assert_eq!(look(&mut watch, &bytes[before..]), Look::Own);
        assert_eq!(look(&mut watch, &bytes[before..]), Look::Upto(13));
        let refusals = watch.take_refusals();
        assert_eq!(refusals.iter().map(|refusal| refusal.status).collect::<Vec<_>>(), [Some(400)]);
        assert!(!watch.own.is_empty());
    }

    #[test]
    fn what_was_sent_beside_h2_is_kept_from_its_window() {
        let mut watch = begun();
        watch.read(&mut headers(1));
        let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 1]);
        assert_eq!(look(&mut watch, &reset), Look::Own);
        let debt = watch.debt;
        assert!(debt > 0 && watch.window == i64::from(WINDOW - debt));
        // `h2` believes that it has all of it.
        let most = frame(DATA, 0, 3, &[0; 16_384]);
        for _ in 0..3 {
            assert_eq!(look(&mut watch, &most), Look::Upto(most.len()));
            watch.written(&[IoSlice::new(&most)], most.len());
        }
        let last = frame(DATA, 0, 3, &[0; 16_383]);
        assert_eq!(look(&mut watch, &last), Look::Wait);
        let mut update = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0x10, 0]);
        watch.read(&mut update);
        assert_eq!(u32::from_be_bytes(*update[9..].first_chunk().unwrap()), 0x1000 - debt);
        assert_eq!((watch.debt, look(&mut watch, &last)), (0, Look::Upto(last.len())));
        // An increment of 0 would be an error.
        watch.debt = 5;
        let mut update = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 3]);
        watch.read(&mut update);
        assert_eq!((&update[9..], watch.debt), (&[0, 0, 0, 1][..], 3));
    }

    #[test]
    fn frames_that_bring_nothing_have_a_limit() {
        let ping = frame(PING, 0, 0, b"pingpong");
        let mut watch = begun();
        for _ in 0..IDLE_FRAMES - 2 {
            watch.read(&mut ping.clone());
        }
        assert!(watch.take_breach().is_none());
        watch.read(&mut ping.clone());
        assert_eq!(watch.take_breach(), Some(Breach::IdleFrames));
        // Data buys others.
        let mut busy = begun();
        for _ in 0..3 * IDLE_FRAMES {
            busy.read(&mut frame(DATA, 0, 1, b"x"));
            busy.read(&mut ping.clone());
        }
        assert!(busy.take_breach().is_none());
        let mut resets = begun();
        for _ in 0..RESETS {
            resets.read(&mut frame(RST_STREAM, 0, 1, &[0; 4]));
        }
        assert_eq!(resets.take_breach(), Some(Breach::Resets));
    }
}
