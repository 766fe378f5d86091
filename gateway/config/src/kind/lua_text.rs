//! Lua code in the file itself.

use super::Kind;
use crate::node::Node;
use crate::source::Read;

/// A chunk of Lua. Whether it can be compiled shows when it is loaded.
pub(crate) struct LuaText;

impl Kind for LuaText {
    type Value = String;

    fn expected(&self) -> String {
        "a chunk of Lua".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        match node.text().filter(|text| !text.trim().is_empty()) {
            Some(text) => Ok(text.to_owned()),
            None => Err(node.wrong(&self.expected(), "write it as a string, with ''' around more than one line")),
        }
    }
}
