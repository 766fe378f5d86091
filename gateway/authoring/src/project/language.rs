//! The languages that a project can be in.

use std::path::Path;

use crate::CommandError;

/// A language that has templates and a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Rust,
    Js,
    Python,
    C,
    Go,
}

impl Language {
    pub const ALL: [Self; 5] = [Self::Rust, Self::Js, Self::Python, Self::C, Self::Go];

    /// What options and reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Python => "python",
            Self::C => "c",
            Self::Go => "go",
        }
    }

    /// What people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Js => "JavaScript",
            Self::Python => "Python",
            Self::C => "C",
            Self::Go => "Go",
        }
    }

    /// What makes the component, typed in the project's folder.
    pub(super) fn command(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["cargo", "build", "--release", "--target", "wasm32-wasip2"],
            Self::Js => &["npm", "run", "build"],
            Self::Python | Self::C | Self::Go => &["make"],
        }
    }

    /// The language of a project, by the file with its recipe and, as `make` is for all, by its sources.
    pub(super) fn of(folder: &Path) -> Result<Self, CommandError> {
        let usage = |found: &str, advice: &str| CommandError::Usage(format!("{}: {found}; {advice}", folder.display()));
        let has = |file: &str| folder.join(file).is_file();
        if has("Cargo.toml") {
            return Ok(Self::Rust);
        }
        if has("package.json") {
            return Ok(Self::Js);
        }
        if !has("Makefile") {
            let begin = "name the folder of a project, or begin one by `witgate plugin new NAME`";
            let expected = "no project; expected Cargo.toml, package.json or Makefile in it";
            return Err(usage(if folder.is_dir() { expected } else { "not a folder" }, begin));
        }
        let sources =
            sources(folder).map_err(|source| CommandError::Read { what: "folder", path: folder.to_owned(), source })?;
        let of = |ending: &str| sources.iter().any(|name| name.ends_with(ending));
        match (of(".go"), of(".c"), of(".py")) {
            // Go's projects have no other sources; C's may have a script in Python.
            (true, _, _) => Ok(Self::Go),
            (_, true, _) => Ok(Self::C),
            (_, _, true) => Ok(Self::Python),
            _ => Err(usage(
                "a Makefile without sources in a known language",
                "expected *.c or *.py beside it, or *.go there or one folder below",
            )),
        }
    }
}

/// Names of the files in a folder, and of Go's in the folders directly below it.
fn sources(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().is_dir() {
            // One that cannot be read has no sources for this user.
            let below = std::fs::read_dir(entry.path()).into_iter().flatten().flatten();
            let below = below.filter_map(|entry| entry.file_name().into_string().ok());
            names.extend(below.filter(|name| name.ends_with(".go")));
        } else {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_project_is_told_by_its_recipe_and_its_sources() {
        for (files, expected) in [
            (&["Cargo.toml"][..], Language::Rust),
            (&["package.json", "Makefile", "plugin.js"], Language::Js),
            (&["Makefile", "plugin.py"], Language::Python),
            (&["Makefile", "plugin.c", "generate.py"], Language::C),
            (&["Makefile", "hook/handle.go"], Language::Go),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                let path = folder.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            assert_eq!(Language::of(folder.path()).unwrap(), expected, "{files:?}");
        }
    }

    #[test]
    fn what_is_no_project_is_told_what_was_expected() {
        let folder = tempfile::tempdir().unwrap();
        let told = |path: &Path| Language::of(path).unwrap_err().to_string();
        assert!(told(folder.path()).contains("expected Cargo.toml, package.json or Makefile"));
        assert!(told(&folder.path().join("missing")).contains("not a folder"));
        fs::write(folder.path().join("Makefile"), "").unwrap();
        assert!(told(folder.path()).contains("expected *.c or *.py"));
    }
}
