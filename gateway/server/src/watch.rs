//! Turns changes of files into reloads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::reload::{Reloader, Trigger};

/// Quiet time after a change before a reload: an editor or a copy makes several changes in a row.
const SETTLE: Duration = Duration::from_millis(100);
/// Longest time that a row of changes can put a reload off.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);

/// Watches the folders of the configuration's files and reloads after changes. Folders, not files: editors and
/// deployments replace files, and a watch on a file stays with the one that is gone.
///
/// Returns when `files` is closed.
pub async fn reload_on_change(reloader: Arc<Reloader>, mut files: watch::Receiver<Vec<PathBuf>>) {
    // One place: that something has happened is all that counts.
    let (changed, mut changes) = mpsc::channel::<()>(1);
    let listed = files.clone();
    let on_event = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| concerns(&event, &listed.borrow())) {
            // Full means that a reload is due anyway.
            let _ = changed.try_send(());
        }
    };
    let mut watcher = match notify::recommended_watcher(on_event) {
        Ok(watcher) => watcher,
        Err(error) => {
            warn!(%error, "files cannot be watched; reload by SIGHUP or by the admin listener instead");
            return;
        }
    };
    let mut watched = BTreeSet::new();
    loop {
        // What changed between reading the files and watching their folders has set off no event.
        if follow(&mut watcher, &mut watched, &files.borrow_and_update()) {
            reloader.reload(Trigger::File).await;
        }
        tokio::select! {
            change = changes.recv() => {
                if change.is_none() {
                    return;
                }
                settle(&mut changes).await;
                reloader.reload(Trigger::File).await;
            }
            listed = files.changed() => {
                if listed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Whether an event in a watched folder may have changed one of these files. Writing to other files, an access log for
/// instance, does not; coming, going and renaming may, because a file can be reached through links.
fn concerns(event: &Event, files: &[PathBuf]) -> bool {
    match event.kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            event.paths.iter().any(|path| files.iter().any(|file| file.file_name() == path.file_name()))
        }
        _ => true,
    }
}

/// Waits until changes have stopped for a while.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    let quiet = async { while let Ok(Some(())) = tokio::time::timeout(SETTLE, changes.recv()).await {} };
    let _ = tokio::time::timeout(SETTLE_LIMIT, quiet).await;
}

/// Watches exactly the folders that hold these files now; tells whether one has been added.
fn follow(watcher: &mut RecommendedWatcher, watched: &mut BTreeSet<PathBuf>, files: &[PathBuf]) -> bool {
    let wanted: BTreeSet<PathBuf> = files.iter().map(|file| folder(file)).collect();
    for folder in watched.difference(&wanted) {
        let _ = watcher.unwatch(folder);
    }
    let added: Vec<PathBuf> = wanted.difference(watched).cloned().collect();
    *watched = wanted;
    for folder in &added {
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            warn!(folder = %folder.display(), %error, "changes in this folder will not be noticed");
            watched.remove(folder);
        }
    }
    !added.is_empty()
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
