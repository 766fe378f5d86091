//! The grammar of an HTTP/1 request head (RFC 9112), enforced before anything else looks at it.
//!
//! Pingora's parser is made to get along with the web as it is: it takes bare line feeds, repairs request targets and
//! prefers one of two contradicting lengths. A gateway that decides about access must not guess: what two parsers could
//! read in two ways is refused here, with the reason.

use crate::envelope::{Code, Problem};

/// Most field lines in a head. Real requests have 10 to 40; each costs memory in every hop behind us.
pub const FIELDS_LIMIT: usize = 128;

/// How far a head has arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed; all lines before this position are complete.
    Partial { scanned: usize },
    /// The head ends before this position.
    Complete { end: usize },
}

/// Looks for the end of the head in `bytes`, going on at a position that an earlier call gave.
///
/// # Errors
/// A line that ends with a line feed alone (RFC 9112, section 2.2, lets a recipient take it; two recipients that differ
/// about it disagree on where a message ends).
pub fn scan(bytes: &[u8], scanned: usize) -> Result<Progress, Problem> {
    let mut line = scanned;
    while let Some(rest) = bytes.get(line..) {
        let Some(newline) = memchr::memchr(b'\n', rest) else { break };
        match rest.get(..newline) {
            Some([.., b'\r']) if newline > 1 => line += newline + 1,
            Some([b'\r']) => return Ok(Progress::Complete { end: line + 2 }),
            _ => return Err(invalid("a line ends with LF alone; expected CRLF")),
        }
    }
    Ok(Progress::Partial { scanned: line })
}

fn invalid(message: &str) -> Problem {
    Problem::new(Code::InvalidRequest, format!("Malformed request: {message}."))
}

/// Where a request's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// After this many bytes; 0 without a body.
    Length(u64),
    /// The bytes themselves tell: chunks, or another protocol after an upgrade.
    Unknown,
}

/// Checks a complete head, CRLF CRLF included, and tells where the body ends.
///
/// # Errors
/// What is wrong, and the code to answer with.
pub fn check(head: &[u8]) -> Result<Body, Problem> {
    let mut lines = lines(head);
    let (version, authority) = check_request_line(lines.next().unwrap_or_default())?;
    let mut facts = Facts::default();
    for (at, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
        if at >= FIELDS_LIMIT {
            return Err(Problem::new(Code::HeadTooLarge, format!("More than {FIELDS_LIMIT} header fields.")));
        }
        facts.add(line)?;
    }
    facts.check(version, authority)
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// RFC 9112, section 3: exactly one space between the three parts. Gives the version, and the authority of a target in
/// absolute form.
fn check_request_line(line: &[u8]) -> Result<(Version, Option<&[u8]>), Problem> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(invalid("the request line is not `METHOD TARGET VERSION`"));
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(invalid("the method is not a token"));
    }
    if !target.iter().all(|byte| (0x21..=0x7e).contains(byte)) {
        return Err(invalid("the request target holds a byte that must be percent-encoded"));
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return Err(invalid("the version is neither HTTP/1.1 nor HTTP/1.0")),
    };
    if method == b"CONNECT" {
        return Err(Problem::new(Code::MethodNotAllowed, "This gateway opens no tunnels by CONNECT."));
    }
    if target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS") {
        return Ok((version, None));
    }
    match absolute_authority(target) {
        Some(authority) => Ok((version, Some(authority))),
        None => Err(invalid("the request target is neither a path nor an absolute URL")),
    }
}

/// The authority of an `http` or `https` URL.
fn absolute_authority(target: &[u8]) -> Option<&[u8]> {
    let rest = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next()
}

/// What the fields say about host and framing.
#[derive(Default)]
struct Facts<'a> {
    hosts: usize,
    host: &'a [u8],
    lengths: usize,
    codings: usize,
    upgrades: usize,
    length: &'a [u8],
    coding: &'a [u8],
}

impl<'a> Facts<'a> {
    fn add(&mut self, line: &'a [u8]) -> Result<(), Problem> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(invalid("a field is folded over several lines"));
        }
        let colon = memchr::memchr(b':', line).ok_or_else(|| invalid("a field line has no colon"))?;
        let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(invalid("a field name is not a token"));
        }
        if !value.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)) {
            return Err(invalid("a field value holds a control character"));
        }
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            self.host = value;
            if !is_host(value) {
                return Err(invalid("Host is not a host name with an optional port"));
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.lengths += 1;
            self.length = value;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.codings += 1;
            self.coding = value;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrades += 1;
        }
        Ok(())
    }

    /// RFC 9112, sections 3.2, 6.1 and 6.3.
    fn check(&self, version: Version, authority: Option<&[u8]>) -> Result<Body, Problem> {
        match (self.hosts, version) {
            (0, Version::Http11) => return Err(invalid("Host is missing")),
            (0, Version::Http10) | (1, _) => {}
            _ => return Err(invalid("Host is given more than once")),
        }
        if authority.is_some_and(|authority| self.hosts > 0 && !authority.eq_ignore_ascii_case(self.host)) {
            return Err(invalid("Host and the request target name different hosts"));
        }
        if self.codings > 0 && self.lengths > 0 {
            return Err(invalid("both Content-Length and Transfer-Encoding are given"));
        }
        if self.lengths > 1 {
            return Err(invalid("Content-Length is given more than once"));
        }
        // 19 digits hold every length below 2^63.
        if self.lengths == 1 && !((1..=18).contains(&self.length.len()) && self.length.iter().all(u8::is_ascii_digit)) {
            return Err(invalid("Content-Length is not a decimal number"));
        }
        if self.codings > 0 && version == Version::Http10 {
            return Err(invalid("Transfer-Encoding is given in HTTP/1.0"));
        }
        if self.codings > 1 {
            return Err(invalid("Transfer-Encoding is given more than once"));
        }
        if self.codings == 1 && !self.coding.eq_ignore_ascii_case(b"chunked") {
            return Err(Problem::new(Code::NotImplemented, "Only the transfer coding `chunked` is understood."));
        }
        if self.codings > 0 || self.upgrades > 0 {
            return Ok(Body::Unknown);
        }
        let length = std::str::from_utf8(self.length).ok().and_then(|digits| digits.parse().ok());
        Ok(Body::Length(length.unwrap_or(0)))
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Bytes of `uri-host [ ":" port ]` (RFC 9110, section 7.2); empty is allowed and means none.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%:[]".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(head: &str) -> Result<(), String> {
        let head = head.replace('\n', "\r\n");
        assert_eq!(scan(head.as_bytes(), 0).unwrap(), Progress::Complete { end: head.len() });
        check(head.as_bytes())
            .map(drop)
            .map_err(|problem| format!("{} {}", problem.code.status().as_u16(), problem.message))
    }

    #[test]
    fn ordinary_heads_pass() {
        for head in [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.0\n\n",
            "OPTIONS * HTTP/1.1\nHost: a\n\n",
            "GET http://a/x?y HTTP/1.1\nHost: a\n\n",
            "POST /x HTTP/1.1\nhost:a:80\nContent-Length: 3\nX-Empty:\nX-Utf8: \u{e9}\n\n",
            "POST /x HTTP/1.1\nHost: [::1]:80\nTransfer-Encoding: Chunked\n\n",
            "GET / HTTP/1.1\nHost:\n\n",
        ] {
            assert_eq!(verdict(head), Ok(()), "{head}");
        }
    }

    #[test]
    fn ambiguous_and_malformed_heads_are_refused_with_the_reason() {
        for (head, reason) in [
            ("GET  / HTTP/1.1\nHost: a\n\n", "400 Malformed request: the request line"),
            ("GET /\nHost: a\n\n", "400 Malformed request: the request line"),
            ("GE(T / HTTP/1.1\nHost: a\n\n", "400 Malformed request: the method"),
            ("GET /\u{e9} HTTP/1.1\nHost: a\n\n", "400 Malformed request: the request target holds"),
            ("GET / HTTP/2.0\nHost: a\n\n", "400 Malformed request: the version"),
            ("GET / http/1.1\nHost: a\n\n", "400 Malformed request: the version"),
            ("CONNECT a:443 HTTP/1.1\nHost: a\n\n", "405 This gateway"),
            ("GET x HTTP/1.1\nHost: a\n\n", "400 Malformed request: the request target is neither"),
            ("GET * HTTP/1.1\nHost: a\n\n", "400 Malformed request: the request target is neither"),
            ("GET http://b/ HTTP/1.1\nHost: a\n\n", "400 Malformed request: Host and the request target"),
            ("GET / HTTP/1.1\n\n", "400 Malformed request: Host is missing"),
            ("GET / HTTP/1.1\nHost: a\nHost: a\n\n", "400 Malformed request: Host is given more"),
            ("GET / HTTP/1.1\nHost: a, b\n\n", "400 Malformed request: Host is not"),
            ("GET / HTTP/1.1\nHost: a@b\n\n", "400 Malformed request: Host is not"),
            ("GET / HTTP/1.1\nHost: a\n folded\n\n", "400 Malformed request: a field is folded"),
            ("GET / HTTP/1.1\n Host: a\n\n", "400 Malformed request: a field is folded"),
            ("GET / HTTP/1.1\nHost : a\n\n", "400 Malformed request: a field name"),
            ("GET / HTTP/1.1\nHost: a\nx\n\n", "400 Malformed request: a field line has no colon"),
            ("GET / HTTP/1.1\nHost: a\nx: \u{0}\n\n", "400 Malformed request: a field value"),
            ("GET / HTTP/1.1\nHost: a\nx: a\rb\n\n", "400 Malformed request: a field value"),
            (
                "GET / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 1\n\n",
                "400 Malformed request: Content-Length is given",
            ),
            ("GET / HTTP/1.1\nHost: a\nContent-Length: 1, 1\n\n", "400 Malformed request: Content-Length is not"),
            ("GET / HTTP/1.1\nHost: a\nContent-Length: +1\n\n", "400 Malformed request: Content-Length is not"),
            ("GET / HTTP/1.1\nHost: a\nContent-Length:\n\n", "400 Malformed request: Content-Length is not"),
            (
                "GET / HTTP/1.1\nHost: a\nContent-Length: 99999999999999999999\n\n",
                "400 Malformed request: Content-Length is not",
            ),
            (
                "GET / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n",
                "400 Malformed request: both",
            ),
            (
                "GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n",
                "400 Malformed request: Transfer-Encoding is given more",
            ),
            (
                "GET / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked\n\n",
                "400 Malformed request: Transfer-Encoding is given in",
            ),
            ("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\n", "501 Only"),
            ("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: xchunked\n\n", "501 Only"),
        ] {
            let verdict = verdict(head);
            assert!(verdict.as_ref().is_err_and(|got| got.starts_with(reason)), "{head:?} gave {verdict:?}");
        }
    }

    #[test]
    fn the_end_is_found_however_the_bytes_arrive() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
        for cut in 0..head.len() {
            let first = scan(&head[..cut], 0).unwrap();
            let from = match first {
                Progress::Partial { scanned } => scanned,
                Progress::Complete { end } => {
                    assert_eq!(end, 27);
                    continue;
                }
            };
            assert_eq!(scan(head, from).unwrap(), Progress::Complete { end: 27 }, "cut at {cut}");
        }
    }

    #[test]
    fn a_bare_line_feed_is_refused_at_once() {
        for head in ["GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\n", "\n"] {
            assert!(scan(head.as_bytes(), 0).is_err(), "{head:?}");
        }
    }

    #[test]
    fn too_many_fields_are_refused() {
        let head = format!("GET / HTTP/1.1\nHost: a\n{}\n", "x: y\n".repeat(FIELDS_LIMIT));
        assert!(verdict(&head).unwrap_err().starts_with("431"));
    }
}
