//! From bytes to machine code.

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Cache;
use crate::{LoadError, error_chain};

/// A compiled component. Specs that differ in configuration, limits or grants only share one.
pub(crate) struct Compiled {
    pub(crate) component: Component,
}

/// Layer and version of a component's preamble (component model, `binary.md`); a core module has layer 0.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";
/// What machine code begins with. Loading it would run it, wherever it came from.
const PRECOMPILED: &[u8] = b"\x7fELF";

/// The digest under which a component is known.
pub(crate) fn digest(wasm: &[u8]) -> [u8; 32] {
    Sha256::digest(wasm).into()
}

/// Compiles, or finds in the cache what was compiled before.
pub(crate) fn compile(
    engine: &Engine,
    cache: Option<&Cache>,
    digest: &[u8; 32],
    wasm: &[u8],
) -> Result<Compiled, LoadError> {
    check_format(wasm)?;
    if let Some(component) = cache.and_then(|cache| cache.find(engine, digest)) {
        return Ok(Compiled { component });
    }
    let component = Component::from_binary(engine, wasm).map_err(|error| {
        // Where in the binary is of use to those who make compilers.
        tracing::debug!(error = error_chain(&error), "a component does not compile");
        LoadError::Compile
    })?;
    if let Some(cache) = cache {
        cache.keep(digest, &component);
    }
    Ok(Compiled { component })
}

fn check_format(wasm: &[u8]) -> Result<(), LoadError> {
    let found = if wasm.starts_with(COMPONENT) {
        return Ok(());
    } else if wasm.starts_with(MODULE) {
        "it is a core module"
    } else if wasm.starts_with(PRECOMPILED) {
        "it is machine code, which is never accepted"
    } else if wasm.is_empty() {
        "it is empty"
    } else {
        "it does not begin like WebAssembly"
    };
    Err(LoadError::NotComponent { found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_components_are_compiled() {
        let engine = Engine::default();
        let machine_code =
            Component::new(&engine, wat::parse_str("(component)").unwrap()).unwrap().serialize().unwrap();
        let module = wat::parse_str("(module)").unwrap();
        for (bytes, found) in
            [(&machine_code[..], "machine code"), (&module, "core module"), (b"", "empty"), (b"hello", "begin")]
        {
            let error = compile(&engine, None, &digest(bytes), bytes).err().unwrap().to_string();
            assert!(error.contains(found), "{error}");
            assert!(error.contains("wasm32-wasip2"), "the message says how to make one: {error}");
        }
    }

    #[test]
    fn a_broken_component_is_reported_as_such() {
        let wasm = [COMPONENT, b"rubbish"].concat();
        assert!(matches!(compile(&Engine::default(), None, &digest(&wasm), &wasm), Err(LoadError::Compile)));
    }
}
