//! Names of header fields.

use super::Kind;
use crate::node::Node;
use crate::source::Read;

/// A field's name, in lower case (RFC 9110, section 5.1). Not one of those that frame messages.
pub(crate) struct FieldName;

/// Longest name: enough for any in use.
const LENGTH_LIMIT: usize = 128;

/// Fields that belong to a connection or to the gateway itself.
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

impl Kind for FieldName {
    type Value = String;

    fn expected(&self) -> String {
        "the name of a header field, in lower case".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        let text = node.text().unwrap_or_default();
        let token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > LENGTH_LIMIT || !text.bytes().all(token) {
            return Err(node.wrong(&self.expected(), "write a name such as \"x-abuse-score\""));
        }
        if FRAMING.contains(&text) {
            return Err(node.wrong(&self.expected(), "the gateway sets this field itself: choose another"));
        }
        Ok(text.to_owned())
    }
}
