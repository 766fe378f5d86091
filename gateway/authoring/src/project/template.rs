//! The files of a new project: those in `templates/`, with what is the project's own filled in.

use std::path::PathBuf;

use super::{Language, repository, versions};
use crate::CommandError;

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("templates/", $path))
    };
}

/// One file, by its path in the project.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub path: PathBuf,
    pub content: String,
}

/// Sources and recipes of a language, by their paths in the project. `gitignore` has no dot among the templates: git
/// would heed it there.
fn of_language(language: Language) -> &'static [(&'static str, &'static str)] {
    match language {
        Language::Rust => &[
            ("Cargo.toml", template!("rust/Cargo.toml")),
            (".cargo/config.toml", template!("rust/cargo-config.toml")),
            ("src/lib.rs", template!("rust/src/lib.rs")),
            ("src/config.schema.json", template!("rust/src/config.schema.json")),
            (".gitignore", template!("rust/gitignore")),
        ],
        Language::Js => &[
            ("package.json", template!("js/package.json")),
            ("plugin.js", template!("js/plugin.js")),
            (".gitignore", template!("js/gitignore")),
        ],
        Language::Python => &[
            ("Makefile", template!("python/Makefile")),
            ("plugin.py", template!("python/plugin.py")),
            ("requirements.txt", template!("python/requirements.txt")),
            (".gitignore", template!("python/gitignore")),
        ],
        Language::C => &[
            ("Makefile", template!("c/Makefile")),
            ("plugin.c", template!("c/plugin.c")),
            (".gitignore", template!("c/gitignore")),
        ],
        Language::Go => &[
            ("Makefile", template!("go/Makefile")),
            ("versions/versions.go", template!("go/versions/versions.go")),
            ("versions/versions_test.go", template!("go/versions/versions_test.go")),
            ("export_witgate_plugin_lifecycle/lifecycle.go", template!("go/lifecycle.go")),
            ("export_witgate_plugin_on_request_headers/handle.go", template!("go/handle.go")),
            (".gitignore", template!("go/gitignore")),
        ],
    }
}

const COMMON: &[(&str, &str)] = &[
    ("README.md", template!("common/README.md")),
    ("cases.toml", template!("common/cases.toml")),
    ("gateway.toml", template!("common/gateway.toml")),
];

const WORLD: &str = template!("common/world.wit");

/// What the README says of a language.
fn about(language: Language) -> &'static str {
    match language {
        Language::Rust => template!("rust/about.md"),
        Language::Js => template!("js/about.md"),
        Language::Python => template!("python/about.md"),
        Language::C => template!("c/about.md"),
        Language::Go => template!("go/about.md"),
    }
}

/// The memory that the language's runtime needs beyond the default to work with, as on the pages under docs/plugins.
fn memory(language: Language) -> Option<&'static str> {
    match language {
        Language::Rust | Language::C => None,
        Language::Js => Some("32MiB"),
        Language::Python | Language::Go => Some("64MiB"),
    }
}

/// All files of a new project.
pub(super) fn files(name: &str, language: Language) -> Result<Vec<File>, CommandError> {
    let own = of_language(language).iter().chain(COMMON);
    let mut files: Vec<File> =
        own.map(|(path, text)| File { path: path.into(), content: fill(text, name, language) }).collect();
    let mut add = |folder: &str, from: &[repository::File]| {
        let file = |(path, text): &repository::File| File {
            path: PathBuf::from(folder).join(path),
            content: (*text).to_owned(),
        };
        files.extend(from.iter().map(file));
    };
    if language == Language::Rust {
        add("wit", repository::CONTRACT);
        add("witgate-sdk", repository::SDK);
        let content = repository::sdk_manifest();
        let content = content.ok_or_else(|| CommandError::Usage("this build of Witgate has a broken SDK".into()))?;
        files.push(File { path: "witgate-sdk/Cargo.toml".into(), content });
    } else {
        add("wit", &[("world.wit", WORLD)]);
        add("wit/deps/witgate-plugin", repository::CONTRACT);
    }
    Ok(files)
}

/// Replaces `{{…}}`.
fn fill(text: &str, name: &str, language: Language) -> String {
    let component = match language {
        Language::Rust => format!("target/wasm32-wasip2/release/{}.wasm", name.replace('-', "_")),
        _ => format!("{name}.wasm"),
    };
    let plugin_options = memory(language).map(|size| {
        format!(
            "memory_limit = \"{size}\"\n\
             # Far beyond what it takes: its runtime collects garbage now and then.\n\
             hook_timeout = \"100ms\""
        )
    });
    let plugin_options = plugin_options.unwrap_or_default();
    let limits = memory(language)
        .map(|size| format!("limits = {{ memory = \"{size}\", hook_timeout = \"100ms\" }}"))
        .unwrap_or_default();
    let unit_tests = match language {
        Language::Rust => "$ cargo test                        # unit tests, natively and without a gateway",
        Language::Go => "$ make test                         # unit tests of `versions/`, natively",
        Language::Js | Language::Python | Language::C => "",
    };
    let (stage, grants) = match language {
        Language::Go => ("# The runtime of Go reads the clock when it starts.\n", "grants = [\"clock\"]\n"),
        _ => ("", ""),
    };
    [
        // First, for it has places of its own.
        ("about", about(language)),
        ("name", name),
        ("title", language.title()),
        ("component", &component),
        ("command", &language.command().join(" ")),
        ("unit_tests", unit_tests),
        ("plugin_options", &plugin_options),
        ("stage_options", &format!("{stage}{grants}")),
        ("cases_options", &format!("{grants}{limits}")),
        ("componentize_js", versions::COMPONENTIZE_JS),
        ("componentize_py", versions::COMPONENTIZE_PY),
        ("go", versions::GO),
        ("node", versions::NODE),
        ("zig", versions::ZIG),
    ]
    .iter()
    .fold(text.to_owned(), |text, (place, value)| {
        let place = format!("{{{{{place}}}}}");
        // A line that is nothing but a place goes if there is nothing to put there.
        let text = if value.is_empty() { text.replace(&format!("\n{place}\n"), "\n") } else { text };
        text.replace(&place, value.trim_end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_filled() {
        for language in Language::ALL {
            for File { path, content } in files("my-plugin", language).unwrap() {
                if path.starts_with("witgate-sdk") {
                    continue;
                }
                let mut places = content.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap_or_default());
                let is_place = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                assert_eq!(places.find(|place| is_place(place)), None, "{language:?}: {}", path.display());
                assert!(content.ends_with('\n') && !content.ends_with("\n\n"), "{language:?}: {}", path.display());
            }
        }
    }

    #[test]
    fn every_template_belongs_to_a_project() {
        fn walk(folder: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(std::fs::read_to_string(path).unwrap()) }
            }
        }
        let mut found = Vec::new();
        walk(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/project/templates"), &mut found);
        let used: Vec<&str> = Language::ALL
            .into_iter()
            .flat_map(|language| {
                of_language(language).iter().chain(COMMON).map(|(_, text)| *text).chain([about(language)])
            })
            .chain([WORLD])
            .collect();
        found.retain(|text| !used.contains(&text.as_str()));
        assert_eq!(found, Vec::<String>::new());
    }
}
