//! A value, or a word that says that there is none.

use super::{Kind, Shown};
use crate::node::Node;
use crate::source::Read;

/// The word (read as None) or a value of the kind.
pub(crate) struct OrWord<K> {
    pub(crate) word: &'static str,
    pub(crate) kind: K,
}

impl<K: Kind> Kind for OrWord<K> {
    type Value = Option<K::Value>;

    fn expected(&self) -> String {
        format!("{}, or \"{}\"", self.kind.expected(), self.word)
    }

    fn read(&self, node: &Node<'_>) -> Read<Self::Value> {
        if node.text() == Some(self.word) { Ok(None) } else { self.kind.read(node).map(Some) }
    }
}

impl<K: Shown> Shown for OrWord<K> {
    fn show(&self, value: &Self::Value) -> String {
        value.as_ref().map_or_else(|| format!("\"{}\"", self.word), |value| self.kind.show(value))
    }
}
