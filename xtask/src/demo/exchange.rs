//! One request and its answer (RFC 9112), as far as a gateway in front needs it.

use std::io::{self, BufRead, Error, ErrorKind, Read, Write};
use std::net::SocketAddr;

use serde_json::{Map, Value, json};

/// Bytes of a head; the gateway's own limit is smaller by default.
const HEAD_LIMIT: u64 = 1 << 20;

/// Reads one request and answers it: whether the connection can serve another one.
pub fn answer(reader: &mut impl BufRead, writer: &mut impl Write, upstream: SocketAddr) -> io::Result<bool> {
    let Some(head) = Head::read(reader)? else { return Ok(false) };
    if head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body_bytes = head.drain_body(reader)?;
    let persistent = !head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let body = format!("{:#}\n", head.describe(upstream, body_bytes));
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{}\r\n",
        body.len(),
        if persistent { "" } else { "connection: close\r\n" },
    );
    if head.method != "HEAD" {
        answer.push_str(&body);
    }
    writer.write_all(answer.as_bytes())?;
    Ok(persistent)
}

struct Head {
    method: String,
    target: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Head {
    /// None: the client closed the connection between two requests.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut reader = reader.take(HEAD_LIMIT);
        let Some(request_line) = line(&mut reader)? else { return Ok(None) };
        let mut words = request_line.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed("request line"));
        };
        let (method, target) = (method.to_owned(), target.to_owned());
        let mut headers = Vec::new();
        loop {
            let field = line(&mut reader)?.ok_or(ErrorKind::UnexpectedEof)?;
            if field.is_empty() {
                return Ok(Some(Self { method, target, headers }));
            }
            let (name, value) = field.split_once(':').ok_or_else(|| malformed("header"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads the body away: its length in bytes.
    fn drain_body(&self, reader: &mut impl BufRead) -> io::Result<u64> {
        if self.header("transfer-encoding").is_some() {
            return drain_chunks(reader);
        }
        let length = self.header("content-length").map(str::parse).transpose();
        drain(reader, length.map_err(|_| malformed("content-length"))?.unwrap_or(0))
    }

    fn describe(&self, upstream: SocketAddr, body_bytes: u64) -> Value {
        let mut headers = Map::new();
        for (name, value) in &self.headers {
            match headers.get_mut(name) {
                Some(Value::String(known)) => {
                    known.push_str(", ");
                    known.push_str(value);
                }
                _ => drop(headers.insert(name.clone(), value.as_str().into())),
            }
        }
        let upstream = upstream.to_string();
        json!({ "upstream": upstream, "method": self.method, "path": self.target, "headers": headers, "body_bytes": body_bytes })
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
fn line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let line = line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).ok_or_else(|| malformed("line"))?;
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("malformed {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(mut requests: &[u8]) -> io::Result<(String, bool)> {
        let mut answer_bytes = Vec::new();
        let persistent = answer(&mut requests, &mut answer_bytes, "127.0.0.1:9000".parse().unwrap())?;
        assert!(requests.is_empty(), "the request is read to its end");
        Ok((String::from_utf8(answer_bytes).unwrap(), persistent))
    }

    fn body(answer: &str) -> Value {
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    #[test]
    fn the_answer_shows_what_arrived() {
        let (answer, persistent) = exchange(b"GET /a?b HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a: 2\r\n\r\n").unwrap();
        let expected = json!({ "upstream": "127.0.0.1:9000", "method": "GET", "path": "/a?b",
            "headers": { "host": "x", "x-a": "1, 2" }, "body_bytes": 0 });
        assert_eq!(body(&answer), expected);
        assert!(persistent);
    }

    #[test]
    fn bodies_with_length_and_in_chunks_are_read_away() {
        let (answer, _) = exchange(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello").unwrap();
        assert_eq!(body(&answer)["body_bytes"], 5);
        let chunked = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nt: 1\r\n\r\n";
        assert_eq!(body(&exchange(chunked).unwrap().0)["body_bytes"], 15);
    }

    #[test]
    fn a_head_request_is_answered_without_a_body() {
        let (answer, _) = exchange(b"HEAD / HTTP/1.1\r\n\r\n").unwrap();
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[test]
    fn a_client_that_waits_to_send_its_body_is_told_to_go_on() {
        let request = b"PUT / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nx";
        assert!(exchange(request).unwrap().0.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
    }

    #[test]
    fn malformed_requests_end_the_connection() {
        for request in [&b"GET /\r\n\r\n"[..], b"GET / HTTP/1.1\r\nbroken\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\n"] {
            assert!(exchange(request).is_err(), "{}", String::from_utf8_lossy(request));
        }
    }
}
