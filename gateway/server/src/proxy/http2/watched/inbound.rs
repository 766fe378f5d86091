//! What a client sends: heads that begin and do not end, frames that cost work and bring none, and streams of which nobody has
//! heard yet.

use std::time::Instant;

use super::super::BREATH;
use super::super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Follower, HEADERS, Head, PING, RST_STREAM, SETTINGS, Step,
    WINDOW_UPDATE,
};
use super::outbound::Outbound;

/// Length of what a client sends before its first frame (RFC 9113, section 3.4).
pub const PREFACE: u64 = 24;

/// Most frames in [`BREATH`] that cost work and bring none: PING, SETTINGS, PRIORITY, what nobody knows, and DATA without data.
/// Each frame with data buys one, because there are clients that measure by PING while they load something.
pub const IDLE_FRAMES: u32 = 1000;
/// Most streams in the same time that a client gives up itself: what the quickest user of a page cancels is a tenth of it, and
/// more is CVE-2023-44487.
pub const RESETS: u32 = 1000;

/// Streams whose head has come and that nobody has been given; `h2` refuses those above its own limit long before.
const OPENED_LIMIT: usize = 1024;
/// Bytes of a SETTINGS frame that are looked at: all those that are known, several times.
const SETTINGS_LIMIT: usize = 6 * 32;

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
        let is_slow = now.duration_since(self.since) >= BREATH;
        (self.left, self.since) = (self.limit, now);
        is_slow
    }

    fn earn(&mut self) {
        self.left = (self.left + 1).min(self.limit);
    }
}

/// What is known of a client from its bytes.
#[derive(Debug)]
pub struct Inbound {
    /// Bytes of the preface that have not come.
    preface: u64,
    follower: Follower,
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
}

impl Inbound {
    pub fn new(now: Instant) -> Self {
        Self {
            preface: PREFACE,
            follower: Follower::default(),
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
        }
    }

    pub fn head_since(&self) -> Option<Instant> {
        self.head_since
    }

    pub fn has_begun(&self) -> bool {
        self.began
    }

    pub fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    pub fn take_breach(&mut self) -> Option<Breach> {
        self.breach.take()
    }

    /// The stream is not new any more: it has become a request, or been refused.
    pub fn known(&mut self, stream: u32) {
        self.opened.retain(|opened| *opened != stream);
    }

    pub fn has_new(&self) -> bool {
        !self.opened.is_empty()
    }

    pub fn is_new(&self, stream: u32) -> bool {
        self.opened.contains(&stream)
    }

    /// The last stream that the client has opened, if it is new.
    pub fn newest(&self) -> Option<u32> {
        self.opened.last().copied().filter(|stream| *stream == self.last_stream)
    }

    /// The new stream whose head is not complete.
    pub fn partial(&self) -> Option<u32> {
        let stream = self.block.or_else(|| Some(self.follower.within()?.stream))?;
        self.is_new(stream).then_some(stream)
    }

    /// Data was sent to the client, which may well ask how long that takes.
    pub fn earn(&mut self) {
        self.idle_frames.earn();
    }

    /// What the client sent; what it adds to the connection's window may become less.
    pub fn read(&mut self, bytes: &mut [u8], outbound: &mut Outbound) {
        self.heard = true;
        self.began = true;
        let skipped = usize::try_from(self.preface).unwrap_or(usize::MAX).min(bytes.len());
        self.preface = self.preface.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
        let Some((_, bytes)) = bytes.split_at_mut_checked(skipped) else { return };
        let (mut edits, total) = (Vec::new(), bytes.len());
        let mut rest: &[u8] = bytes;
        let mut passed = false;
        while let Some(step) = self.follower.step(&mut rest) {
            match step {
                Step::Head(head) => {
                    self.begins(head);
                    if head.kind == RST_STREAM {
                        outbound.give_up(head.stream);
                    }
                    if head.kind == WINDOW_UPDATE
                        && head.stream == 0
                        && outbound.owes()
                        && let Some(increment) = rest.first_chunk::<4>()
                    {
                        let kept = outbound.keep(u32::from_be_bytes(*increment) & 0x7fff_ffff);
                        edits.push((total - rest.len(), kept));
                    }
                }
                Step::Payload { head, bytes, last } => {
                    let is_read = matches!(head.kind, SETTINGS | WINDOW_UPDATE) && !head.has(ACK);
                    if is_read && self.gathered.len() + bytes.len() <= SETTINGS_LIMIT {
                        self.gathered.extend_from_slice(bytes);
                    }
                    if last {
                        self.ends(head, outbound);
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
        let within = self.follower.within();
        let is_partial = match within {
            Some(head) => head.kind != DATA,
            None => !self.follower.is_between_frames(),
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

    fn ends(&mut self, head: Head, outbound: &mut Outbound) {
        match head.kind {
            HEADERS | CONTINUATION if head.has(END_HEADERS) => self.block = None,
            SETTINGS if !head.has(ACK) => {
                self.settled = true;
                let (settings, _) = self.gathered.as_chunks::<6>();
                for [a, b, c, d, e, f] in settings {
                    outbound.set(u16::from_be_bytes([*a, *b]), u32::from_be_bytes([*c, *d, *e, *f]));
                }
            }
            WINDOW_UPDATE if head.stream == 0 => {
                if let Some(increment) = self.gathered.first_chunk::<4>() {
                    outbound.open(u32::from_be_bytes(*increment) & 0x7fff_ffff);
                }
            }
            _ => {}
        }
    }
}
