//! Either end of a connection of HTTP/2, frame by frame: sends exactly what it is told, malformed or not.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::gateway::PATIENCE;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

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
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// A field block in which nothing is compressed.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fn text(out: &mut Vec<u8>, text: &str) {
        match text.len() {
            short @ 0..127 => out.push(short as u8),
            long => {
                out.push(127);
                let mut rest = long - 127;
                while rest >= 128 {
                    out.push((rest % 128) as u8 | 128);
                    rest /= 128;
                }
                out.push(rest as u8);
            }
        }
        out.extend_from_slice(text.as_bytes());
    }
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        text(&mut out, name);
        text(&mut out, value);
    }
    out
}

/// The block of a GET with further fields.
pub fn get(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let head = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", path)];
    block(&[&head[..], more].concat())
}

/// An end of a connection. What comes is bookkeeping or not: SETTINGS and PING are acknowledged, windows are not looked at.
pub struct Http2 {
    stream: TcpStream,
}

impl Http2 {
    /// Says nothing yet.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self { stream }
    }

    /// A client that has sent its preface and no settings of its own; both sides know those of the other.
    pub fn open(address: SocketAddr) -> Self {
        let mut client = Self::silent(address);
        client.send(PREFACE);
        client.frame(SETTINGS, 0, 0, b"");
        let (mut known, mut acknowledged) = (false, false);
        while !(known && acknowledged) {
            let frame = client.any().expect("settings");
            if frame.kind == SETTINGS {
                known |= frame.flags & 1 == 0;
                acknowledged |= frame.flags & 1 == 1;
                client.acknowledge(frame);
            }
        }
        client
    }

    /// The server's end of an accepted connection.
    pub fn serve(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        let mut server = Self { stream };
        let mut preface = [0; 24];
        let _ = server.stream.read_exact(&mut preface);
        server.frame(SETTINGS, 0, 0, b"");
        server
    }

    /// Sends bytes as they are. That the other side has closed is seen when reading.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(&frame(kind, flags, stream, payload));
    }

    /// A whole head in one frame.
    pub fn headers(&mut self, stream: u32, block: &[u8], end: bool) {
        self.frame(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, block);
    }

    /// Another handle, to write from another thread.
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("another handle")
    }

    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next frame, whatever it is, without an acknowledgement.
    pub fn any(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Acknowledges SETTINGS or PING.
    pub fn acknowledge(&mut self, frame: Frame) {
        if frame.flags & 1 == 0 {
            self.frame(frame.kind, 1, 0, if frame.kind == PING { &frame.payload } else { b"" });
        }
    }

    /// The next frame that is not bookkeeping; none: the other side has closed.
    #[expect(clippy::should_implement_trait, reason = "it waits, and fails the test if it waits in vain")]
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any()?;
            match frame.kind {
                SETTINGS | PING => self.acknowledge(frame),
                WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }

    /// Reads until the other side closes, and says nothing.
    pub fn await_end(&mut self) {
        let _ = self.stream.read_to_end(&mut Vec::new());
    }

    /// The next frame of this kind; others are passed over.
    pub fn await_frame(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind {
                return Some(frame);
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
        let text = |rest: &mut &[u8]| {
            let (text, after) = rest[1..].split_at(usize::from(rest[0]));
            *rest = after;
            String::from_utf8_lossy(text).into_owned()
        };
        assert_eq!(rest[0], 8, "the status comes first, as a literal: {frame:?}");
        rest = &rest[1..];
        let status = text(&mut rest).parse().expect("a status");
        let mut fields = Vec::new();
        while let Some((0, after)) = rest.split_first() {
            rest = after;
            let name = text(&mut rest);
            fields.push((name, text(&mut rest)));
        }
        assert!(rest.is_empty(), "{rest:?}");
        let (mut body, mut ended) = (Vec::new(), frame.flags & END_STREAM != 0);
        while !ended {
            let data = self.await_frame(DATA).expect("a body");
            assert_eq!(data.stream, stream);
            body.extend(data.payload);
            ended = data.flags & END_STREAM != 0;
        }
        (status, fields, body)
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}
