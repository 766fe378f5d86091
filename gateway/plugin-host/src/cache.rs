//! Compiled components kept between runs.
//!
//! Compiling takes tens of milliseconds for each plugin, loading what was compiled a fraction of one.

use std::hash::{Hash, Hasher};
use std::path::Path;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;
use witgate_code_cache::{CodeCache, OpenError, hex};

use crate::{HostError, error_chain};

/// Components, by the digest of what they were made from.
#[derive(Debug)]
pub(crate) struct Cache {
    code: CodeCache,
    /// Distinguishes engines: version of wasmtime, compiler settings, and the features of this processor.
    engine: String,
}

impl Cache {
    /// Opens the directory, making it if need be.
    ///
    /// # Errors
    /// [`HostError::CacheOpen`] if others may write there, [`HostError::Cache`] if it cannot be made or read.
    pub(crate) fn open(directory: &Path, engine: &Engine) -> Result<Self, HostError> {
        let code = CodeCache::open(directory).map_err(|error| match error {
            OpenError::Directory { path, source } => HostError::Cache { path, source },
            OpenError::Shared { path, mode } => HostError::CacheOpen { path, mode },
        })?;
        let mut hasher = StableHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let digest = hasher.0.finalize();
        Ok(Self { code, engine: hex(digest.get(..8).unwrap_or(&digest)) })
    }

    fn name(&self, wasm: &[u8; 32]) -> String {
        format!("{}-{}", hex(wasm), self.engine)
    }

    /// The component made from the bytes of this digest, if it is there and sound.
    pub(crate) fn find(&self, engine: &Engine, wasm: &[u8; 32]) -> Option<Component> {
        let name = self.name(wasm);
        let code = self.code.find(&name)?;
        #[expect(unsafe_code, reason = "the only way to load compiled code")]
        // SAFETY: the bytes are those that `keep` was given under this name, which only `name` makes, for this very engine:
        // what `Component::serialize` returned.
        let component = unsafe { Component::deserialize(engine, code) };
        component
            .inspect_err(|error| {
                let (path, error) = (self.code.path(&name), error_chain(error));
                tracing::warn!(path = %path.display(), error, "plugin cache entry is unusable and will be rebuilt");
            })
            .ok()
    }

    /// Keeps a component. Failing to is no reason to refuse a plugin, so it is logged only.
    pub(crate) fn keep(&self, wasm: &[u8; 32], component: &Component) {
        match component.serialize() {
            Ok(code) => self.code.keep(&self.name(wasm), &code),
            Err(error) => tracing::warn!(error = error_chain(&error), "compiled plugin cannot be kept in the cache"),
        }
    }
}

/// Hashes to the same value in every run, unlike the hashers of the standard library.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Unused: the digest is taken instead.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const WASM: [u8; 32] = [7; 32];

    fn component(engine: &Engine) -> Component {
        Component::new(engine, wat::parse_str("(component)").unwrap()).unwrap()
    }

    #[test]
    fn what_was_kept_is_found_again_by_the_same_digest_only() {
        let (directory, engine) = (tempfile::tempdir().unwrap(), Engine::default());
        let cache = Cache::open(&directory.path().join("cache"), &engine).unwrap();
        assert!(cache.find(&engine, &WASM).is_none());
        cache.keep(&WASM, &component(&engine));
        assert!(cache.find(&engine, &WASM).is_some());
        assert!(cache.find(&engine, &[8; 32]).is_none());
    }

    #[test]
    fn what_is_no_component_is_not_loaded() {
        let (directory, engine) = (tempfile::tempdir().unwrap(), Engine::default());
        let cache = Cache::open(&directory.path().join("cache"), &engine).unwrap();
        cache.code.keep(&cache.name(&WASM), b"\x7fELF");
        assert!(cache.find(&engine, &WASM).is_none());
        cache.keep(&WASM, &component(&engine));
        assert!(cache.find(&engine, &WASM).is_some(), "it was rebuilt");
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let (directory, engine) = (tempfile::tempdir().unwrap(), Engine::default());
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = Cache::open(directory.path(), &engine).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }

    #[test]
    fn engines_with_other_settings_do_not_share_entries() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let other = Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();
        let one = Cache::open(&path, &Engine::default()).unwrap();
        assert_ne!(one.engine, Cache::open(&path, &other).unwrap().engine);
        assert_eq!(one.engine, Cache::open(&path, &Engine::default()).unwrap().engine);
    }
}
