//! What the kernel tells of the folders on the way to files: names that come, go and change, and files that are being
//! written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::ops::Not as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inotify::{EventMask, EventOwned, Inotify, WatchDescriptor, WatchMask};
use tokio::io::unix::AsyncFd;

use super::trail::{self, Step};
use crate::snapshot::Listed;

/// Time for more events to gather before they are read: other files in the same folder, an access log for instance, may
/// change thousands of times a second.
const GATHER: Duration = Duration::from_millis(10);
/// Bytes of events that are read at once; one has some 32 bytes, with the longest name 272.
const READ_BYTES: usize = 16 * 1024;
/// Files of other names in a folder that are known to be written at once, and renames whose second half has not come.
const WRITING_LIMIT: usize = 4096;

const ROOT: &str = "/";

/// What has happened since it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happened {
    /// A name on the way to a file, or a file, may have changed.
    Change,
    /// The kernel had to drop events.
    Lost,
}

/// Folders that are watched, each for some of its names.
pub struct Events {
    inotify: AsyncFd<Inotify>,
    folders: HashMap<WatchDescriptor, Folder>,
    /// Files that were being written when they were renamed, by what ties both halves of a rename together.
    renamed: BTreeMap<u32, Writing>,
    /// Where the files lie, links followed, as far as they are there.
    ends: BTreeSet<PathBuf>,
    /// Folders that the kernel does not watch for us, and why.
    blind: BTreeMap<PathBuf, String>,
}

#[derive(Default)]
struct Folder {
    path: PathBuf,
    names: BTreeSet<OsString>,
    /// Whether every name counts.
    whole: bool,
    writing: BTreeMap<OsString, Writing>,
}

/// A file that somebody has open for writing.
#[derive(Debug, Clone, Copy)]
struct Writing {
    /// When it last changed.
    last: Instant,
    /// It was made and nothing has been seen of it since: being made by `link` looks the same, but not on an empty file.
    made: bool,
}

impl Events {
    /// # Errors
    /// The kernel gives out no more of what it takes (`fs.inotify.max_user_instances`), or has none.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        // SAFETY: it keeps one descriptor, its own, open for as long as it is not dropped.
        #[expect(unsafe_code)]
        let inotify = unsafe { AsyncFd::register(inotify) }?;
        Ok(Self {
            inotify,
            folders: HashMap::new(),
            renamed: BTreeMap::new(),
            ends: BTreeSet::new(),
            blind: BTreeMap::new(),
        })
    }

    /// Folders whose changes will not be told, each with the reason.
    pub fn blind(&self) -> &BTreeMap<PathBuf, String> {
        &self.blind
    }

    pub fn folders(&self) -> usize {
        self.folders.len()
    }

    /// Watches all that these files and folders depend on now, and nothing else.
    pub fn follow(&mut self, listed: &Listed) {
        self.blind.clear();
        self.folders.values_mut().for_each(|folder| {
            folder.names.clear();
            folder.whole = false;
        });
        let mut wanted = BTreeSet::new();
        // Many files lie in few folders.
        let mut known: HashMap<&Path, Option<PathBuf>> = HashMap::new();
        let mut ends = BTreeSet::new();
        for file in listed.files() {
            let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else { continue };
            let parent = known.entry(parent).or_insert_with(|| {
                let absolute = std::path::absolute(parent).ok()?;
                trail::follow(ROOT.as_ref(), &absolute, |step| self.watch(step, &mut wanted))
            });
            let Some(parent) = parent else { continue };
            ends.extend(trail::follow(parent, name.as_ref(), |step| self.watch(step, &mut wanted)));
        }
        for folder in listed.folders() {
            let Ok(absolute) = std::path::absolute(folder) else { continue };
            if let Some(real) = trail::follow(ROOT.as_ref(), &absolute, |step| self.watch(step, &mut wanted)) {
                self.add(&real, WHOLE, &mut wanted, |folder| folder.whole = true);
            }
        }
        self.ends = ends;
        let gone: Vec<_> = self.folders.keys().filter(|watch| !wanted.contains(*watch)).cloned().collect();
        for watch in gone {
            self.folders.remove(&watch);
            // Fails if the folder is gone, and the watch with it.
            let _ = self.inotify.get_ref().watches().remove(watch);
        }
    }

    fn watch(&mut self, step: Step<'_>, wanted: &mut BTreeSet<WatchDescriptor>) {
        let mask = if step.last { WHOLE } else { NAMES };
        self.add(step.folder, mask, wanted, |folder| {
            if !folder.names.contains(step.name) {
                folder.names.insert(step.name.to_owned());
            }
        });
    }

    fn add(
        &mut self,
        path: &Path,
        mask: WatchMask,
        wanted: &mut BTreeSet<WatchDescriptor>,
        note: impl FnOnce(&mut Folder),
    ) {
        // Every time, also if the path is watched: another folder may have taken its place. Adding what is there changes
        // nothing.
        match self.inotify.get_ref().watches().add(path, mask | WatchMask::ONLYDIR | WatchMask::MASK_ADD) {
            Ok(watch) => {
                let folder = self.folders.entry(watch.clone()).or_default();
                if folder.path != path {
                    path.clone_into(&mut folder.path);
                }
                note(folder);
                wanted.insert(watch);
            }
            // Gone since its name was looked up, which the folder above will tell.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => {
                let reason = match error.kind() {
                    ErrorKind::StorageFull => {
                        "too many folders are watched by this user; raise `fs.inotify.max_user_watches`".to_owned()
                    }
                    _ => error.to_string(),
                };
                self.blind.insert(path.to_owned(), reason);
            }
        }
    }

    /// Of the files that are being written, the one that has been silent for the shortest time, and when it last changed.
    pub fn writing(&self) -> Option<(PathBuf, Instant)> {
        let written = self.folders.values().flat_map(|folder| {
            let counting = |(name, writing): (&OsString, &Writing)| {
                let path = folder.path.join(name);
                let counts = self.ends.contains(&path) || (folder.whole && is_module(name));
                (counts && writing.is_real(&path)).then_some((path, writing.last))
            };
            folder.writing.iter().filter_map(counting)
        });
        written.max_by_key(|(_, last)| *last)
    }

    /// Takes it that nothing is being written.
    pub fn forget_writing(&mut self) {
        self.folders.values_mut().for_each(|folder| folder.writing.clear());
        self.renamed.clear();
    }

    /// Waits for something that counts. Cancel-safe.
    ///
    /// # Errors
    /// Events cannot be read.
    pub async fn next(&mut self) -> io::Result<Happened> {
        // Whoever waited before may have given up before reading.
        let mut happened = self.pending()?;
        while happened.is_none() {
            self.inotify.readable().await?.clear_ready();
            tokio::time::sleep(GATHER).await;
            happened = self.pending()?;
        }
        Ok(happened.unwrap_or(Happened::Change))
    }

    /// Takes the events that are there.
    ///
    /// # Errors
    /// Events cannot be read.
    pub fn pending(&mut self) -> io::Result<Option<Happened>> {
        let mut happened = None;
        let mut buffer = [0; READ_BYTES];
        loop {
            let read = self.inotify.get_mut().read_events(&mut buffer);
            let events: Vec<EventOwned> = match read {
                Ok(events) => events.map(|event| event.to_owned()).collect(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(happened),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for event in events {
                happened = happened.max(self.take(event));
            }
        }
    }

    fn take(&mut self, event: EventOwned) -> Option<Happened> {
        let EventOwned { wd, mask, cookie, name } = event;
        if mask.contains(EventMask::Q_OVERFLOW) {
            self.forget_writing();
            return Some(Happened::Lost);
        }
        if mask.contains(EventMask::IGNORED) {
            return self.folders.remove(&wd).map(|_| Happened::Change);
        }
        let folder = self.folders.get_mut(&wd)?;
        // Of the folder itself.
        let Some(name) = name else { return Some(Happened::Change) };
        if !mask.contains(EventMask::ISDIR) {
            if folder.writing.len() + self.renamed.len() > WRITING_LIMIT {
                folder.writing.clear();
                self.renamed.clear();
            }
            folder.note(&name, mask, cookie, &mut self.renamed);
        }
        // In a folder of modules, anything may come and go that is one, or leads to some.
        let moves = mask.intersects(EventMask::MODIFY | EventMask::CLOSE_WRITE).not();
        let counts = folder.names.contains(&name) || (folder.whole && (moves || is_module(&name)));
        counts.then_some(Happened::Change)
    }
}

/// Whether a name in a folder of modules is that of one: editors keep files of other names open beside them.
fn is_module(name: &OsStr) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "lua")
}

/// What tells that a name leads elsewhere.
const NAMES: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF);
/// And what tells that a file has been changed, has begun to be, or may be read now.
const WHOLE: WatchMask = NAMES.union(WatchMask::MODIFY).union(WatchMask::CLOSE_WRITE).union(WatchMask::ATTRIB);

impl Folder {
    /// Keeps track of which files are open for writing: from the first change, truncation included, to closing.
    fn note(&mut self, name: &OsStr, mask: EventMask, cookie: u32, renamed: &mut BTreeMap<u32, Writing>) {
        let last = Instant::now();
        if mask.contains(EventMask::MODIFY) {
            self.writing.insert(name.to_owned(), Writing { last, made: false });
        } else if mask.contains(EventMask::CREATE) {
            self.writing.insert(name.to_owned(), Writing { last, made: true });
        } else if mask.intersects(EventMask::CLOSE_WRITE | EventMask::DELETE) {
            self.writing.remove(name);
        } else if mask.contains(EventMask::MOVED_FROM) {
            renamed.extend(self.writing.remove(name).map(|writing| (cookie, writing)));
        } else if mask.contains(EventMask::MOVED_TO) {
            match renamed.remove(&cookie) {
                Some(writing) => drop(self.writing.insert(name.to_owned(), writing)),
                None => drop(self.writing.remove(name)),
            }
        }
    }
}

impl Writing {
    fn is_real(self, path: &Path) -> bool {
        path.symlink_metadata().is_ok_and(|data| data.is_file() && (!self.made || data.len() == 0))
    }
}
