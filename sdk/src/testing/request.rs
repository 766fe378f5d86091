//! A request that lives in the test.

use std::cell::RefCell;

use super::fields::{Fields, Side, VALUE_LIMIT};
use crate::bindings::imports::witgate::plugin::http::{Field, FieldOp, Peer};
use crate::{FieldError, Request};

/// Most attributes of one request.
const ATTRIBUTES_LIMIT: usize = 64;
/// Most bytes of their keys and values.
const ATTRIBUTES_BYTES_LIMIT: usize = 16 * 1024;

/// Stands for the host's request.
#[doc(hidden)]
#[derive(Debug)]
pub struct RawRequest {
    method: String,
    path: RefCell<String>,
    client: String,
    fields: Fields,
    response_fields: Fields,
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

    pub fn set_path_with_query(&self, path: &str) -> Result<(), FieldError> {
        if path.len() > VALUE_LIMIT {
            return Err(FieldError::TooLarge);
        }
        if !is_origin_form(path) {
            return Err(FieldError::InvalidValue);
        }
        self.fields.count(path.len())?;
        path.clone_into(&mut self.path.borrow_mut());
        Ok(())
    }

    pub fn apply_to_response(&self, operations: &[FieldOp]) -> Result<(), FieldError> {
        self.response_fields.apply(operations)
    }

    pub fn response_field(&self, name: &str) -> Option<Vec<u8>> {
        if self.response_fields.is_read_only() { None } else { self.response_fields.get(name) }
    }

    pub fn attr(&self, key: &str) -> Option<Vec<u8>> {
        self.attributes.borrow().iter().find(|(k, _)| k == key).map(|(_, value)| value.clone())
    }

    pub fn set_attr(&self, key: &str, value: &[u8]) -> Result<(), FieldError> {
        let mut attributes = self.attributes.borrow_mut();
        let others = attributes.iter().filter(|(k, _)| k != key);
        let bytes: usize = others.clone().map(|(k, v)| k.len() + v.len()).sum();
        if others.count() >= ATTRIBUTES_LIMIT || bytes + key.len() + value.len() > ATTRIBUTES_BYTES_LIMIT {
            return Err(FieldError::TooLarge);
        }
        attributes.retain(|(k, _)| k != key);
        attributes.push((key.to_owned(), value.to_owned()));
        Ok(())
    }
}

/// Whether the host takes a path: RFC 9112, section 3.2.1, and the bytes that are common in spite of RFC 3986.
fn is_origin_form(path_with_query: &str) -> bool {
    let (path, query) = path_with_query.split_once('?').unwrap_or((path_with_query, ""));
    let allowed = |byte: u8| byte > b' ' && byte != 0x7f && !b"#<>".contains(&byte);
    path.starts_with('/')
        && path.bytes().all(|byte| allowed(byte) && byte != b'`')
        && query.bytes().all(|byte| allowed(byte) && byte != b'"')
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
            fields: Fields::new(Side::Request),
            response_fields: Fields::new(Side::Response),
            attributes: RefCell::default(),
        })
    }

    /// Adds a header field as the client sent it: any, forbidden ones included.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.0.fields.receive(name, value.as_ref());
        self
    }

    /// Sets the client's address.
    #[must_use]
    pub fn client(mut self, address: &str) -> Self {
        address.clone_into(&mut self.0.client);
        self
    }

    /// What a request hook gets. Each call stands for one hook: what it may change is counted anew.
    pub fn request(&self) -> Request<'_> {
        self.0.fields.start(false);
        Request::new(&self.0)
    }

    /// What a response hook gets: the request as it was sent to the upstream, and read-only.
    pub fn sent(&self) -> Request<'_> {
        self.0.fields.start(true);
        self.0.response_fields.start(true);
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

    /// First value that the plugin gave to a field of the response to come, by [`Request::apply_to_response`].
    pub fn response_value(&self, name: &str) -> Option<String> {
        self.0.response_fields.get(name).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    /// Path and query as they are now.
    pub fn path_with_query(&self) -> String {
        self.0.path_with_query()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Edits;

    fn get() -> TestRequest {
        TestRequest::new("GET", "/")
    }

    #[test]
    fn a_plugin_reads_its_own_changes_in_any_case() {
        let test = get().header("X-A", "1").header("x-a", "2");
        let request = test.request();
        request.apply(Edits::new().append("X-A", "3").set("X-B", "4").remove("x-none")).unwrap();
        assert_eq!(test.values("x-a"), ["1", "2", "3"]);
        assert_eq!(request.header_str("x-b").as_deref(), Some("4"));
        request.remove("X-a").unwrap();
        assert_eq!(request.entries(), [("x-b".to_owned(), b"4".to_vec())]);
    }

    #[test]
    fn changes_are_made_together_or_not_at_all() {
        let test = get();
        let changed = test.request().apply(Edits::new().set("x-a", "1").set("host", "evil"));
        assert_eq!((changed, test.value("x-a")), (Err(FieldError::Forbidden), None));
    }

    #[test]
    fn a_field_is_checked_by_name_first_and_then_by_value() {
        let test = get();
        let request = test.request();
        let long = vec![b'x'; VALUE_LIMIT + 1];
        assert_eq!(request.set("a b", &long), Err(FieldError::InvalidName));
        assert_eq!(request.set("Transfer-Encoding", &long), Err(FieldError::Forbidden));
        assert_eq!(request.set("Via", "1.1 own"), Err(FieldError::Forbidden));
        assert_eq!(request.remove("X-Forwarded-For"), Err(FieldError::Forbidden));
        assert_eq!(request.set("x-a", &long), Err(FieldError::TooLarge));
        assert_eq!(request.set("x-a", "a\r\nb: c"), Err(FieldError::InvalidValue));
    }

    #[test]
    fn a_hook_is_limited_in_what_it_changes_and_the_next_one_starts_anew() {
        let test = get();
        let request = test.request();
        let value = vec![b'x'; VALUE_LIMIT];
        let made = (0..10).take_while(|_| request.set("x-a", &value).is_ok()).count();
        assert_eq!(made, 3, "the fourth value of 16 KiB is over 64 KiB with its name");
        assert_eq!(request.set("x-a", "small"), Ok(()), "a refused change counts nothing");
        assert_eq!(test.request().set("x-a", &value), Ok(()));
    }

    #[test]
    fn a_request_that_was_sent_is_read_only_but_for_its_attributes() {
        let test = get().header("x-a", "1");
        let request = test.sent();
        assert_eq!(request.set("x-a", "2"), Err(FieldError::ReadOnly));
        assert_eq!(request.remove("x-a"), Err(FieldError::ReadOnly));
        assert_eq!(request.apply(Edits::new().set("a b", "2")), Err(FieldError::ReadOnly));
        assert_eq!(request.set_path_with_query("/other"), Err(FieldError::ReadOnly));
        assert_eq!(request.set_attr("k", "v"), Ok(()));
        assert_eq!((test.value("x-a").as_deref(), test.path_with_query().as_str()), (Some("1"), "/"));
    }

    #[test]
    fn fields_of_the_response_to_come_add_up_over_stages_until_it_is_there() {
        let test = get();
        test.request().apply_to_response(Edits::new().set("x-a", "1").append("set-cookie", "c=1")).unwrap();
        let later = test.request();
        assert_eq!(later.response_field("X-A").as_deref(), Some(&b"1"[..]));
        assert_eq!(later.apply_to_response(Edits::new().set("content-length", "1")), Err(FieldError::Forbidden));
        assert_eq!(later.apply_to_response(Edits::new().set("via", "1.1 own").remove("x-a")), Ok(()));
        assert_eq!((test.response_value("x-a"), test.response_value("set-cookie")), (None, Some("c=1".to_owned())));
        let value = vec![b'x'; VALUE_LIMIT];
        let made = (0..10).take_while(|_| test.request().apply_to_response(Edits::new().set("x-b", &*value)).is_ok());
        assert_eq!(made.count(), 3, "64 KiB for one request, over all hooks");
        let sent = test.sent();
        assert_eq!(sent.apply_to_response(Edits::new().set("x-a", "2")), Err(FieldError::ReadOnly));
        assert_eq!(sent.response_field("set-cookie"), None);
    }

    #[test]
    fn attributes_are_limited_in_number_and_bytes() {
        let test = get();
        let request = test.request();
        for key in 0..ATTRIBUTES_LIMIT {
            request.set_attr(&key.to_string(), "").unwrap();
        }
        assert_eq!(request.set_attr("one more", ""), Err(FieldError::TooLarge));
        assert_eq!(request.set_attr("0", "replaced"), Ok(()));
        assert_eq!(get().request().set_attr("k", vec![0; ATTRIBUTES_BYTES_LIMIT]), Err(FieldError::TooLarge));
    }

    /// The host parses paths by the crate `http`.
    #[test]
    fn a_path_is_taken_if_the_host_takes_it() {
        let host_takes = |path: &str| {
            path.starts_with('/') && !path.contains('#') && path.parse::<http::uri::PathAndQuery>().is_ok()
        };
        for character in (0..=0xff_u8).map(char::from) {
            for path in [format!("/a{character}b"), format!("/a?b{character}c"), format!("{character}a")] {
                assert_eq!(get().request().set_path_with_query(&path).is_ok(), host_takes(&path), "{path:?}");
            }
        }
    }
}
