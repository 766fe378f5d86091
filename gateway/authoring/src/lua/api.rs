//! What of lua-nginx-module is here: the list that docs/lua/compatibility.md is written from.

use std::collections::BTreeMap;

use serde::Deserialize;

const LIST: &str = include_str!("../../../../docs/lua/api.toml");

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    Works,
    Differs,
    Refused,
    /// A library whose original was not run: nothing is known to be wrong with it.
    #[serde(rename = "not run")]
    NotRun,
}

#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    name: String,
    pub(super) status: Status,
    #[serde(default)]
    pub(super) note: String,
}

#[derive(Deserialize)]
struct List {
    sections: Vec<Section>,
}

#[derive(Deserialize)]
struct Section {
    entries: Vec<Entry>,
}

/// Entries by name. Variables begin with a dollar sign; methods of sockets are those of `tcpsock:` and `udpsock:`.
pub(super) struct Api(BTreeMap<String, Entry>);

impl Api {
    /// # Errors
    /// The list that is built in is wrong; a test reads it.
    pub(super) fn new() -> Result<Self, String> {
        let list: List = toml::from_str(LIST).map_err(|error| error.to_string())?;
        let entries = list.sections.into_iter().flat_map(|section| section.entries);
        Ok(Self(entries.map(|entry| (entry.name.clone(), entry)).collect()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.0.get(name)
    }

    /// A method of a socket, of either kind.
    pub(super) fn socket_method(&self, name: &str) -> Option<&Entry> {
        self.get(&format!("tcpsock:{name}")).or_else(|| self.get(&format!("udpsock:{name}")))
    }

    /// Whether `ngx.var` has this variable.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.0.contains_key(&format!("${name}"))
            || self
                .0
                .keys()
                .filter_map(|key| key.strip_prefix('$')?.strip_suffix("NAME"))
                .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()))
    }

    /// What begins with a prefix, without it.
    pub(super) fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.keys().filter_map(move |name| name.strip_prefix(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_and_knows_what_is_refused() {
        let api = Api::new().unwrap();
        assert_eq!(api.get("ngx.say").unwrap().status, Status::Differs);
        assert_eq!(api.get("ngx.req.socket").unwrap().status, Status::Refused);
        assert_eq!(api.socket_method("setpeername").unwrap().status, Status::Works);
        assert!(api.has_variable("http_x_key") && api.has_variable("uri") && !api.has_variable("http_"));
        assert!(!api.has_variable("realpath_root"));
    }
}
