//! Names of environment variables.

use super::Kind;
use crate::node::Node;
use crate::source::Read;

/// An environment variable's name, as POSIX has it (Base Definitions, 3.216).
pub(crate) struct Variable;

impl Kind for Variable {
    type Value = String;

    fn expected(&self) -> String {
        "the name of an environment variable".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let valid = |name: &&str| {
            (1..=255).contains(&name.len())
                && name.bytes().all(allowed)
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        match node.text().filter(valid) {
            Some(name) => Ok(name.into()),
            // The value is not repeated: somebody may have put the secret itself here, and messages go to logs.
            None => Err(node.fail(
                format!("expected {}, got something else", self.expected()),
                "write letters, digits and `_`, such as \"SESSION_KEY\"; the secret itself must not stand in this file",
            )),
        }
    }
}
