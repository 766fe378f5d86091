//! What has arrived on a connection and was not yet read, and how scripts read it: by count, by line, up to a pattern.

use std::cell::Cell;
use std::rc::Rc;

use bytes::{Buf, BytesMut};

/// Bytes that a VM's connections hold outside of it: its own limit does not see them.
#[derive(Debug)]
pub(crate) struct Held {
    all: Cell<usize>,
    /// Of all connections of the VM together, and of one.
    limits: (usize, usize),
}

impl Held {
    pub fn new(all: usize, one: usize) -> Rc<Self> {
        Rc::new(Self { all: Cell::new(0), limits: (all, one) })
    }
}

/// What one holder has of it.
#[derive(Debug)]
pub(crate) struct Share {
    held: Rc<Held>,
    own: usize,
}

impl Share {
    pub fn new(held: &Rc<Held>) -> Self {
        Self { held: Rc::clone(held), own: 0 }
    }

    /// Whether there may be so many.
    pub fn set(&mut self, bytes: usize) -> bool {
        let all = self.held.all.get().saturating_sub(self.own).saturating_add(bytes);
        let (most, most_of_one) = self.held.limits;
        if bytes > self.own && (bytes > most_of_one || all > most) {
            return false;
        }
        self.held.all.set(all);
        self.own = bytes;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.all.set(self.held.all.get().saturating_sub(self.own));
    }
}

/// What a call of a script wants to read.
#[derive(Debug)]
pub(crate) enum Want {
    /// Up to a line feed; carriage returns count for nothing.
    Line,
    /// Until the peer closes.
    All,
    Exactly(usize),
    /// Something, and no more than this.
    Any(usize),
    Until(Until),
}

/// Reading up to a pattern, at a stretch or in pieces.
#[derive(Debug)]
pub(crate) struct Until {
    pattern: Vec<u8>,
    /// For each number of matched bytes, how many of them are still matched if the next one does not match.
    fallback: Vec<usize>,
    inclusive: bool,
    /// Bytes of a piece; 0: all at once.
    size: usize,
    /// How many bytes of the pattern have been seen: they are consumed, and part of nothing yet.
    pub matched: usize,
    /// The pattern ended the data: the next piece is the end.
    pub ended: bool,
    got: Vec<u8>,
}

impl Until {
    /// `matched`: where an earlier piece left it.
    pub fn new(pattern: &[u8], inclusive: bool, size: usize, matched: usize) -> Self {
        let mut fallback = vec![0; pattern.len()];
        let mut length = 0;
        for at in 1..pattern.len() {
            while length > 0 && pattern.get(at) != pattern.get(length) {
                length = fallback.get(length - 1).copied().unwrap_or(0);
            }
            if pattern.get(at) == pattern.get(length) {
                length += 1;
            }
            if let Some(place) = fallback.get_mut(at) {
                *place = length;
            }
        }
        let matched = matched.min(pattern.len().saturating_sub(1));
        Self { pattern: pattern.to_vec(), fallback, inclusive, size, matched, ended: false, got: Vec::new() }
    }

    /// How many bytes of the pattern are matched if, after `matched` of them, `byte` comes and is not the next one.
    fn fall_back(&self, byte: u8) -> usize {
        let mut length = self.matched;
        while length > 0 {
            length = self.fallback.get(length - 1).copied().unwrap_or(0);
            if self.pattern.get(length) == Some(&byte) {
                return length + 1;
            }
        }
        0
    }

    /// Takes from the front of `bytes`; gives how many it took, and whether that is all it wants.
    fn feed(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            if self.matched == 0 && self.size == 0 {
                // The usual case, at the speed of memory.
                let first = self.pattern.first().copied().unwrap_or_default();
                let rest = bytes.get(at..).unwrap_or_default();
                let skipped = memchr::memchr(first, rest).unwrap_or(rest.len());
                self.got.extend_from_slice(rest.get(..skipped).unwrap_or_default());
                at += skipped;
                if at >= bytes.len() {
                    break;
                }
                at += 1;
                self.matched = 1;
            } else if self.pattern.get(self.matched) == Some(&byte) {
                at += 1;
                self.matched += 1;
            } else if self.matched == 0 {
                self.got.push(byte);
                at += 1;
                if self.got.len() >= self.size {
                    return (at, true);
                }
            } else {
                let left = self.fall_back(byte);
                // What was matched turns out to be data, but for what the new match begins with.
                let data = if left > 0 { self.matched + 1 - left } else { self.matched };
                self.got.extend_from_slice(self.pattern.get(..data).unwrap_or_default());
                self.matched = left;
                if left > 0 {
                    at += 1;
                }
                if self.size > 0 && self.got.len() >= self.size {
                    return (at, true);
                }
            }
            if self.matched == self.pattern.len() {
                self.matched = 0;
                self.ended = self.size > 0;
                if self.inclusive {
                    self.got.extend_from_slice(&self.pattern);
                }
                return (at, true);
            }
        }
        (at, false)
    }
}

/// What a read gives: the first `data` bytes of the inbox, which loses `taken`, or bytes of its own.
#[derive(Debug)]
pub(crate) enum Taken {
    Front { data: usize, taken: usize },
    Own(Vec<u8>),
}

/// One read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub want: Want,
    /// Bytes of the inbox that have been looked at.
    seen: usize,
}

/// Room that is made for one read from the kernel, at least and at most.
const ROOM: (usize, usize) = (4096, 64 * 1024);

impl Reading {
    pub fn new(want: Want) -> Self {
        Self { want, seen: 0 }
    }

    /// What it wants, if it is there.
    pub fn take(&mut self, inbox: &mut BytesMut) -> Option<Taken> {
        match &mut self.want {
            Want::Exactly(size) => (inbox.len() >= *size).then_some(Taken::Front { data: *size, taken: *size }),
            Want::Any(most) => {
                let size = inbox.len().min(*most);
                (size > 0).then_some(Taken::Front { data: size, taken: size })
            }
            Want::All => None,
            Want::Line => {
                let found = memchr::memchr(b'\n', inbox.get(self.seen..).unwrap_or_default());
                let Some(end) = found.map(|at| at + self.seen) else {
                    self.seen = inbox.len();
                    return None;
                };
                let line = inbox.get(..end).unwrap_or_default();
                Some(match memchr::memchr(b'\r', line) {
                    None => Taken::Front { data: end, taken: end + 1 },
                    Some(at) if at + 1 == end => Taken::Front { data: at, taken: end + 1 },
                    Some(_) => {
                        let line = without_returns(line);
                        inbox.advance(end + 1);
                        Taken::Own(line)
                    }
                })
            }
            Want::Until(until) => {
                let (taken, done) = until.feed(inbox);
                inbox.advance(taken);
                done.then(|| Taken::Own(std::mem::take(&mut until.got)))
            }
        }
    }

    /// What it got before the peer closed, or before it gave up.
    pub fn partial(&mut self, inbox: &mut BytesMut) -> Taken {
        let all = Taken::Front { data: inbox.len(), taken: inbox.len() };
        match &mut self.want {
            Want::Until(until) => Taken::Own(std::mem::take(&mut until.got)),
            Want::Line if inbox.contains(&b'\r') => {
                let line = without_returns(inbox);
                inbox.clear();
                Taken::Own(line)
            }
            _ => all,
        }
    }

    /// Whether the end of the connection is what it wants.
    pub fn wants_end(&self) -> bool {
        matches!(self.want, Want::All)
    }

    /// Bytes for which there should be room.
    pub fn room(&self, inbox: &BytesMut) -> usize {
        let (least, most) = ROOM;
        match &self.want {
            Want::Exactly(size) => size.saturating_sub(inbox.len()).clamp(least, most),
            Want::All => inbox.len().clamp(least, most),
            _ => least,
        }
    }

    /// Bytes that it holds outside of the inbox.
    pub fn holds(&self) -> usize {
        match &self.want {
            Want::Until(until) => until.got.len(),
            _ => 0,
        }
    }
}

fn without_returns(line: &[u8]) -> Vec<u8> {
    line.iter().copied().filter(|byte| *byte != b'\r').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All pieces that a pattern cuts a stream into, which arrives in parts.
    fn pieces(stream: &[u8], part: usize, pattern: &[u8], inclusive: bool, size: usize) -> (Vec<Vec<u8>>, bool) {
        let (mut inbox, mut pieces, mut matched) = (BytesMut::new(), Vec::new(), 0);
        let mut reading = Reading::new(Want::Until(Until::new(pattern, inclusive, size, matched)));
        for part in stream.chunks(part) {
            inbox.extend_from_slice(part);
            while let Some(Taken::Own(piece)) = reading.take(&mut inbox) {
                pieces.push(piece);
                let Want::Until(until) = &reading.want else { unreachable!() };
                if until.ended || until.size == 0 {
                    return (pieces, true);
                }
                matched = until.matched;
                reading = Reading::new(Want::Until(Until::new(pattern, inclusive, size, matched)));
            }
        }
        let Taken::Own(rest) = reading.partial(&mut inbox) else { unreachable!() };
        pieces.push(rest);
        (pieces, false)
    }

    #[test]
    fn patterns_are_found_across_parts() {
        let text = |pieces: (Vec<Vec<u8>>, bool)| {
            pieces.0.iter().map(|piece| String::from_utf8(piece.clone()).unwrap()).collect::<Vec<_>>().join("|")
        };
        assert_eq!(text(pieces(b"hello, world--abc!", 1, b"--abc", false, 0)), "hello, world");
        assert_eq!(text(pieces(b"hello, world--abc!", 3, b"--abc", true, 0)), "hello, world--abc");
        assert_eq!(text(pieces(b"hello world! -agentzh--abc", 5, b"--abc", false, 4)), "hell|o wo|rld!| -ag|entz|h");
        // What looked like the pattern for too long makes a piece longer.
        assert_eq!(text(pieces(b"ab--a--ab--abc", 100, b"--abc", false, 3)), "ab--a|--ab|");
        assert_eq!(text(pieces(b"aaab", 1, b"aab", false, 0)), "a");
        assert_eq!(text(pieces(b"nothing--ab", 4, b"--abc", false, 0)), "nothing");
    }

    proptest! {
        #[test]
        fn a_pattern_is_found_where_it_is_first(
            stream in proptest::collection::vec(0u8..3, 0..80),
            pattern in proptest::collection::vec(0u8..3, 1..6),
            part in 1usize..10,
            size in 0usize..5,
        ) {
            let first = stream.windows(pattern.len()).position(|window| window == pattern);
            let (found, ended) = pieces(&stream, part, &pattern, false, size);
            prop_assert_eq!(ended, first.is_some());
            let joined = found.concat();
            match first {
                Some(at) => prop_assert_eq!(&joined, &stream[..at]),
                None => prop_assert!(stream.starts_with(&joined) && stream.len() - joined.len() < pattern.len()),
            }
            if size > 0 {
                let full = found.len() - 1;
                prop_assert!(found.iter().take(full).all(|piece| piece.len() >= size));
            }
        }
    }

    #[test]
    fn lines_lose_their_ends() {
        let mut inbox = BytesMut::from(&b"a\r\nb\nc\rd\r\n\r\nrest\r"[..]);
        let mut lines = Vec::new();
        let mut reading = Reading::new(Want::Line);
        while let Some(taken) = reading.take(&mut inbox) {
            lines.push(match taken {
                Taken::Own(line) => line,
                Taken::Front { data, taken } => {
                    let line = inbox[..data].to_vec();
                    inbox.advance(taken);
                    line
                }
            });
            reading = Reading::new(Want::Line);
        }
        assert_eq!(lines, [&b"a"[..], b"b", b"cd", b""]);
        assert!(matches!(reading.partial(&mut inbox), Taken::Own(rest) if rest == b"rest"));
    }

    #[test]
    fn what_is_held_is_limited_for_each_and_for_all() {
        let held = Held::new(100, 60);
        let (mut one, mut other) = (Share::new(&held), Share::new(&held));
        assert!(one.set(60) && !one.set(61) && other.set(40) && !other.set(41));
        assert!(one.set(10) && other.set(60));
        drop(other);
        assert_eq!(held.all.get(), 10);
    }
}
