//! Several values of one kind.

use toml::de::DeValue;

use super::{Kind, Shown};
use crate::node::Node;
use crate::source::Read;

/// Values of the kind, in order.
pub(crate) struct List<K> {
    pub(crate) kind: K,
    pub(crate) least: usize,
    pub(crate) most: usize,
}

impl<K: Kind> Kind for List<K> {
    type Value = Vec<K::Value>;

    fn expected(&self) -> String {
        format!("an array of {} to {}, each {}", self.least, self.most, self.kind.expected())
    }

    fn read(&self, node: &Node<'_>) -> Read<Self::Value> {
        let DeValue::Array(items) = node.value else {
            return Err(node.wrong(&self.expected(), "write an array: [ …, … ]"));
        };
        if items.len() < self.least || items.len() > self.most {
            let help = if items.is_empty() { "add an element" } else { "remove some" };
            return Err(node.wrong(&self.expected(), help));
        }
        let mut values = Vec::with_capacity(items.len());
        let mut failure = None;
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", node.path);
            let item = Node { source: node.source, value: item.get_ref(), offset: item.span().start, path };
            match self.kind.read(&item) {
                Ok(value) => values.push(value),
                Err(reported) => failure = Some(reported),
            }
        }
        failure.map_or(Ok(values), Err)
    }
}

impl<K: Shown> Shown for List<K> {
    fn show(&self, values: &Self::Value) -> String {
        format!("[{}]", values.iter().map(|value| self.kind.show(value)).collect::<Vec<_>>().join(", "))
    }
}
