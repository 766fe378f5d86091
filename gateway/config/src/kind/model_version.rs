//! A model that the file defines, or one version of it.

use super::{Kind, NameOf};
use crate::ModelName;
use crate::node::Node;
use crate::source::Read;

/// `"abuse"` or `"abuse@2"`; the model exists, whether the version does shows later.
pub(crate) struct ModelVersionName<'n> {
    pub(crate) names: &'n [String],
}

impl Kind for ModelVersionName<'_> {
    type Value = ModelName;

    fn expected(&self) -> String {
        "the name of a `[models.NAME]`, perhaps with `@VERSION`".into()
    }

    fn read(&self, node: &Node<'_>) -> Read<ModelName> {
        let versioned = node.text().and_then(|text| text.split_once('@'));
        let Some((name, version)) = versioned else {
            let name = NameOf { table: "models", names: self.names }.read(node)?;
            return Ok(ModelName { name, version: None });
        };
        if self.names.iter().any(|known| known == name) && !version.is_empty() {
            return Ok(ModelName { name: name.to_owned(), version: Some(version.to_owned()) });
        }
        let known: Vec<_> = self.names.iter().take(20).map(|name| format!("`{name}`")).collect();
        let help = if known.is_empty() {
            format!("define `[models.{}]`", if super::name::is_valid(name) { name } else { "NAME" })
        } else {
            format!("write one of {}, with a number or an alias behind the `@`", known.join(", "))
        };
        Err(node.wrong(&self.expected(), help))
    }
}
