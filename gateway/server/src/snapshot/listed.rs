//! What a configuration was read from, and how to tell that it is no longer the same.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Clocks of file systems tick every 1 to 10 ms, and some every 1 or 2 s: a file that was read this soon after its last
/// change may have changed again without its times showing it.
const FRESH: Duration = Duration::from_secs(2);

/// Every file and folder that a configuration was read from, there or not, each as it was just before it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    files: BTreeMap<PathBuf, Stamp>,
    /// Those in which every name counts.
    folders: BTreeMap<PathBuf, Stamp>,
}

impl Listed {
    /// Notes a file; to be called before it is read, so that a change in between is seen as one.
    pub fn file(&mut self, path: &Path) {
        self.files.insert(path.to_owned(), Stamp::of(path));
    }

    /// Notes a folder in which every name counts; to be called before it is read.
    pub fn folder(&mut self, path: &Path) {
        self.folders.insert(path.to_owned(), Stamp::of(path));
    }

    /// Files whose content counts.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Folders in which every name counts.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.keys().map(PathBuf::as_path)
    }

    /// Whether it has everything that another has.
    pub fn covers(&self, other: &Self) -> bool {
        other.files.keys().all(|file| self.files.contains_key(file))
            && other.folders.keys().all(|folder| self.folders.contains_key(folder))
    }

    /// The same files and folders as they are now. Costs a system call for each.
    pub fn now(&self) -> Self {
        let again = |paths: &BTreeMap<PathBuf, Stamp>| {
            paths.keys().map(|path| (path.clone(), Stamp::of(path))).collect::<BTreeMap<_, _>>()
        };
        Self { files: again(&self.files), folders: again(&self.folders) }
    }

    /// Whether any of them shows that it has changed since. Costs a system call for each.
    pub fn has_changed(&self) -> bool {
        self.stamps().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// Whether any of them was changed so soon before it was read that a later change might not show.
    pub fn is_fresh(&self) -> bool {
        self.stamps().any(|(_, stamp)| stamp.fresh)
    }

    /// Whether a file has been changed within this time, as far as its times tell.
    pub fn is_warm(&self, time: Duration) -> bool {
        self.files.keys().any(|path| fs::metadata(path).is_ok_and(|data| age(&data).is_some_and(|age| age < time)))
    }

    fn stamps(&self) -> impl Iterator<Item = (&PathBuf, &Stamp)> {
        self.files.iter().chain(&self.folders)
    }
}

#[derive(Debug, Clone)]
struct Stamp {
    /// None: there is nothing, or nothing that may be seen.
    identity: Option<Identity>,
    fresh: bool,
}

/// What nearly always changes with a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds: of the last write, and of the last change of content, owner, permissions or links.
    times: [(i64, i64); 2],
}

/// When it was looked at makes no difference.
impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for Stamp {}

impl Stamp {
    fn of(path: &Path) -> Self {
        // A pipe or a terminal has no content that it could be asked for twice.
        let Some(data) = fs::metadata(path).ok().filter(|data| data.is_file() || data.is_dir()) else {
            return Self { identity: None, fresh: false };
        };
        let identity = Identity {
            device: data.dev(),
            inode: data.ino(),
            length: data.len(),
            times: [(data.mtime(), data.mtime_nsec()), (data.ctime(), data.ctime_nsec())],
        };
        Self { identity: Some(identity), fresh: age(&data).is_some_and(|age| age < FRESH) }
    }
}

/// Time since the last change; none if that lies in the future.
fn age(data: &Metadata) -> Option<Duration> {
    let changed = Duration::new(u64::try_from(data.ctime()).ok()?, u32::try_from(data.ctime_nsec()).ok()?);
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.checked_sub(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_goes_or_changes_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (file, modules) = (folder.path().join("a"), folder.path().join("modules"));
        let listed = || {
            let mut listed = Listed::default();
            listed.file(&file);
            listed.folder(&modules);
            assert!(!listed.has_changed());
            listed
        };
        let mut changes: Vec<Box<dyn Fn()>> = vec![
            Box::new(|| fs::write(&file, "1").unwrap()),
            Box::new(|| fs::write(&file, "22").unwrap()),
            Box::new(|| fs::create_dir(&modules).unwrap()),
            Box::new(|| fs::write(modules.join("b"), "").unwrap()),
            Box::new(|| fs::remove_file(&file).unwrap()),
            Box::new(|| fs::remove_dir_all(&modules).unwrap()),
        ];
        for change in changes.drain(..) {
            let before = listed();
            change();
            assert!(before.has_changed());
            assert_ne!(before, before.now());
        }
    }

    #[test]
    fn a_file_that_was_read_right_after_it_was_written_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "1").unwrap();
        let mut listed = Listed::default();
        listed.file(&file);
        assert!(listed.is_fresh() && listed.is_warm(FRESH));
        let mut absent = Listed::default();
        absent.file(&folder.path().join("none"));
        assert!(!absent.is_fresh() && !absent.is_warm(FRESH));
        assert!(absent.covers(&absent) && !absent.covers(&listed));
    }
}
