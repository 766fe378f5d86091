//! Where the parts of a plugin's own configuration stand, for whoever finds fault with one of them later.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::Spot;
use crate::node::{Node, join};

/// Where an entry of a table or of an array stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Of the key; in an array, of the value.
    pub key: Spot,
    pub value: Spot,
}

/// Places by JSON pointer (RFC 6901). All are equal: where something stands is no part of what it says.
#[derive(Debug, Clone, Default)]
pub struct Places(BTreeMap<String, Place>);

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    /// The place of an entry, or of the closest one around it; none: it is outside of the configuration, or all of it.
    pub fn find(&self, pointer: &str) -> Option<&Place> {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.0.get(pointer) {
                return Some(place);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }

    /// The place of a key of the configuration itself.
    pub(crate) fn of_key(&self, key: &str) -> Option<&Place> {
        self.0.get(&step("", key))
    }

    /// Of everything below a value whose depth has been checked.
    pub(crate) fn below(node: &Node<'_>) -> Self {
        let mut places = BTreeMap::new();
        add(node, "", &mut places);
        Self(places)
    }
}

/// The pointer of a key.
fn step(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn add(node: &Node<'_>, pointer: &str, places: &mut BTreeMap<String, Place>) {
    match node.value {
        DeValue::Table(entries) => {
            for (key, value) in entries {
                let (name, path) = (key.get_ref(), join(&node.path, key.get_ref()));
                let pointer = step(pointer, name);
                let key_at = key.span().start;
                // As for tables of the gateway's own: the header's key is where one would look.
                let offset = if value.get_ref().is_table() { key_at } else { value.span().start };
                let child = Node { source: node.source, value: value.get_ref(), offset, path };
                let key = node.source.spot(Some(key_at), &child.path);
                places.insert(pointer.clone(), Place { key, value: child.spot() });
                add(&child, &pointer, places);
            }
        }
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{}[{index}]", node.path);
                let child = Node { source: node.source, value: item.get_ref(), offset: item.span().start, path };
                let pointer = format!("{pointer}/{index}");
                places.insert(pointer.clone(), Place { key: child.spot(), value: child.spot() });
                add(&child, &pointer, places);
            }
        }
        _ => {}
    }
}
