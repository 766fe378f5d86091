//! `true` or `false`.

use toml::de::DeValue;

use super::{Kind, Shown};
use crate::node::Node;
use crate::source::Read;

pub(crate) struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn expected(&self) -> String {
        "`true` or `false`".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<bool> {
        match node.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(node.wrong(&self.expected(), "write `true` or `false`, without quotes")),
        }
    }
}

impl Shown for Switch {
    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}
