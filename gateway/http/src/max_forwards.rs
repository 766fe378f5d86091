//! `Max-Forwards`: a client that looks for where its request is lost asks hop after hop (RFC 9110, section 7.6.2).

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue, MAX_FORWARDS, PROXY_AUTHORIZATION};
use http::uri::PathAndQuery;
use http::{Method, Version};

use crate::http1::field::Names;

/// Where a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// Not here.
    Onward,
    /// The gateway is the last hop: it must not forward the request, and answers it itself.
    Last,
}

/// The field cannot be obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Max-Forwards is not one decimal number")]
pub struct MaxForwardsError;

/// Checks the field and counts it down. Of methods other than `TRACE` and `OPTIONS` it has no meaning, and stays.
///
/// # Errors
/// The value is none, or there are several: whoever sent it would not learn what it wanted.
pub fn count_down(method: &Method, headers: &mut HeaderMap) -> Result<Hop, MaxForwardsError> {
    if *method != Method::TRACE && *method != Method::OPTIONS {
        return Ok(Hop::Onward);
    }
    let mut values = headers.get_all(MAX_FORWARDS).iter();
    let hops = match (values.next(), values.next()) {
        (None, _) => return Ok(Hop::Onward),
        (Some(value), None) => number(value.as_bytes()).ok_or(MaxForwardsError)?,
        _ => return Err(MaxForwardsError),
    };
    let Some(left) = hops.checked_sub(1) else { return Ok(Hop::Last) };
    headers.insert(MAX_FORWARDS, HeaderValue::from(left));
    Ok(Hop::Onward)
}

/// What is larger than fits counts as the largest that does: "the recipient's maximum supported value".
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, add))
}

/// The request as it arrived, which answers `TRACE` as `message/http` (RFC 9110, section 9.3.8), without what is likely to
/// be secret.
pub fn reflection(
    (method, path, version): (&Method, &PathAndQuery, Version),
    (headers, names): (&HeaderMap, &Names),
) -> Vec<u8> {
    const SECRET: [http::HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];
    let mut out = format!("{method} {path} {version:?}\r\n").into_bytes();
    let mut cursor = names.cursor();
    for (name, value) in headers {
        if SECRET.contains(name) || value.is_sensitive() {
            continue;
        }
        out.extend_from_slice(cursor.original(name));
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(method: &Method, values: &[&'static str]) -> Result<(Hop, Option<String>), MaxForwardsError> {
        let mut headers: HeaderMap =
            values.iter().map(|value| (MAX_FORWARDS, HeaderValue::from_static(value))).collect();
        let hop = count_down(method, &mut headers)?;
        Ok((hop, headers.get(MAX_FORWARDS).map(|value| value.to_str().unwrap().to_owned())))
    }

    #[test]
    fn a_request_that_may_go_no_further_ends_here_and_others_are_counted_down() {
        for method in [Method::TRACE, Method::OPTIONS] {
            let onward = |left: &str| Ok((Hop::Onward, Some(left.to_owned())));
            assert_eq!(hop(&method, &[]), Ok((Hop::Onward, None)));
            assert_eq!(hop(&method, &["0"]), Ok((Hop::Last, Some("0".to_owned()))));
            assert_eq!(hop(&method, &["000"]), Ok((Hop::Last, Some("000".to_owned()))));
            assert_eq!(hop(&method, &["1"]), onward("0"));
            assert_eq!(hop(&method, &["0010"]), onward("9"));
            assert_eq!(hop(&method, &["99999999999999999999999"]), onward(&(u64::MAX - 1).to_string()));
            for wrong in [&[""][..], &["-1"], &["+1"], &["1.0"], &["1, 1"], &["x"], &["1", "1"]] {
                assert_eq!(hop(&method, wrong), Err(MaxForwardsError), "{wrong:?}");
            }
        }
    }

    #[test]
    fn of_other_methods_it_has_no_meaning() {
        for method in [Method::GET, Method::POST, Method::HEAD] {
            assert_eq!(hop(&method, &["0"]), Ok((Hop::Onward, Some("0".to_owned()))));
            assert_eq!(hop(&method, &["x"]), Ok((Hop::Onward, Some("x".to_owned()))));
        }
    }

    #[test]
    fn a_trace_shows_the_request_without_its_secrets() {
        let head =
            b"TRACE /a?b HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nCookie: id=1\r\nauthorization: Basic x\r\n\r\n";
        let head = crate::http1::request::parse(head).unwrap();
        let text = reflection((&head.method, &head.path, head.version), (&head.headers, &head.names));
        assert_eq!(String::from_utf8(text).unwrap(), "TRACE /a?b HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
    }
}
