//! What a component imports, held against what it was granted.

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use crate::grants::Grants;
use crate::host::{self, HostState, wasi};
use crate::{LoadError, error_chain};

/// The package of the contract.
pub(crate) const PACKAGE: &str = "witgate:plugin";
/// Versions below 1.0 are compatible if their minor numbers are equal (Semantic Versioning, clause 4, as in Cargo).
const VERSION: &str = "0.1.";
/// The version that `wit/` has. Lookups by it find every version that is compatible.
pub(crate) const SERVED: &str = "0.1.0";
/// The line of WASI of which a slice is linked.
const WASI_VERSION: &str = "0.2.";

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

    /// Whether it belongs to the version of the contract that this host serves.
    pub(crate) fn is_served(&self) -> bool {
        self.package == PACKAGE && self.version.starts_with(VERSION)
    }

    fn without_version(&self) -> String {
        format!("{}/{}", self.package, self.interface)
    }
}

/// Links what the component imports, provided that it is granted. Only that is linked: an interface that no grant covers is
/// not there to be called.
pub(crate) fn link(engine: &Engine, component: &Component, grants: &Grants) -> Result<Linker<HostState>, LoadError> {
    let mut linker = Linker::new(engine);
    for (import, item) in component.component_type().imports(engine) {
        let unknown = || LoadError::UnknownImport { import: import.to_owned() };
        let mismatch = |error: wasmtime::Error| LoadError::Mismatch { reason: error_chain(&error) };
        let name = Name::parse(import).ok_or_else(unknown)?;
        let ComponentItem::ComponentInstance(wanted) = item.ty else { return Err(unknown()) };
        if name.package == PACKAGE {
            allow(name, import, grants)?;
            host::link(&mut linker, name.interface).map_err(mismatch)?;
        } else if wasi::PACKAGES.contains(&name.package) && name.version.starts_with(WASI_VERSION) {
            let interface = name.without_version();
            let mut instance = linker.instance(import).map_err(mismatch)?;
            wasi::link(engine, &mut instance, (&interface, &wanted), grants.clock).map_err(mismatch)?;
        } else {
            return Err(unknown());
        }
    }
    Ok(linker)
}

fn allow(name: Name<'_>, import: &str, grants: &Grants) -> Result<(), LoadError> {
    if !name.is_served() {
        return Err(LoadError::ImportVersion { import: import.to_owned() });
    }
    if !host::INTERFACES.contains(&name.interface) {
        return Err(LoadError::UnknownImport { import: import.to_owned() });
    }
    grants.allow(name.interface).map_err(|grant| LoadError::MissingGrant { import: name.without_version(), grant })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let name = Name::parse("witgate:plugin/kv@0.1.0").unwrap();
        assert_eq!((name.package, name.interface, name.version), ("witgate:plugin", "kv", "0.1.0"));
        assert!(name.is_served());
        assert!(!Name::parse("witgate:plugin/kv@0.2.0").unwrap().is_served());
        assert!(!Name::parse("witgate:plugin/kv@0.10.0").unwrap().is_served());
        assert!(!Name::parse("other:plugin/kv@0.1.0").unwrap().is_served());
        assert_eq!(Name::parse("kv"), None);
    }
}
