//! Machine code kept between runs.
//!
//! Whoever loads machine code runs it, so only this host's own files are trusted: the directory belongs to this user alone, an
//! entry is found only by the name that it was kept under, and its checksum is verified before it is given away. Names have to
//! tell apart whatever the code depends on.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test panics"))]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Most entries kept: the oldest go when new ones come. A gateway has tens of plugins and models.
const ENTRIES_LIMIT: usize = 128;
/// Bytes of an entry: several times the largest component or ensemble that is compiled.
const ENTRY_LIMIT: u64 = 1 << 30;
/// Marks the format of an entry: this line, the SHA-256 of the code, the code.
const MAGIC: &[u8; 16] = b"witgate-code-1\r\n";
const HEADER: usize = MAGIC.len() + 32;

/// A private directory of machine code.
#[derive(Debug)]
pub struct CodeCache {
    directory: PathBuf,
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the directory for machine code `{}` cannot be used", path.display())]
    Directory { path: PathBuf, source: io::Error },
    /// Others may enter it, or it is another user's.
    #[error("expected a directory for machine code that only this user can enter, got `{}` with mode {mode:03o}", path.display())]
    Shared { path: PathBuf, mode: u32 },
}

impl CodeCache {
    /// Opens the directory, making it if need be.
    ///
    /// # Errors
    /// [`OpenError::Shared`] if others may write there, [`OpenError::Directory`] if it cannot be made or read.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let error = |source| OpenError::Directory { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(error)?;
        let metadata = fs::metadata(directory).map_err(error)?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(OpenError::Shared { path: directory.to_owned(), mode });
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// Where the entry of this name is. `name`: letters, digits and hyphens.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.code"))
    }

    /// The very bytes that were kept under this name, if they are there and whole: they lie in a directory that only this user
    /// can write to, no link led there, and their checksum is right. A damaged entry counts as absent.
    pub fn find(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.path(name);
        let mut entry = match read(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "kept machine code is unreadable and will be made anew");
                return None;
            }
        };
        if !is_whole(&entry) {
            tracing::warn!(path = %path.display(), "kept machine code is damaged and will be made anew");
            return None;
        }
        entry.drain(..HEADER);
        Some(entry)
    }

    /// Keeps code. Failing to is no reason to refuse what was compiled, so it is logged only.
    pub fn keep(&self, name: &str, code: &[u8]) {
        self.make_room();
        if let Err(error) = write(&self.path(name), code) {
            tracing::warn!(path = %self.directory.display(), %error, "machine code cannot be kept");
        }
    }

    /// Removes the oldest entries until there is room for one more.
    fn make_room(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let dated = |entry: io::Result<fs::DirEntry>| -> Option<(SystemTime, PathBuf)> {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, entry.path()))
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

/// Letters for bytes, to name entries by a digest.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A link would lead out of the private directory.
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let mut entry = Vec::new();
    // One that is larger is cut off, and then not whole.
    file.take(ENTRY_LIMIT).read_to_end(&mut entry)?;
    Ok(entry)
}

fn is_whole(entry: &[u8]) -> bool {
    let Some((header, code)) = entry.split_at_checked(HEADER) else { return false };
    header.strip_prefix(MAGIC).is_some_and(|checksum| Sha256::digest(code).as_slice() == checksum)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_kept_is_found_again_by_the_same_name_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/for it");
        let cache = CodeCache::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(cache.find("a"), None);
        cache.keep("a", b"code");
        assert_eq!(cache.find("a").as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.find("b"), None);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "no temporary file is left");
        assert_eq!(fs::metadata(cache.path("a")).unwrap().mode() & 0o777, 0o600);
        cache.keep("a", b"other");
        assert_eq!(cache.find("a").as_deref(), Some(&b"other"[..]));
    }

    #[test]
    fn damaged_entries_are_not_given_away() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&directory.path().join("cache")).unwrap();
        cache.keep("a", b"code");
        let path = cache.path("a");
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let cut = |length| whole.get(..length).unwrap();
        for damaged in [cut(0), cut(10), cut(HEADER), cut(whole.len() - 1), &flipped, whole.get(HEADER..).unwrap()] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.find("a"), None);
        }
        cache.keep("a", b"code");
        assert!(cache.find("a").is_some(), "it was made anew");
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let error = CodeCache::open(directory.path()).unwrap_err();
        assert!(matches!(error, OpenError::Shared { mode: 0o755, .. }), "{error}");
        let file = directory.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(matches!(CodeCache::open(&file), Err(OpenError::Directory { .. })));
    }

    #[test]
    fn a_link_in_the_directory_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&directory.path().join("cache")).unwrap();
        cache.keep("a", b"code");
        let outside = directory.path().join("outside");
        fs::rename(cache.path("a"), &outside).unwrap();
        std::os::unix::fs::symlink(&outside, cache.path("a")).unwrap();
        assert_eq!(cache.find("a"), None);
    }

    #[test]
    fn the_oldest_entries_make_room_and_directories_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let cache = CodeCache::open(&path).unwrap();
        fs::create_dir(path.join("trees")).unwrap();
        for n in 0..ENTRIES_LIMIT + 5 {
            fs::write(path.join(n.to_string()), b"").unwrap();
        }
        cache.keep("a", b"code");
        assert_eq!(fs::read_dir(&path).unwrap().count(), ENTRIES_LIMIT + 1);
        assert!(cache.find("a").is_some() && path.join("trees").is_dir());
    }

    #[test]
    fn code_that_cannot_be_kept_does_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        let cache = CodeCache::open(&path).unwrap();
        fs::remove_dir(&path).unwrap();
        cache.keep("a", b"code");
        assert_eq!(cache.find("a"), None);
    }

    #[test]
    fn several_writers_leave_a_whole_entry() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&directory.path().join("cache")).unwrap();
        let code = vec![7; 1 << 16];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        cache.keep("a", &code);
                        assert_eq!(cache.find("a").as_ref(), Some(&code));
                    }
                });
            }
        });
    }
}
