//! Either end of a connection of HTTP/2, frame by frame: sends exactly what it is told, malformed or not.

mod fields;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

pub use fields::{asking, block, get};

use crate::gateway::PATIENCE;

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
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of a RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        number(&self.payload[at..at + 4])
    }

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

/// An end of a connection. What comes is bookkeeping or not: SETTINGS and PING are acknowledged, windows are not looked at.
pub struct Http2 {
    stream: TcpStream,
}

impl Http2 {
    /// A client that has sent nothing yet.
    pub fn silent(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("connected"))
    }

    /// A client that has sent its preface and these settings.
    pub fn client(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(address);
        client.send(PREFACE);
        client.settings(settings);
        client
    }

    /// A client that has sent its preface and no settings of its own; both sides know those of the other.
    pub fn open(address: SocketAddr) -> Self {
        let mut client = Self::client(address, &[]);
        let (mut known, mut acknowledged) = (false, false);
        while !(known && acknowledged) {
            let frame = client.any().expect("settings");
            if frame.kind == SETTINGS {
                known |= frame.flags & ACK == 0;
                acknowledged |= frame.flags & ACK == ACK;
                client.acknowledge(&frame);
            }
        }
        client
    }

    /// The server's end of an accepted connection: has read the client's preface, if it is one, and sent no settings of its own.
    pub fn serve(stream: TcpStream) -> Self {
        let mut server = Self::over(stream);
        let mut preface = [0; PREFACE.len()];
        let _ = server.stream.read_exact(&mut preface);
        server.settings(&[]);
        server
    }

    /// The server's end of the next connection: has read the client's preface and sent these settings.
    pub fn accept(listener: &TcpListener, settings: &[(u16, u32)]) -> Self {
        let mut server = Self::over(listener.accept().expect("a connection").0);
        let mut preface = [0; PREFACE.len()];
        server.stream.read_exact(&mut preface).expect("a preface");
        assert_eq!(preface, PREFACE);
        server.settings(settings);
        server
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_write_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self { stream }
    }

    /// Sends bytes as they are. That the other side has closed is seen when reading.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(&frame(kind, flags, stream, payload));
    }

    pub fn settings(&mut self, settings: &[(u16, u32)]) {
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        self.frame(SETTINGS, 0, 0, &payload);
    }

    /// A whole head in one frame.
    pub fn headers(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) {
        self.frame(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, &block(fields));
    }

    pub fn data(&mut self, stream: u32, data: &[u8], end: bool) {
        self.frame(DATA, if end { END_STREAM } else { 0 }, stream, data);
    }

    /// Another handle, to write from another thread.
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("another handle")
    }

    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next frame, whatever it is, without an acknowledgement; none: the other side has closed.
    pub fn any(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; number(&head[..3]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]) & 0x7fff_ffff, payload })
    }

    /// Acknowledges SETTINGS or PING.
    pub fn acknowledge(&mut self, frame: &Frame) {
        if frame.flags & ACK == 0 {
            self.frame(frame.kind, ACK, 0, if frame.kind == PING { &frame.payload } else { b"" });
        }
    }

    /// The next frame that is not bookkeeping; none: the other side has closed.
    #[expect(clippy::should_implement_trait, reason = "it waits, and fails the test if it waits in vain")]
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any()?;
            match frame.kind {
                SETTINGS | PING => self.acknowledge(&frame),
                WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }

    /// The next frame of this kind; others are passed over, SETTINGS and PING with an acknowledgement.
    pub fn await_frame(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.any()?;
            if frame.kind == kind {
                return Some(frame);
            }
            if matches!(frame.kind, SETTINGS | PING) {
                self.acknowledge(&frame);
            }
        }
    }

    /// Reads until the other side closes, and says nothing.
    pub fn await_end(&mut self) {
        let _ = self.stream.read_to_end(&mut Vec::new());
    }

    /// What becomes of a stream; a graceful GOAWAY is not the end of it.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let Some(frame) = self.any() else { return Outcome::Closed };
            match frame.kind {
                HEADERS if frame.stream == stream => match fields::status(&frame.payload) {
                    100..200 => {}
                    status => return Outcome::Status(status),
                },
                RST_STREAM if frame.stream == stream => return Outcome::Reset(frame.code()),
                GOAWAY => match frame.code() {
                    NO_ERROR => {}
                    code => return Outcome::GoAway(code),
                },
                SETTINGS => self.acknowledge(&frame),
                _ => {}
            }
        }
    }

    /// Whether the connection still serves: a ping comes back. Otherwise how it ended.
    pub fn ping(&mut self) -> Result<(), Outcome> {
        self.frame(PING, 0, 0, b"are you?");
        loop {
            let Some(frame) = self.any() else { return Err(Outcome::Closed) };
            match frame.kind {
                PING if frame.flags & ACK != 0 && frame.payload == b"are you?" => return Ok(()),
                GOAWAY => match frame.code() {
                    NO_ERROR => {}
                    code => return Err(Outcome::GoAway(code)),
                },
                _ => {}
            }
        }
    }

    /// An answer on this stream whose fields are not compressed: status, fields and body.
    pub fn plain_answer(&mut self, stream: u32) -> (u16, Vec<(String, String)>, Vec<u8>) {
        let mut frame = self.next().expect("a head");
        while (frame.kind, frame.stream) != (HEADERS, stream) {
            frame = self.next().expect("a head");
        }
        let mut rest = &frame.payload[..];
        assert_eq!(rest[0], 8, "the status comes first, as a literal: {frame:?}");
        rest = &rest[1..];
        let status = fields::text(&mut rest).parse().expect("a status");
        let mut read = Vec::new();
        while let Some((0, after)) = rest.split_first() {
            rest = after;
            let name = fields::text(&mut rest);
            read.push((name, fields::text(&mut rest)));
        }
        assert!(rest.is_empty(), "{rest:?}");
        let (mut body, mut ended) = (Vec::new(), frame.flags & END_STREAM != 0);
        while !ended {
            let data = self.await_frame(DATA).expect("a body");
            assert_eq!(data.stream, stream);
            body.extend(data.payload);
            ended = data.flags & END_STREAM != 0;
        }
        (status, read, body)
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
