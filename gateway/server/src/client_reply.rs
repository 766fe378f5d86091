//! What a client is told of what is wrong with its message: the one place that turns errors of HTTP's rules into replies.

use witgate_http::host::HostError;
use witgate_http::http1::body::BodyError;
use witgate_http::http1::field::FIELDS_LIMIT;
use witgate_http::http1::request::HeadError;
use witgate_http::path::PathError;

use crate::envelope::{Code, Problem};

impl From<HeadError> for Problem {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::TooManyFields => {
                Self::new(Code::HeadTooLarge, format!("More than {FIELDS_LIMIT} header fields."))
            }
            HeadError::Connect => Self::new(Code::MethodNotAllowed, "This gateway opens no tunnels by CONNECT."),
            HeadError::Coding => Self::new(Code::NotImplemented, "Only the transfer coding `chunked` is understood."),
            malformed => Self::new(Code::InvalidRequest, format!("Malformed request: {malformed}.")),
        }
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
        check(HeadError::Coding, 501, "Only the transfer coding `chunked` is understood.");
        check(BodyError::ChunkEnd, 400, "Malformed request body: a chunk does not end where its size says.");
        check(HostError::EmptyLabel, 400, "Malformed host: the host has an empty label.");
        check(PathError::AboveRoot, 400, "Malformed path: the path climbs above its root with `..`.");
    }
}
