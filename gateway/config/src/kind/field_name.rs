//! Names of header fields.

use witgate_http::owned::is_owned_in_requests;

use super::Kind;
use crate::node::Node;
use crate::source::Read;

/// A field's name, in lower case (RFC 9110, section 5.1).
pub(crate) enum FieldName {
    /// Of a field that is looked at.
    Seen,
    /// Of a field that a stage sets: not one that only the gateway sets.
    Set,
}

/// Longest name: enough for any in use.
const LENGTH_LIMIT: usize = 128;

impl Kind for FieldName {
    type Value = String;

    fn expected(&self) -> String {
        match self {
            Self::Seen => "the name of a header field, in lower case".into(),
            Self::Set => "the name of a header field, in lower case, that stages may set".into(),
        }
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        let text = node.text().unwrap_or_default();
        let token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > LENGTH_LIMIT || !text.bytes().all(token) {
            return Err(node.wrong(&self.expected(), "write a name such as \"x-abuse-score\""));
        }
        if matches!(self, Self::Set) && is_owned_in_requests(text) {
            return Err(node.wrong(&self.expected(), "the gateway sets this field itself: choose another"));
        }
        Ok(text.to_owned())
    }
}
