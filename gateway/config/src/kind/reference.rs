//! The name of something that the file defines elsewhere.

use super::{Kind, name};
use crate::nearest::did_you_mean;
use crate::node::{Node, quote};
use crate::source::Read;

/// The name of one of the `names`, which are those of `[table.NAME]`.
pub(crate) struct NameOf<'n> {
    pub(crate) table: &'static str,
    pub(crate) names: &'n [String],
}

impl Kind for NameOf<'_> {
    type Value = String;

    fn expected(&self) -> String {
        format!("the name of a `[{}.NAME]`", self.table)
    }

    fn read(&self, node: &Node<'_>) -> Read<String> {
        match node.text() {
            Some(name) if self.names.iter().any(|known| known == name) => Ok(name.into()),
            Some(name) => {
                let help = did_you_mean(name, self.names.iter().map(String::as_str), || self.advise(name));
                Err(node.fail(format!("expected {}, got {}, which does not exist", self.expected(), quote(name)), help))
            }
            None => Err(node.wrong(&self.expected(), self.advise("NAME"))),
        }
    }
}

impl NameOf<'_> {
    fn advise(&self, wanted: &str) -> String {
        let wanted = if name::is_valid(wanted) { wanted } else { "NAME" };
        if self.names.is_empty() {
            return format!("define `[{}.{wanted}]`", self.table);
        }
        let known: Vec<_> = self.names.iter().take(20).map(|name| format!("`{name}`")).collect();
        format!("write one of {}, or define `[{}.{wanted}]`", known.join(", "), self.table)
    }
}
