//! Directories of Lua modules, read as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Listed;
use super::files::read_bounded;
use crate::unreadable::{Purpose, Unusable, unusable};

/// Largest module: generated tables have some hundreds of KiB.
const MODULE_LIMIT: u64 = 4 * 1024 * 1024;
/// Most modules below one directory, and bytes of all together: Debian's directory of all its libraries is a tenth of that.
const MODULES_LIMIT: usize = 10_000;
const BYTES_LIMIT: usize = 64 * 1024 * 1024;
/// Directories in directories; links may go round in circles.
const DEPTH_LIMIT: usize = 16;

/// What is below a directory.
#[derive(Debug, Default)]
pub struct Found {
    /// Files by the names of modules.
    pub names: BTreeMap<String, PathBuf>,
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

/// Reads every `.lua` file below a directory, and notes what was looked at.
///
/// # Errors
/// It cannot be read, or is too much.
pub fn read(directory: &Path, listed: &mut Listed) -> Result<Found, Unusable> {
    let mut found = Found::default();
    visit(directory, "", 0, (&mut found, listed))?;
    Ok(found)
}

fn visit(
    directory: &Path,
    prefix: &str,
    depth: usize,
    (found, listed): (&mut Found, &mut Listed),
) -> Result<(), Unusable> {
    if depth > DEPTH_LIMIT {
        return Ok(());
    }
    listed.folder(directory);
    let unreadable = |error: std::io::Error| unusable(directory, Purpose::Listing, &error);
    let mut entries = std::fs::read_dir(directory)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    entries.sort();
    for path in entries {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.is_dir() {
            visit(&path, &format!("{prefix}{name}."), depth + 1, (found, listed))?;
            continue;
        }
        let Some(stem) = name.strip_suffix(".lua") else { continue };
        listed.file(&path);
        let content = read_bounded(&path, MODULE_LIMIT)?;
        // As Lua has it, `a.lua` comes before `a/init.lua`, which is `a.init` as well.
        if let ("init", Some(package)) = (stem, prefix.strip_suffix('.')) {
            found.names.entry(package.to_owned()).or_insert_with(|| path.clone());
        }
        found.names.insert(format!("{prefix}{stem}"), path.clone());
        found.files.insert(path, content);
        let bytes: usize = found.files.values().map(Vec::len).sum();
        if found.files.len() > MODULES_LIMIT || bytes > BYTES_LIMIT {
            let mib = BYTES_LIMIT / (1024 * 1024);
            let message = format!(
                "expected at most {MODULES_LIMIT} modules and {mib} MiB of them below `{}`, got more",
                directory.display()
            );
            return Err(Unusable::new(message, "name a smaller directory"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_the_names_that_require_wants() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["a.lua", "b/init.lua", "b/c.lua", "d.lua", "d/init.lua", "e.txt"] {
            let path = directory.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        let mut listed = Listed::default();
        let found = read(directory.path(), &mut listed).unwrap();
        let names: Vec<_> = found
            .names
            .iter()
            .map(|(name, path)| (name.as_str(), path.strip_prefix(directory.path()).unwrap().to_str().unwrap()))
            .collect();
        assert_eq!(
            names,
            [
                ("a", "a.lua"),
                ("b", "b/init.lua"),
                ("b.c", "b/c.lua"),
                ("b.init", "b/init.lua"),
                ("d", "d.lua"),
                ("d.init", "d/init.lua")
            ]
        );
        assert_eq!((listed.folders().count(), listed.files().count()), (3, 5));
        let none = directory.path().join("none");
        let missing = read(&none, &mut listed).unwrap_err();
        assert!(missing.message.starts_with("expected a directory at"), "{missing:?}");
        assert!(listed.folders().any(|folder| folder == none), "a directory to come is noted");
    }
}
