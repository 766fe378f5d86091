//! The names on the way to a file, links included.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// Links on one way: as many as Linux follows.
const LINKS_LIMIT: usize = 40;

/// One name that a path's meaning depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// Where the name is looked up: a path without links.
    pub folder: &'a Path,
    pub name: &'a OsStr,
    /// Whether nothing comes after it, unless it is a link.
    pub last: bool,
}

/// Follows a path as the kernel does, an absolute one or one that begins in `from`, which has no links, and tells each name that is looked up on the way, those in the targets of
/// links included, before it is looked up: whoever watches the folder from then on misses no change of the name.
/// Ends early at a name that is not there.
///
/// Returns the path without links, if all of it is there.
pub fn follow(from: &Path, path: &Path, mut visit: impl FnMut(Step<'_>)) -> Option<PathBuf> {
    let mut real = if path.is_absolute() { PathBuf::from("/") } else { from.to_owned() };
    let mut rest = VecDeque::new();
    put_before(&mut rest, path);
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            real.pop();
            continue;
        }
        visit(Step { folder: &real, name: &name, last: rest.is_empty() });
        let next = real.join(&name);
        match next.read_link() {
            Ok(target) => {
                links += 1;
                if links > LINKS_LIMIT {
                    return None;
                }
                if target.is_absolute() {
                    real = PathBuf::from("/");
                }
                put_before(&mut rest, &target);
            }
            // There, and no link.
            Err(error) if error.kind() == ErrorKind::InvalidInput => real = next,
            Err(_) => return None,
        }
    }
    Some(real)
}

fn put_before(rest: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => rest.push_front(name.to_owned()),
            Component::ParentDir => rest.push_front("..".into()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Names below a folder that are looked up on the way to `path` in it, and where the path leads.
    fn trail(root: &Path, path: &str) -> (Vec<String>, Option<String>) {
        let mut names = Vec::new();
        let below = |path: &Path| Some(path.strip_prefix(root).ok()?.to_str()?.to_owned());
        let end = follow(root, Path::new(path), |step| names.extend(below(&step.folder.join(step.name))));
        (names, end.and_then(|end| below(&end)))
    }

    #[test]
    fn every_name_on_the_way_is_told_and_so_are_those_in_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for path in ["..1", "releases/1"] {
            fs::create_dir_all(root.join(path)).unwrap();
            fs::write(root.join(path).join("f"), "").unwrap();
        }
        symlink("..1", root.join("..data")).unwrap();
        symlink("..data/f", root.join("f")).unwrap();
        symlink(root.join("releases/1"), root.join("current")).unwrap();
        symlink("round", root.join("round")).unwrap();
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(trail(&root, "f"), (names(&["f", "..data", "..1", "..1/f"]), Some("..1/f".into())));
        // An absolute link leads over the folder itself.
        let way = names(&["current", "", "releases", "releases/1", "releases/1/f"]);
        assert_eq!(trail(&root, "current/f"), (way, Some("releases/1/f".into())));
        assert_eq!(trail(&root, "releases/../none/f"), (names(&["releases", "none"]), None));
        assert_eq!(trail(&root, "./f/../g"), (names(&["f", "..data", "..1", "..1/f", "..1/g"]), None));
        assert_eq!(trail(&root, "round").1, None);
        assert_eq!(follow(Path::new("/none"), &root.join("f"), |_| ()), Some(root.join("..1/f")));
    }
}
