//! Frames as they lie in a stream of bytes (RFC 9113, section 4.1): where they begin and end, and nothing of what they say.

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

/// Bytes before a frame's payload.
pub const HEAD_SIZE: usize = 9;

/// What comes before a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Bytes of the payload.
    pub length: u32,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    fn read(bytes: [u8; HEAD_SIZE]) -> Self {
        let [a, b, c, kind, flags, s, t, u, v] = bytes;
        let length = u32::from_be_bytes([0, a, b, c]);
        Self { length, kind, flags, stream: u32::from_be_bytes([s & 0x7f, t, u, v]) }
    }

    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn write(self, out: &mut Vec<u8>) {
        let [_, a, b, c] = self.length.to_be_bytes();
        out.extend_from_slice(&[a, b, c, self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
    }
}

/// What was found in the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'b> {
    /// A head is complete.
    Head(Head),
    /// Bytes of the payload of the frame with this head; `last`: the frame ends with them.
    Payload { head: Head, bytes: &'b [u8], last: bool },
}

/// Follows frames through bytes that come in pieces of any size.
#[derive(Debug, Clone, Copy, Default)]
pub struct Follower {
    partial: [u8; HEAD_SIZE],
    have: usize,
    /// The frame whose payload comes, and what is left of it.
    payload: Option<(Head, u32)>,
}

impl Follower {
    /// The next step in `bytes`, which are taken from its front; none: more have to come.
    pub fn step<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<Step<'b>> {
        if let Some((head, left)) = self.payload {
            let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if count == 0 && left > 0 {
                return None;
            }
            let (taken, rest) = bytes.split_at_checked(count)?;
            *bytes = rest;
            let left = left.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
            let last = left == 0;
            self.payload = (!last).then_some((head, left));
            return Some(Step::Payload { head, bytes: taken, last });
        }
        let bytes_of_head = if self.have == 0
            && let Some((whole, rest)) = bytes.split_first_chunk::<HEAD_SIZE>()
        {
            *bytes = rest;
            *whole
        } else {
            while self.have < HEAD_SIZE {
                let (first, rest) = bytes.split_first()?;
                if let Some(place) = self.partial.get_mut(self.have) {
                    *place = *first;
                }
                self.have += 1;
                *bytes = rest;
            }
            self.have = 0;
            self.partial
        };
        let head = Head::read(bytes_of_head);
        self.payload = Some((head, head.length));
        Some(Step::Head(head))
    }

    /// Whether the next byte begins a frame.
    pub fn is_between_frames(&self) -> bool {
        self.have == 0 && self.payload.is_none()
    }

    /// The frame whose payload is not complete.
    pub fn within(&self) -> Option<Head> {
        self.payload.map(|(head, _)| head)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Heads, and payloads put together.
    fn follow(pieces: &[&[u8]]) -> (Vec<(Head, Vec<u8>)>, Follower) {
        let (mut follower, mut frames) = (Follower::default(), Vec::<(Head, Vec<u8>)>::new());
        for piece in pieces {
            let mut rest = *piece;
            while let Some(step) = follower.step(&mut rest) {
                match step {
                    Step::Head(head) => frames.push((head, Vec::new())),
                    Step::Payload { head, bytes, last } => {
                        let (known, payload) = frames.last_mut().unwrap();
                        assert_eq!(*known, head);
                        payload.extend_from_slice(bytes);
                        assert_eq!(last, payload.len() == head.length as usize);
                    }
                }
            }
            assert!(rest.is_empty());
        }
        (frames, follower)
    }

    proptest! {
        #[test]
        fn frames_are_found_however_the_bytes_are_cut(
            frames in proptest::collection::vec((any::<u8>(), any::<u8>(), 0_u32..=0x7fff_ffff, proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
            cuts in proptest::collection::vec(0_usize..400, 0..12),
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (kind, flags, stream, payload) in frames {
                let head = Head { length: payload.len() as u32, kind, flags, stream };
                head.write(&mut bytes);
                bytes.extend_from_slice(&payload);
                expected.push((head, payload));
            }
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let (found, follower) = follow(&pieces);
            prop_assert_eq!(found, expected);
            prop_assert!(follower.is_between_frames());
        }
    }

    #[test]
    fn a_frame_that_is_not_complete_is_told() {
        let mut bytes = Vec::new();
        Head { length: 3, kind: HEADERS, flags: END_HEADERS, stream: 1 }.write(&mut bytes);
        let (_, follower) = follow(&[&bytes[..8]]);
        assert!(!follower.is_between_frames() && follower.within().is_none());
        let (_, follower) = follow(&[&bytes, b"ab"]);
        assert_eq!(follower.within().map(|head| head.kind), Some(HEADERS));
        let (_, follower) = follow(&[&bytes, b"abc"]);
        assert!(follower.is_between_frames());
        // Without a payload a frame ends with its head.
        let mut empty = Vec::new();
        Head { length: 0, kind: SETTINGS, flags: ACK, stream: 0 }.write(&mut empty);
        assert!(follow(&[&empty]).1.is_between_frames());
    }
}
