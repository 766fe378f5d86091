//! A whole response made by a stage.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::edit::{EDITS_LIMIT, FIELD_OVERHEAD, FieldError, Side, field, final_status};

/// A response that a stage answers with; valid by construction. The proxy adds framing, date and request id.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Response {
    /// Most bytes of a body: it is copied out of the guest and held until it is sent.
    pub const BODY_LIMIT: usize = 1024 * 1024;

    /// # Errors
    /// [`FieldError::InvalidValue`] for a status outside 200 to 599, [`FieldError::TooLarge`] for a body over the limit.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Result<Self, FieldError> {
        let (status, body) = (final_status(status).ok_or(FieldError::InvalidValue)?, body.into());
        if body.len() > Self::BODY_LIMIT {
            return Err(FieldError::TooLarge);
        }
        Ok(Self { status, headers: HeaderMap::new(), body })
    }

    /// Adds a field.
    ///
    /// # Errors
    /// [`FieldError`] if a stage may not set this field, or not so much.
    pub fn append(&mut self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        append_field(&mut self.headers, name, value)
    }
}

/// Most fields of a response that a stage makes: many times what real ones have, and few enough to add them up each time.
const FIELDS_LIMIT: usize = 256;

/// Adds a field that a stage may set to a response under construction.
pub(crate) fn append_field(headers: &mut HeaderMap, name: &str, value: &[u8]) -> Result<(), FieldError> {
    let (name, value) = field(name, value, Side::Response)?;
    if headers.len() >= FIELDS_LIMIT {
        return Err(FieldError::TooLarge);
    }
    let bytes: usize = headers.iter().map(|(n, v)| n.as_str().len() + v.len() + FIELD_OVERHEAD).sum();
    if bytes + name.as_str().len() + value.len() + FIELD_OVERHEAD > EDITS_LIMIT {
        return Err(FieldError::TooLarge);
    }
    headers.append(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorCode, Refusal};

    #[test]
    fn only_final_statuses_and_bounded_bodies_are_accepted() {
        for status in [0, 100, 101, 199, 600] {
            assert_eq!(Response::new(status, "").err(), Some(FieldError::InvalidValue), "{status}");
        }
        assert!(Response::new(204, "").is_ok());
        assert!(Response::new(200, vec![0; Response::BODY_LIMIT]).is_ok());
        assert_eq!(Response::new(200, vec![0; Response::BODY_LIMIT + 1]).err(), Some(FieldError::TooLarge));
    }

    #[test]
    fn framing_fields_are_forbidden_and_repeated_fields_kept() {
        let mut response = Response::new(200, "").unwrap();
        assert_eq!(response.append("Transfer-Encoding", b"chunked"), Err(FieldError::Forbidden));
        assert_eq!(response.append("content-length", b"5"), Err(FieldError::Forbidden));
        response.append("set-cookie", b"a=1").unwrap();
        response.append("set-cookie", b"b=2").unwrap();
        assert_eq!(response.headers.get_all("set-cookie").iter().count(), 2);
    }

    #[test]
    fn fields_are_limited_in_all() {
        let mut response = Response::new(200, "").unwrap();
        assert!((0..10_000).any(|_| response.append("a", b"").is_err()));
        assert_eq!(response.headers.len(), FIELDS_LIMIT);
        let mut refusal = Refusal::new(ErrorCode::Forbidden, "no").unwrap();
        assert!((0..10_000).any(|n| refusal.append(&format!("x-{n}"), &[b'x'; 1000]).is_err()));
    }

    #[test]
    fn a_refusals_message_is_limited() {
        assert!(Refusal::new(ErrorCode::Overloaded, "x".repeat(Refusal::MESSAGE_LIMIT)).is_ok());
        let long = Refusal::new(ErrorCode::Overloaded, "x".repeat(Refusal::MESSAGE_LIMIT + 1));
        assert_eq!(long.err(), Some(FieldError::TooLarge));
    }

    #[test]
    fn codes_have_labels_of_their_own() {
        let labels: std::collections::BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.label()).collect();
        assert_eq!(labels.len(), ErrorCode::ALL.len());
    }
}
