//! Request heads (RFC 9112, sections 2 and 3), by the letter: what is ambiguous is refused, with the reason.

use http::header::{EXPECT, UPGRADE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Version};

use super::field::{self, ConnectionOptions, FIELDS_LIMIT, FieldError, Fields, Names, elements, is_token};
use crate::authority::{AuthorityError, Scheme, is_host, settle};

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("a line ends with LF alone; expected CRLF")]
    BareLineFeed,
    #[error("the request line is not `METHOD TARGET VERSION`")]
    RequestLine,
    #[error("the method is not a token")]
    Method,
    #[error("the version is neither HTTP/1.1 nor HTTP/1.0")]
    Version,
    /// It is well formed, but nobody here opens tunnels.
    #[error("the method CONNECT is not supported")]
    Connect,
    #[error("the request target holds a byte that must be percent-encoded")]
    TargetByte,
    #[error("the request target holds a fragment")]
    Fragment,
    /// Longer than the types that hold it.
    #[error("the request target is longer than {TARGET_LIMIT} bytes")]
    TargetTooLong,
    #[error("the request target is neither a path nor an absolute URL")]
    Target,
    #[error("the request target is not a valid URL")]
    Url,
    #[error("{0}")]
    Field(#[from] FieldError),
    #[error("more than {FIELDS_LIMIT} fields")]
    TooManyFields,
    #[error("Host is not a host name with an optional port")]
    Host,
    #[error("Host is missing")]
    HostMissing,
    #[error("Host is given more than once")]
    HostRepeated,
    #[error("{0}")]
    Authority(#[from] AuthorityError),
    #[error("both Content-Length and Transfer-Encoding are given")]
    Ambiguous,
    #[error("Content-Length is not a decimal number")]
    Length,
    #[error("Content-Length is given more than once")]
    LengthRepeated,
    #[error("Transfer-Encoding is given in HTTP/1.0")]
    CodingOfOldVersion,
    #[error("Transfer-Encoding has `chunked` more than once")]
    CodingRepeated,
    #[error("the last transfer coding is not `chunked`")]
    CodingLast,
    /// Before `chunked`: the end of the body is known, but not what is in it.
    #[error("a transfer coding is not `chunked`")]
    Coding,
    /// Nobody here knows what the client insists on.
    #[error("Expect says something else than `100-continue`")]
    Expectation,
}

/// Most bytes of a request target, which is what the types for it can hold.
pub const TARGET_LIMIT: usize = u16::MAX as usize - 1;

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
pub fn scan(bytes: &[u8], scanned: usize) -> Result<Progress, HeadError> {
    let mut line = scanned;
    while let Some(rest) = bytes.get(line..) {
        let Some(newline) = memchr::memchr(b'\n', rest) else { break };
        match rest.get(..newline) {
            Some([.., b'\r']) if newline > 1 => line += newline + 1,
            Some([b'\r']) => return Ok(Progress::Complete { end: line + 2 }),
            _ => return Err(HeadError::BareLineFeed),
        }
    }
    Ok(Progress::Partial { scanned: line })
}

/// Where a request's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// After this many bytes; 0 without a body.
    Length(u64),
    /// The chunks themselves tell.
    Chunked,
}

/// A request's head, valid and unambiguous.
#[derive(Debug)]
pub struct Head {
    pub method: Method,
    /// As the client wrote it: not in normal form yet.
    pub path: PathAndQuery,
    /// Of a target in absolute form; `Host` says the same.
    pub authority: Option<Authority>,
    /// HTTP/1.1 or HTTP/1.0.
    pub version: Version,
    pub headers: HeaderMap,
    pub names: Names,
    pub body: Body,
    /// The client waits for `100 Continue` before it sends its body (RFC 9110, section 10.1.1).
    pub expects_continue: bool,
    /// The client would go on with another protocol (RFC 9110, section 7.8).
    pub upgrade: bool,
    /// The client wants to use the connection again (RFC 9112, section 9.3).
    pub keep_alive: bool,
    /// Bytes of the head.
    pub length: u64,
}

/// Reads a complete head, CRLF CRLF included.
///
/// # Errors
/// What is wrong.
pub fn parse(head: &[u8]) -> Result<Head, HeadError> {
    let mut lines = lines(head);
    let line = request_line(lines.next().unwrap_or_default())?;
    let mut facts = Facts::default();
    let mut fields = Fields::new();
    for (at, line) in lines.take_while(|line| !line.is_empty()).enumerate() {
        if at >= FIELDS_LIMIT {
            return Err(HeadError::TooManyFields);
        }
        let (name, value) = field::split(line)?;
        facts.add(name, value)?;
        fields.add(name, value)?;
    }
    let body = facts.check(line.version)?;
    let Fields { map: mut headers, names } = fields;
    if let Some((scheme, authority)) = &line.authority {
        settle(&mut headers, Some(authority), Some(*scheme))?;
    }
    let options = if facts.connections > 0 { ConnectionOptions::of(&headers) } else { ConnectionOptions::default() };
    let is_11 = line.version == Version::HTTP_11;
    Ok(Head {
        // Only of HTTP/1.1: a client of 1.0 does not know interim responses.
        expects_continue: is_11 && facts.expects > 0 && expects_continue(&headers)?,
        // `h2c` is not for us to pass on: whoever answers it upstream would speak past every check here.
        upgrade: is_11
            && options.upgrade
            && facts.upgrades > 0
            && !headers.get_all(UPGRADE).iter().any(|value| names_h2c(value.as_bytes())),
        keep_alive: if is_11 { !options.close } else { options.keep_alive && !options.close },
        length: u64::try_from(head.len()).unwrap_or(u64::MAX),
        method: line.method,
        path: line.path,
        authority: line.authority.map(|(_, authority)| authority),
        version: line.version,
        headers,
        names,
        body,
    })
}

/// Whether the client waits for `100 Continue` (RFC 9110, section 10.1.1).
///
/// # Errors
/// It expects something else.
fn expects_continue(headers: &HeaderMap) -> Result<bool, HeadError> {
    let mut expected = false;
    for element in elements(headers.get_all(EXPECT).iter().map(HeaderValue::as_bytes)) {
        if !element.eq_ignore_ascii_case(b"100-continue") {
            return Err(HeadError::Expectation);
        }
        expected = true;
    }
    Ok(expected)
}

fn names_h2c(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"h2c"))
}

fn lines(mut head: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (line, rest) = head.split_at_checked(memchr::memchr(b'\n', head)? + 1)?;
        head = rest;
        Some(line.strip_suffix(b"\r\n").unwrap_or(line))
    })
}

struct RequestLine {
    method: Method,
    path: PathAndQuery,
    authority: Option<(Scheme, Authority)>,
    version: Version,
}

/// RFC 9112, section 3: exactly one space between the three parts.
fn request_line(line: &[u8]) -> Result<RequestLine, HeadError> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HeadError::RequestLine);
    };
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(HeadError::Method);
    }
    let mut fragment = false;
    let is_visible = |byte: &u8| {
        fragment |= *byte == b'#';
        (0x21..=0x7e).contains(byte)
    };
    if !target.iter().all(is_visible) {
        return Err(HeadError::TargetByte);
    }
    let version = version_of(version).ok_or(HeadError::Version)?;
    let method = Method::from_bytes(method).map_err(|_| HeadError::Method)?;
    if method == Method::CONNECT {
        return Err(HeadError::Connect);
    }
    if fragment {
        return Err(HeadError::Fragment);
    }
    if target.len() > TARGET_LIMIT {
        return Err(HeadError::TargetTooLong);
    }
    let (path, authority) = match absolute(target) {
        _ if target.starts_with(b"/") || (target == b"*" && method == Method::OPTIONS) => (target, None),
        Some((scheme, authority, path)) => (path, Some((scheme, authority))),
        None => return Err(HeadError::Target),
    };
    let authority = authority.map(|(scheme, authority)| Authority::try_from(authority).map(|name| (scheme, name)));
    let authority = authority.transpose().map_err(|_| HeadError::Url)?;
    let path = match path.first() {
        // Of a server as a whole, written as a URL (RFC 9112, section 3.2.4).
        None if method == Method::OPTIONS => PathAndQuery::from_static("*"),
        None => PathAndQuery::from_static("/"),
        // `http://host?query`
        Some(b'?') => PathAndQuery::try_from([b"/", path].concat()).map_err(|_| HeadError::Url)?,
        Some(_) => PathAndQuery::try_from(path).map_err(|_| HeadError::Url)?,
    };
    Ok(RequestLine { method, path, authority, version })
}

/// A version of HTTP/1; a higher minor one is as good as the highest that is known (RFC 9110, section 6.2).
pub(super) fn version_of(text: &[u8]) -> Option<Version> {
    match text.strip_prefix(b"HTTP/1.")? {
        b"0" => Some(Version::HTTP_10),
        [b'1'..=b'9'] => Some(Version::HTTP_11),
        _ => None,
    }
}

/// Scheme, authority and rest of an `http` or `https` URL.
fn absolute(target: &[u8]) -> Option<(Scheme, &[u8], &[u8])> {
    let schemes = [(&b"http://"[..], Scheme::Http), (b"https://", Scheme::Https)];
    let (scheme, rest) = schemes.into_iter().find_map(|(prefix, scheme)| {
        let (head, rest) = target.split_at_checked(prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then_some((scheme, rest))
    })?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    Some((scheme, authority, rest))
}

/// What the fields say about host and framing.
#[derive(Default)]
struct Facts<'a> {
    hosts: usize,
    lengths: usize,
    codings: usize,
    upgrades: usize,
    connections: usize,
    expects: usize,
    length: &'a [u8],
    /// Elements of `Transfer-Encoding` that are `chunked`, and whether the last one is.
    chunked: usize,
    chunked_last: bool,
    /// There is an element that is something else.
    coded: bool,
}

impl<'a> Facts<'a> {
    fn add(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), HeadError> {
        // By length first: most fields are none of these.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                if !is_host(value) {
                    return Err(HeadError::Host);
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.lengths += 1;
                self.length = value;
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.codings += 1;
                for coding in elements(std::iter::once(value)) {
                    self.chunked_last = coding.eq_ignore_ascii_case(b"chunked");
                    self.chunked += usize::from(self.chunked_last);
                    self.coded |= !self.chunked_last;
                }
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrades += 1,
            10 if name.eq_ignore_ascii_case(b"connection") => self.connections += 1,
            6 if name.eq_ignore_ascii_case(b"expect") => self.expects += 1,
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112, sections 3.2, 6.1 and 6.3.
    fn check(&self, version: Version) -> Result<Body, HeadError> {
        match (self.hosts, version) {
            (0, Version::HTTP_10) | (1, _) => {}
            (0, _) => return Err(HeadError::HostMissing),
            _ => return Err(HeadError::HostRepeated),
        }
        if self.codings > 0 && self.lengths > 0 {
            return Err(HeadError::Ambiguous);
        }
        if self.lengths > 1 {
            return Err(HeadError::LengthRepeated);
        }
        // 19 digits hold every length below 2^63.
        if self.lengths == 1 && !((1..=18).contains(&self.length.len()) && self.length.iter().all(u8::is_ascii_digit)) {
            return Err(HeadError::Length);
        }
        if self.codings > 0 && version == Version::HTTP_10 {
            return Err(HeadError::CodingOfOldVersion);
        }
        if self.codings > 0 {
            return match (self.chunked_last, self.chunked, self.coded) {
                (false, ..) => Err(HeadError::CodingLast),
                (true, 2.., _) => Err(HeadError::CodingRepeated),
                (true, _, true) => Err(HeadError::Coding),
                (true, ..) => Ok(Body::Chunked),
            };
        }
        let length = std::str::from_utf8(self.length).ok().and_then(|digits| digits.parse().ok());
        Ok(Body::Length(length.unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use http::header::HOST;

    use super::*;

    fn verdict(head: &str) -> Result<(), HeadError> {
        let head = head.replace('\n', "\r\n");
        assert_eq!(scan(head.as_bytes(), 0).unwrap(), Progress::Complete { end: head.len() });
        parse(head.as_bytes()).map(drop)
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
            "POST /x HTTP/1.1\nHost: a\nTransfer-Encoding: , chunked,\n\n",
            "GET / HTTP/1.1\nHost:\n\n",
            "GET / HTTP/1.2\nHost: a\n\n",
            "GET / HTTP/1.0\nExpect: x\n\n",
        ] {
            assert_eq!(verdict(head), Ok(()), "{head}");
        }
    }

    #[test]
    fn the_host_of_an_absolute_target_is_what_the_field_says() {
        for (target, host, expected) in [
            ("http://a.test:80/x", "Host: a.test\r\n", "a.test:80"),
            ("http://a.test/x", "Host: A.Test:80\r\n", "a.test"),
            ("https://a.test:443", "Host: a.test\r\n", "a.test:443"),
            ("http://A.test?y", "Host: a.test.\r\n", "A.test"),
            ("/x", "Host: a.test:80\r\n", "a.test:80"),
        ] {
            let head = parse(format!("GET {target} HTTP/1.1\r\n{host}\r\n").as_bytes()).unwrap();
            assert_eq!(head.headers[HOST], expected, "{target} {host}");
        }
        assert_eq!(parse(b"GET http://a/ HTTP/1.0\r\n\r\n").unwrap().headers[HOST], "a");
        for (request, path) in [("OPTIONS http://a", "*"), ("OPTIONS http://a/", "/"), ("GET http://a", "/")] {
            let head = parse(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
            assert_eq!(head.path, path, "{request}");
        }
    }

    #[test]
    fn ambiguous_and_malformed_heads_are_refused_with_the_reason() {
        for (head, error) in [
            ("GET  / HTTP/1.1\nHost: a\n\n", HeadError::RequestLine),
            ("GET /\nHost: a\n\n", HeadError::RequestLine),
            ("GE(T / HTTP/1.1\nHost: a\n\n", HeadError::Method),
            ("GET /\u{e9} HTTP/1.1\nHost: a\n\n", HeadError::TargetByte),
            ("GET / HTTP/2.0\nHost: a\n\n", HeadError::Version),
            ("GET / HTTP/1.10\nHost: a\n\n", HeadError::Version),
            ("GET / http/1.1\nHost: a\n\n", HeadError::Version),
            ("CONNECT a:443 HTTP/1.1\nHost: a\n\n", HeadError::Connect),
            ("GET x HTTP/1.1\nHost: a\n\n", HeadError::Target),
            ("GET * HTTP/1.1\nHost: a\n\n", HeadError::Target),
            ("GET https://a:80/ HTTP/1.1\nHost: a\n\n", HeadError::Authority(AuthorityError::Differs)),
            ("GET http://b/ HTTP/1.1\nHost: a\n\n", HeadError::Authority(AuthorityError::Differs)),
            ("GET / HTTP/1.1\n\n", HeadError::HostMissing),
            ("GET / HTTP/1.1\nHost: a\nHost: a\n\n", HeadError::HostRepeated),
            ("GET / HTTP/1.1\nHost: a, b\n\n", HeadError::Host),
            ("GET / HTTP/1.1\nHost: a@b\n\n", HeadError::Host),
            ("GET / HTTP/1.1\nHost: a\n folded\n\n", HeadError::Field(FieldError::Folded)),
            ("GET / HTTP/1.1\n Host: a\n\n", HeadError::Field(FieldError::Folded)),
            ("GET / HTTP/1.1\nHost : a\n\n", HeadError::Field(FieldError::Name)),
            ("GET / HTTP/1.1\nHost: a\nx\n\n", HeadError::Field(FieldError::NoColon)),
            ("GET / HTTP/1.1\nHost: a\nx: \u{0}\n\n", HeadError::Field(FieldError::Value)),
            ("GET / HTTP/1.1\nHost: a\nx: a\rb\n\n", HeadError::Field(FieldError::Value)),
            ("GET / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 1\n\n", HeadError::LengthRepeated),
            ("GET / HTTP/1.1\nHost: a\nContent-Length: 1, 1\n\n", HeadError::Length),
            ("GET / HTTP/1.1\nHost: a\nContent-Length: +1\n\n", HeadError::Length),
            ("GET / HTTP/1.1\nHost: a\nContent-Length:\n\n", HeadError::Length),
            ("GET / HTTP/1.1\nHost: a\nContent-Length: 99999999999999999999\n\n", HeadError::Length),
            ("GET / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n", HeadError::Ambiguous),
            (
                "GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n",
                HeadError::CodingRepeated,
            ),
            ("GET / HTTP/1.0\nHost: a\nTransfer-Encoding: chunked\n\n", HeadError::CodingOfOldVersion),
            ("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\n", HeadError::Coding),
            ("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip\nTransfer-Encoding: chunked\n\n", HeadError::Coding),
            ("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked, chunked\n\n", HeadError::CodingRepeated),
            ("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: xchunked\n\n", HeadError::CodingLast),
            ("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked, gzip\n\n", HeadError::CodingLast),
            ("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked;q=1\n\n", HeadError::CodingLast),
            ("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: ,\n\n", HeadError::CodingLast),
            ("GET / HTTP/1.1\nHost: a\nTransfer-Encoding: \u{c}chunked\n\n", HeadError::Field(FieldError::Value)),
            ("GET / HTTP/1.1\nHost: a\nx: y\r\n\n", HeadError::Field(FieldError::Value)),
            ("GET / HTTP/1.1\nHost: a\nExpect: x\n\n", HeadError::Expectation),
            ("GET / HTTP/1.1\nHost: a\nExpect: 100-continue, x\n\n", HeadError::Expectation),
        ] {
            assert_eq!(verdict(head), Err(error), "{head:?}");
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
            assert_eq!(scan(head.as_bytes(), 0), Err(HeadError::BareLineFeed), "{head:?}");
        }
    }

    #[test]
    fn an_expectation_is_understood_as_a_list() {
        for (version, field, expected) in [
            ("1.1", "Expect: 100-Continue", true),
            ("1.1", "Expect: , 100-continue, 100-continue", true),
            ("1.1", "Expect:", false),
            ("1.0", "Expect: 100-continue", false),
        ] {
            let head = parse(format!("PUT / HTTP/{version}\r\nHost: a\r\n{field}\r\n\r\n").as_bytes()).unwrap();
            assert_eq!(head.expects_continue, expected, "{version} {field}");
        }
    }

    #[test]
    fn a_target_that_no_type_holds_is_told_from_a_malformed_one() {
        let of = |length: usize| verdict(&format!("GET /{} HTTP/1.1\nHost: a\n\n", "x".repeat(length - 1)));
        assert_eq!((of(TARGET_LIMIT), of(TARGET_LIMIT + 1)), (Ok(()), Err(HeadError::TargetTooLong)));
    }

    #[test]
    fn too_many_fields_are_refused() {
        let head = format!("GET / HTTP/1.1\nHost: a\n{}\n", "x: y\n".repeat(FIELDS_LIMIT));
        assert_eq!(verdict(&head), Err(HeadError::TooManyFields));
    }
}
