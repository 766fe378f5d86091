//! Shared libraries, as the dynamic linker finds them.

use super::Kind;
use crate::node::Node;
use crate::source::Read;

/// The name of a shared library, or its absolute path.
pub(crate) struct LibraryName;

impl Kind for LibraryName {
    type Value = String;

    fn expected(&self) -> String {
        "the name of a shared library".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        let possible = |text: &&str| !text.is_empty() && text.len() < 4096 && !text.contains('\0');
        match node.text().filter(possible) {
            Some(text) => Ok(text.to_owned()),
            None => Err(node.wrong(&self.expected(), "write a name such as \"libcrypto.so.3\", or an absolute path")),
        }
    }
}
