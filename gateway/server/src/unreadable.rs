//! Why a file cannot be used, in words for whoever has to mend that: the system's own speak of calls and their numbers.

use std::io::{self, ErrorKind};
use std::path::Path;

/// What is wrong and was expected, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    pub message: String,
    pub help: String,
}

impl Unusable {
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// `ELOOP` of Linux, for which the standard library has no name yet.
const LINK_LOOP: i32 = 40;

/// What a file is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Reading,
    /// A directory that is listed.
    Listing,
    /// A file that lines are added to, and that is made if it is not there.
    Appending,
}

/// Tells why `path` could not be opened or read.
pub fn unusable(path: &Path, purpose: Purpose, error: &io::Error) -> Unusable {
    let shown = path.display();
    let kind = if purpose == Purpose::Listing { "a directory" } else { "a file" };
    match error.kind() {
        ErrorKind::NotFound => absent(path, purpose, kind),
        ErrorKind::PermissionDenied => {
            let doing = match purpose {
                Purpose::Reading | Purpose::Listing => "read",
                Purpose::Appending => "write to",
            };
            Unusable::new(
                format!("expected {kind} that this user may {doing}, got no permission for `{shown}`"),
                format!(
                    "let the gateway's user {doing} it and enter the folders above it (`namei -l {shown}` shows who may)"
                ),
            )
        }
        ErrorKind::IsADirectory => {
            Unusable::new(format!("expected a file, got the directory `{shown}`"), "name a file in it")
        }
        // What makes directories says that something else is there.
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            let file = path.ancestors().skip(1).find(|above| above.is_file()).unwrap_or(path);
            let file = if purpose == Purpose::Listing && path.is_file() { path } else { file };
            Unusable::new(
                format!("expected a directory, got the file `{}`", file.display()),
                "correct the path (it is relative to the configuration file)",
            )
        }
        ErrorKind::ReadOnlyFilesystem => Unusable::new(
            format!("expected {kind} that can be written to, got `{shown}` on a disk that is mounted for reading only"),
            "choose a path elsewhere",
        ),
        ErrorKind::StorageFull => Unusable::new(
            format!("expected room for `{shown}`, got a full disk"),
            "make room, or choose a path elsewhere",
        ),
        _ if error.raw_os_error() == Some(LINK_LOOP) => Unusable::new(
            format!("expected {kind}, got links at `{shown}` that lead to each other"),
            "mend the links, or name what they should lead to",
        ),
        _ => {
            let number = error.raw_os_error().map_or_else(String::new, |number| format!(" (its error {number})"));
            Unusable::new(
                format!("expected {kind} that can be used, but the system fails on `{shown}`{number}"),
                "see whether the disk it is on is sound",
            )
        }
    }
}

/// What lacks of a path: the file itself, a folder above it, or what a link leads to.
fn absent(path: &Path, purpose: Purpose, kind: &str) -> Unusable {
    let shown = path.display();
    if let Ok(target) = std::fs::read_link(path) {
        return Unusable::new(
            format!("expected {kind}, got the link `{shown}` to `{}`, which is not there", target.display()),
            "put there what it leads to, or correct the link",
        );
    }
    let above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
    let missing = above.take_while(|above| !above.exists()).last();
    match missing {
        Some(folder) => Unusable::new(
            format!("expected {kind} at `{shown}`, but there is no directory `{}`", folder.display()),
            "make the directory, or correct the path (it is relative to the configuration file)",
        ),
        None => Unusable::new(format!("expected {kind} at `{shown}`, got none"), help_for(path, purpose)),
    }
}

fn help_for(path: &Path, purpose: Purpose) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        _ if purpose == Purpose::Listing => "make it, or correct the path (it is relative to the configuration file)",
        Some("onnx") => "put the model there, or correct the path (it is relative to the configuration file)",
        Some("lua") => "put the script there, or correct the path (it is relative to the configuration file)",
        Some("wasm") => "build the plugin, or correct the path (it is relative to the configuration file)",
        _ => "create the file, or correct the path (it is relative to the configuration file)",
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;

    fn said(path: &Path, purpose: Purpose) -> String {
        let opened = match purpose {
            Purpose::Listing => fs::read_dir(path).map(drop),
            Purpose::Reading => fs::read(path).map(drop),
            Purpose::Appending => File::options().append(true).create(true).open(path).map(drop),
        };
        let unusable = unusable(path, purpose, &opened.unwrap_err());
        format!("{} | {}", unusable.message, unusable.help)
    }

    #[test]
    fn each_reason_has_words_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        symlink("ring", at("ring")).unwrap();
        for (path, purpose, part) in [
            (at("a.pem"), Purpose::Reading, "a.pem`, got none | create the file"),
            (at("a.wasm"), Purpose::Reading, "a.wasm`, got none | build the plugin"),
            (at("x/y/a.pem"), Purpose::Reading, "/x` | make the directory"),
            (at("x/access.log"), Purpose::Appending, "/x` | make the directory"),
            (at("none"), Purpose::Listing, "expected a directory at `"),
            (folder.path().to_owned(), Purpose::Reading, "expected a file, got the directory `"),
            (folder.path().to_owned(), Purpose::Appending, "expected a file, got the directory `"),
            (at("file"), Purpose::Listing, "expected a directory, got the file `"),
            (at("file/a.pem"), Purpose::Reading, "/file` | correct the path"),
            (at("dangling"), Purpose::Reading, "to `nowhere`, which is not there"),
            (at("ring"), Purpose::Reading, "that lead to each other"),
        ] {
            let said = said(&path, purpose);
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn permission_is_told_apart_from_absence() {
        let error = io::Error::from(ErrorKind::PermissionDenied);
        let unusable = unusable(Path::new("key.pem"), Purpose::Reading, &error);
        assert_eq!(unusable.message, "expected a file that this user may read, got no permission for `key.pem`");
    }
}
