//! A request's head as HTTP/2 has it, strictly read and brought into the form that the other versions have (RFC 9113, section 8.3).
//!
//! `h2` has checked what it can without knowing what for: names and values, pseudo-header fields, fields of the connection. What
//! could be read in two ways behind us is refused here, as in HTTP/1.

use std::borrow::Cow;

use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Version};
use witgate_http::http1::field::{FIELDS_LIMIT, Names};
use witgate_stage::RequestHead;

use crate::envelope::{Code, Problem};
use crate::proxy::downstream::Length;
use crate::proxy::origin::{Arrival, Incoming};

/// What a field costs besides its bytes, and what a pseudo-header field does (RFC 9113, section 6.5.2).
const FIELD_COST: usize = 32;

fn malformed(what: &str) -> Problem {
    Problem::new(Code::InvalidRequest, format!("Malformed request: {what}."))
}

/// Checks a head, joins what belongs together, and makes `Host` say what `:authority` does. `limit`: bytes.
///
/// # Errors
/// What is wrong, and the code to answer with.
pub fn check(parts: &mut Parts, limit: usize) -> Result<(), Problem> {
    let size = size(parts)?;
    if size > limit {
        return Err(Problem::new(Code::HeadTooLarge, format!("The request head exceeds the limit of {limit} bytes.")));
    }
    join_cookies(&mut parts.headers)?;
    if parts.headers.len() > FIELDS_LIMIT {
        return Err(Problem::new(Code::HeadTooLarge, format!("More than {FIELDS_LIMIT} header fields.")));
    }
    if parts.method == Method::CONNECT {
        return Err(Problem::new(Code::MethodNotAllowed, "This gateway opens no tunnels by CONNECT."));
    }
    check_path(parts)?;
    if parts.headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(malformed("Content-Length is given more than once"));
    }
    settle_host(parts)
}

/// Bytes of the head, as its sender counts them too (RFC 9113, section 6.5.2).
fn size(parts: &Parts) -> Result<usize, Problem> {
    let pseudo = [
        (":method", parts.method.as_str()),
        (":scheme", parts.uri.scheme_str().unwrap_or_default()),
        (":authority", parts.uri.authority().map_or("", Authority::as_str)),
        (":path", parts.uri.path_and_query().map_or("", PathAndQuery::as_str)),
    ];
    let mut size: usize = pseudo.iter().map(|(name, value)| name.len() + value.len() + FIELD_COST).sum();
    for (name, value) in &parts.headers {
        let value = value.as_bytes();
        // RFC 9113, section 8.2.1; over HTTP/1 it would not be part of the value any more.
        if [value.first(), value.last()].iter().flatten().any(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(malformed("a field value begins or ends with white space"));
        }
        size += name.as_str().len() + value.len() + FIELD_COST;
    }
    Ok(size)
}

/// HTTP/2 may split a cookie for the sake of its compression; whoever looks at it, here or behind us, expects it whole
/// (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Problem> {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return Ok(()) };
    let mut whole = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(crumb.as_bytes());
    }
    let whole = HeaderValue::from_bytes(&whole).map_err(|_| malformed("Cookie is not a field value"))?;
    headers.insert(COOKIE, whole);
    Ok(())
}

/// RFC 9113, section 8.3.1.
fn check_path(parts: &Parts) -> Result<(), Problem> {
    let Some(path) = parts.uri.path_and_query().map(PathAndQuery::as_str) else {
        return Err(malformed("there is no :path"));
    };
    if !path.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return Err(malformed("the request target holds a byte that must be percent-encoded"));
    }
    if path.starts_with('/') || (path == "*" && parts.method == Method::OPTIONS) {
        Ok(())
    } else {
        Err(malformed("the request target is not a path"))
    }
}

/// `:authority` is what `Host` is in HTTP/1, and beside it `Host` must say the same (RFC 9113, section 8.3.1): who looks at either
/// sees both.
fn settle_host(parts: &mut Parts) -> Result<(), Problem> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(malformed("Host is given more than once"));
    }
    let Some(authority) = parts.uri.authority() else {
        return match host {
            Some(host) if !host.is_empty() => Ok(()),
            _ => Err(malformed("there is neither :authority nor Host")),
        };
    };
    let authority = authority.as_str();
    if authority.contains('@') {
        return Err(malformed(":authority holds user information"));
    }
    let secure = parts.uri.scheme() == Some(&Scheme::HTTPS);
    if host.is_some_and(|host| !host.to_str().is_ok_and(|host| same_authority(authority, host, secure))) {
        return Err(malformed("`:authority` and `host` differ"));
    }
    let value = HeaderValue::from_str(authority).map_err(|_| malformed(":authority is not a field value"))?;
    parts.headers.insert(HOST, value);
    Ok(())
}

/// Whether two authorities name the same (RFC 9110, section 4.2.3): cases of the host do not count, nor does the usual port.
fn same_authority(one: &str, other: &str, secure: bool) -> bool {
    let split = |authority| -> Option<(Cow<'_, str>, u16)> {
        let (host, port) = match str::rsplit_once(authority, ':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, ""),
        };
        let port = if port.is_empty() { if secure { 443 } else { 80 } } else { port.parse().ok()? };
        Some((Cow::Borrowed(host), port))
    };
    match (split(one), split(other)) {
        (Some((one, port)), Some((other, other_port))) => port == other_port && one.eq_ignore_ascii_case(&other),
        _ => one == other,
    }
}

/// The request, with a head that was checked. `body`: as the stream tells.
pub fn into_incoming(parts: Parts, body: Length) -> Incoming {
    let Parts { method, uri, headers, .. } = parts;
    let uri = uri.into_parts();
    let path = uri.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    Incoming {
        head: RequestHead { method, path, headers },
        arrival: Arrival {
            authority: uri.authority,
            version: Version::HTTP_2,
            names: Names::default(),
            body,
            upgrade: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str, fields: &[(&'static str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri(uri).version(Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn checked(uri: &str, fields: &[(&'static str, &str)]) -> Result<HeaderMap, String> {
        let mut parts = parts(uri, fields);
        check(&mut parts, 64 * 1024).map(|()| parts.headers).map_err(|problem| problem.message)
    }

    #[test]
    fn crumbs_of_a_cookie_are_joined_where_the_first_was() {
        let headers =
            checked("http://a/", &[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c")]).unwrap();
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c"]);
        let many: Vec<_> = (0..400).map(|_| ("cookie", "a=1")).collect();
        assert_eq!(checked("http://a/", &many).unwrap().len(), 2, "crumbs are no fields of their own");
    }

    #[test]
    fn host_says_what_authority_does() {
        assert_eq!(checked("http://A.test:81/", &[]).unwrap()[HOST], "A.test:81");
        assert_eq!(checked("/", &[("host", "b")]).unwrap()[HOST], "b");
        for (uri, host) in [
            ("http://a/", "a:80"),
            ("http://a:80/", "A"),
            ("https://a:443/", "a"),
            ("http://[::1]/", "[::1]:80"),
            ("http://a/", "a:"),
        ] {
            assert!(checked(uri, &[("host", host)]).is_ok(), "{uri} {host}");
        }
        for (uri, host) in [
            ("http://a/", "b"),
            ("http://a/", "a:443"),
            ("https://a/", "a:80"),
            ("http://a/", "a:x"),
            ("http://a/", ""),
        ] {
            assert!(checked(uri, &[("host", host)]).unwrap_err().contains("differ"), "{uri} {host}");
        }
        assert!(checked("/", &[]).unwrap_err().contains("neither"));
        assert!(checked("/", &[("host", "")]).unwrap_err().contains("neither"));
        assert!(checked("http://a/", &[("host", "a"), ("host", "a")]).unwrap_err().contains("more than once"));
        assert!(checked("http://u@a/", &[]).unwrap_err().contains("user information"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (uri, fields, expected) in [
            ("http://a/", &[("content-length", "1"), ("content-length", "1")][..], "more than once"),
            ("http://a/", &[("x", "y ")], "white space"),
            ("http://a/", &[("x", "\ty")], "white space"),
            ("http://a/\u{e4}", &[], "percent-encoded"),
        ] {
            let error = checked(uri, fields).unwrap_err();
            assert!(error.contains(expected), "{uri}: {error}");
        }
        let mut asterisk = parts("*", &[("host", "a")]);
        assert!(check(&mut asterisk, 1024).is_err());
        asterisk.method = Method::OPTIONS;
        assert!(check(&mut asterisk, 1024).is_ok());
        asterisk.method = Method::CONNECT;
        assert_eq!(check(&mut asterisk, 1024).unwrap_err().code, Code::MethodNotAllowed);
    }

    #[test]
    fn heads_have_the_limits_of_http1() {
        let mut small = parts("http://a/", &[("x", &"y".repeat(800))]);
        assert!(check(&mut small, 2048).is_ok());
        let mut large = parts("http://a/", &[("x", &"y".repeat(2000))]);
        assert_eq!(check(&mut large, 2048).unwrap_err().code, Code::HeadTooLarge);
        let mut many = parts("http://a/", &[]);
        for at in 0..FIELDS_LIMIT + 1 {
            many.headers.append("x", at.into());
        }
        assert_eq!(check(&mut many, 64 * 1024).unwrap_err().code, Code::HeadTooLarge);
    }
}
