//! Messages on their way out.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};

use super::field::Names;
use crate::trailer::may_trail;

/// How the body of an outgoing message is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, and nothing is said about its length.
    None,
    /// There is no body, but the fields tell of the one that another request would get (HEAD, 304).
    Described,
    Length(u64),
    Chunked,
    /// The end of the connection ends the body.
    UntilClose,
}

/// What `Connection` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: it stays open.
    Silent,
    /// It stays open, for a client of HTTP/1.0, which expects it to close.
    KeepAlive,
    Close,
    /// It goes on with the protocol that `Upgrade` names.
    Upgrade,
}

/// Writes a request's head.
pub fn request(
    out: &mut Vec<u8>,
    method: &Method,
    path: &PathAndQuery,
    (headers, names): (&HeaderMap, &Names),
    framing: Framing,
    connection: Connection,
) {
    out.reserve(head_size(headers) + path.as_str().len());
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(path.as_str().as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    fields(out, headers, names, framing, (connection, false));
}

/// Writes a response's head.
pub fn response(
    out: &mut Vec<u8>,
    status: StatusCode,
    reason: &[u8],
    (headers, names): (&HeaderMap, &Names),
    framing: Framing,
    connection: Connection,
) {
    out.reserve(head_size(headers));
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    let required = status == StatusCode::UPGRADE_REQUIRED && headers.contains_key(UPGRADE);
    fields(out, headers, names, framing, (connection, required));
}

/// Enough for most heads, so that the buffer grows once.
fn head_size(headers: &HeaderMap) -> usize {
    128 + headers.len() * 48
}

/// `required`: the message says to which protocol the client has to upgrade (RFC 9110, section 15.5.22).
fn fields(
    out: &mut Vec<u8>,
    headers: &HeaderMap,
    names: &Names,
    framing: Framing,
    (connection, required): (Connection, bool),
) {
    let mut cursor = names.cursor();
    for (name, value) in headers {
        // Framing and connection are this message's own, not those of the one that it came from.
        let ours = *name == TRANSFER_ENCODING
            || *name == CONNECTION
            || (*name == CONTENT_LENGTH && framing != Framing::Described)
            || (*name == UPGRADE && connection != Connection::Upgrade && !required);
        if !ours {
            field(out, cursor.original(name), value.as_bytes());
        }
    }
    match framing {
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::None | Framing::Described | Framing::UntilClose => {}
    }
    out.extend_from_slice(match (connection, required) {
        (Connection::Silent, false) => b"",
        (Connection::KeepAlive, false) => b"Connection: keep-alive\r\n",
        (Connection::Close, false) => b"Connection: close\r\n",
        (Connection::Upgrade, _) | (Connection::Silent, true) => b"Connection: upgrade\r\n".as_slice(),
        (Connection::KeepAlive, true) => b"Connection: keep-alive, upgrade\r\n",
        (Connection::Close, true) => b"Connection: close, upgrade\r\n",
    });
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Writes a piece of a body; nothing where there is none, though something may have come: a stage has changed the status.
pub fn data(out: &mut Vec<u8>, framing: Framing, bytes: &[u8]) {
    // An empty chunk would be the end of the body.
    if bytes.is_empty() || matches!(framing, Framing::None | Framing::Described) {
        return;
    }
    if framing == Framing::Chunked {
        out.reserve(bytes.len() + 20);
        let mut started = false;
        for shift in (0..16).rev() {
            let digit = (bytes.len() >> (shift * 4) & 0xf) as u8;
            started |= digit != 0;
            if started {
                out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
            }
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    } else {
        out.extend_from_slice(bytes);
    }
}

/// Writes what follows the last piece of a body.
pub fn end(out: &mut Vec<u8>, framing: Framing, trailers: Option<&HeaderMap>) {
    if framing != Framing::Chunked {
        return;
    }
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten().filter(|(name, _)| may_trail(name)) {
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{body, request as parse};
    use bytes::BytesMut;

    fn head_of(text: &'static str) -> parse::Head {
        parse::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_keep_their_case_and_framing_is_written_anew() {
        let head = head_of(
            "POST /a?b HTTP/1.1\r\nHost: a\r\nX-CamelCase: 1\r\nlower: 2\r\ncOnnection: x\r\nContent-Length: 7\r\n\r\n",
        );
        let mut out = Vec::new();
        let fields = (&head.headers, &head.names);
        request(&mut out, &head.method, &head.path, fields, Framing::Length(1_234_567), Connection::Silent);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "POST /a?b HTTP/1.1\r\nHost: a\r\nX-CamelCase: 1\r\nlower: 2\r\nContent-Length: 1234567\r\n\r\n"
        );
    }

    #[test]
    fn a_426_says_to_what_and_other_statuses_do_not() {
        let headers = HeaderMap::from_iter([(UPGRADE, "websocket".parse().unwrap())]);
        let written = |status, connection| {
            let mut out = Vec::new();
            response(&mut out, status, b"", (&headers, &Names::default()), Framing::Length(0), connection);
            String::from_utf8(out).unwrap()
        };
        for (connection, options) in [
            (Connection::Silent, "upgrade"),
            (Connection::KeepAlive, "keep-alive, upgrade"),
            (Connection::Close, "close, upgrade"),
        ] {
            let head = written(StatusCode::UPGRADE_REQUIRED, connection);
            assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
            assert!(head.contains(&format!("\r\nConnection: {options}\r\n")), "{head}");
            assert!(!written(StatusCode::OK, connection).contains("upgrade"));
        }
    }

    #[test]
    fn chunks_are_read_back_as_they_were_written() {
        for length in [1, 9, 10, 15, 16, 255, 256, 65_537] {
            let (mut out, content) = (Vec::new(), vec![b'x'; length]);
            data(&mut out, Framing::Chunked, &content);
            data(&mut out, Framing::Chunked, &[]);
            end(&mut out, Framing::Chunked, None);
            let mut out = BytesMut::from(out.as_slice());
            let mut decoder = body::Decoder::chunked();
            assert_eq!(decoder.advance(&mut out), Ok(body::Progress::Data(length)));
            decoder.consume(&mut out, length);
            assert_eq!(decoder.advance(&mut out), Ok(body::Progress::End));
            assert!(out.is_empty());
        }
    }

    #[test]
    fn trailers_carry_no_field_that_others_have_decided_by() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        trailers.insert("authorization", "x".parse().unwrap());
        trailers.insert("content-length", "5".parse().unwrap());
        let mut out = Vec::new();
        end(&mut out, Framing::Chunked, Some(&trailers));
        assert_eq!(out, b"0\r\nx-sum: 1\r\n\r\n");
    }
}
