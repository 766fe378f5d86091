//! Response heads of upstreams (RFC 9112, sections 4 and 6.3).

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode, Version};

use super::body::Decoder;
use super::field::{self, ConnectionOptions, FIELDS_LIMIT, Fields, Names};
use super::request::version_of;

/// A response's head.
#[derive(Debug)]
pub struct Head {
    pub status: StatusCode,
    /// The reason phrase behind the status.
    pub reason: Bytes,
    pub headers: HeaderMap,
    pub names: Names,
    /// The upstream will take another request on this connection, once the body has ended.
    pub keep_alive: bool,
    seen: Seen,
}

/// How often there are the fields that say where the message ends and what becomes of its connection. Most of them are not there,
/// and looking for each would take longer than all else.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    lengths: usize,
    codings: usize,
    connections: usize,
}

impl Seen {
    fn add(&mut self, name: &[u8]) {
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => self.lengths += 1,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.codings += 1,
            10 if name.eq_ignore_ascii_case(b"connection") => self.connections += 1,
            _ => {}
        }
    }
}

impl Head {
    /// Whether `Transfer-Encoding` is there.
    pub fn is_coded(&self) -> bool {
        self.seen.codings > 0
    }
}

/// Why a response cannot be passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("the status line is not HTTP/1")]
    StatusLine,
    #[error("{0}")]
    Field(#[from] field::FieldError),
    #[error("more than {FIELDS_LIMIT} fields")]
    TooManyFields,
    #[error("both Content-Length and Transfer-Encoding are given")]
    Ambiguous,
    #[error("Content-Length is not one decimal number")]
    Length,
    #[error("a transfer coding that is not understood")]
    Coding,
}

/// Length of the head at the front of `bytes`, once it is complete. Lines may end with LF alone (RFC 9112, section 2.2).
pub fn find_end(bytes: &[u8], scanned: &mut usize) -> Option<usize> {
    // The end may have begun before what is new.
    let from = scanned.saturating_sub(3);
    for newline in memchr::memchr_iter(b'\n', bytes.get(from..)?) {
        let after = from + newline + 1;
        match bytes.get(after..) {
            Some([b'\n', ..]) => return Some(after + 1),
            Some([b'\r', b'\n', ..]) => return Some(after + 2),
            _ => {}
        }
    }
    *scanned = bytes.len();
    None
}

/// Reads a complete head.
///
/// # Errors
/// It is not a response, or nobody can tell where it ends.
pub fn parse(head: &[u8]) -> Result<Head, HeadError> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (version, status, reason) = status_line(lines.next().unwrap_or_default()).ok_or(HeadError::StatusLine)?;
    let (mut fields, mut seen) = (Fields::new(), Seen::default());
    for (at, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
        if at >= FIELDS_LIMIT {
            return Err(HeadError::TooManyFields);
        }
        let (name, value) = field::split_lenient(line)?;
        fields.add(name, value)?;
        seen.add(name);
    }
    let Fields { map: headers, names } = fields;
    let options = if seen.connections > 0 { ConnectionOptions::of(&headers) } else { ConnectionOptions::default() };
    let keep_alive = match version {
        Version::HTTP_11 => !options.close,
        // That version has no transfer codings: what follows may be something else than it seems (RFC 9112, section 6.1).
        _ => options.keep_alive && !options.close && seen.codings == 0,
    };
    let reason = match status.canonical_reason() {
        Some(usual) if usual.as_bytes() == reason => Bytes::from_static(usual.as_bytes()),
        _ => Bytes::copy_from_slice(reason),
    };
    Ok(Head { status, reason, headers, names, keep_alive, seen })
}

fn status_line(line: &[u8]) -> Option<(Version, StatusCode, &[u8])> {
    let (version, rest) = line.split_at_checked(8)?;
    let version = version_of(version)?;
    let (status, reason) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let status = StatusCode::from_bytes(status).ok()?;
    // Some servers leave out the space before an empty reason.
    let reason = if reason.is_empty() { reason } else { reason.strip_prefix(b" ")? };
    reason.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)).then_some((version, status, reason))
}

/// How the body of a response to `method` ends (RFC 9112, section 6.3).
///
/// # Errors
/// Its fields contradict each other: two readers could see two different bodies.
pub fn framing(head: &Head, method: &Method) -> Result<Decoder, HeadError> {
    let length = match head.seen.lengths {
        0 => None,
        1 => Some(head.headers.get(CONTENT_LENGTH).and_then(decimal).ok_or(HeadError::Length)?),
        _ => return Err(HeadError::Length),
    };
    let coded = head.is_coded();
    if coded && length.is_some() {
        return Err(HeadError::Ambiguous);
    }
    if *method == Method::HEAD || is_bodiless(head.status) {
        return Ok(Decoder::length(0));
    }
    if !coded {
        return Ok(length.map_or_else(Decoder::until_close, Decoder::length));
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(Decoder::chunked().lenient()),
        _ => Err(HeadError::Coding),
    }
}

/// Responses that never have a body, whatever their fields say.
pub fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// 18 digits hold every length below 2^59.
fn decimal(value: &HeaderValue) -> Option<u64> {
    let digits = value.as_bytes();
    if !(1..=18).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::http1::body::Progress;
    use crate::http1::field::FieldError;

    fn head(text: &str) -> Result<Head, HeadError> {
        parse(text.replace('\n', "\r\n").as_bytes())
    }

    #[test]
    fn ordinary_heads_are_read() {
        let head = head("HTTP/1.1 200 All good\nServer: x\nset-cookie: a\nSet-Cookie: b\n\n").unwrap();
        assert_eq!((head.status, &head.reason[..], head.keep_alive), (StatusCode::OK, &b"All good"[..], true));
        assert_eq!(head.headers.get_all("set-cookie").iter().count(), 2);
        for (text, keep_alive) in [
            ("HTTP/1.1 200\n\n", true),
            ("HTTP/1.1 200 \nConnection: x, Close\n\n", false),
            ("HTTP/1.0 200 OK\n\n", false),
            ("HTTP/1.0 200 OK\nconnection: Keep-Alive\n\n", true),
            ("HTTP/1.0 200 OK\nconnection: Keep-Alive\ntransfer-encoding: chunked\n\n", false),
            ("HTTP/1.2 200 OK\n\n", true),
        ] {
            assert_eq!(self::head(text).unwrap().keep_alive, keep_alive, "{text}");
        }
    }

    #[test]
    fn line_feeds_alone_end_lines_of_upstreams() {
        let text = b"HTTP/1.1 200 OK\nx: y\n\nbody";
        let mut scanned = 0;
        assert_eq!(find_end(text, &mut scanned), Some(22));
        assert_eq!(parse(&text[..22]).unwrap().headers["x"], "y");
    }

    #[test]
    fn white_space_before_a_colon_is_taken_away() {
        let head = head("HTTP/1.1 200 OK\nX-Legacy : on\nX-Tabbed\t \t: 1\nTransfer-Encoding : chunked\nx-after:2\n\n")
            .unwrap();
        let fields: Vec<_> =
            head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(fields, [("x-legacy", "on"), ("x-tabbed", "1"), ("transfer-encoding", "chunked"), ("x-after", "2")]);
        let mut names = head.names.cursor();
        let written: Vec<_> = head.headers.keys().map(|name| names.original(name)).collect();
        assert_eq!(written, [&b"X-Legacy"[..], b"X-Tabbed", b"Transfer-Encoding", b"x-after"]);
        let mut decoder = framing(&head, &Method::GET).unwrap();
        assert_eq!(decoder.left(), None, "its framing counts");
        let mut body = BytesMut::from(&b"0\r\nX-Sum : 1\r\n\r\n"[..]);
        assert_eq!(decoder.advance(&mut body), Ok(Progress::End));
        assert_eq!(decoder.take_trailers().unwrap()["x-sum"], "1");
    }

    #[test]
    fn the_end_is_found_however_the_bytes_arrive() {
        for text in [&b"HTTP/1.1 200 OK\r\nx: y\r\n\r\nbody"[..], b"HTTP/1.1 200 OK\nx: y\n\nbody"] {
            let end = text.len() - 4;
            let mut scanned = 0;
            for upto in 0..end {
                assert_eq!(find_end(&text[..upto], &mut scanned), None, "{upto}");
            }
            assert_eq!(find_end(&text[..end], &mut scanned), Some(end));
        }
    }

    #[test]
    fn what_is_not_a_response_is_refused() {
        for text in
            ["SSH-2.0-x\n\n", "HTTP/2 200 OK\n\n", "HTTP/1.1 20 OK\n\n", "HTTP/1.1 099 x\n\n", "HTTP/1.1 200OK\n\n"]
        {
            assert_eq!(head(text).unwrap_err(), HeadError::StatusLine, "{text}");
        }
        for (line, error) in [
            ("x y", FieldError::NoColon),
            ("x y: z", FieldError::Name),
            (": z", FieldError::Name),
            (" : z", FieldError::Folded),
            (" x: z", FieldError::Folded),
        ] {
            assert_eq!(head(&format!("HTTP/1.1 200 OK\n{line}\n\n")).unwrap_err(), HeadError::Field(error), "{line}");
        }
        let many = "x: y\n".repeat(FIELDS_LIMIT + 1);
        assert_eq!(head(&format!("HTTP/1.1 200 OK\n{many}\n")).unwrap_err(), HeadError::TooManyFields);
    }

    fn framing_of(method: &Method, text: &str) -> Result<String, HeadError> {
        framing(&head(text)?, method).map(|decoder| match decoder.left() {
            Some(left) => left.to_string(),
            None => format!("{decoder:?}").contains("UntilClose").to_string(),
        })
    }

    #[test]
    fn a_body_ends_where_the_rfc_says() {
        let get = &Method::GET;
        assert_eq!(framing_of(get, "HTTP/1.1 200 OK\nContent-Length: 5\n\n").unwrap(), "5");
        assert_eq!(framing_of(&Method::HEAD, "HTTP/1.1 200 OK\nContent-Length: 5\n\n").unwrap(), "0");
        assert_eq!(framing_of(get, "HTTP/1.1 304 x\nContent-Length: 5\n\n").unwrap(), "0");
        assert_eq!(framing_of(get, "HTTP/1.1 204 x\n\n").unwrap(), "0");
        assert_eq!(framing_of(get, "HTTP/1.1 200 OK\n\n").unwrap(), "true");
        assert_eq!(framing_of(get, "HTTP/1.1 200 OK\nTransfer-Encoding: Chunked\n\n").unwrap(), "false");
    }

    #[test]
    fn contradicting_framing_is_refused() {
        for (fields, error) in [
            ("Content-Length: 5\nTransfer-Encoding: chunked\n", HeadError::Ambiguous),
            ("Content-Length: 5\nContent-Length: 5\n", HeadError::Length),
            ("Content-Length: 5, 5\n", HeadError::Length),
            ("Content-Length: +5\n", HeadError::Length),
            ("Content-Length: 9999999999999999999\n", HeadError::Length),
            ("Transfer-Encoding: gzip, chunked\n", HeadError::Coding),
            ("Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n", HeadError::Coding),
        ] {
            assert_eq!(
                framing_of(&Method::GET, &format!("HTTP/1.1 200 OK\n{fields}\n")).unwrap_err(),
                error,
                "{fields}"
            );
        }
    }
}
