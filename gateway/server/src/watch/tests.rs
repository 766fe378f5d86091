//! Real files, real events: whatever is done to files, what is read last is what lies there.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;

/// Longest wait for what should happen within a tenth of a second; test machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);
const NEVER: Duration = Duration::from_secs(3600);
/// Events alone: looking would hide what they miss.
const BY_EVENTS: Pace =
    Pace { settle: Duration::from_millis(5), unsure: Duration::from_millis(20), look: NEVER, blind: NEVER };
const BY_LOOKING: Pace = Pace { blind: Duration::from_millis(10), ..BY_EVENTS };

/// Files by name: their content, if there is any.
type Content = BTreeMap<String, Option<String>>;

fn no_events() -> io::Result<Events> {
    Err(io::Error::other("none here"))
}

/// A folder with files in it, some of them behind links.
struct World {
    root: TempDir,
}

/// Paths that are read.
const FILES: [&str; 5] = ["plain", "deep/er/file", "volume/file", "current/file", "far"];
const MODULES: &str = "modules";

impl World {
    fn new() -> Self {
        let world = Self { root: TempDir::new().unwrap() };
        for file in
            ["deep/er/file", "volume/..1/file", "releases/1/file", "releases/2/file", "modules/a.lua", "else/far"]
        {
            let path = world.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        fs::write(world.path("plain"), "plain").unwrap();
        symlink("..1", world.path("volume/..data")).unwrap();
        symlink("..data/file", world.path("volume/file")).unwrap();
        symlink("releases/1", world.path("current")).unwrap();
        symlink(world.path("else/far"), world.path("far")).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// What lies there now, and what it was read from.
    fn read(root: &Path) -> (Listed, Content) {
        let mut listed = Listed::default();
        let mut read = |path: &Path| {
            listed.file(path);
            fs::read_to_string(path).ok()
        };
        let mut content: Content = FILES.iter().map(|&name| (name.to_owned(), read(&root.join(name)))).collect();
        listed.folder(&root.join(MODULES));
        for entry in fs::read_dir(root.join(MODULES)).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "lua") {
                listed.file(&entry.path());
                content.insert(entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).ok());
            }
        }
        (listed, content)
    }

    fn content(&self) -> Content {
        Self::read(self.root.path()).1
    }
}

/// A watcher at work, and all that it has read.
struct Reading {
    history: watch::Receiver<Vec<Content>>,
    task: JoinHandle<()>,
}

impl Reading {
    fn start(world: &World, open: fn() -> io::Result<Events>, pace: Pace) -> Self {
        let root = world.root.path().to_owned();
        let (sender, history) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            let mut watcher = Watcher::new(open, pace);
            loop {
                let (listed, content) = World::read(&root);
                if !watcher.is_disturbed() {
                    sender.send_modify(|history: &mut Vec<Content>| history.push(content));
                }
                watcher.change(&listed).await;
            }
        });
        Self { history, task }
    }

    /// Waits until what was read last is this.
    async fn until(&mut self, what: &str, holds: impl Fn(&Content) -> bool) {
        let found = self.history.wait_for(|history| history.last().is_some_and(&holds));
        let in_time = timeout(PATIENCE, found).await.is_ok();
        assert!(in_time, "{what}: read last: {:#?}", self.history.borrow().last());
    }

    async fn reads(&mut self, world: &World) {
        let wanted = world.content();
        self.until(&format!("{wanted:#?}"), |content| *content == wanted).await;
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn on_a_runtime<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(test)
}

#[derive(Debug, Clone)]
enum Step {
    /// In place, with the file open over all pieces.
    Write(usize, u8),
    /// Closed after each piece.
    Append(usize, u8),
    /// Written aside, then renamed.
    Replace(usize),
    /// Renamed before it is written to its end.
    ReplaceOpen(usize),
    HardLink(usize),
    Remove(usize),
    /// A folder on the way, with all that is in it.
    RemoveFolder(usize),
    MakeFolder(usize),
    MoveFolder(usize),
    /// The link of a volume or of a release: renamed over the old one, or made anew.
    Flip(usize, u8, bool),
    AddModule(u8),
    RemoveModule(u8),
}

const FOLDERS: [&str; 7] = ["deep", "deep/er", "volume/..1", "releases/1", "releases/2", "modules", "modules/inner"];
const LINKS: [(&str, [&str; 2]); 3] =
    [("volume/..data", ["..1", "..2"]), ("current", ["releases/1", "releases/2"]), ("far", ["else/far", "plain"])];

fn step() -> impl Strategy<Value = Step> {
    let file = 0..FILES.len();
    let folder = 0..FOLDERS.len();
    prop_oneof![
        3 => (file.clone(), 1_u8..4).prop_map(|(file, pieces)| Step::Write(file, pieces)),
        1 => (file.clone(), 1_u8..3).prop_map(|(file, pieces)| Step::Append(file, pieces)),
        2 => file.clone().prop_map(Step::Replace),
        1 => file.clone().prop_map(Step::ReplaceOpen),
        1 => file.clone().prop_map(Step::HardLink),
        1 => file.prop_map(Step::Remove),
        2 => folder.clone().prop_map(Step::RemoveFolder),
        3 => folder.clone().prop_map(Step::MakeFolder),
        1 => folder.prop_map(Step::MoveFolder),
        3 => (0..LINKS.len(), 0_u8..2, any::<bool>()).prop_map(|(link, target, anew)| Step::Flip(link, target, anew)),
        1 => (0_u8..3).prop_map(Step::AddModule),
        1 => (0_u8..3).prop_map(Step::RemoveModule),
    ]
}

impl Step {
    /// Does it as far as it can be done: a folder may be missing.
    async fn take(&self, world: &World, text: &str) -> io::Result<()> {
        let aside = |path: &Path| path.with_file_name("aside");
        match *self {
            Self::Write(file, pieces) => {
                let mut file = File::create(world.path(FILES[file]))?;
                for _ in 0..pieces {
                    file.write_all(text.as_bytes())?;
                    tokio::task::yield_now().await;
                }
            }
            Self::Append(file, pieces) => {
                for _ in 0..pieces {
                    let mut file = OpenOptions::new().append(true).create(true).open(world.path(FILES[file]))?;
                    file.write_all(text.as_bytes())?;
                    tokio::task::yield_now().await;
                }
            }
            Self::Replace(file) => {
                let path = world.path(FILES[file]);
                fs::write(aside(&path), text)?;
                fs::rename(aside(&path), path)?;
            }
            Self::ReplaceOpen(file) => {
                let path = world.path(FILES[file]);
                let mut written = File::create(aside(&path))?;
                fs::rename(aside(&path), path)?;
                tokio::task::yield_now().await;
                written.write_all(text.as_bytes())?;
            }
            Self::HardLink(file) => {
                let (path, original) = (world.path(FILES[file]), world.path("else/original"));
                fs::write(&original, text)?;
                fs::hard_link(&original, aside(&path))?;
                fs::rename(aside(&path), path)?;
                fs::remove_file(original)?;
            }
            Self::Remove(file) => fs::remove_file(world.path(FILES[file]))?,
            Self::RemoveFolder(folder) => fs::remove_dir_all(world.path(FOLDERS[folder]))?,
            Self::MakeFolder(folder) => {
                let folder = world.path(FOLDERS[folder]);
                fs::create_dir_all(&folder)?;
                fs::write(folder.join(if folder.ends_with("deep") { "other" } else { "file" }), text)?;
            }
            Self::MoveFolder(folder) => {
                let folder = world.path(FOLDERS[folder]);
                let away = world.path("away").join(folder.file_name().unwrap_or_default());
                fs::create_dir_all(world.path("away"))?;
                if fs::rename(&folder, &away).is_err() {
                    fs::rename(&away, &folder)?;
                }
            }
            Self::Flip(link, target, anew) => {
                let (link, targets) = LINKS[link];
                let (link, target) = (world.path(link), targets[usize::from(target)]);
                if link.ends_with("..data") {
                    fs::create_dir_all(world.path("volume").join(target))?;
                    fs::write(world.path("volume").join(target).join("file"), text)?;
                }
                if anew {
                    fs::remove_file(&link)?;
                    symlink(target, &link)?;
                } else {
                    symlink(target, aside(&link))?;
                    fs::rename(aside(&link), &link)?;
                }
            }
            Self::AddModule(module) => fs::write(world.path(MODULES).join(format!("{module}.lua")), text)?,
            Self::RemoveModule(module) => fs::remove_file(world.path(MODULES).join(format!("{module}.lua")))?,
        }
        Ok(())
    }
}

/// Whatever is done, and whenever it is waited for in between, what is read last is what lies there; and so it is with the next
/// change of each file.
fn follows(steps: &[(Step, bool)], open: fn() -> io::Result<Events>, pace: Pace) {
    on_a_runtime(async {
        let world = World::new();
        let mut reading = Reading::start(&world, open, pace);
        let last = (0..FILES.len()).map(|file| (Step::Write(file, 2), true));
        for (turn, (step, wait)) in steps.iter().cloned().chain(last).enumerate() {
            // Fails where something is missing by now.
            let _ = step.take(&world, &format!("{turn};")).await;
            if wait {
                reading.reads(&world).await;
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn by_events_what_is_read_last_is_what_lies_there(
        steps in prop::collection::vec((step(), any::<bool>()), 1..20)
    ) {
        follows(&steps, Events::new, BY_EVENTS);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn by_looking_what_is_read_last_is_what_lies_there(
        steps in prop::collection::vec((step(), any::<bool>()), 1..8)
    ) {
        follows(&steps, no_events, BY_LOOKING);
    }
}

/// Somebody who only looks tells when enough time has passed for what should not happen.
#[test]
fn a_file_that_is_being_written_is_not_read() {
    on_a_runtime(async {
        let world = World::new();
        let mut reading = Reading::start(&world, Events::new, BY_EVENTS);
        let mut looking = Reading::start(&world, no_events, BY_LOOKING);
        let half = |name: &'static str| move |content: &Content| content[name].as_deref() == Some("half");
        reading.reads(&world).await;

        let written = |mut file: File| {
            file.write_all(b"half").unwrap();
            file
        };
        // Ways to get half a file there, and somebody who goes on writing it.
        type Way<'a> = &'a dyn Fn(&Path) -> File;
        let ways: [Way<'_>; 4] = [
            &|path| written(File::create(path).unwrap()),
            &|path| {
                fs::remove_file(path).unwrap();
                written(File::create(path).unwrap())
            },
            &|path| {
                let file = File::create(path.with_extension("new")).unwrap();
                fs::rename(path.with_extension("new"), path).unwrap();
                written(file)
            },
            &|path| {
                let file = written(File::create(path.with_extension("new")).unwrap());
                fs::rename(path.with_extension("new"), path).unwrap();
                file
            },
        ];
        for name in ["plain", "volume/file", "far"] {
            for way in ways {
                let mut file = way(&world.path(name));
                looking.until("half is there", half(name)).await;
                // What comes from elsewhere waits as well: both may belong together.
                fs::write(world.path("modules/b.lua"), name).unwrap();
                looking.until("more is there", |content| content.get("b.lua") == Some(&Some(name.to_owned()))).await;
                file.write_all(b" and half").unwrap();
                drop(file);
                reading.reads(&world).await;
                let read = reading.history.borrow().clone();
                assert!(!read.iter().any(half(name)), "{name}: {read:#?}");
                fs::write(world.path(name), "whole").unwrap();
                reading.reads(&world).await;
            }
        }
    });
}

#[test]
fn lost_events_are_noticed_and_nothing_is_missed() {
    on_a_runtime(async {
        let world = World::new();
        let (listed, _) = World::read(world.root.path());
        let mut watcher = Watcher::new(Events::new, BY_EVENTS);
        watcher.follow(&listed);
        // Its writer is not known any more: the event of its closing may be among those lost.
        let mut file = File::create(world.path("plain")).unwrap();
        file.write_all(b"1").unwrap();
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        for turn in 0..limit.trim().parse::<usize>().unwrap() {
            fs::write(world.path("modules").join((turn % 2).to_string()), "").unwrap();
        }
        let events = watcher.events.as_mut().unwrap();
        assert_eq!(events.pending().unwrap(), Some(Happened::Lost));
        assert_eq!(events.writing(), None);
        watcher.heed(Ok(Happened::Lost));
        timeout(PATIENCE, watcher.change(&listed)).await.expect("a change is told");
        assert!(!watcher.unsure);
    });
}

#[test]
fn what_happens_to_other_files_is_not_told() {
    on_a_runtime(async {
        let world = World::new();
        let (listed, _) = World::read(world.root.path());
        let mut events = Events::new().unwrap();
        events.follow(&listed);
        assert!(events.blind().is_empty(), "{:?}", events.blind());
        for name in ["access.log", "volume/other", "releases/1/.file.swp", "modules/.a.lua.swp"] {
            fs::write(world.path(name), "").unwrap();
            fs::write(world.path(name), "1").unwrap();
        }
        // The new name in a folder of modules might be a link to some.
        assert_eq!(events.pending().unwrap(), Some(Happened::Change));
        for name in ["access.log", "volume/other", "releases/1/.file.swp", "modules/.a.lua.swp"] {
            fs::write(world.path(name), "2").unwrap();
        }
        assert_eq!((events.pending().unwrap(), events.writing()), (None, None));
        fs::write(world.path("releases/1/file"), "2").unwrap();
        assert_eq!(events.pending().unwrap(), Some(Happened::Change));
    });
}

#[test]
fn watches_of_what_is_not_needed_any_more_are_taken_back() {
    on_a_runtime(async {
        let world = World::new();
        let (listed, _) = World::read(world.root.path());
        let mut events = Events::new().unwrap();
        events.follow(&listed);
        let before = events.folders();
        let mut fewer = Listed::default();
        fewer.file(&world.path("plain"));
        events.follow(&fewer);
        assert!(events.folders() < before);
        events.follow(&listed);
        assert_eq!(events.folders(), before);
    });
}

#[test]
fn what_is_read_while_somebody_begins_to_write_is_thrown_away() {
    on_a_runtime(async {
        let world = World::new();
        let (listed, _) = World::read(world.root.path());
        let mut watcher = Watcher::new(Events::new, BY_EVENTS);
        watcher.follow(&listed);
        fs::write(world.path("plain"), "1").unwrap();
        watcher.change(&listed).await;
        let (listed, _) = World::read(world.root.path());
        assert!(!watcher.is_disturbed());

        let mut file = File::create(world.path("plain")).unwrap();
        file.write_all(b"half").unwrap();
        for _ in 0..2 * DISTURBED_LIMIT {
            assert!(watcher.is_disturbed(), "it is still being written");
            file.write_all(b"more").unwrap();
        }
        drop(file);
        timeout(PATIENCE, watcher.change(&listed)).await.expect("the change is told");
        let (listed, _) = World::read(world.root.path());
        assert!(!watcher.is_disturbed());

        // Never at rest, but nothing is open: after a while, it is read nevertheless.
        let mut turns = 0;
        while {
            fs::write(world.path("plain"), turns.to_string()).unwrap();
            watcher.is_disturbed()
        } {
            turns += 1;
            timeout(PATIENCE, watcher.change(&listed)).await.expect("the change is told");
        }
        assert_eq!(turns, DISTURBED_LIMIT);
    });
}
