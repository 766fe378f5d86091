//! What the client is sent: what of `h2`'s bytes may go, and the gateway's own answers in front of resets.

use std::io::IoSlice;
use std::sync::Arc;

use super::super::answer;
use super::super::frames::{DATA, Follower, GOAWAY, HEADERS, Head, RST_STREAM, Step};
use super::inbound::Inbound;
use crate::envelope::{Code, Problem, render};
use crate::request_id;

/// Window of a stream and of a connection, before anybody has said another (RFC 9113, section 6.9.2).
const WINDOW: u32 = 65_535;
/// Size of the compression's table, before anybody has said another (RFC 9113, section 6.5.2).
const TABLE: u32 = 4096;

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

/// What of some bytes may be written.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    Upto(usize),
    /// Our own frames first.
    Own,
    /// Nothing until the client opens its window.
    Wait,
}

/// What is known of what the client was sent, and of what it lets us send.
#[derive(Debug)]
pub struct Outbound {
    follower: Follower,
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

impl Outbound {
    pub fn new() -> Self {
        Self {
            follower: Follower::default(),
            window: i64::from(WINDOW),
            stream_window: WINDOW,
            table: TABLE,
            debt: 0,
            own: Vec::new(),
            refusals: Vec::new(),
            ended: false,
        }
    }

    pub fn take_refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals)
    }

    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Frames of our own, if they may go now.
    pub fn own(&mut self) -> Option<&mut Vec<u8>> {
        (!self.own.is_empty() && self.follower.is_between_frames()).then_some(&mut self.own)
    }

    /// A setting of the client's.
    pub fn set(&mut self, identifier: u16, value: u32) {
        match identifier {
            INITIAL_WINDOW_SIZE => self.stream_window = value,
            HEADER_TABLE_SIZE => self.table = value,
            _ => {}
        }
    }

    /// The client has opened the connection's window by so much.
    pub fn open(&mut self, increment: u32) {
        self.window += i64::from(increment);
    }

    /// Whether something was sent that `h2` does not know of.
    pub fn owes(&self) -> bool {
        self.debt > 0
    }

    /// What `h2` may know of an increment: 0 would be an error.
    pub fn keep(&mut self, increment: u32) -> u32 {
        let kept = self.debt.min(increment.saturating_sub(1));
        self.debt -= kept;
        increment - kept
    }

    /// What may be written of these bytes of `h2`.
    pub fn look(&mut self, slices: &[IoSlice<'_>], inbound: &mut Inbound) -> Look {
        let total = slices.iter().map(|slice| slice.len()).sum();
        if !inbound.has_new() && self.debt == 0 {
            return Look::Upto(total);
        }
        let (mut follower, mut window, mut before) = (self.follower, self.window, 0);
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
                    _ => refused(head, rest, inbound).is_some(),
                };
                if stops && start > 0 {
                    return Look::Upto(start);
                }
                if stops && head.kind == DATA {
                    return Look::Wait;
                }
                if let Some((stream, problem, answers)) = refused(head, rest, inbound) {
                    let refusal = self.refuse(stream, problem, answers, inbound);
                    self.refusals.push(refusal);
                    return Look::Own;
                }
            }
            before += slice.len();
        }
        Look::Upto(total)
    }

    /// Ends a stream that has not become a request, with an answer if one fits into the client's windows.
    pub fn refuse(&mut self, stream: u32, problem: Problem, answers: bool, inbound: &mut Inbound) -> Refusal {
        inbound.known(stream);
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
    pub fn written(&mut self, slices: &[IoSlice<'_>], count: usize, inbound: &mut Inbound) {
        let mut left = count;
        for slice in slices {
            let mut rest: &[u8] = slice.get(..left).unwrap_or(slice);
            left -= rest.len();
            while let Some(step) = self.follower.step(&mut rest) {
                match step {
                    Step::Head(head) if head.kind == DATA => {
                        self.window -= i64::from(head.length);
                        if head.length > 0 {
                            inbound.earn();
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

/// Whether a frame of `h2` refuses a stream that nobody has been given, and why; whether that can be answered.
fn refused(head: Head, payload: &[u8], inbound: &Inbound) -> Option<(u32, Problem, bool)> {
    let code = |at: usize| Some(u32::from_be_bytes(*payload.get(at..)?.first_chunk::<4>()?));
    match head.kind {
        RST_STREAM if inbound.is_new(head.stream) => {
            let reason = code(0).unwrap_or(PROTOCOL_ERROR);
            Some((head.stream, problem(reason), reason == PROTOCOL_ERROR))
        }
        // It has answered by itself, with nothing but the status.
        HEADERS if inbound.is_new(head.stream) => {
            Some((head.stream, Problem::new(Code::HeadTooLarge, "The request head is far too large."), false))
        }
        GOAWAY => {
            let reason = code(4).filter(|reason| *reason != 0)?;
            // What it was read for when that was found.
            Some((inbound.newest()?, problem(reason), true))
        }
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::super::super::frames::{SETTINGS, WINDOW_UPDATE};
    use super::super::Watch;
    use super::super::tests::{begun, frame, headers};
    use super::*;

    fn look(watch: &mut Watch, bytes: &[u8]) -> Look {
        watch.look(&[IoSlice::new(bytes)])
    }

    #[test]
    fn settings_of_the_client_are_read() {
        let mut watch = begun();
        watch.read(&mut frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 7, 0, 1, 0, 0, 0, 9]));
        assert_eq!((watch.outbound.stream_window, watch.outbound.table), (7, 9));
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
        assert!(!watch.outbound.own.is_empty());
    }

    #[test]
    fn what_was_sent_beside_h2_is_kept_from_its_window() {
        let mut watch = begun();
        watch.read(&mut headers(1));
        let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 1]);
        assert_eq!(look(&mut watch, &reset), Look::Own);
        let debt = watch.outbound.debt;
        assert!(debt > 0 && watch.outbound.window == i64::from(WINDOW - debt));
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
        assert_eq!((watch.outbound.debt, look(&mut watch, &last)), (0, Look::Upto(last.len())));
        // An increment of 0 would be an error.
        watch.outbound.debt = 5;
        let mut update = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 3]);
        watch.read(&mut update);
        assert_eq!((&update[9..], watch.outbound.debt), (&[0, 0, 0, 1][..], 3));
    }
}
