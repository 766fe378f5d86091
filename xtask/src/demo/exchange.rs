//! One request and its answer, as far as a gateway in front needs it.

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use crate::http1::{Head, malformed};

/// Reads one request and answers it: whether the connection can serve another one.
pub fn answer(reader: &mut impl BufRead, writer: &mut impl Write, upstream: SocketAddr) -> io::Result<bool> {
    let Some(head) = Head::read(reader)? else { return Ok(false) };
    let mut words = head.first.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(malformed("request line"));
    };
    if head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body_bytes = head.drain_body(reader)?;
    let persistent = !head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let description = json!({
        "upstream": upstream.to_string(),
        "method": method,
        "path": target,
        "headers": joined(&head.headers),
        "body_bytes": body_bytes,
    });
    let body = format!("{description:#}\n");
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{}\r\n",
        body.len(),
        if persistent { "" } else { "connection: close\r\n" },
    );
    if method != "HEAD" {
        answer.push_str(&body);
    }
    writer.write_all(answer.as_bytes())?;
    Ok(persistent)
}

/// The headers as an object: those of one name are one.
fn joined(headers: &[(String, String)]) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, value) in headers {
        match object.get_mut(name) {
            Some(Value::String(known)) => {
                known.push_str(", ");
                known.push_str(value);
            }
            _ => drop(object.insert(name.clone(), value.as_str().into())),
        }
    }
    object
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
