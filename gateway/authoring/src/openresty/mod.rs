//! Replays the test files of lua-nginx-module: what its Lua API does there, this one's has to do.
//!
//! The files are read from a checkout. Each case has a configuration of nginx, requests and what has to come of them. It
//! is translated into a configuration of the gateway, whose own process then serves it; or it is given to a real nginx, which
//! shows what the replay itself is worth. What a case says that has no equivalent makes it untranslatable, with the reason.

mod blocks;
mod case;
mod client;
mod expect;
mod nginx;
mod pattern;
mod perl;
mod process;
mod replay;
mod report;
mod request;
mod response;
mod server;
mod services;
mod text;
mod translate;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use blocks::TestFile;
use case::{Place, Preamble};
use process::Ports;
use services::Services;

pub use report::{CaseOutcome, Conformance, Known, Outcome};
pub use server::Against;

use crate::error::CommandError;

/// What to replay.
#[derive(Debug)]
pub struct ConformanceOptions {
    /// A checkout of lua-nginx-module.
    pub checkout: PathBuf,
    /// Only files whose path below `t` matches.
    pub file: Option<String>,
    /// Only cases whose `FILE NUMBER TITLE` matches.
    pub only: Option<String>,
    pub against: Against,
    /// Cases at once.
    pub jobs: usize,
    /// Whether failed cases are shown one by one.
    pub show_failed: bool,
    /// A file with cases that are known to fail.
    pub known: Option<PathBuf>,
    /// Keeps the directories of cases below this one.
    pub keep: Option<PathBuf>,
}

/// Runs the cases; `progress` is told how many of how many are done.
pub fn conformance(
    options: &ConformanceOptions,
    progress: impl Fn(usize, usize) + Sync,
) -> Result<Conformance, CommandError> {
    let matcher = |text: &Option<String>| match text {
        Some(source) => {
            pattern::Pattern::regex(source, "").map(Some).map_err(|error| CommandError::Usage(error.to_string()))
        }
        None => Ok(None),
    };
    let known = options.known.as_deref().map(read_known).transpose()?;
    let (file_matcher, only) = (matcher(&options.file)?, matcher(&options.only)?);
    let checkout = options.checkout.canonicalize().map_err(|source| read_error(&options.checkout, source))?;
    let folder = checkout.join("t");
    let mut names = test_files(&folder)?;
    names.retain(|name| file_matcher.as_ref().is_none_or(|pattern| pattern.is_in(name)));
    let mut files = Vec::new();
    for name in names {
        let path = folder.join(&name);
        let bytes = std::fs::read(&path).map_err(|source| read_error(&path, source))?;
        files.push((name, TestFile::parse(&bytes)));
    }
    let mut work = Vec::new();
    for (name, file) in &files {
        for block in &file.blocks {
            let described = format!("{name} {} {}", block.number, block.title);
            if only.as_ref().is_none_or(|pattern| pattern.is_in(&described)) {
                work.push((name, file, block));
            }
        }
    }
    if work.is_empty() {
        return Err(CommandError::Usage(format!("no case below {} matches", folder.display())));
    }
    let temporary = tempfile::tempdir().map_err(CommandError::Temporary)?;
    let root = options.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let folder_of_tests = &folder;
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<(usize, CaseOutcome)>> = Mutex::new(Vec::new());
    let worker = |number: usize| -> io::Result<()> {
        let folder = root.join(format!("worker-{number}"));
        std::fs::create_dir_all(&folder)?;
        let mut ports = Ports::of_worker(number);
        let services = Services::start(&folder, &mut ports)?;
        while let Some((index, (name, file, block))) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            work.get(index).map(|work| (index, *work))
        } {
            // Some cases look for the name of the directory that the original runner uses.
            let case_root = root.join(format!("{index}/servroot"));
            let [port, spare_ports @ ..] = &ports.take(8)?[..] else {
                return Err(io::ErrorKind::AddrNotAvailable.into());
            };
            let place = Place {
                checkout: checkout.clone(),
                root: case_root.clone(),
                port: *port,
                spare_ports: spare_ports.to_vec(),
                services: services.ports.clone(),
                pcre: if matches!(options.against, Against::Nginx) { 1 } else { 2 },
            };
            std::fs::create_dir_all(&case_root)?;
            // The original runner has its directory within `t`, from where cases find certificates.
            let _ = std::os::unix::fs::symlink(folder_of_tests.join("cert"), root.join(format!("{index}/cert")));
            let preamble = Preamble::read(&file.preamble, &place);
            let (outcome, unchecked) = replay::replay(block, &preamble, &place, &options.against);
            if options.keep.is_none() {
                // One directory that stays until the end of the run harms nobody.
                let _ = std::fs::remove_dir_all(root.join(index.to_string()));
            }
            let case = CaseOutcome {
                file: name.clone(),
                number: block.number,
                line: block.line,
                title: block.title.clone(),
                outcome,
                unchecked,
            };
            outcomes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((index, case));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, work.len());
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let jobs = options.jobs.clamp(1, 16);
        let workers: Vec<_> = (0..jobs).map(|number| scope.spawn(move || worker(number))).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result.map_err(CommandError::Replay),
            Err(_) => Err(CommandError::Usage("a worker of the replay ended".to_owned())),
        })
    })?;
    let mut outcomes = outcomes.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    outcomes.sort_by_key(|(index, _)| *index);
    let against = match options.against {
        Against::Gateway(_) => "gateway",
        Against::Nginx => "nginx",
    };
    let cases = outcomes.into_iter().map(|(_, case)| case).collect();
    Ok(Conformance { against, cases, show_failed: options.show_failed, known })
}

fn read_known(path: &Path) -> Result<Known, CommandError> {
    let read = |source| CommandError::Read { what: "the list of known failures", path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(read)?;
    Known::parse(&text).map_err(|error| CommandError::Usage(format!("{}: {error}", path.display())))
}

fn read_error(path: &Path, source: io::Error) -> CommandError {
    CommandError::Read { what: "the checkout of lua-nginx-module", path: path.to_owned(), source }
}

/// Paths of test files below `t`, in order.
fn test_files(folder: &Path) -> Result<Vec<String>, CommandError> {
    let mut names = Vec::new();
    let mut folders = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|source| read_error(&folder, source))?;
        for entry in entries.flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() && depth == 0 {
                folders.push((entry.path(), format!("{name}/"), depth + 1));
            } else if name.ends_with(".t") {
                names.push(name);
            }
        }
    }
    names.sort();
    Ok(names)
}
