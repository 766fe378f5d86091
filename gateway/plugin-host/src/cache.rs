//! Machine code kept between runs.
//!
//! Compiling takes tens of milliseconds for each plugin, loading what was compiled a fraction of one. Loading machine code
//! means running it, so only this host's own files are trusted: the directory belongs to this user alone, an entry is found
//! only by the digest of the component it was made from, and its checksum is verified before it is used.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::{HostError, error_chain};

/// Most entries kept: the oldest go when new ones come.
const ENTRIES_LIMIT: usize = 128;
/// Marks the format of an entry: this line, the SHA-256 of the code, the code.
const MAGIC: &[u8; 16] = b"witgate-code-1\r\n";
const HEADER: usize = MAGIC.len() + 32;

/// A private directory of machine code.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    /// Distinguishes engines: version of wasmtime, compiler settings, and the features of this processor.
    engine: String,
}

impl Cache {
    /// Opens the directory, making it if need be.
    ///
    /// # Errors
    /// [`HostError::CacheOpen`] if others may write there, [`HostError::Cache`] if it cannot be made or read.
    pub(crate) fn open(directory: &Path, engine: &Engine) -> Result<Self, HostError> {
        let error = |source| HostError::Cache { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(error)?;
        let metadata = fs::metadata(directory).map_err(error)?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(HostError::CacheOpen { path: directory.to_owned(), mode });
        }
        let mut hasher = StableHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { directory: directory.to_owned(), engine: hex(&hasher.0.finalize(), 8) })
    }

    fn path(&self, wasm: &[u8; 32]) -> PathBuf {
        self.directory.join(format!("{}-{}.code", hex(wasm, 32), self.engine))
    }

    /// The component made from the bytes of this digest, if it is there and sound. A damaged entry counts as absent and is
    /// written anew.
    pub(crate) fn find(&self, engine: &Engine, wasm: &[u8; 32]) -> Option<Component> {
        let path = self.path(wasm);
        let entry = match read(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "plugin cache entry is unreadable and will be rebuilt");
                return None;
            }
        };
        let Some(code) = verified(&entry) else {
            tracing::warn!(path = %path.display(), "plugin cache entry is damaged and will be rebuilt");
            return None;
        };
        #[expect(unsafe_code, reason = "the only way to load compiled code")]
        // SAFETY: the file is in a directory that only this user can write to, was found under a name that only `keep`
        // gives, for this very engine, and is whole by its checksum: the code is what `Component::serialize` returned.
        let component = unsafe { Component::deserialize(engine, code) };
        component
            .inspect_err(|error| {
                let error = error_chain(error);
                tracing::warn!(path = %path.display(), error, "plugin cache entry is unusable and will be rebuilt");
            })
            .ok()
    }

    /// Keeps a component. Failing to is no reason to refuse a plugin, so it is logged only.
    pub(crate) fn keep(&self, wasm: &[u8; 32], component: &Component) {
        let kept = component.serialize().map_err(|error| error_chain(&error)).and_then(|code| {
            self.make_room();
            write(&self.path(wasm), &code).map_err(|error| error.to_string())
        });
        if let Err(error) = kept {
            tracing::warn!(path = %self.directory.display(), error, "compiled plugin cannot be kept in the cache");
        }
    }

    /// Removes the oldest entries until there is room for one more.
    fn make_room(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let dated = |entry: io::Result<fs::DirEntry>| -> Option<(SystemTime, PathBuf)> {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        };
        let mut entries: Vec<_> = entries.filter_map(dated).collect();
        entries.sort();
        let surplus = (entries.len() + 1).saturating_sub(ENTRIES_LIMIT);
        for (_, path) in entries.into_iter().take(surplus) {
            // Another process may have removed it first.
            let _ = fs::remove_file(path);
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A link would lead out of the private directory.
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut entry = Vec::new();
    file.read_to_end(&mut entry)?;
    Ok(entry)
}

fn verified(entry: &[u8]) -> Option<&[u8]> {
    let (header, code) = entry.split_at_checked(HEADER)?;
    let checksum = header.strip_prefix(MAGIC)?;
    (Sha256::digest(code).as_slice() == checksum).then_some(code)
}

/// Readers see the whole entry or none: it is written under another name first.
fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let unique = format!("{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let temporary = path.with_extension(unique);
    let written = write_new(&temporary, code).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, code: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(MAGIC)?;
    file.write_all(&Sha256::digest(code))?;
    file.write_all(code)
}

fn hex(bytes: &[u8], length: usize) -> String {
    bytes.iter().take(length).map(|byte| format!("{byte:02x}")).collect()
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const WASM: [u8; 32] = [7; 32];

    fn component(engine: &Engine) -> Component {
        Component::new(engine, wat::parse_str("(component)").unwrap()).unwrap()
    }

    #[test]
    fn what_was_kept_is_found_again_by_the_same_digest_only() {
        let (directory, engine) = (tempfile::tempdir().unwrap(), Engine::default());
        let path = directory.path().join("made/for it");
        let cache = Cache::open(&path, &engine).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert!(cache.find(&engine, &WASM).is_none());
        cache.keep(&WASM, &component(&engine));
        assert!(cache.find(&engine, &WASM).is_some());
        assert!(cache.find(&engine, &[8; 32]).is_none());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn damaged_entries_are_not_loaded() {
        let (directory, engine) = (tempfile::tempdir().unwrap(), Engine::default());
        let cache = Cache::open(&directory.path().join("cache"), &engine).unwrap();
        cache.keep(&WASM, &component(&engine));
        let path = cache.path(&WASM);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [&[][..], &whole[..10], &whole[..HEADER], &whole[..whole.len() - 1], &flipped, &whole[HEADER..]]
        {
            fs::write(&path, damaged).unwrap();
            assert!(cache.find(&engine, &WASM).is_none());
        }
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

    #[test]
    fn a_link_in_the_directory_is_not_followed() {
        let (directory, engine) = (tempfile::tempdir().unwrap(), Engine::default());
        let cache = Cache::open(&directory.path().join("cache"), &engine).unwrap();
        cache.keep(&WASM, &component(&engine));
        let outside = directory.path().join("outside");
        fs::rename(cache.path(&WASM), &outside).unwrap();
        std::os::unix::fs::symlink(&outside, cache.path(&WASM)).unwrap();
        assert!(cache.find(&engine, &WASM).is_none());
    }

    #[test]
    fn the_oldest_entries_make_room() {
        let (directory, engine) = (tempfile::tempdir().unwrap(), Engine::default());
        let path = directory.path().join("cache");
        let cache = Cache::open(&path, &engine).unwrap();
        for n in 0..ENTRIES_LIMIT + 5 {
            fs::write(path.join(n.to_string()), b"").unwrap();
        }
        cache.keep(&WASM, &component(&engine));
        assert_eq!(fs::read_dir(&path).unwrap().count(), ENTRIES_LIMIT);
        assert!(cache.find(&engine, &WASM).is_some());
    }
}
