//! Responses: the upstream's head, and those that a plugin makes.

use crate::{Edits, ErrorCode, Field, FieldError, Refusal, Response};

#[cfg(target_family = "wasm")]
pub(crate) type Raw = crate::bindings::imports::witgate::plugin::http::ResponseHead;
#[cfg(not(target_family = "wasm"))]
pub(crate) type Raw = crate::testing::RawResponse;

/// The head of a response on its way to the client.
pub struct ResponseHead<'a>(&'a Raw);

impl<'a> ResponseHead<'a> {
    #[doc(hidden)]
    pub fn new(raw: &'a Raw) -> Self {
        Self(raw)
    }

    pub fn status(&self) -> u16 {
        self.0.status()
    }

    /// # Errors
    /// [`FieldError::InvalidValue`] outside 200 to 599.
    pub fn set_status(&self, status: u16) -> Result<(), FieldError> {
        self.0.set_status(status)
    }

    /// First value of a header field.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name)
    }

    /// First value of a header field, if it is UTF-8.
    pub fn header_str(&self, name: &str) -> Option<String> {
        String::from_utf8(self.0.get(name)?).ok()
    }

    /// First values of several header fields, in the order asked: one call instead of several.
    pub fn header_many(&self, names: &[&str]) -> Vec<Option<Vec<u8>>> {
        self.0.get_many(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    /// Every header field, in order.
    pub fn entries(&self) -> Vec<(String, Vec<u8>)> {
        self.0.entries().into_iter().map(|field| (field.name, field.value)).collect()
    }

    /// Replaces every header field of this name by one.
    ///
    /// # Errors
    /// See [`FieldError`]; nothing has changed then.
    pub fn set(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), FieldError> {
        self.0.set(name, value.as_ref())
    }

    /// Removes every header field of this name.
    ///
    /// # Errors
    /// See [`FieldError`]; nothing has changed then.
    pub fn remove(&self, name: &str) -> Result<(), FieldError> {
        self.0.remove(name)
    }

    /// Makes all changes, or none.
    ///
    /// # Errors
    /// See [`FieldError`]; nothing has changed then.
    pub fn apply(&self, edits: Edits) -> Result<(), FieldError> {
        self.0.apply(edits.operations())
    }
}

impl Response {
    /// A response with this status, 200 to 599, and an empty body.
    pub fn new(status: u16) -> Self {
        Self { status, fields: Vec::new(), body: Vec::new() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push(Field { name: name.into(), value: value.into() });
        self
    }

    /// Sets the body, at most 1 MiB.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl Refusal {
    /// A refusal; `message` tells the client what to do.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fields: Vec::new(), retry_after_ms: None }
    }

    /// Adds a header field to the answer.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push(Field { name: name.into(), value: value.into() });
        self
    }

    /// Adds `Retry-After`, from milliseconds, rounded up to whole seconds.
    #[must_use]
    pub fn retry_after_ms(mut self, wait: u64) -> Self {
        self.retry_after_ms = Some(wait);
        self
    }
}
