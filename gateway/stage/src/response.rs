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

/// Adds a field that a stage may set to a response under construction.
pub(crate) fn append_field(headers: &mut HeaderMap, name: &str, value: &[u8]) -> Result<(), FieldError> {
    let (name, value) = field(name, value, Side::Response)?;
    let bytes: usize = headers.iter().map(|(n, v)| n.as_str().len() + v.len() + FIELD_OVERHEAD).sum();
    if bytes + name.as_str().len() + value.len() + FIELD_OVERHEAD > EDITS_LIMIT {
        return Err(FieldError::TooLarge);
    }
    headers.append(name, value);
    Ok(())
}
