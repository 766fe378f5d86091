//! A value that keeps its spot, because whether it is right shows only later.

use super::{Kind, Shown};
use crate::Located;
use crate::node::Node;
use crate::source::Read;

/// A value of the kind, with its spot.
pub(crate) struct At<K>(pub(crate) K);

impl<K: Kind> Kind for At<K> {
    type Value = Located<K::Value>;

    fn expected(&self) -> String {
        self.0.expected()
    }

    fn read(&self, node: &Node<'_>) -> Read<Self::Value> {
        self.0.read(node).map(|value| node.locate(value))
    }
}

impl<K: Shown> Shown for At<K> {
    fn show(&self, value: &Self::Value) -> String {
        self.0.show(&value.value)
    }
}
