//! Models by name and version.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{FindError, ModelStatus, ModelVersion};

/// Models by name, each with its versions and the other names of these.
#[derive(Debug, Default, Clone)]
pub struct Catalogue {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Default, Clone)]
struct Entry {
    versions: BTreeMap<u64, Arc<ModelVersion>>,
    aliases: BTreeMap<String, u64>,
}

/// Alias of the highest version, which every model has.
pub(crate) const LATEST: &str = "latest";

/// Takes `name@version` apart: a number, or an alias.
pub(crate) fn split_name(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('@') {
        Some((model, version)) if !model.is_empty() && !version.is_empty() => (model, Some(version)),
        _ => (name, None),
    }
}

impl Catalogue {
    /// Adds a version, or puts it in the place of the one with its number.
    pub fn add(&mut self, version: Arc<ModelVersion>) {
        let entry = self.entries.entry(version.name.clone()).or_default();
        entry.versions.insert(version.version, version);
    }

    /// Gives a version another name.
    pub fn alias(&mut self, name: &str, alias: &str, version: u64) {
        let entry = self.entries.entry(name.to_owned()).or_default();
        entry.aliases.insert(alias.to_owned(), version);
    }

    /// Takes a model out, or one of its versions.
    pub(crate) fn remove(&mut self, name: &str, version: Option<u64>) {
        let Some(version) = version else {
            self.entries.remove(name);
            return;
        };
        if let Some(entry) = self.entries.get_mut(name) {
            entry.versions.remove(&version);
            entry.aliases.retain(|_, aliased| *aliased != version);
            if entry.versions.is_empty() {
                self.entries.remove(name);
            }
        }
    }

    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Every version of every model.
    pub fn versions(&self) -> impl Iterator<Item = &Arc<ModelVersion>> {
        self.entries.values().flat_map(|entry| entry.versions.values())
    }

    /// A version by number or alias; none: the latest.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<ModelVersion>, FindError> {
        let entry = self.entries.get(name).ok_or_else(|| FindError::NoModel(name.to_owned()))?;
        let found = match version {
            None | Some(LATEST) => entry.versions.last_key_value().map(|(_, latest)| latest),
            Some(version) => {
                let number = version.parse().ok().or_else(|| entry.aliases.get(version).copied());
                number.and_then(|number: u64| entry.versions.get(&number))
            }
        };
        found.cloned().ok_or_else(|| {
            let numbers = entry.versions.keys().map(ToString::to_string);
            let present: Vec<String> = numbers.chain(entry.aliases.keys().cloned()).collect();
            let version = version.unwrap_or(LATEST).to_owned();
            FindError::NoVersion { name: name.to_owned(), version, present: present.join(", ") }
        })
    }

    pub fn list(&self) -> Vec<ModelStatus> {
        let status = |(name, entry): (&String, &Entry)| {
            let latest = entry.versions.keys().next_back().map(|number| (LATEST.to_owned(), *number));
            let aliases = entry.aliases.iter().map(|(alias, number)| (alias.clone(), *number));
            ModelStatus {
                name: name.clone(),
                versions: entry.versions.values().cloned().collect(),
                aliases: aliases.chain(latest).collect(),
            }
        };
        self.entries.iter().map(status).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn version(name: &str, version: u64) -> Arc<ModelVersion> {
        Arc::new(ModelVersion {
            name: name.to_owned(),
            version,
            metadata: Arc::default(),
            digest: [0; 32],
            path: String::new(),
            loaded_at: SystemTime::UNIX_EPOCH,
            memory_estimate: 0,
            backend: "none",
            batch_limit: 1,
            model: None,
        })
    }

    #[test]
    fn a_version_is_found_by_number_alias_or_as_the_latest() {
        let mut catalogue = Catalogue::default();
        for number in [2, 3, 10] {
            catalogue.add(version("m", number));
        }
        catalogue.alias("m", "stable", 3);
        let found = |wanted| catalogue.find("m", wanted).map(|version| version.version);
        assert_eq!(found(None), Ok(10), "numbers, not words, are compared");
        assert_eq!((found(Some("2")), found(Some("stable")), found(Some("latest"))), (Ok(2), Ok(3), Ok(10)));
        let error = found(Some("4")).unwrap_err().to_string();
        assert_eq!(error, "model `m` has no version `4`; it has 2, 3, 10, stable");
        assert_eq!(catalogue.find("n", None).unwrap_err().to_string(), "no model `n`");
    }

    #[test]
    fn a_model_is_gone_with_its_last_version() {
        let mut catalogue = Catalogue::default();
        catalogue.add(version("m", 1));
        catalogue.add(version("m", 2));
        catalogue.alias("m", "old", 1);
        catalogue.remove("m", Some(1));
        assert!(catalogue.find("m", Some("old")).is_err());
        assert_eq!(catalogue.find("m", None).map(|version| version.version), Ok(2));
        catalogue.remove("m", Some(2));
        assert!(!catalogue.contains("m"));
    }
}
