//! Messages of HTTP/1.1 (RFC 9112), as far as what stands before and behind the gateway reads them.

use std::io::{self, BufRead, Error, ErrorKind, Read};

/// Bytes of a head; the gateway's own limit is smaller by default.
const HEAD_LIMIT: u64 = 1 << 20;

/// What precedes a body.
pub struct Head {
    /// The request line or the status line.
    pub first: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// None: the other side closed the connection between two messages.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut reader = reader.take(HEAD_LIMIT);
        let Some(first) = line(&mut reader)? else { return Ok(None) };
        let mut headers = Vec::new();
        loop {
            let field = line(&mut reader)?.ok_or(ErrorKind::UnexpectedEof)?;
            if field.is_empty() {
                return Ok(Some(Self { first, headers }));
            }
            let (name, value) = field.split_once(':').ok_or_else(|| malformed("header"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads the body away: its length in bytes. One without a length and not in chunks has none.
    pub fn drain_body(&self, reader: &mut impl BufRead) -> io::Result<u64> {
        if self.header("transfer-encoding").is_some() {
            return drain_chunks(reader);
        }
        let length = self.header("content-length").map(str::parse).transpose();
        drain(reader, length.map_err(|_| malformed("content-length"))?.unwrap_or(0))
    }
}

fn drain_chunks(reader: &mut impl BufRead) -> io::Result<u64> {
    let mut total = 0;
    loop {
        let size = line(&mut reader.take(HEAD_LIMIT))?.ok_or(ErrorKind::UnexpectedEof)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| malformed("chunk size"))?;
        if size == 0 {
            let mut trailers = reader.take(HEAD_LIMIT);
            while !line(&mut trailers)?.ok_or(ErrorKind::UnexpectedEof)?.is_empty() {}
            return Ok(total);
        }
        total += drain(reader, size)?;
        line(&mut reader.take(2))?;
    }
}

fn drain(reader: &mut impl BufRead, length: u64) -> io::Result<u64> {
    let read = io::copy(&mut reader.take(length), &mut io::sink())?;
    if read == length { Ok(length) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// A line without its end; none at the end of input.
pub fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let line = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).ok_or_else(|| malformed("line"))?;
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}

pub fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("malformed {what}"))
}
