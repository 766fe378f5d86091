//! A copy of a first plugin, as a person makes one who begins with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::failure::Failure;
use crate::workspace;

/// The copy below `target/guests`, so that builds leave the sources alone.
pub struct Project {
    directory: PathBuf,
    /// When the youngest of its files was written.
    changed: SystemTime,
}

impl Project {
    /// Brings the copy up to date. Links are followed: `wit/deps` leads to the contract.
    pub fn copy(name: &str) -> Result<Self, Failure> {
        let root = workspace::root();
        let directory = root.join("target/guests").join(name);
        let changed = copy(&root.join("examples/first-plugin").join(name), &directory)?;
        Ok(Self { directory, changed })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the component is younger than its sources and the tools that it is built with.
    pub fn is_built(&self, component: &Path, toolbox: &Path) -> bool {
        let Ok(built) = modified(component) else { return false };
        let tools = fs::read_dir(toolbox.join("bin")).into_iter().flatten().flatten();
        let tools = tools.filter_map(|tool| modified(&tool.path()).ok());
        tools.chain([self.changed]).all(|changed| changed < built)
    }
}

fn modified(file: &Path) -> std::io::Result<SystemTime> {
    fs::metadata(file)?.modified()
}

/// Copies what differs, so that what has not changed keeps its time, and returns the latest time of the copies.
fn copy(from: &Path, to: &Path) -> Result<SystemTime, Failure> {
    let failure = |path: &Path| Failure::io(path.display().to_string());
    if fs::metadata(from).map_err(failure(from))?.is_file() {
        let content = fs::read(from).map_err(failure(from))?;
        if fs::read(to).ok().as_ref() != Some(&content) {
            fs::write(to, content).map_err(failure(to))?;
        }
        return modified(to).map_err(failure(to));
    }
    fs::create_dir_all(to).map_err(failure(to))?;
    let mut latest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(from).map_err(failure(from))? {
        let name = entry.map_err(failure(from))?.file_name();
        // What builds in place leave behind.
        if !["target", "build", "node_modules"].iter().any(|built| name == *built) {
            latest = latest.max(copy(&from.join(&name), &to.join(&name))?);
        }
    }
    Ok(latest)
}
