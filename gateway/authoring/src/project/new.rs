//! `witgate plugin new`: the folder that a plugin begins as.

use std::fmt::{self, Display};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Language, name, template};
use crate::CommandError;

/// What was written.
#[derive(Debug)]
pub struct Created {
    folder: PathBuf,
    name: String,
    language: Language,
    files: Vec<PathBuf>,
}

/// Writes a project that builds as it is into a new folder, all or nothing. The last part of the path is its name.
///
/// # Errors
/// The name is none for a plugin, there is something at the path already, or it cannot be written.
pub fn new(folder: &Path, language: Language) -> Result<Created, CommandError> {
    let last = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name::check(&last, language).map_err(CommandError::Usage)?;
    let write = |source| CommandError::Write { path: folder.to_owned(), source };
    refuse_taken(folder)?;
    let files = template::files(&last, language)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(write)?;
    // Aside, and then renamed, which puts it in the place of an empty folder too.
    let aside = tempfile::Builder::new().prefix(".witgate-new-").tempdir_in(parent).map_err(write)?;
    let project = aside.path().join(&last);
    for file in &files {
        let path = project.join(&file.path);
        let folder = path.parent().unwrap_or(&project);
        fs::create_dir_all(folder).and_then(|()| fs::write(&path, &file.content)).map_err(write)?;
    }
    fs::rename(&project, folder).map_err(write)?;
    let mut files: Vec<_> = files.into_iter().map(|file| file.path).collect();
    files.sort();
    Ok(Created { folder: folder.to_owned(), name: last, language, files })
}

/// Nothing that is there is overwritten or mixed with.
fn refuse_taken(folder: &Path) -> Result<(), CommandError> {
    let refused = |what: &str| {
        let advice = "choose another name, or move away what is there";
        Err(CommandError::Usage(format!(
            "{}: {what}; expected a path where nothing is yet: {advice}",
            folder.display()
        )))
    };
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => refused("a folder with something in it"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::symlink_metadata(folder) {
            Ok(_) => refused("a link that leads nowhere"),
            Err(_) => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => refused("not a folder"),
        Err(source) => Err(CommandError::Read { what: "folder", path: folder.to_owned(), source }),
    }
}

impl Created {
    /// What to do next, in order.
    fn next(&self) -> Vec<String> {
        let folder = self.folder.display().to_string();
        let plain = folder.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
        let folder = if plain { folder } else { format!("'{}'", folder.replace('\'', r"'\''")) };
        let install = match self.language {
            Language::Js => Some("npm install".to_owned()),
            Language::Python => Some("pip install -r requirements.txt".to_owned()),
            Language::Rust | Language::C | Language::Go => None,
        };
        let rest = ["witgate plugin build", "witgate plugin test cases.toml"].map(str::to_owned);
        [format!("cd {folder}")].into_iter().chain(install).chain(rest).collect()
    }

    pub fn to_json(&self) -> Value {
        let files: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
        json!({
            "ok": true,
            "folder": self.folder.display().to_string(),
            "name": self.name,
            "language": self.language.name(),
            "files": files,
            "next": self.next(),
        })
    }
}

impl Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, name: _, language, files } = self;
        writeln!(f, "{}: a plugin in {}, {} files", folder.display(), language.title(), files.len())?;
        writeln!(f, "Next (README.md says more):")?;
        self.next().iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        let refused = |name: &str| new(&parent.path().join(name), Language::C).unwrap_err().to_string();
        fs::create_dir(parent.path().join("taken")).unwrap();
        fs::write(parent.path().join("taken/notes"), "mine").unwrap();
        fs::write(parent.path().join("file"), "mine").unwrap();
        std::os::unix::fs::symlink("nowhere", parent.path().join("link")).unwrap();
        assert!(refused("taken").contains("a folder with something in it"));
        assert!(refused("file").contains("not a folder"));
        assert!(refused("link").contains("a link that leads nowhere"));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 3, "and nothing is left beside it");
        assert_eq!(fs::read_dir(parent.path().join("taken")).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_folder_is_filled_and_missing_ones_are_made() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("empty")).unwrap();
        for path in ["empty", "deep/er/plugin"] {
            let folder = parent.path().join(path);
            let created = new(&folder, Language::Js).unwrap();
            assert!(created.files.iter().all(|file| folder.join(file).is_file()));
            assert!(created.next().contains(&"npm install".to_owned()));
        }
    }

    #[test]
    fn a_name_that_is_none_writes_nothing() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["My", "a/..", "a b"] {
            assert!(matches!(new(&parent.path().join(name), Language::C), Err(CommandError::Usage(_))), "{name}");
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_is_written_as_a_shell_takes_it() {
        let created = |folder: &str| {
            let (name, files) = ("a".to_owned(), Vec::new());
            Created { folder: folder.into(), name, language: Language::C, files }.next().remove(0)
        };
        assert_eq!(created("x/a-1"), "cd x/a-1");
        assert_eq!(created("it's here/a"), r"cd 'it'\''s here/a'");
    }
}
