//! Tells the crate a digest of its own source: machine code that another version of it has made is not for this one.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn files(folder: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src");
    let mut found = BTreeSet::new();
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("src");
    files(&folder, &mut found)?;
    let mut hasher = DefaultHasher::new();
    for path in &found {
        path.strip_prefix(&folder).unwrap_or(path).hash(&mut hasher);
        fs::read(path)?.hash(&mut hasher);
    }
    println!("cargo::rustc-env=WITGATE_TREES_SOURCE={:016x}", hasher.finish());
    Ok(())
}
