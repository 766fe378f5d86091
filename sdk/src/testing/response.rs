//! A response that lives in the test.

use std::cell::Cell;

use super::fields::{Fields, Side};
use crate::bindings::imports::witgate::plugin::http::{Field, FieldOp};
use crate::{FieldError, ResponseHead};

/// Stands for the host's response.
#[doc(hidden)]
#[derive(Debug)]
pub struct RawResponse {
    status: Cell<u16>,
    fields: Fields,
}

#[doc(hidden)]
impl RawResponse {
    pub fn status(&self) -> u16 {
        self.status.get()
    }

    pub fn set_status(&self, status: u16) -> Result<(), FieldError> {
        if !(200..=599).contains(&status) {
            return Err(FieldError::InvalidValue);
        }
        self.fields.count(0)?;
        self.status.set(status);
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.fields.get(name)
    }

    pub fn get_many(&self, names: &[String]) -> Vec<Option<Vec<u8>>> {
        self.fields.get_many(names)
    }

    pub fn entries(&self) -> Vec<Field> {
        self.fields.entries()
    }

    pub fn set(&self, name: &str, value: &[u8]) -> Result<(), FieldError> {
        self.apply(&[FieldOp::Set(Field { name: name.to_owned(), value: value.to_owned() })])
    }

    pub fn remove(&self, name: &str) -> Result<(), FieldError> {
        self.apply(&[FieldOp::Remove(name.to_owned())])
    }

    pub fn apply(&self, operations: &[FieldOp]) -> Result<(), FieldError> {
        self.fields.apply(operations)
    }
}

/// A response head for a unit test.
#[derive(Debug)]
pub struct TestResponse(RawResponse);

impl TestResponse {
    pub fn new(status: u16) -> Self {
        Self(RawResponse { status: Cell::new(status), fields: Fields::new(Side::Response) })
    }

    /// Adds a header field as the upstream sent it.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.fields.receive(name, value.as_ref());
        self
    }

    /// What a response hook gets. Each call stands for one hook: what it may change is counted anew.
    pub fn head(&self) -> ResponseHead<'_> {
        self.0.fields.start(false);
        ResponseHead::new(&self.0)
    }

    pub fn status(&self) -> u16 {
        self.0.status()
    }

    /// First value of a header field as it is now.
    pub fn value(&self, name: &str) -> Option<String> {
        self.0.fields.get(name).map(|value| String::from_utf8_lossy(&value).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_may_have_fields_that_only_a_requests_proxy_owns() {
        let test = TestResponse::new(200);
        assert_eq!(test.head().set("via", "1.1 own"), Ok(()));
        assert_eq!(test.head().set("content-length", "1"), Err(FieldError::Forbidden));
    }

    #[test]
    fn only_final_statuses_can_be_set() {
        let test = TestResponse::new(200);
        for status in [0, 101, 199, 600] {
            assert_eq!(test.head().set_status(status), Err(FieldError::InvalidValue), "{status}");
        }
        assert_eq!((test.head().set_status(418), test.status()), (Ok(()), 418));
    }

    #[test]
    fn several_fields_are_read_at_once_in_the_order_asked() {
        let test = TestResponse::new(200).header("x-a", "1").header("X-B", "2");
        let values = test.head().header_many(&["x-b", "x-none", "x-a"]);
        assert_eq!(values, [Some(b"2".to_vec()), None, Some(b"1".to_vec())]);
    }
}
