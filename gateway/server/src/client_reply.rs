//! What a client is told of what is wrong with its message: the one place that turns errors of HTTP's rules into replies.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};
use witgate_http::authority::AuthorityError;
use witgate_http::host::HostError;
use witgate_http::http1::body::BodyError;
use witgate_http::http1::field::{FIELDS_LIMIT, Names};
use witgate_http::http1::request::{HeadError, TARGET_LIMIT};
use witgate_http::http2;
use witgate_http::max_forwards::{MaxForwardsError, reflection};
use witgate_http::path::PathError;
use witgate_stage::RequestHead;

use crate::envelope::{Answer, Code, METHODS, Problem};

fn malformed(error: impl std::fmt::Display) -> Problem {
    Problem::new(Code::InvalidRequest, format!("Malformed request: {error}."))
}

/// CONNECT, in either version.
fn no_tunnels() -> Problem {
    Problem::new(Code::MethodNotAllowed, "This gateway opens no tunnels by CONNECT.")
}

fn too_many_fields() -> Problem {
    Problem::new(Code::HeadTooLarge, format!("More than {FIELDS_LIMIT} header fields."))
}

impl From<HeadError> for Problem {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::TooManyFields => too_many_fields(),
            HeadError::Connect => no_tunnels(),
            HeadError::TargetTooLong => {
                Self::new(Code::UriTooLong, format!("The request target exceeds the limit of {TARGET_LIMIT} bytes."))
            }
            HeadError::Expectation => {
                Self::new(Code::ExpectationFailed, "Only the expectation `100-continue` is understood.")
            }
            HeadError::Coding => Self::new(Code::NotImplemented, "Only the transfer coding `chunked` is understood."),
            error => malformed(error),
        }
    }
}

impl From<http2::HeadError> for Problem {
    fn from(error: http2::HeadError) -> Self {
        match error {
            http2::HeadError::TooLarge { limit } => {
                Self::new(Code::HeadTooLarge, format!("The request head exceeds the limit of {limit} bytes."))
            }
            http2::HeadError::TooManyFields => too_many_fields(),
            http2::HeadError::Connect => no_tunnels(),
            error => malformed(error),
        }
    }
}

impl From<AuthorityError> for Problem {
    fn from(error: AuthorityError) -> Self {
        malformed(error)
    }
}

impl From<MaxForwardsError> for Problem {
    fn from(error: MaxForwardsError) -> Self {
        malformed(error)
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::new(Code::InvalidRequest, format!("Malformed request body: {error}."))
    }
}

impl From<HostError> for Problem {
    fn from(error: HostError) -> Self {
        Self::new(Code::InvalidRequest, format!("Malformed host: {error}."))
    }
}

impl From<PathError> for Problem {
    fn from(error: PathError) -> Self {
        Self::new(Code::InvalidRequest, format!("Malformed path: {error}."))
    }
}

/// The answer of the last hop to a request whose `Max-Forwards` is 0 (RFC 9110, section 7.6.2): to `TRACE` the request
/// itself, to `OPTIONS` what the gateway passes on. Which methods a resource has is its upstream's to say.
pub fn of_last_hop(head: &RequestHead, version: Version, names: &Names) -> Answer {
    let mut headers = HeaderMap::new();
    let mut body = Bytes::new();
    if head.method == Method::TRACE {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("message/http"));
        body = reflection((&head.method, &head.path, version), (&head.headers, names)).into();
    } else {
        headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    }
    Answer { status: StatusCode::OK, headers, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: impl Into<Problem>, status: u16, message: &str) {
        let problem = error.into();
        assert_eq!((problem.code.status().as_u16(), problem.message.as_str()), (status, message));
    }

    #[test]
    fn a_client_is_told_what_was_expected() {
        check(HeadError::HostMissing, 400, "Malformed request: Host is missing.");
        check(HeadError::TooManyFields, 431, "More than 128 header fields.");
        check(HeadError::Connect, 405, "This gateway opens no tunnels by CONNECT.");
        check(HeadError::TargetTooLong, 414, "The request target exceeds the limit of 65534 bytes.");
        check(HeadError::Expectation, 417, "Only the expectation `100-continue` is understood.");
        check(HeadError::CodingLast, 400, "Malformed request: the last transfer coding is not `chunked`.");
        check(HeadError::Coding, 501, "Only the transfer coding `chunked` is understood.");
        check(http2::HeadError::TooManyFields, 431, "More than 128 header fields.");
        check(http2::HeadError::TooLarge { limit: 9 }, 431, "The request head exceeds the limit of 9 bytes.");
        check(http2::HeadError::Connect, 405, "This gateway opens no tunnels by CONNECT.");
        check(http2::HeadError::Te, 400, "Malformed request: TE says something else than `trailers`.");
        check(AuthorityError::Repeated, 400, "Malformed request: Host is given more than once.");
        check(MaxForwardsError, 400, "Malformed request: Max-Forwards is not one decimal number.");
        check(BodyError::ChunkEnd, 400, "Malformed request body: a chunk does not end where its size says.");
        check(HostError::EmptyLabel, 400, "Malformed host: the host has an empty label.");
        check(PathError::AboveRoot, 400, "Malformed path: the path climbs above its root with `..`.");
    }
}
