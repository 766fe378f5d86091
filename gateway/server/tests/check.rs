//! What `witgate check` says of configurations that parse but cannot be served, as an operator reads it.
//!
//! A case is a file `tests/check/NAME.toml`, and what is said of it stands in `NAME.err`. Its lines `# mend: OLD => NEW` are what
//! somebody does who follows the help; with them the file has to pass. `BLESS=1` rewrites the texts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

#[path = "../../config/tests/library_words.rs"]
mod words;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use witgate_config::Diagnostic;
use witgate_server::check::{Addresses, Checked};

const CASES: &str = "tests/check";

fn check(path: &Path) -> Result<Checked, String> {
    witgate_server::check::check(path, Addresses::Tried).map_err(|error| error.to_string())
}

/// The cases, sorted.
fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(CASES).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    cases.sort();
    cases
}

fn rendered(checked: &Checked) -> String {
    let one = |kind: &str, diagnostic: &Diagnostic| {
        let text = fs::read_to_string(&diagnostic.file).unwrap();
        let line = diagnostic.spot.as_ref().and_then(|spot| text.lines().nth(spot.line.checked_sub(1)?));
        diagnostic.render_as(kind, line) + "\n"
    };
    let problems = checked.problems.iter().map(|problem| one("error", problem));
    problems.chain(checked.warnings.iter().map(|warning| one("warning", warning))).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_problem_is_told_in_the_reviewed_words() {
    let cases = cases();
    assert!(cases.len() >= 20, "{} cases found", cases.len());
    let mut differing = Vec::new();
    for case in cases {
        let (actual, golden) = (rendered(&check(&case).unwrap()), case.with_extension("err"));
        if env::var_os("BLESS").is_some() {
            fs::write(&golden, &actual).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if actual != expected {
            differing.push(format!("{}\nexpected:\n{expected}\ngot:\n{actual}", golden.display()));
        }
    }
    assert!(differing.is_empty(), "{}\n`BLESS=1` rewrites them; review the difference", differing.join("\n"));
}

#[test]
fn every_golden_text_belongs_to_a_case() {
    for entry in fs::read_dir(CASES).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.is_dir() || path.with_extension("toml").exists(), "{} has no case", path.display());
    }
}

#[test]
fn every_problem_has_a_line_what_was_expected_and_a_remedy_in_words_of_our_own() {
    for case in cases() {
        let checked = check(&case).unwrap();
        let all: Vec<_> = checked.problems.iter().chain(&checked.warnings).collect();
        assert!(!all.is_empty(), "{}: nothing is wrong", case.display());
        for problem in all {
            let text = problem.to_string();
            let spot = problem.spot.as_ref().filter(|spot| spot.is_in_file() && spot.column > 0);
            assert!(spot.is_some(), "{}: no line: {text}", case.display());
            assert!(problem.help.as_ref().is_some_and(|help| !help.is_empty()), "{}: no help: {text}", case.display());
            let words = words::library_words(&text);
            assert!(words.is_none(), "{}: words of a library, {words:?}: {text}", case.display());
        }
    }
}

#[test]
fn following_the_help_makes_the_file_pass() {
    let mut mended = 0;
    for case in cases() {
        let text = fs::read_to_string(&case).unwrap();
        let (comments, mut rest): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("# mend: "));
        if comments.is_empty() {
            assert!(check(&case).unwrap().problems.is_empty(), "{}: nobody knows how to mend it", case.display());
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let here = fs::canonicalize(CASES).unwrap();
        std::os::unix::fs::symlink(here.join("files"), folder.path().join("files")).unwrap();
        rest.retain(|line| !line.starts_with('#'));
        let mut text = rest.join("\n");
        for comment in comments {
            let (old, new) = comment.trim_start_matches("# mend: ").split_once(" => ").unwrap();
            assert!(text.contains(old), "{}: there is no {old:?}", case.display());
            text = text.replace(old, new);
        }
        let text = text.replace("../../../../tests", here.join("../../../../tests").to_str().unwrap());
        let file = folder.path().join("gateway.toml");
        fs::write(&file, text).unwrap();
        let checked = check(&file).unwrap();
        assert!(checked.problems.is_empty(), "{}:\n{}", case.display(), rendered(&checked));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "{}: checking left something", case.display());
        mended += 1;
    }
    assert!(mended >= 15, "{mended} cases were mended");
}

/// A configuration in a folder of its own.
fn site(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn messages(diagnostics: &[Diagnostic]) -> Vec<&str> {
    diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect()
}

#[test]
fn an_address_that_somebody_else_has_is_a_problem_at_its_line() {
    let (one, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (listener, admin) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    let (_folder, path) = site(&format!("[[listeners]]\naddress = \"{listener}\"\n[admin]\naddress = \"{admin}\"\n"));
    let checked = check(&path).unwrap();
    let told = messages(&checked.problems);
    let process = std::process::id();
    assert_eq!(told.len(), 2, "{told:?}");
    for (message, address) in told.iter().zip([listener, admin]) {
        assert!(message.starts_with(&format!("expected a free address, got {address}, on which `")), "{message}");
        assert!(message.contains(&format!("(process {process}) listens")), "{message}");
    }
    let lines: Vec<_> = checked.problems.iter().map(|problem| problem.spot.as_ref().unwrap().line).collect();
    assert_eq!(lines, [2, 4]);
    let elsewhere = witgate_server::check::check(&path, Addresses::Skipped).unwrap();
    assert!(elsewhere.problems.is_empty(), "another machine has other addresses");
    drop((one, other));
    assert!(check(&path).unwrap().problems.is_empty(), "the addresses are free now");
}

#[test]
fn a_free_address_is_let_go() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_folder, path) = site(&format!("[[listeners]]\naddress = \"{free}\"\n[admin]\naddress = \"off\"\n"));
    assert!(check(&path).unwrap().problems.is_empty());
    TcpListener::bind(free).expect("nobody has it");
}

#[test]
fn a_configuration_that_cannot_be_read_is_told_of_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("latin.toml"), b"# caf\xe9\n").unwrap();
    fs::write(at("wide.toml"), b"\xff\xfe[\0").unwrap();
    let one = |path: &Path| {
        let checked = check(path).unwrap();
        let [problem] = checked.problems.as_slice() else { panic!("{checked:?}") };
        (problem.message.clone(), problem.help.clone().unwrap(), problem.spot.clone())
    };
    let (message, help, _) = one(&at("none.toml"));
    assert!(message.ends_with("none.toml`, got none") && help.contains("--config FILE"), "{message} {help}");
    let (message, help, _) = one(folder.path());
    assert!(
        message.starts_with("expected a file, got the directory") && help.contains("--config FILE"),
        "{message} {help}"
    );
    fs::write(at("gateway.toml"), "").unwrap();
    assert!(one(folder.path()).1.ends_with("/gateway.toml`"));
    let (message, _, spot) = one(&at("latin.toml"));
    let spot = spot.unwrap();
    assert_eq!((message.as_str(), spot.line, spot.column), ("expected text in UTF-8, got the byte 0xE9", 1, 6));
    assert_eq!(one(&at("wide.toml")).0, "expected text in UTF-8, got UTF-16");
}

#[test]
fn a_plugin_cache_that_others_can_write_to_is_a_problem_at_its_line() {
    let (folder, path) = site(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"off\"\n[runtime]\nplugin_cache = \"cache\"\n",
    );
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let checked = check(&path).unwrap();
    let told = messages(&checked.problems);
    assert!(told.len() == 1 && told[0].contains("with mode 777"), "{told:?}");
    assert_eq!(checked.problems[0].spot.as_ref().unwrap().line, 6);
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(check(&path).unwrap().problems.is_empty());
}

#[test]
fn a_pipe_does_not_keep_a_check_waiting() {
    let (folder, path) =
        site("[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"off\"\n[keys.k]\nfile = \"pipe\"\n");
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap();
    assert!(made.success());
    let told = check(&path).unwrap();
    assert!(messages(&told.problems)[0].starts_with("expected a file, got a pipe"), "{:?}", told.problems);
}
