//! Frames of `h2` that wait for the client's window, and those that have to come behind them.

use std::collections::VecDeque;

use super::super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, HEAD_SIZE, HEADERS, Head, RST_STREAM};

/// Most bytes of heads and trailers that wait behind a body: those of about a hundred responses. A client that asks for more,
/// and opens no window, has everything wait.
const BLOCKS_LIMIT: usize = 64 * 1024;

#[derive(Debug)]
struct Frame {
    head: Head,
    payload: Vec<u8>,
}

impl Frame {
    fn is_block(&self) -> bool {
        matches!(self.head.kind, HEADERS | CONTINUATION)
    }

    fn ends_block(&self) -> bool {
        self.is_block() && self.head.has(END_HEADERS)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.head.write(out);
        out.extend_from_slice(&self.payload);
    }
}

/// What waits, in the order in which `h2` wrote it.
///
/// Only data is subject to a window (RFC 9113, section 5.2.1). But trailers come behind their data; and heads behind these, for
/// how a head is compressed depends on all heads before it (RFC 7541, section 2.2).
#[derive(Debug, Default)]
pub struct Held {
    frames: VecDeque<Frame>,
    /// The last frame is not complete.
    open: bool,
    /// Bytes of heads and trailers.
    blocks: usize,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether the frame that is being written belongs here.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether there is no room for more heads.
    pub fn is_full(&self) -> bool {
        self.blocks >= BLOCKS_LIMIT
    }

    /// Data of a stream that waits, in bytes.
    pub fn data_of(&self, stream: u32) -> usize {
        let data = self.frames.iter().filter(|frame| frame.head.kind == DATA && frame.head.stream == stream);
        data.map(|frame| frame.payload.len()).sum()
    }

    pub fn has_data(&self, stream: u32) -> bool {
        self.frames.iter().any(|frame| frame.head.kind == DATA && frame.head.stream == stream)
    }

    fn has(&self, stream: u32) -> bool {
        self.frames.iter().any(|frame| frame.head.stream == stream)
    }

    fn has_blocks(&self, stream: u32) -> bool {
        self.frames.iter().any(|frame| frame.is_block() && frame.head.stream == stream)
    }

    /// Whether the next frame of `h2` has to wait, with so much of the window left.
    pub fn takes(&self, head: Head, window: i64) -> bool {
        match head.kind {
            DATA => i64::from(head.length) > window || self.has(head.stream),
            HEADERS => self.frames.iter().any(Frame::is_block) || self.has(head.stream),
            CONTINUATION => self.frames.back().is_some_and(|last| last.is_block() && !last.ends_block()),
            // The client must not get a head of a stream that was reset (RFC 9113, section 5.1).
            RST_STREAM => self.has_blocks(head.stream),
            _ => false,
        }
    }

    /// A frame begins that waits; its payload follows by [`Self::extend`].
    pub fn begin(&mut self, head: Head) {
        if matches!(head.kind, HEADERS | CONTINUATION) {
            self.blocks += HEAD_SIZE + usize::try_from(head.length).unwrap_or(usize::MAX);
        }
        self.frames.push_back(Frame { head, payload: Vec::new() });
        self.open = true;
    }

    pub fn extend(&mut self, bytes: &[u8], last: bool) {
        if let Some(frame) = self.frames.back_mut() {
            frame.payload.extend_from_slice(bytes);
        }
        self.open = !last;
    }

    /// Moves what may go to `out`, and takes what it costs from the window.
    pub fn release(&mut self, window: &mut i64, out: &mut Vec<u8>) {
        while let Some(count) = self.ready() {
            if let Some(frame) = self.frames.front_mut().filter(|frame| frame.head.kind == DATA) {
                let length = i64::from(frame.head.length);
                if length > *window {
                    if let Ok(part @ 1..) = u32::try_from(*window) {
                        let head = Head { length: part, flags: frame.head.flags & !END_STREAM, ..frame.head };
                        let payload = frame.payload.drain(..usize::try_from(part).unwrap_or(usize::MAX)).collect();
                        Frame { head, payload }.write(out);
                        frame.head.length -= part;
                        *window = 0;
                    }
                    return;
                }
                *window -= length;
            }
            for frame in self.frames.drain(..count) {
                if frame.is_block() {
                    self.blocks = self.blocks.saturating_sub(HEAD_SIZE + frame.payload.len());
                }
                frame.write(out);
            }
        }
    }

    /// How many frames at the front go together: a head and its continuations. None: they are not complete.
    fn ready(&self) -> Option<usize> {
        let complete = self.frames.len() - usize::from(self.open);
        let last = if self.frames.front()?.is_block() { self.frames.iter().position(Frame::ends_block)? } else { 0 };
        (last < complete).then_some(last + 1)
    }

    /// The stream has been reset: drops what is left of its data, and tells how much that was. If trailers follow the data, it has
    /// to go, as these do.
    pub fn give_up(&mut self, stream: u32) -> u32 {
        let is_open = self.open && self.frames.back().is_some_and(|last| last.head.stream == stream);
        if is_open || self.has_blocks(stream) {
            return 0;
        }
        let before = self.data_lengths();
        self.frames.retain(|frame| frame.head.kind != DATA || frame.head.stream != stream);
        before - self.data_lengths()
    }

    fn data_lengths(&self) -> u32 {
        self.frames.iter().filter(|frame| frame.head.kind == DATA).map(|frame| frame.head.length).sum()
    }
}
