//! The versions of the contract: which one a component speaks, and how the host speaks it.
//!
//! `wit/` has the current version and `wit/VERSION/` each that was released, which never changes again. A component says in
//! the names of its imports and exports what it was built for. Every version that is served has an entry in [`SERVED`]:
//! its functions link what such a component imports and find the hooks that it exports, and from there on all plugins are
//! alike. To serve another version is to add an entry, whose functions translate.

use wasmtime::component::{Component, InstancePre, Linker};

use crate::LoadError;
use crate::exports::Exports;
use crate::host::{self, HostState};

/// The package of the contract.
pub(crate) const PACKAGE: &str = "witgate:plugin";

/// One version of the contract, as this host serves it.
pub(crate) struct Contract {
    /// The version in full, as in its `wit/`.
    pub(crate) version: &'static str,
    /// How versions begin that are compatible with it. Below 1.0 they are if their minor numbers are equal (Semantic
    /// Versioning, clause 4, as in Cargo).
    line: &'static str,
    /// What can be imported.
    pub(crate) interfaces: &'static [&'static str],
    /// Links one of `interfaces`.
    pub(crate) link: fn(&mut Linker<HostState>, &str) -> wasmtime::Result<()>,
    /// Finds the functions of a plugin that exports these interfaces.
    pub(crate) exports: fn(&InstancePre<HostState>, &[String]) -> Result<Exports, LoadError>,
}

/// All that are served, the current one first.
static SERVED: [Contract; 1] = [Contract {
    version: "0.1.0",
    line: "0.1.",
    interfaces: &host::INTERFACES,
    link: host::link,
    exports: Exports::find,
}];

/// A name such as `witgate:plugin/kv@0.1.0`, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    pub(crate) package: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) version: &'a str,
}

impl<'a> Name<'a> {
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let (package, rest) = name.split_once('/')?;
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        Some(Self { package, interface, version })
    }

    pub(crate) fn without_version(&self) -> String {
        format!("{}/{}", self.package, self.interface)
    }
}

impl Contract {
    /// The version that a component speaks; the current one if it names none.
    ///
    /// # Errors
    /// It is not served, or there are several.
    pub(crate) fn of(component: &Component) -> Result<&'static Self, LoadError> {
        let (engine, ty) = (component.engine(), component.component_type());
        let imports = ty.imports(engine).map(|(name, _)| name.to_owned());
        let names = imports.chain(ty.exports(engine).map(|(name, _)| name.to_owned()));
        Self::among(names.collect::<Vec<_>>().iter().map(String::as_str))
    }

    fn among<'n>(names: impl Iterator<Item = &'n str>) -> Result<&'static Self, LoadError> {
        let [current, ..] = &SERVED;
        let mut spoken: Option<(&Self, &str)> = None;
        for name in names {
            let Some(parsed) = Name::parse(name).filter(|parsed| parsed.package == PACKAGE) else { continue };
            let Some(contract) = SERVED.iter().find(|contract| contract.has(&parsed)) else {
                return Err(LoadError::UnknownVersion { name: name.to_owned(), served: Self::served() });
            };
            match spoken {
                Some((other, first)) if other.version != contract.version => {
                    return Err(LoadError::MixedVersions { names: [first.to_owned(), name.to_owned()] });
                }
                _ => spoken = Some((contract, name)),
            }
        }
        Ok(spoken.map_or(current, |(contract, _)| contract))
    }

    /// Whether a name belongs to this version.
    pub(crate) fn has(&self, name: &Name<'_>) -> bool {
        name.package == PACKAGE && name.version.starts_with(self.line)
    }

    /// For people.
    fn served() -> String {
        let versions: Vec<_> =
            SERVED.iter().map(|contract| format!("{PACKAGE}@{}", contract.line.trim_end_matches('.'))).collect();
        versions.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let name = Name::parse("witgate:plugin/kv@0.1.0").unwrap();
        assert_eq!((name.package, name.interface, name.version), ("witgate:plugin", "kv", "0.1.0"));
        assert_eq!(Name::parse("kv"), None);
    }

    #[test]
    fn a_component_speaks_the_version_of_its_names() {
        let of = |names: &[&str]| Contract::among(names.iter().copied()).map(|contract| contract.version);
        assert_eq!(of(&["wasi:cli/stdout@0.2.6", "witgate:plugin/kv@0.1.0"]).unwrap(), "0.1.0");
        assert_eq!(of(&["witgate:plugin/lifecycle@0.1.7"]).unwrap(), "0.1.0", "a compatible one");
        assert_eq!(of(&["other:plugin/kv@9.0.0"]).unwrap(), "0.1.0", "other packages do not count");
        for unknown in
            ["witgate:plugin/kv@0.2.0", "witgate:plugin/kv@0.10.0", "witgate:plugin/kv@1.1.0", "witgate:plugin/kv"]
        {
            let error = of(&["witgate:plugin/log@0.1.0", unknown]).unwrap_err().to_string();
            assert!(error.contains(unknown) && error.contains("serves witgate:plugin@0.1;"), "{error}");
        }
    }

    #[test]
    fn the_current_version_is_that_of_the_directory() {
        let world = include_str!("../../../wit/world.wit");
        assert!(world.starts_with(&format!("package {PACKAGE}@{};", SERVED[0].version)));
    }
}
