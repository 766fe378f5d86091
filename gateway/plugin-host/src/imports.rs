//! What a component imports, held against what it was granted.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use crate::LoadError;
use crate::contract::{Contract, Name, PACKAGE};
use crate::grants::Grants;
use crate::host::{HostState, wasi};

/// The line of WASI of which a slice is linked.
const WASI_VERSION: &str = "0.2.";

/// Links what the component imports, provided that it is granted. Only that is linked: an interface that no grant covers is
/// not there to be called.
pub(crate) fn link(
    (contract, component): (&Contract, &Component),
    grants: &Grants,
) -> Result<Linker<HostState>, LoadError> {
    let engine = component.engine();
    let mut linker = Linker::new(engine);
    for (import, item) in component.component_type().imports(engine) {
        let unknown = || LoadError::UnknownImport { import: import.to_owned() };
        let mismatch = |error: wasmtime::Error| LoadError::mismatch(&error);
        let name = Name::parse(import).ok_or_else(unknown)?;
        let ComponentItem::ComponentInstance(wanted) = item.ty else { return Err(unknown()) };
        if name.package == PACKAGE {
            if !contract.interfaces.contains(&name.interface) {
                return Err(unknown());
            }
            let missing = |grant| LoadError::MissingGrant { import: name.without_version(), grant };
            grants.allow(name.interface).map_err(missing)?;
            (contract.link)(&mut linker, name.interface).map_err(mismatch)?;
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
