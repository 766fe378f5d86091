//! A client that sends the same request again and again, and checks how it is answered.

use std::io::{self, BufReader, Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::http1::{Head, malformed};

#[derive(Debug, Clone, Copy)]
pub enum Protocol {
    Http1,
    /// HTTP/1.1, each request over a connection of its own.
    Fresh,
    /// Over plain TCP, without asking first (RFC 9113, section 3.3).
    Http2,
}

#[derive(Debug, Clone, Copy)]
pub enum Body {
    Empty,
    Length(usize),
    Chunked(usize),
}

/// A request, and how it has to be answered.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub path: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    /// With HTTP/1.1 only; a request with one is a POST.
    pub body: Body,
    pub protocol: Protocol,
    pub status: u16,
}

impl Request {
    pub fn get(path: &'static str) -> Self {
        Self { path, headers: &[], body: Body::Empty, protocol: Protocol::Http1, status: 200 }
    }

    /// Sends it so often.
    pub fn send(&self, gateway: SocketAddr, times: u32) -> io::Result<()> {
        let request = match self.protocol {
            Protocol::Http2 => self.fields(gateway),
            Protocol::Http1 | Protocol::Fresh => self.message(gateway),
        };
        let mut connection = Connection::open(gateway, self.protocol)?;
        for sent in 0..times {
            if sent > 0 && matches!(self.protocol, Protocol::Fresh) {
                connection = Connection::open(gateway, self.protocol)?;
            }
            let status = match self.protocol {
                Protocol::Http2 => connection.http2(2 * sent + 1, &request)?,
                Protocol::Http1 | Protocol::Fresh => connection.http1(&request)?,
            };
            if status != self.status {
                return Err(Error::other(format!("answered with {status} instead of {}", self.status)));
            }
        }
        Ok(())
    }

    /// As HTTP/1.1 has it.
    fn message(&self, gateway: SocketAddr) -> Vec<u8> {
        let method = if matches!(self.body, Body::Empty) { "GET" } else { "POST" };
        let mut text = format!("{method} {} HTTP/1.1\r\nHost: {gateway}\r\n", self.path);
        for (name, value) in self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&match self.body {
            Body::Empty => "\r\n".to_owned(),
            Body::Length(length) => format!("Content-Length: {length}\r\n\r\n{}", "x".repeat(length)),
            Body::Chunked(length) => {
                format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length))
            }
        });
        text.into_bytes()
    }

    /// As HPACK has it (RFC 7541), every field without an index (section 6.2.2), which is short here: below 127 bytes.
    fn fields(&self, gateway: SocketAddr) -> Vec<u8> {
        let mut block = Vec::new();
        let authority = gateway.to_string();
        let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", self.path), (":authority", &authority)];
        for (name, value) in pseudo.iter().chain(self.headers) {
            block.push(0);
            for text in [name.to_ascii_lowercase().as_bytes(), value.as_bytes()] {
                block.push(text.len() as u8);
                block.extend_from_slice(text);
            }
        }
        block
    }
}

struct Connection {
    reader: BufReader<TcpStream>,
}

/// Frames and flags of HTTP/2 (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

impl Connection {
    fn open(gateway: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        let stream = TcpStream::connect(gateway)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut connection = Self { reader: BufReader::new(stream) };
        if matches!(protocol, Protocol::Http2) {
            connection.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
            connection.frame(SETTINGS, 0, 0, &[])?;
        }
        Ok(connection)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Sends a request and reads its response to the end; gives the status.
    fn http1(&mut self, request: &[u8]) -> io::Result<u16> {
        self.write(request)?;
        let head = Head::read(&mut self.reader)?.ok_or(ErrorKind::UnexpectedEof)?;
        head.drain_body(&mut self.reader)?;
        head.first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| malformed("status line"))
    }

    /// The same with HTTP/2. Of statuses only 200 is understood, by its index in the static table (RFC 7541, appendix A);
    /// others are told as 0.
    fn http2(&mut self, stream: u32, fields: &[u8]) -> io::Result<u16> {
        self.frame(HEADERS, END_STREAM | END_HEADERS, stream, fields)?;
        let mut status = 0;
        loop {
            let mut head = [0; 9];
            self.reader.read_exact(&mut head)?;
            let [l0, l1, l2, kind, flags, ..] = head;
            let length = u32::from_be_bytes([0, l0, l1, l2]);
            let mut payload = vec![0; length as usize];
            self.reader.read_exact(&mut payload)?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[])?,
                RST_STREAM | GOAWAY => return Err(Error::other("the gateway ended the stream")),
                HEADERS => status = if payload.contains(&0x88) { 200 } else { 0 },
                // What was received may be sent again, on the connection; streams end before they need it.
                DATA if length > 0 => self.frame(WINDOW_UPDATE, 0, 0, &length.to_be_bytes())?,
                _ => {}
            }
            if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
                return Ok(status);
            }
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let [_, l0, l1, l2] = u32::try_from(payload.len()).map_err(Error::other)?.to_be_bytes();
        let [s0, s1, s2, s3] = stream.to_be_bytes();
        let mut frame = vec![l0, l1, l2, kind, flags, s0, s1, s2, s3];
        frame.extend_from_slice(payload);
        self.write(&frame)
    }
}
