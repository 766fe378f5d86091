//! Turns changes of files into reloads.
//!
//! Two things tell of changes. Events of the kernel are quick and say when a file that was opened for writing is closed,
//! which is when it may be read. Looking at the files every few seconds needs nothing of the kernel, and finds what has no
//! events: changes made elsewhere on a network file system, and all of them where folders cannot be watched.

mod events;
#[cfg(test)]
mod tests;
mod trail;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use self::events::{Events, Happened};
use crate::reload::{Reloader, Trigger};
use crate::snapshot::Listed;

/// Longest time that a row of changes can put reading off, as long as nothing is being written.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);
/// After this time without a change, a file that is still open for writing is taken as it is: its writer may have
/// forgotten to close it, or have changed it without opening it (`truncate`). Uploads that stall take some seconds.
const WRITING_LIMIT: Duration = Duration::from_secs(30);
/// After this time, waiting for a writer is worth a line in the log.
const WRITING_TOLD: Duration = Duration::from_secs(5);
/// How often in a row files may be read again at once because they have changed since they were read; some files never
/// look the same twice.
const HASTE_LIMIT: u32 = 3;
/// How often in a row what has been read may be thrown away because something has happened meanwhile: some folders are
/// never at rest. Where a file is being written, there is no such limit.
const DISTURBED_LIMIT: u32 = 3;
/// Looks in a row that may find a file changed once more before it is read nevertheless.
const RESTLESS_LIMIT: u32 = 15;

/// How often files are looked at, and how soon they are read.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Quiet time after a change before the files are read: an editor or a copy makes several changes in a row.
    pub settle: Duration,
    /// The same where there may be writers who are not known: events have been lost, or had not been asked for yet.
    pub unsure: Duration,
    /// Beside events, for what has none.
    pub look: Duration,
    /// Where events are not to be had; a change is taken when two looks in a row have found the same.
    pub blind: Duration,
}

impl Default for Pace {
    /// A look costs a system call for each file, some 2 us: beside events it may be rare, without them two seconds are
    /// what somebody who has saved a file waits for.
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(100),
            unsure: Duration::from_secs(1),
            look: Duration::from_secs(10),
            blind: Duration::from_secs(2),
        }
    }
}

/// Reloads when files have changed. Returns when `listed` is closed.
pub async fn reload_on_change(reloader: Arc<Reloader>, mut watcher: Watcher, mut listed: watch::Receiver<Listed>) {
    loop {
        let read = listed.borrow_and_update().clone();
        tokio::select! {
            () = watcher.change(&read) => {
                // It may name files now that it did not name before: they may be half written, too.
                if let Some(next) = reloader.named().await.filter(|next| !read.covers(next)) {
                    watcher.rest(&next).await;
                }
                reloader.reload_unless(Trigger::File, || watcher.is_disturbed()).await;
            }
            changed = listed.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Waits for changes of files.
pub struct Watcher {
    open: fn() -> io::Result<Events>,
    /// None: the kernel gives none.
    events: Option<Events>,
    pace: Pace,
    /// Something has happened, and whoever waits has not been told yet.
    due: bool,
    /// Writers may not be known, and nothing has been quiet for long enough since.
    unsure: bool,
    haste: u32,
    disturbed: u32,
    /// What cannot be watched and has been said of.
    told: BTreeSet<PathBuf>,
}

impl Watcher {
    /// Watches these files from now on: whoever begins to write to one is known to. On a runtime.
    pub fn begin(listed: &Listed) -> Self {
        let mut watcher = Self::new(Events::new, Pace::default());
        watcher.follow(listed);
        watcher
    }

    fn new(open: fn() -> io::Result<Events>, pace: Pace) -> Self {
        let told = BTreeSet::new();
        Self { open, events: None, pace, due: false, unsure: false, haste: 0, disturbed: 0, told }
    }

    /// Waits until these files may be other than they were when they were read, and at rest. Cancel-safe.
    async fn change(&mut self, read: &Listed) {
        self.follow(read);
        if let Some(happened) = self.events.as_mut().and_then(|events| events.pending().transpose()) {
            self.heed(happened);
            self.due = true;
        }
        // Between reading them and watching their folders, so that nobody knows who is still writing.
        if !self.due && !self.is_blind() && self.haste < HASTE_LIMIT && now(read).await != *read {
            self.haste += 1;
            (self.due, self.unsure) = (true, true);
        }
        while !self.due {
            self.due = self.wait(read).await;
        }
        self.rest(read).await;
        self.due = false;
    }

    /// Whether what has been read since [`Self::change`] may be half of something: then it is to be thrown away, and the next
    /// change is told soon.
    fn is_disturbed(&mut self) -> bool {
        let Some(events) = &mut self.events else { return false };
        let Some(happened) = events.pending().transpose() else {
            self.disturbed = 0;
            return false;
        };
        let is_written = events.writing().is_some();
        self.heed(happened);
        self.due = true;
        self.disturbed += 1;
        is_written || self.unsure || self.disturbed <= DISTURBED_LIMIT
    }

    async fn wait(&mut self, read: &Listed) -> bool {
        let interval = if self.is_blind() { self.pace.blind } else { self.pace.look };
        tokio::select! {
            happened = next(self.events.as_mut()) => {
                self.heed(happened);
                self.haste = 0;
                true
            }
            () = sleep(interval) => {
                // What could not be watched can be by now.
                if self.is_blind() {
                    self.follow(read);
                }
                self.look(read).await
            }
        }
    }

    /// Whether the files have changed, and are at rest as far as looking at them can tell.
    async fn look(&mut self, read: &Listed) -> bool {
        let mut found = now(read).await;
        let hidden = self.is_blind() && read.is_fresh();
        if found == *read && !hidden {
            return false;
        }
        for _ in 0..RESTLESS_LIMIT {
            sleep(self.pace.blind).await;
            let again = now(read).await;
            if again == found {
                break;
            }
            found = again;
        }
        true
    }

    /// Waits until nothing has happened to these files for a while, and none of them is being written.
    async fn rest(&mut self, listed: &Listed) {
        let begun = Instant::now();
        let mut told = false;
        loop {
            self.quiet(begun + SETTLE_LIMIT).await;
            self.follow(listed);
            let Some(events) = &mut self.events else { return };
            let Some((file, last)) = events.writing() else {
                if listed.is_warm(self.pace.settle) && begun.elapsed() < SETTLE_LIMIT {
                    continue;
                }
                return;
            };
            let (file, silent) = (file.display(), last.elapsed());
            if silent >= WRITING_LIMIT {
                warn!(
                    %file,
                    "has been open for writing for {WRITING_LIMIT:?} without a change; it is taken as it is"
                );
                events.forget_writing();
                return;
            }
            if !told && begun.elapsed() >= WRITING_TOLD {
                told = true;
                info!(
                    %file,
                    "is being written; it is read when its writer has closed it. SIGHUP or POST /reload read it as it is"
                );
            }
            let more = if told { WRITING_LIMIT } else { WRITING_TOLD };
            if let Ok(happened) = timeout(more.min(WRITING_LIMIT - silent), next(Some(events))).await {
                self.heed(happened);
            }
        }
    }

    /// Waits until nothing has happened for a while, or until then.
    async fn quiet(&mut self, until: Instant) {
        loop {
            let time = if self.unsure { self.pace.unsure } else { self.pace.settle };
            match timeout(time, next(self.events.as_mut())).await {
                Ok(happened) => self.heed(happened),
                Err(_) => {
                    self.unsure = false;
                    return;
                }
            }
            if !self.unsure && Instant::now() >= until {
                return;
            }
        }
    }

    fn heed(&mut self, happened: io::Result<Happened>) {
        match happened {
            Ok(Happened::Change) => {}
            Ok(Happened::Lost) => {
                warn!("events of changed files have been lost; all files are looked at again");
                self.unsure = true;
            }
            Err(error) => {
                let every = self.pace.blind;
                warn!(%error, "events of changed files cannot be read; the files are looked at every {every:?} instead");
                self.events = None;
                self.told.insert(PathBuf::new());
            }
        }
    }

    fn is_blind(&self) -> bool {
        self.events.as_ref().is_none_or(|events| !events.blind().is_empty())
    }

    /// Watches what these files depend on, and says what cannot be watched, once.
    fn follow(&mut self, listed: &Listed) {
        let every = self.pace.blind;
        if self.events.is_none() {
            match (self.open)() {
                Ok(events) => {
                    self.events = Some(events);
                    if self.told.remove(&PathBuf::new()) {
                        info!("files are watched by events of the kernel again");
                    }
                }
                Err(error) => {
                    if self.told.insert(PathBuf::new()) {
                        warn!(
                            %error,
                            "files cannot be watched by events of the kernel; they are looked at every {every:?} instead. \
                             If too many programs of this user watch files, raise `fs.inotify.max_user_instances`"
                        );
                    }
                    return;
                }
            }
        }
        let Some(events) = &mut self.events else { return };
        let before = events.folders();
        events.follow(listed);
        let mut news = events.blind().iter().filter(|(folder, _)| self.told.insert((*folder).clone()));
        if let Some((folder, reason)) = news.next() {
            let (folder, others) = (folder.display(), news.count());
            warn!(%folder, others, %reason, "folders cannot be watched; their files are looked at every {every:?} instead");
        }
        self.told.retain(|folder| events.blind().contains_key(folder));
        if events.folders() != before {
            let (files, folders) = (listed.files().count(), events.folders());
            debug!(files, folders, "watching files");
        }
    }
}

/// The next event; never comes if there are none.
async fn next(events: Option<&mut Events>) -> io::Result<Happened> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}

/// The same files as they are now. Away from this thread: a network file system may take its time.
async fn now(listed: &Listed) -> Listed {
    let again = listed.clone();
    tokio::task::spawn_blocking(move || again.now()).await.unwrap_or_else(|_| listed.clone())
}
