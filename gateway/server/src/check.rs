//! `witgate check`: everything that a start would meet, short of serving.
//!
//! What a reload does is the most of it: read, parse, build. What only a start does is tried here as far as it can be without
//! doing it: addresses are bound and let go, and the access log's file is not made.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use witgate_config::{AccessLog, Diagnostic, Located};

use crate::app::{self, StartError};
use crate::listen;
use crate::occupant::{self, Occupant};
use crate::snapshot::{Sources, read};
use crate::unreadable::{Purpose, Unusable, unusable};
use crate::upstream::System;

/// What was found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Any of them keeps the configuration from being served.
    pub problems: Vec<Diagnostic>,
    /// It would be served nevertheless.
    pub warnings: Vec<Diagnostic>,
    pub routes: usize,
    pub plugins: usize,
    /// The process that serves this file now.
    pub served_by: Option<u32>,
}

/// Whether addresses are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    Tried,
    /// They are those of another machine.
    Skipped,
}

/// Reads and builds a configuration as a start would, without serving it.
///
/// # Errors
/// Nothing about the configuration: this process cannot have what it needs for looking at it.
pub fn check(path: &Path, addresses: Addresses) -> anyhow::Result<Checked> {
    let sources = match read(path) {
        Ok(sources) => sources,
        Err(problems) => return Ok(Checked { problems, ..Checked::default() }),
    };
    let mut checked = Checked { routes: sources.config.routes.len(), ..Checked::default() };
    if addresses == Addresses::Tried {
        try_addresses(&sources, &mut checked);
    }
    checked.problems.extend(access_log(&sources));
    match app::build_first(&sources, Arc::new(System)) {
        Ok((_, snapshot)) => {
            checked.plugins = snapshot.plugins.len();
            // It could be served, but not as somebody who checks it expects.
            checked.problems.extend(snapshot.unresolved().iter().cloned());
            checked.warnings.extend(snapshot.warnings().cloned());
        }
        Err(StartError::Config(problems)) => checked.problems.extend(problems),
        Err(StartError::Other(error)) => return Err(error),
    }
    let place = |it: &Diagnostic| it.spot.as_ref().map(|spot| (spot.line, spot.column));
    checked.problems.sort_by_key(place);
    checked.warnings.sort_by_key(place);
    Ok(checked)
}

/// Tries each address. One that the gateway itself holds, which serves this file while it is edited, is as it should be.
fn try_addresses(sources: &Sources, checked: &mut Checked) {
    let config = &*sources.config;
    let admin = config.admin.address.as_ref();
    let listeners = config.listeners.iter().map(|listener| &listener.address);
    for address in listeners.chain(admin).filter(|address| address.value.port() != 0) {
        let Err(error) = listen::try_bind(address.value) else { continue };
        let occupant = match error.kind() {
            ErrorKind::AddrInUse => occupant::of(address.value, &sources.path),
            _ => Occupant::Unknown,
        };
        let tell = |Unusable { message, help }| sources.diagnostic(&address.spot, message, help);
        match (error.kind(), &occupant) {
            (ErrorKind::AddrInUse, Occupant::SameConfiguration { process }) => checked.served_by = Some(*process),
            // Perhaps a gateway of another user, or of another container on the same network.
            (ErrorKind::AddrInUse, Occupant::Unknown)
                if admin.is_some_and(|admin| occupant::answers_as_gateway(admin.value)) =>
            {
                let message = format!(
                    "expected a free address, got {}, which is taken, it seems by the gateway whose admin listener answers",
                    address.value
                );
                checked.warnings.push(tell(Unusable::new(message, "run `witgate check` as its user to be sure")));
            }
            // Whoever checks a file is not always the user that serves it.
            (ErrorKind::PermissionDenied, _) => {
                checked.warnings.push(tell(unbindable(address.value, &error, &occupant)))
            }
            _ => checked.problems.push(tell(unbindable(address.value, &error, &occupant))),
        }
    }
}

/// Why an address cannot be listened on.
fn unbindable(address: SocketAddr, error: &io::Error, occupant: &Occupant) -> Unusable {
    let other = "choose another port, or stop what listens there";
    match (error.kind(), occupant) {
        (ErrorKind::AddrInUse, Occupant::Other { process, name, configuration: None }) => Unusable::new(
            format!("expected a free address, got {address}, on which `{name}` (process {process}) listens"),
            other,
        ),
        (ErrorKind::AddrInUse, Occupant::Other { process, configuration: Some(path), .. }) => {
            let path = path.display();
            Unusable::new(
                format!(
                    "expected a free address, got {address}, which a gateway with `{path}` (process {process}) has"
                ),
                other,
            )
        }
        (ErrorKind::AddrInUse, Occupant::SameConfiguration { process }) => Unusable::new(
            format!("expected a free address, got {address}, which a gateway with this file (process {process}) has"),
            "stop it first; a change of the file takes effect without a start",
        ),
        (ErrorKind::AddrInUse, Occupant::Unknown) => {
            Unusable::new(format!("expected a free address, got {address}, on which another process listens"), other)
        }
        (ErrorKind::AddrNotAvailable, _) => Unusable::new(
            format!("expected an address of this machine, got {}", address.ip()),
            "write one that `ip address` lists, or `0.0.0.0` or `[::]` for all of them",
        ),
        (ErrorKind::PermissionDenied, _) => Unusable::new(
            format!("expected a port that this user may listen on, got {}", address.port()),
            "choose one from 1024 on, or give the gateway the capability CAP_NET_BIND_SERVICE",
        ),
        _ => {
            let number =
                error.raw_os_error().map_or_else(String::new, |number| format!(" (the system's error {number})"));
            Unusable::new(
                format!("expected an address to listen on, got {address}, which cannot be used{number}"),
                other,
            )
        }
    }
}

/// What a start has to say of an address that it cannot listen on.
pub(crate) fn cannot_listen(sources: &Sources, address: &Located<SocketAddr>, error: &io::Error) -> Diagnostic {
    let occupant = match error.kind() {
        ErrorKind::AddrInUse => occupant::of(address.value, &sources.path),
        _ => Occupant::Unknown,
    };
    let Unusable { message, help } = unbindable(address.value, error, &occupant);
    sources.diagnostic(&address.spot, message, help)
}

/// Whether the file of the access log could be opened. One that is not there yet is not made: an empty log would tell of a
/// start that never was.
fn access_log(sources: &Sources) -> Option<Diagnostic> {
    let AccessLog::File(path) = &sources.config.access_log else { return None };
    let opened = OpenOptions::new().append(true).open(&path.value).map(drop);
    let error = match opened {
        Ok(()) => return None,
        Err(error) if error.kind() == ErrorKind::NotFound => can_hold_files(&path.value, error)?,
        Err(error) => error,
    };
    cannot_log(sources, &sources.config.access_log, &error)
}

/// Why no file can be made at a path where there is none; none: it can.
fn can_hold_files(path: &Path, missing: io::Error) -> Option<io::Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.read_link().is_ok() || !folder.is_dir() {
        return Some(missing);
    }
    // Under a name of its own: nobody else's file is touched, and a gateway that starts meanwhile keeps its log.
    let trial = folder.join(format!(".witgate-check-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&trial);
    let failed = made.err();
    if failed.is_none() {
        let _ = std::fs::remove_file(&trial);
    }
    failed
}

/// What there is to say of an access log that cannot be opened; none: it has no file.
pub(crate) fn cannot_log(sources: &Sources, log: &AccessLog, error: &io::Error) -> Option<Diagnostic> {
    let AccessLog::File(path) = log else { return None };
    let Unusable { message, help } = unusable(&path.value, Purpose::Appending, error);
    Some(sources.diagnostic(&path.spot, message, help))
}
