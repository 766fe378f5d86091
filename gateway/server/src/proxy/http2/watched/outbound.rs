//! What the client is sent: what of `h2`'s bytes may go, and the gateway's own answers in front of resets.

use std::io::IoSlice;
use std::sync::Arc;

use super::super::answer;
use super::super::frames::{CONTINUATION, DATA, END_HEADERS, Follower, GOAWAY, HEADERS, Head, RST_STREAM, Step};
use super::held::Held;
use super::inbound::Inbound;
use crate::envelope::{Code, Problem, render};
use crate::request_id;

/// Window of a stream and of a connection, before anybody has said another (RFC 9113, section 6.9.2).
const WINDOW: u32 = 65_535;
/// Most that `h2` may not know of, in bytes; as much may have to wait for a window. It is a hundred answers; a client that asks
/// for more, and opens no window meanwhile, gets resets alone.
const DEBT_LIMIT: u32 = 64 * 1024;
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
    /// Nothing: the first frame, as far as it is there, waits for the client's window, or behind what does.
    Hold,
    /// Nothing, and there is no room for more that waits.
    Wait,
}

/// What is known of what the client was sent, and of what it lets us send.
#[derive(Debug)]
pub struct Outbound {
    follower: Follower,
    /// A head has begun, and goes on in the next frame.
    block: bool,
    /// What the client's windows and table allow of us.
    window: i64,
    stream_window: u32,
    table: u32,
    /// Bytes that were sent and that `h2` does not know of: kept from what the client adds to the window.
    debt: u32,
    /// What `h2` takes for sent and the window does not take: never more data than the debt.
    held: Held,
    /// Frames of our own, and those that have been held, which go before the next of `h2`.
    own: Vec<u8>,
    refusals: Vec<Refusal>,
    /// The connection has been ended for what the client did.
    ended: bool,
}

impl Outbound {
    pub fn new() -> Self {
        Self {
            follower: Follower::default(),
            block: false,
            window: i64::from(WINDOW),
            stream_window: WINDOW,
            table: TABLE,
            debt: 0,
            held: Held::default(),
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
        // Nothing may come between the frames of a head (RFC 9113, section 4.3).
        (!self.own.is_empty() && !self.block && self.follower.is_between_frames()).then_some(&mut self.own)
    }

    /// Whether anything waits for the client's window.
    pub fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Data of a stream that waits for the client's window, in bytes.
    pub fn held_of(&self, stream: u32) -> usize {
        self.held.data_of(stream)
    }

    /// The stream has been reset.
    pub fn give_up(&mut self, stream: u32) {
        // What is not sent need not be kept from `h2`, which took it from the window.
        self.debt = self.debt.saturating_sub(self.held.give_up(stream));
        self.release();
    }

    fn release(&mut self) {
        self.held.release(&mut self.window, &mut self.own);
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
        self.release();
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
        if self.held.is_open() {
            return Look::Hold;
        }
        if !inbound.has_new() && self.debt == 0 && self.held.is_empty() && self.own.is_empty() {
            return Look::Upto(total);
        }
        let (mut follower, mut window, mut before) = (self.follower, self.window, 0);
        // Where the frame begins; none: before these bytes, and it was looked at then.
        let mut start = None;
        for slice in slices {
            let mut rest: &[u8] = slice;
            loop {
                if follower.is_between_frames() {
                    start = Some(before + slice.len() - rest.len());
                }
                let Some(step) = follower.step(&mut rest) else { break };
                let Step::Head(head) = step else { continue };
                if let Some(start) = start.take()
                    && let Some(look) = self.look_at(head, rest, (start, window), inbound)
                {
                    return look;
                }
                if head.kind == DATA {
                    window -= i64::from(head.length);
                }
            }
            before += slice.len();
        }
        Look::Upto(total)
    }

    /// What is to be done about a frame that begins at `start`, with so much of the window left. None: nothing.
    fn look_at(
        &mut self,
        head: Head,
        payload: &[u8],
        (start, window): (usize, i64),
        inbound: &mut Inbound,
    ) -> Option<Look> {
        // Among them may be heads, which keep their order. What goes on with a head comes right behind it, though.
        let own_first = !self.own.is_empty() && head.kind != CONTINUATION && (start > 0 || !self.block);
        let refused = refused(head, payload, inbound);
        let waits = self.held.takes(head, window);
        let ends_held = head.kind == RST_STREAM && self.held.has_data(head.stream);
        if !own_first && refused.is_none() && !waits && !ends_held {
            return None;
        }
        if start > 0 {
            return Some(Look::Upto(start));
        }
        if own_first {
            return Some(Look::Own);
        }
        if let Some((stream, problem, answers)) = refused {
            let refusal = self.refuse(stream, problem, answers, inbound);
            self.refusals.push(refusal);
            return Some(Look::Own);
        }
        if waits {
            return Some(if head.kind == HEADERS && self.held.is_full() { Look::Wait } else { Look::Hold });
        }
        self.give_up(head.stream);
        Some(Look::Own)
    }

    /// Ends a stream that has not become a request, with an answer if one fits into the client's windows.
    pub fn refuse(&mut self, stream: u32, problem: Problem, answers: bool, inbound: &mut Inbound) -> Refusal {
        inbound.known(stream);
        let (id, code, error) = (request_id::mint(), problem.code, problem.message.clone());
        let answer = render(problem, &id, None);
        let length = u32::try_from(answer.body.len()).unwrap_or(u32::MAX);
        // A table made smaller has to be told of at the beginning of the next head, which would be ours.
        let fits = self.window >= i64::from(length) && self.stream_window >= length && self.table >= TABLE;
        let fits = fits && self.debt.saturating_add(length) <= DEBT_LIMIT;
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

    /// Takes the first frame of these bytes, or what is left of it, as far as it is there: it waits. Gives how much that is.
    pub fn hold(&mut self, slices: &[IoSlice<'_>], inbound: &mut Inbound) -> usize {
        let mut taken = 0;
        for slice in slices {
            let mut rest: &[u8] = slice;
            while let Some(step) = self.follower.step(&mut rest) {
                match step {
                    Step::Head(head) => {
                        self.held.begin(head);
                        if head.kind == DATA && head.length > 0 {
                            inbound.earn();
                        }
                    }
                    Step::Payload { bytes, last, .. } => {
                        self.held.extend(bytes, last);
                        if last {
                            self.release();
                            return taken + slice.len() - rest.len();
                        }
                    }
                }
            }
            taken += slice.len();
        }
        taken
    }

    /// What was written of these bytes.
    pub fn written(&mut self, slices: &[IoSlice<'_>], count: usize, inbound: &mut Inbound) {
        let mut left = count;
        for slice in slices {
            let mut rest: &[u8] = slice.get(..left).unwrap_or(slice);
            left -= rest.len();
            while let Some(step) = self.follower.step(&mut rest) {
                match step {
                    Step::Head(head) if matches!(head.kind, HEADERS | CONTINUATION) => {
                        self.block = !head.has(END_HEADERS);
                    }
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
    use super::super::super::frames::{END_STREAM, PING, SETTINGS, WINDOW_UPDATE};
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
        assert!(watch.outbound.own().is_some_and(|own| !std::mem::take(own).is_empty()));
        assert_eq!(look(&mut watch, &bytes[before..]), Look::Upto(13));
        let refusals = watch.take_refusals();
        assert_eq!(refusals.iter().map(|refusal| refusal.status).collect::<Vec<_>>(), [Some(400)]);
    }

    #[test]
    fn what_was_sent_beside_h2_is_kept_from_its_window() {
        let mut watch = begun();
        watch.read(&mut headers(1));
        let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 1]);
        assert_eq!(look(&mut watch, &reset), Look::Own);
        let debt = watch.outbound.debt;
        assert!(debt > 0 && watch.outbound.window == i64::from(WINDOW - debt));
        watch.outbound.own.clear();
        // `h2` believes that it has all of it.
        let most = frame(DATA, 0, 3, &[0; 16_384]);
        for _ in 0..3 {
            assert_eq!(look(&mut watch, &most), Look::Upto(most.len()));
            watch.written(&[IoSlice::new(&most)], most.len());
        }
        let last = frame(DATA, END_STREAM, 3, &[7; 16_383]);
        assert_eq!(look(&mut watch, &last), Look::Hold);
        assert_eq!(watch.hold(&[IoSlice::new(&last)]), last.len());
        // What fits goes, as a frame that does not end the stream.
        let fits = 16_383 - debt as usize;
        assert_eq!(watch.outbound.own, frame(DATA, 0, 3, &vec![7; fits]));
        assert_eq!((watch.outbound.window, watch.held_of(3)), (0, debt as usize));
        watch.outbound.own.clear();
        let mut update = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0x10, 0]);
        watch.read(&mut update);
        assert_eq!(u32::from_be_bytes(*update[9..].first_chunk().unwrap()), 0x1000 - debt);
        assert_eq!(watch.outbound.own, frame(DATA, END_STREAM, 3, &vec![7; debt as usize]));
        assert_eq!((watch.outbound.debt, watch.outbound.window, watch.held_of(3)), (0, i64::from(0x1000 - debt), 0));
        // An increment of 0 would be an error.
        watch.outbound.debt = 5;
        let mut update = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 3]);
        watch.read(&mut update);
        assert_eq!((&update[9..], watch.outbound.debt), (&[0, 0, 0, 1][..], 3));
    }

    /// A connection whose window is used up: an answer took some of it, of which `h2` does not know.
    fn used_up(debt: u32) -> Watch {
        let mut watch = begun();
        (watch.outbound.window, watch.outbound.debt) = (0, debt);
        watch
    }

    /// Passes bytes of `h2` on as the connection does; gives what is written.
    fn pass(watch: &mut Watch, bytes: &[u8]) -> Vec<u8> {
        let (mut rest, mut out) = (bytes, Vec::new());
        loop {
            if let Some(own) = watch.outbound.own() {
                out.append(own);
            }
            if rest.is_empty() {
                return out;
            }
            let count = match look(watch, rest) {
                Look::Own => continue,
                Look::Hold => watch.hold(&[IoSlice::new(rest)]),
                Look::Upto(count) => {
                    watch.written(&[IoSlice::new(rest)], count);
                    out.extend_from_slice(&rest[..count]);
                    count
                }
                Look::Wait => panic!("everything waits"),
            };
            rest = &rest[count..];
        }
    }

    fn open(watch: &mut Watch, by: u32) -> Vec<u8> {
        watch.read(&mut frame(WINDOW_UPDATE, 0, 0, &by.to_be_bytes()));
        pass(watch, &[])
    }

    #[test]
    fn what_no_window_is_asked_of_does_not_wait() {
        let mut watch = used_up(10);
        let data = frame(DATA, 0, 3, b"0123456789");
        let ping = frame(PING, 1, 0, b"pingpong");
        let all = [data.clone(), ping.clone(), headers(5), frame(DATA, END_STREAM, 5, b"")].concat();
        assert_eq!(pass(&mut watch, &all), all[data.len()..]);
        assert_eq!(open(&mut watch, 4), frame(DATA, 0, 3, b"0123"), "not more than the window");
        assert_eq!(open(&mut watch, 99), frame(DATA, 0, 3, b"456789"));
        assert_eq!(pass(&mut watch, &data), data);
    }

    #[test]
    fn heads_keep_their_order_behind_trailers_that_wait() {
        let mut watch = used_up(10);
        let trailers = [frame(HEADERS, END_STREAM, 3, b"trail"), frame(CONTINUATION, END_HEADERS, 3, b"ers")].concat();
        let reset = frame(RST_STREAM, 0, 5, &[0, 0, 0, 2]);
        let ping = frame(PING, 1, 0, b"pingpong");
        let waits = [frame(DATA, 0, 3, b"0123456789"), trailers, headers(5), reset].concat();
        // `h2` writes the head of a frame whole, and the rest as it comes: here is half of the data, and half of the trailers.
        let pieces = [&waits[..14], &waits[14..19], &waits[19..30], &waits[30..]];
        let written: Vec<u8> = pieces.into_iter().flat_map(|piece| pass(&mut watch, piece)).collect();
        assert_eq!(written, b"");
        assert_eq!(pass(&mut watch, &ping), ping);
        assert_eq!(open(&mut watch, 10), waits);
        assert!(!watch.outbound.has_held());
    }

    #[test]
    fn data_of_a_stream_that_is_reset_is_not_sent() {
        let reset = |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
        for by_client in [false, true] {
            let mut watch = used_up(10);
            assert_eq!(pass(&mut watch, &[frame(DATA, 0, 3, b"0123"), frame(DATA, 0, 5, b"456789")].concat()), b"");
            if by_client {
                watch.read(&mut reset(3));
            } else {
                assert_eq!(pass(&mut watch, &reset(3)), reset(3));
            }
            // `h2` took it from the window, so it need not be kept from it any more.
            assert_eq!((watch.held_of(3), watch.held_of(5), watch.outbound.debt), (0, 6, 6), "{by_client}");
            assert_eq!(open(&mut watch, 9), frame(DATA, 0, 5, b"456789"));
            assert_eq!((watch.outbound.window, watch.outbound.debt), (3, 0));
        }
    }

    #[test]
    fn frames_of_our_own_do_not_come_between_those_of_a_head() {
        let mut watch = begun();
        let (first, rest) = (frame(HEADERS, 0, 1, b"a head"), frame(CONTINUATION, END_HEADERS, 1, b"of two"));
        assert_eq!(pass(&mut watch, &first), first);
        watch.read(&mut headers(3));
        watch.read(&mut frame(DATA, 0, 3, b"x")[..9].to_vec());
        assert!(watch.refuse_partial(Problem::new(Code::RequestTimeout, "Late.")).is_some());
        let own = watch.outbound.own.clone();
        let more = headers(5);
        assert_eq!(pass(&mut watch, &[rest.clone(), more.clone()].concat()), [rest, own, more].concat());
    }

    #[test]
    fn there_is_a_limit_to_what_h2_does_not_know_of() {
        let mut watch = begun();
        watch.outbound.window = i64::from(u32::MAX);
        let problem = || Problem::new(Code::InvalidRequest, "Malformed.");
        let mut streams = (1..).step_by(2);
        let refuse =
            |watch: &mut Watch, stream| watch.outbound.refuse(stream, problem(), true, &mut watch.inbound).status;
        let answered = streams.by_ref().take_while(|stream| refuse(&mut watch, *stream).is_some()).count();
        assert!((100..1000).contains(&answered), "{answered}");
        assert!(watch.outbound.debt <= DEBT_LIMIT);
        open(&mut watch, 1 << 20);
        assert!(streams.next().is_some_and(|stream| refuse(&mut watch, stream).is_some()));
    }
}
