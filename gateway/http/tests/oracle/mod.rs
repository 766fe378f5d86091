//! What has to be true of any bytes: for tests, which feed them from a plan, and for the fuzz targets.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "an oracle ends at the first surprise")]

use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Uri};
use witgate_http::host::host_of;
use witgate_http::http1::body::{Decoder, Progress};
use witgate_http::http1::field::Names;
use witgate_http::http1::write::{self, Connection, Framing};
use witgate_http::http1::{request, response};
use witgate_http::path::normalise;
use witgate_http::{hop, http2, max_forwards, owned};

/// The head of a request of HTTP/1: it is found in any pieces, and what is accepted is read again from what is sent on.
pub fn request_head(bytes: &[u8]) {
    let whole = request::scan(bytes, 0);
    let mut scanned = 0;
    for upto in 0..=bytes.len() {
        match request::scan(&bytes[..upto], scanned) {
            Ok(request::Progress::Partial { scanned: done }) => scanned = done,
            found => {
                assert_eq!(found, whole, "in pieces");
                break;
            }
        }
    }
    let Ok(request::Progress::Complete { end }) = whole else { return };
    let Ok(head) = request::parse(&bytes[..end]) else { return };
    let (framing, body) = match head.body {
        request::Body::Length(0) => (Framing::None, request::Body::Length(0)),
        request::Body::Length(length) => (Framing::Length(length), head.body),
        request::Body::Chunked => (Framing::Chunked, head.body),
    };
    let mut out = Vec::new();
    let fields = (&head.headers, &head.names);
    write::request(&mut out, &head.method, &head.path, fields, framing, Connection::Silent);
    assert_eq!(request::scan(&out, 0), Ok(request::Progress::Complete { end: out.len() }), "one head");
    // HTTP/1.0 does without a host, and the gateway gives it one.
    if !head.headers.contains_key(HOST) {
        return;
    }
    let again = request::parse(&out).unwrap();
    assert_eq!((&again.method, &again.path, again.body), (&head.method, &head.path, body));
    assert_eq!(without_framing(&again.headers), without_framing(&head.headers));
    let mut headers = head.headers.clone();
    hop::strip(&mut headers, false);
    assert!(!headers.contains_key("connection") && !headers.contains_key("upgrade"));
    let _ = max_forwards::count_down(&head.method, &mut headers);
    only_own_claims(&head.headers);
}

fn without_framing(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let ours = |name: &HeaderName| {
        *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || name == "connection" || name == "upgrade"
    };
    let mut fields: Vec<_> =
        headers.iter().filter(|(name, _)| !ours(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    fields.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
    fields
}

/// Nothing is left of what a client claims.
fn only_own_claims(headers: &HeaderMap) {
    let mut headers = headers.clone();
    owned::mark_claims(&mut headers);
    owned::strip_claims(&mut headers);
    assert!(!headers.keys().any(|name| owned::is_claim(name.as_str())));
}

/// The head of a response of HTTP/1: as of a request, and its end is where its framing says.
pub fn response_head(bytes: &[u8]) {
    let mut scanned = 0;
    let whole = response::find_end(bytes, &mut scanned);
    let mut scanned = 0;
    let pieces = (0..=bytes.len()).find_map(|upto| response::find_end(&bytes[..upto], &mut scanned));
    assert_eq!(pieces, whole, "in pieces");
    let Some(head) = whole.and_then(|end| response::parse(&bytes[..end]).ok()) else { return };
    let framed = response::framing(&head, &Method::GET);
    assert_eq!(response::framing(&head, &Method::HEAD).is_ok(), framed.is_ok() || head.status.is_informational());
    let mut out = Vec::new();
    let fields = (&head.headers, &head.names);
    write::response(&mut out, head.status, &head.reason, fields, Framing::Length(5), Connection::Silent);
    let again = response::parse(&out).unwrap();
    assert_eq!((again.status, &again.reason), (head.status, &head.reason));
    assert_eq!(without_framing(&again.headers), without_framing(&head.headers));
}

/// A chunked body: the same content and the same verdict in any pieces, and again once it was written anew.
pub fn chunked_body(bytes: &[u8], piece: usize) {
    for lenient in [false, true] {
        let decoder = || if lenient { Decoder::chunked().lenient() } else { Decoder::chunked() };
        let whole = decoded(decoder(), bytes, bytes.len().max(1));
        assert_eq!(decoded(decoder(), bytes, piece.max(1)), whole, "pieces of {piece}");
        let Some((content, trailers, _)) = whole else { continue };
        let mut out = Vec::new();
        for part in content.chunks(piece.max(1)) {
            write::data(&mut out, Framing::Chunked, part);
        }
        write::end(&mut out, Framing::Chunked, None);
        let (again, none, left) = decoded(Decoder::chunked(), &out, piece.max(1)).unwrap();
        assert_eq!((again, none, left), (content, HeaderMap::new(), 0));
        let mut out = Vec::new();
        write::end(&mut out, Framing::Chunked, Some(&trailers));
        let (_, trailers, _) = decoded(Decoder::chunked(), &out, piece.max(1)).unwrap();
        assert!(!trailers.contains_key(CONTENT_LENGTH) && !trailers.contains_key(TRANSFER_ENCODING));
    }
}

/// Content, trailers, and bytes that are left behind the end; none: it is malformed or not complete.
fn decoded(mut decoder: Decoder, bytes: &[u8], piece: usize) -> Option<(Vec<u8>, HeaderMap, usize)> {
    let (mut buffer, mut content, mut pieces) = (BytesMut::new(), Vec::new(), bytes.chunks(piece));
    loop {
        match decoder.advance(&mut buffer).ok()? {
            Progress::Data(count) => {
                content.extend_from_slice(&buffer[..count]);
                decoder.consume(&mut buffer, count);
            }
            Progress::End => break,
            Progress::More => match pieces.next() {
                Some(next) => buffer.extend_from_slice(next),
                None => {
                    assert!(decoder.closed().is_err());
                    return None;
                }
            },
        }
    }
    let left = buffer.len() + pieces.map(<[u8]>::len).sum::<usize>();
    Some((content, decoder.take_trailers().unwrap_or_default(), left))
}

/// The head of a request of HTTP/2: what is accepted is one request of HTTP/1, for the same host.
pub fn http2_head(method: &Method, uri: &Uri, mut headers: HeaderMap) {
    if http2::settle(method, uri, &mut headers, 64 * 1024).is_err() {
        return;
    }
    assert!(headers.get_all("cookie").iter().count() <= 1);
    if let Some(authority) = uri.authority() {
        assert_eq!(headers[HOST], authority.as_str());
    }
    let path = uri.path_and_query().unwrap();
    let mut out = Vec::new();
    write::request(&mut out, method, path, (&headers, &Names::default()), Framing::None, Connection::Silent);
    assert_eq!(request::scan(&out, 0), Ok(request::Progress::Complete { end: out.len() }), "one head");
    match request::parse(&out) {
        Ok(head) => {
            assert_eq!((&head.method, &head.path), (method, path));
            assert_eq!(without_framing(&head.headers), without_framing(&headers));
        }
        // The host may be one field more.
        Err(request::HeadError::TooManyFields) => {}
        Err(error) => unreachable!("{error}: {}", String::from_utf8_lossy(&out)),
    }
    only_own_claims(&headers);
}

/// A head of HTTP/2 from bytes: method, target, and a field on each line.
pub fn http2_head_of_bytes(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let Ok(method) = Method::from_bytes(next()) else { return };
    let Ok(uri) = Uri::try_from(next()) else { return };
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or_default();
        // The library takes names in lower case only.
        if let (Ok(name), Ok(value)) = (HeaderName::from_lowercase(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    http2_head(&method, &uri, headers);
}

/// A host and a path: what is accepted is in normal form, and stays in it.
pub fn host_and_path(text: &str) {
    if let Ok(host) = host_of(text) {
        let again = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
        assert_eq!(host_of(&again).unwrap(), host);
    }
    if let Ok(normal) = normalise(text) {
        assert!(normal.starts_with('/') && normal.is_ascii());
        assert!(!normal.split('/').any(|segment| segment == "." || segment == ".."), "{normal}");
        assert!(
            !normal.contains(['\\', '?', '#', ' ']) && !normal.bytes().any(|byte| byte.is_ascii_control()),
            "{normal}"
        );
        assert_eq!(normalise(&normal), Ok(normal.as_ref().into()));
    }
}
