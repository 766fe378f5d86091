//! HTTP/2 frame by frame (RFC 9113, section 4), in either role: what a library would not send can be sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use witgate_tests::gateway::PATIENCE;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const COMPRESSION_ERROR: u32 = 9;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Settings of a SETTINGS frame, as identifier and value.
    pub fn settings(&self) -> Vec<(u16, u32)> {
        let setting = |six: &[u8]| (u16::from_be_bytes([six[0], six[1]]), number(&six[2..]));
        self.payload.chunks_exact(6).map(setting).collect()
    }
}

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A final response began.
    Status(u16),
    Reset(u32),
    GoAway(u32),
    Closed,
}

/// One end of a connection.
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// A client that has sent its preface and these settings.
    pub fn client(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut peer = Self::connect(address);
        peer.bytes(PREFACE);
        peer.settings(settings);
        peer
    }

    /// A client that has sent nothing yet.
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("connected"))
    }

    /// A server that has read the client's preface and sent these settings.
    pub fn server(listener: &TcpListener, settings: &[(u16, u32)]) -> Self {
        let mut peer = Self::over(listener.accept().expect("a connection").0);
        let mut preface = [0; PREFACE.len()];
        peer.stream.read_exact(&mut preface).expect("a preface");
        assert_eq!(preface, PREFACE);
        peer.settings(settings);
        peer
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_write_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self { stream }
    }

    /// Sends bytes as they are. That the other side has closed is seen when reading.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.bytes(&frame(kind, flags, stream, payload));
    }

    pub fn settings(&mut self, settings: &[(u16, u32)]) {
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        self.send(SETTINGS, 0, 0, &payload);
    }

    /// Sends a whole field block.
    pub fn headers(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) {
        self.send(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, &block(fields));
    }

    pub fn data(&mut self, stream: u32, data: &[u8], end: bool) {
        self.send(DATA, if end { END_STREAM } else { 0 }, stream, data);
    }

    /// The next frame; none: closed.
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; number(&head[..3]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload })
    }

    /// The next frame of a kind; settings and pings that come before it are acknowledged.
    pub fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind {
                return Some(frame);
            }
            if matches!(frame.kind, SETTINGS | PING) && frame.flags & ACK == 0 {
                let payload = if frame.kind == PING { frame.payload } else { Vec::new() };
                self.send(frame.kind, ACK, 0, &payload);
            }
        }
    }

    /// What becomes of a stream; a graceful GOAWAY is not the end of it.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let Some(frame) = self.next() else { return Outcome::Closed };
            match frame.kind {
                HEADERS if frame.stream == stream => match status(&frame.payload) {
                    100..200 => {}
                    status => return Outcome::Status(status),
                },
                RST_STREAM if frame.stream == stream => return Outcome::Reset(number(&frame.payload)),
                GOAWAY => match number(&frame.payload[4..8]) {
                    NO_ERROR => {}
                    code => return Outcome::GoAway(code),
                },
                SETTINGS if frame.flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]),
                _ => {}
            }
        }
    }

    /// Whether the connection still serves: a ping comes back. Otherwise how it ended.
    pub fn ping(&mut self) -> Result<(), Outcome> {
        self.send(PING, 0, 0, b"are you?");
        loop {
            let Some(frame) = self.next() else { return Err(Outcome::Closed) };
            match frame.kind {
                PING if frame.flags & ACK != 0 && frame.payload == b"are you?" => return Ok(()),
                GOAWAY => match number(&frame.payload[4..8]) {
                    NO_ERROR => {}
                    code => return Err(Outcome::GoAway(code)),
                },
                _ => {}
            }
        }
    }
}

/// A frame as it is sent.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields of a GET, with more behind them.
pub fn get<'f>(path: &'f str, more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    asking("GET", path, more)
}

/// Fields of a request, with more behind them.
pub fn asking<'f>(method: &'f str, path: &'f str, more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let head = [(":method", method), (":scheme", "http"), (":authority", "a.example"), (":path", path)];
    [&head[..], more].concat()
}

/// A field block of literals that touch no table (RFC 7541, section 6.2.2), valid or not.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// RFC 7541, section 5.1, with seven bits in the first octet.
fn length(block: &mut Vec<u8>, length: usize) {
    let mut rest = match length {
        0..127 => return block.push(length as u8),
        _ => length - 127,
    };
    block.push(127);
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The status at the front of a response's field block.
fn status(block: &[u8]) -> u16 {
    // Sizes of the dynamic table may come first.
    let block = &block[block.iter().take_while(|octet| **octet & 0xe0 == 0x20).count()..];
    match block {
        // Indexed: the static table has these.
        [octet @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(octet - 0x88)],
        // A literal behind a name of the static table, in plain or Huffman's code.
        [0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e, length, value @ ..] => {
            let value = &value[..usize::from(length & 0x7f)];
            let digits = if length & 0x80 == 0 { value.to_vec() } else { huffman(value) };
            digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'))
        }
        _ => panic!("no status at the front of {block:02x?}"),
    }
}

/// Digits in Huffman's code (RFC 7541, appendix B): `0` to `2` have five bits, `3` to `9` have six.
fn huffman(bytes: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let code = |bits: &[u8]| bits.iter().fold(0, |code, bit| code << 1 | bit);
    let (mut digits, mut at) = (Vec::new(), 0);
    while let Some(five) = bits.get(at..at + 5).map(code) {
        if five < 3 {
            digits.push(b'0' + five);
            at += 5;
        } else if let Some(six @ 0x19..=0x1f) = bits.get(at..at + 6).map(code) {
            digits.push(b'3' + six - 0x19);
            at += 6;
        } else {
            break;
        }
    }
    digits
}

#[test]
fn statuses_are_read_in_every_form() {
    assert_eq!(status(&[0x88, 0x5f]), 200);
    assert_eq!(status(&[0x20, 0x48, 0x83, 0x68, 0x0d, 0xff]), 405, "in Huffman's code");
    assert_eq!(status(&[0x08, 3, b'4', b'3', b'1']), 431);
}
