//! The words of every kind of problem. `ui/*.toml` are wrong, and `ui/*.err` is what the operator then reads; error text is
//! reviewed like code, and `BLESS=1` rewrites it. `valid/*.toml` and the shipped examples must parse.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};
use std::{env, fs};

use witgate_config::parse;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files of the directory that end in `.toml`, sorted.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    files
}

/// What the operator reads, without the directory, which differs from machine to machine.
fn rendered(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let name = Path::new(file.file_name().unwrap());
    let problems = parse(&text, name).expect_err(&format!("{} is valid", file.display()));
    let rendered: Vec<_> = problems.iter().map(|problem| problem.render(Some(&text)) + "\n").collect();
    rendered.join("\n")
}

#[test]
fn every_problem_is_told_in_the_reviewed_words() {
    let files = files(&root().join("tests/ui"));
    assert!(files.len() >= 40, "{} cases found", files.len());
    let mut differing = Vec::new();
    for file in files {
        let (actual, golden) = (rendered(&file), file.with_extension("err"));
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
    for entry in fs::read_dir(root().join("tests/ui")).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.with_extension("toml").exists(), "{} has no case", path.display());
    }
}

#[test]
fn every_problem_says_where_and_what_to_do() {
    for file in files(&root().join("tests/ui")) {
        let text = fs::read_to_string(&file).unwrap();
        for problem in parse(&text, &file).unwrap_err() {
            assert!(problem.help.is_some_and(|help| !help.is_empty()), "{}: no help", file.display());
        }
    }
}

#[test]
fn valid_files_and_the_shipped_examples_parse() {
    let repository = root().join("../..");
    let examples = fs::read_dir(repository.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let mut valid: Vec<_> = examples.map(|example| example.join("gateway.toml")).filter(|file| file.exists()).collect();
    assert!(!valid.is_empty(), "no examples found");
    valid.push(repository.join("gateway.toml"));
    valid.extend(files(&root().join("tests/valid")));
    for file in valid {
        let text = fs::read_to_string(&file).unwrap();
        if let Err(problems) = parse(&text, &file) {
            let rendered: Vec<_> = problems.iter().map(|problem| problem.render(Some(&text))).collect();
            panic!("{}", rendered.join("\n"));
        }
    }
}
