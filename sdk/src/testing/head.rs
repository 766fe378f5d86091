//! Heads that live in the test.

use std::cell::{Ref, RefCell};

use crate::bindings::imports::witgate::plugin::http::{Field, FieldOp, Peer};
use crate::{FieldError, Request, ResponseHead};

/// Fields that belong to the gateway on both sides; the host's list is in the reference.
const FORBIDDEN: [&str; 7] =
    ["connection", "content-length", "host", "te", "transfer-encoding", "upgrade", "x-request-id"];

#[derive(Debug, Default)]
struct Fields(RefCell<Vec<(String, Vec<u8>)>>);

impl Fields {
    fn list(&self) -> Ref<'_, Vec<(String, Vec<u8>)>> {
        self.0.borrow()
    }

    fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.get_all(name).into_iter().next()
    }

    fn get_all(&self, name: &str) -> Vec<Vec<u8>> {
        self.list().iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone()).collect()
    }

    fn entries(&self) -> Vec<Field> {
        self.list().iter().map(|(name, value)| Field { name: name.clone(), value: value.clone() }).collect()
    }

    fn apply(&self, operations: &[FieldOp]) -> Result<(), FieldError> {
        for operation in operations {
            let (name, value) = match operation {
                FieldOp::Set(field) | FieldOp::Append(field) => (&field.name, field.value.as_slice()),
                FieldOp::Remove(name) => (name, &b""[..]),
            };
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
                return Err(FieldError::InvalidName);
            }
            if FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name)) {
                return Err(FieldError::Forbidden);
            }
            if value.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
                return Err(FieldError::InvalidValue);
            }
        }
        let mut list = self.0.borrow_mut();
        for operation in operations {
            match operation {
                FieldOp::Set(field) => {
                    list.retain(|(name, _)| !name.eq_ignore_ascii_case(&field.name));
                    list.push((field.name.clone(), field.value.clone()));
                }
                FieldOp::Append(field) => list.push((field.name.clone(), field.value.clone())),
                FieldOp::Remove(removed) => list.retain(|(name, _)| !name.eq_ignore_ascii_case(removed)),
            }
        }
        Ok(())
    }
}

/// Stands for the host's request.
#[doc(hidden)]
#[derive(Debug)]
pub struct RawRequest {
    method: String,
    path: RefCell<String>,
    client: String,
    fields: Fields,
    attributes: RefCell<Vec<(String, Vec<u8>)>>,
}

#[doc(hidden)]
impl RawRequest {
    pub fn id(&self) -> String {
        "test-request".to_owned()
    }

    pub fn method(&self) -> String {
        self.method.clone()
    }

    pub fn path_with_query(&self) -> String {
        self.path.borrow().clone()
    }

    pub fn authority(&self) -> Option<String> {
        self.get("host").and_then(|host| String::from_utf8(host).ok())
    }

    pub fn scheme(&self) -> String {
        "http".to_owned()
    }

    pub fn route(&self) -> String {
        "test".to_owned()
    }

    pub fn client(&self) -> Peer {
        Peer { address: self.client.clone(), port: 40_000, tls: false, sni: None }
    }

    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.fields.get(name)
    }

    pub fn get_all(&self, name: &str) -> Vec<Vec<u8>> {
        self.fields.get_all(name)
    }

    pub fn get_many(&self, names: &[String]) -> Vec<Option<Vec<u8>>> {
        names.iter().map(|name| self.fields.get(name)).collect()
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

    pub fn set_path_with_query(&self, path: &str) -> Result<(), FieldError> {
        if !path.starts_with('/') {
            return Err(FieldError::InvalidValue);
        }
        path.clone_into(&mut self.path.borrow_mut());
        Ok(())
    }

    pub fn attr(&self, key: &str) -> Option<Vec<u8>> {
        self.attributes.borrow().iter().find(|(k, _)| k == key).map(|(_, value)| value.clone())
    }

    pub fn set_attr(&self, key: &str, value: &[u8]) -> Result<(), FieldError> {
        let mut attributes = self.attributes.borrow_mut();
        attributes.retain(|(k, _)| k != key);
        attributes.push((key.to_owned(), value.to_owned()));
        Ok(())
    }
}

/// A request for a unit test. Changes that the plugin makes can be read afterwards.
#[derive(Debug)]
pub struct TestRequest(RawRequest);

impl TestRequest {
    /// `path` is path and query.
    pub fn new(method: &str, path: &str) -> Self {
        Self(RawRequest {
            method: method.to_owned(),
            path: RefCell::new(path.to_owned()),
            client: "192.0.2.1".to_owned(),
            fields: Fields::default(),
            attributes: RefCell::default(),
        })
    }

    /// Adds a header field as the client sent it: any, forbidden ones included.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.fields.0.borrow_mut().push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the client's address.
    #[must_use]
    pub fn client(mut self, address: &str) -> Self {
        address.clone_into(&mut self.0.client);
        self
    }

    /// What the plugin's hook gets.
    pub fn request(&self) -> Request<'_> {
        Request::new(&self.0)
    }

    /// First value of a header field as it is now.
    pub fn value(&self, name: &str) -> Option<String> {
        self.values(name).into_iter().next()
    }

    /// All values of a header field as they are now.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.0.fields.get_all(name).iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// Path and query as they are now.
    pub fn path_with_query(&self) -> String {
        self.0.path_with_query()
    }
}

/// Stands for the host's response.
#[doc(hidden)]
#[derive(Debug)]
pub struct RawResponse {
    status: RefCell<u16>,
    fields: Fields,
}

#[doc(hidden)]
impl RawResponse {
    pub fn status(&self) -> u16 {
        *self.status.borrow()
    }

    pub fn set_status(&self, status: u16) -> Result<(), FieldError> {
        if !(200..=599).contains(&status) {
            return Err(FieldError::InvalidValue);
        }
        *self.status.borrow_mut() = status;
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.fields.get(name)
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
        Self(RawResponse { status: RefCell::new(status), fields: Fields::default() })
    }

    /// Adds a header field as the upstream sent it.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.fields.0.borrow_mut().push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// What the plugin's hook gets.
    pub fn head(&self) -> ResponseHead<'_> {
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
