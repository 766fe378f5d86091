//! Requests of HTTP/2 in the form that HTTP/1 has (RFC 9113, section 8), so that whoever reads them, and every upstream,
//! sees one and the same.

use http::header::{self as h, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Uri};

use crate::authority::{AuthorityError, Scheme, settle as settle_host};
use crate::cookie::join_crumbs;
use crate::http1::field::FIELDS_LIMIT;

/// What a field costs besides its bytes, and what a pseudo-header field does (RFC 9113, section 6.5.2).
const FIELD_COST: usize = 32;

/// Why a request's head is refused. What makes a frame malformed is the library's to refuse; this is what it lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("the head exceeds the limit of {limit} bytes")]
    TooLarge { limit: usize },
    #[error("more than {FIELDS_LIMIT} fields")]
    TooManyFields,
    /// It is well formed, but nobody here opens tunnels.
    #[error("the method CONNECT is not supported")]
    Connect,
    #[error("there is no :path")]
    PathMissing,
    #[error("the request target holds a byte that must be percent-encoded")]
    PathByte,
    #[error("the request target is not a path")]
    PathForm,
    #[error("a field that concerns one connection has no place in HTTP/2")]
    ConnectionField,
    #[error("TE says something else than `trailers`")]
    Te,
    #[error("a field value begins or ends with white space")]
    FieldSpace,
    #[error("Content-Length is not a decimal number")]
    Length,
    #[error("Content-Length is given more than once")]
    LengthRepeated,
    #[error("there is neither :authority nor Host")]
    HostMissing,
    #[error("{0}")]
    Authority(#[from] AuthorityError),
}

/// Fields that HTTP/2 does not have (RFC 9113, section 8.2.2).
const OF_ONE_CONNECTION: [HeaderName; 5] = [
    h::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    h::TRANSFER_ENCODING,
    h::UPGRADE,
];

/// Holds a head to what a message of HTTP/1 could say, puts crumbs of cookies together, and `:authority` into `Host`.
/// `limit`: bytes, as the sender counts them too (RFC 9113, section 6.5.2).
///
/// # Errors
/// It is malformed, too large, or means nothing to whoever it would be passed on to. The fields are then as they came, or
/// nearly so.
pub fn settle(method: &Method, uri: &Uri, headers: &mut HeaderMap, limit: usize) -> Result<(), HeadError> {
    if check_fields(method, uri, headers)? > limit {
        return Err(HeadError::TooLarge { limit });
    }
    join_crumbs(headers);
    if headers.len() > FIELDS_LIMIT {
        return Err(HeadError::TooManyFields);
    }
    if *method == Method::CONNECT {
        return Err(HeadError::Connect);
    }
    check_path(method, uri)?;
    let mut lengths = headers.get_all(h::CONTENT_LENGTH).iter();
    if lengths.next().is_some_and(|length| !is_length(length)) {
        return Err(HeadError::Length);
    }
    if lengths.next().is_some() {
        return Err(HeadError::LengthRepeated);
    }
    if uri.authority().is_none() && headers.get(h::HOST).is_none_or(HeaderValue::is_empty) {
        return Err(HeadError::HostMissing);
    }
    Ok(settle_host(headers, uri.authority(), uri.scheme_str().and_then(Scheme::of))?)
}

/// Looks at each field; the size of the head.
fn check_fields(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<usize, HeadError> {
    let pseudo = [
        (":method", method.as_str()),
        (":scheme", uri.scheme_str().unwrap_or_default()),
        (":authority", uri.authority().map_or("", Authority::as_str)),
        (":path", uri.path_and_query().map_or("", PathAndQuery::as_str)),
    ];
    let mut size: usize = pseudo.iter().map(|(name, value)| name.len() + value.len() + FIELD_COST).sum();
    for (name, value) in headers {
        if OF_ONE_CONNECTION.contains(name) {
            return Err(HeadError::ConnectionField);
        }
        if *name == h::TE && !value.as_bytes().eq_ignore_ascii_case(b"trailers") {
            return Err(HeadError::Te);
        }
        // RFC 9113, section 8.2.1: HTTP/1 would take it away, and the two readings differ.
        if let [b' ' | b'\t', ..] | [.., b' ' | b'\t'] = value.as_bytes() {
            return Err(HeadError::FieldSpace);
        }
        size += name.as_str().len() + value.len() + FIELD_COST;
    }
    Ok(size)
}

/// RFC 9113, section 8.3.1.
fn check_path(method: &Method, uri: &Uri) -> Result<(), HeadError> {
    let path = uri.path_and_query().map(PathAndQuery::as_str).ok_or(HeadError::PathMissing)?;
    // The types take what stands in URLs of browsers; a request line of HTTP/1 does not.
    if !path.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return Err(HeadError::PathByte);
    }
    if path.starts_with('/') || (path == "*" && *method == Method::OPTIONS) { Ok(()) } else { Err(HeadError::PathForm) }
}

/// 18 digits hold every length below 2^59.
fn is_length(value: &HeaderValue) -> bool {
    (1..=18).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(method: Method, uri: &str, fields: &[(&str, &str)]) -> Result<Vec<(String, String)>, HeadError> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        settle(&method, &uri.parse().unwrap(), &mut headers, 8192)?;
        let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        Ok(headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
    }

    fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_request_has_a_host_and_one_cookie_as_over_http_1() {
        let got = settled(
            Method::GET,
            "https://Shop.test/a?b",
            &[("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("te", "trailers")],
        );
        let mut got = got.unwrap();
        got.sort();
        let expected = [("cookie", "a=1; b=2"), ("host", "Shop.test"), ("te", "trailers"), ("x-a", "1")];
        assert_eq!(got, fields(&expected));
        assert_eq!(
            settled(Method::GET, "https://a.test:443/", &[("host", "a.test")]).unwrap(),
            fields(&[("host", "a.test:443")])
        );
        assert_eq!(settled(Method::POST, "/", &[("host", "a.test")]).unwrap(), fields(&[("host", "a.test")]));
    }

    #[test]
    fn what_http_1_could_not_say_is_refused_with_the_reason() {
        let get = |uri: &str, field: (&str, &str)| settled(Method::GET, uri, &[field]).unwrap_err();
        assert_eq!(settled(Method::CONNECT, "a.test:443", &[]), Err(HeadError::Connect));
        assert_eq!(settled(Method::GET, "a.test", &[]), Err(HeadError::PathMissing));
        assert_eq!(get("https://a.test/\u{e9}?q", ("x", "1")), HeadError::PathByte);
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
            assert_eq!(get("https://a.test/", (name, "x")), HeadError::ConnectionField, "{name}");
        }
        assert_eq!(get("https://a.test/", ("te", "gzip")), HeadError::Te);
        for value in [" x", "x\t", " ", "\tx"] {
            assert_eq!(get("https://a.test/", ("x", value)), HeadError::FieldSpace, "{value:?}");
        }
        for value in ["", "+1", "1, 1", "9999999999999999999"] {
            assert_eq!(get("https://a.test/", ("content-length", value)), HeadError::Length, "{value:?}");
        }
        let twice = [("content-length", "1"), ("content-length", "1")];
        assert_eq!(settled(Method::POST, "https://a.test/", &twice), Err(HeadError::LengthRepeated));
        assert_eq!(settled(Method::POST, "/", &[]), Err(HeadError::HostMissing));
        assert_eq!(settled(Method::POST, "/", &[("host", "")]), Err(HeadError::HostMissing));
        assert_eq!(settled(Method::GET, "*", &[("host", "a.test")]), Err(HeadError::PathForm));
        assert!(settled(Method::OPTIONS, "*", &[("host", "a.test")]).is_ok());
        assert_eq!(get("https://u@a.test/", ("x", "1")), HeadError::Authority(AuthorityError::User));
        assert_eq!(get("https://a.test/", ("host", "b.test")), HeadError::Authority(AuthorityError::Differs));
        let twice = [("host", "a.test"), ("host", "a.test")];
        assert_eq!(
            settled(Method::GET, "https://a.test/", &twice),
            Err(HeadError::Authority(AuthorityError::Repeated))
        );
    }

    #[test]
    fn heads_have_limits() {
        let large = "x".repeat(8192);
        assert_eq!(settled(Method::GET, "https://a.test/", &[("x", &large)]), Err(HeadError::TooLarge { limit: 8192 }));
        let crumbs = [("cookie", "a=1"); FIELDS_LIMIT + 1];
        assert_eq!(settled(Method::GET, "https://a.test/", &crumbs).unwrap().len(), 2, "crumbs are one field");
        let many = [("x", "y"); FIELDS_LIMIT + 1];
        assert_eq!(settled(Method::GET, "https://a.test/", &many), Err(HeadError::TooManyFields));
    }
}
