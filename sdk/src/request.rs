//! The request as a plugin sees it.

use crate::{Edits, FieldError};

#[cfg(target_family = "wasm")]
pub(crate) type Raw = crate::bindings::imports::witgate::plugin::http::Request;
#[cfg(not(target_family = "wasm"))]
pub(crate) type Raw = crate::testing::RawRequest;

pub use crate::bindings::imports::witgate::plugin::http::Peer as Client;

/// A request's head. Nothing is copied from the host until it is asked for: one header costs about a tenth of a
/// microsecond.
///
/// Changes are seen by later calls at once, and by later stages and the upstream once the hook has returned `Continue`.
pub struct Request<'a>(&'a Raw);

impl<'a> Request<'a> {
    #[doc(hidden)]
    pub fn new(raw: &'a Raw) -> Self {
        Self(raw)
    }

    /// The request id: on every log line and in `x-request-id`.
    pub fn id(&self) -> String {
        self.0.id()
    }

    /// The method, as sent: methods are case-sensitive.
    pub fn method(&self) -> String {
        self.0.method()
    }

    /// Path and query, normalised as for routing; begins with a slash.
    pub fn path_with_query(&self) -> String {
        self.0.path_with_query()
    }

    /// The path, without the query.
    pub fn path(&self) -> String {
        let mut path = self.0.path_with_query();
        path.truncate(path.find('?').unwrap_or(path.len()));
        path
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<String> {
        self.0.path_with_query().split_once('?').map(|(_, query)| query.to_owned())
    }

    /// First value of a parameter of the query, decoded (`%20` and `+` are spaces); none if it is not there or not UTF-8.
    ///
    /// The upstream gets the query as it was sent, and may read a repeated parameter otherwise.
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        let query = self.query()?;
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let value = pairs.into_iter().find(|(key, _)| decoded(key) == name.as_bytes()).map(|(_, value)| value)?;
        String::from_utf8(decoded(value)).ok()
    }

    /// Host and optional port that the client asked for.
    pub fn authority(&self) -> Option<String> {
        self.0.authority()
    }

    /// `http` or `https`: of the client's connection to the gateway.
    pub fn scheme(&self) -> String {
        self.0.scheme()
    }

    /// Name of the route that matched.
    pub fn route(&self) -> String {
        self.0.route()
    }

    /// The client's end of the connection.
    pub fn client(&self) -> Client {
        self.0.client()
    }

    /// First value of a header field.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name)
    }

    /// First value of a header field, if it is UTF-8.
    pub fn header_str(&self, name: &str) -> Option<String> {
        String::from_utf8(self.0.get(name)?).ok()
    }

    /// All values of a header field, in order.
    pub fn headers(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.get_all(name)
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

    /// Replaces path and query for the upstream. The route does not change.
    ///
    /// # Errors
    /// See [`FieldError`]; nothing has changed then.
    pub fn set_path_with_query(&self, path_with_query: &str) -> Result<(), FieldError> {
        self.0.set_path_with_query(path_with_query)
    }

    /// Changes the fields of the response to come, whoever makes it: the upstream, a plugin or the gateway. All changes are
    /// made, or none.
    ///
    /// Cheaper than a hook for the response, and the only way to add to answers that no upstream gave. A response or a
    /// refusal keeps the fields that it has itself.
    ///
    /// # Errors
    /// See [`FieldError`]; nothing has changed then. [`FieldError::ReadOnly`] once the request's head has been sent, and
    /// in response hooks.
    pub fn apply_to_response(&self, edits: Edits) -> Result<(), FieldError> {
        self.0.apply_to_response(edits.operations())
    }

    /// First value that [`Request::apply_to_response`] gives to a field so far, by earlier stages or this one.
    pub fn response_field(&self, name: &str) -> Option<Vec<u8>> {
        self.0.response_field(name)
    }

    /// An attribute: bytes that stages leave for later hooks and later stages of the same request.
    pub fn attr(&self, key: &str) -> Option<Vec<u8>> {
        self.0.attr(key)
    }

    /// Sets an attribute. Attributes never leave the gateway.
    ///
    /// # Errors
    /// [`FieldError::TooLarge`] beyond 64 keys or 16 KiB.
    pub fn set_attr(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), FieldError> {
        self.0.set_attr(key, value.as_ref())
    }
}

/// Undoes the encoding of forms. What is no escape stays as it is.
fn decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((byte, after)) = rest.split_first() {
        let (byte, after) = match byte {
            b'%' => escaped(after).unwrap_or((b'%', after)),
            b'+' => (b' ', after),
            other => (*other, after),
        };
        decoded.push(byte);
        rest = after;
    }
    decoded
}

/// The byte that two hexadecimal digits stand for, and what comes after them.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = text.split_at_checked(2)?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (high, low) = (digit(digits.first()?)?, digit(digits.last()?)?);
    Some((u8::try_from(high * 16 + low).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use crate::testing::TestRequest;

    #[test]
    fn a_parameter_of_the_query_is_found_and_decoded() {
        let test = TestRequest::new("GET", "/p?a=1&b%20c=%C3%BC+x%2B&a=2&flag&odd=%zz%4&bad=%ff&e==");
        let request = test.request();
        for (name, value) in [
            ("a", Some("1")),
            ("b c", Some("\u{fc} x+")),
            ("flag", Some("")),
            ("odd", Some("%zz%4")),
            ("bad", None),
            ("e", Some("=")),
            ("none", None),
        ] {
            assert_eq!(request.query_parameter(name).as_deref(), value, "{name}");
        }
        assert_eq!(TestRequest::new("GET", "/p").request().query_parameter("a"), None);
    }
}
