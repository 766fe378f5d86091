//! Files that may be loaded while the gateway runs: those below the model roots.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

/// Largest model file: what an edge gateway scores with has megabytes; this bounds what one mistake reads into memory.
pub const FILE_LIMIT: u64 = 1024 * 1024 * 1024;

/// Directories below which models may be loaded on request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots(Vec<PathBuf>);

impl Roots {
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self(roots)
    }

    /// Reads a file that is named relative to one of the roots, the first that has it. The kernel resolves the name and
    /// never leaves the root, whatever links there are and whoever changes them meanwhile (openat2(2), `RESOLVE_BENEATH`).
    /// Blocks.
    ///
    /// # Errors
    /// Why not, for whoever asked; it does not tell what lies outside of the roots.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        if self.0.is_empty() {
            return Err("no model can be loaded: the gateway has no `model_roots`".to_owned());
        }
        let relative = Path::new(path);
        if path.is_empty()
            || !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return Err(format!("`{path}` is not below the model roots: expected a relative path without `..`"));
        }
        let mut outside = false;
        for root in &self.0 {
            match open_below(root, relative) {
                Ok(file) => return read_bounded(file, path),
                Err(rustix::io::Errno::XDEV | rustix::io::Errno::LOOP) => outside = true,
                Err(_) => {}
            }
        }
        Err(if outside {
            format!("`{path}` leads out of the model roots")
        } else {
            format!("no file `{path}` below the model roots that can be read")
        })
    }
}

fn open_below(root: &Path, relative: &Path) -> rustix::io::Result<File> {
    let directory = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // Not blocking, in case it is a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    Ok(File::from(openat2(directory, relative, flags, Mode::empty(), resolve)?))
}

fn read_bounded(file: File, path: &str) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("`{path}` cannot be read: {error}");
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(format!("`{path}` is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(format!("`{path}` is larger than the limit of {} MiB", FILE_LIMIT / (1024 * 1024)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_below_the_roots_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (root, secret) = (dir.path().join("models"), dir.path().join("secret"));
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/m.onnx"), "model").unwrap();
        std::fs::write(&secret, "secret").unwrap();
        symlink("sub/m.onnx", root.join("inside")).unwrap();
        symlink("../secret", root.join("outside")).unwrap();
        symlink(&secret, root.join("absolute")).unwrap();
        symlink("..", root.join("up")).unwrap();
        let roots = Roots::new(vec![dir.path().join("missing"), root.clone()]);
        assert_eq!(roots.read("sub/m.onnx").unwrap(), b"model");
        assert_eq!(roots.read("./inside").unwrap(), b"model", "a link that stays below is followed");
        let absolute = secret.to_str().unwrap();
        for path in [
            "../secret",
            "sub/../../secret",
            absolute,
            "outside",
            "absolute",
            "up/secret",
            "",
            "..",
            "/",
            "sub",
            "none",
        ] {
            let error = roots.read(path).unwrap_err();
            assert!(!error.contains("secret") || path.contains("secret"), "{path}: {error}");
        }
        assert!(roots.read("outside").unwrap_err().contains("leads out"));
        assert!(roots.read("sub").unwrap_err().contains("regular file"));
        assert!(Roots::default().read("sub/m.onnx").unwrap_err().contains("model_roots"));
    }

    #[test]
    fn a_pipe_does_not_keep_anybody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("pipe"), Mode::RUSR).unwrap();
        assert!(Roots::new(vec![dir.path().to_owned()]).read("pipe").unwrap_err().contains("regular file"));
    }
}
