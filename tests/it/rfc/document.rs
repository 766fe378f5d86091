//! docs/http.md says what is done and which test shows it: each of them has to be there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One requirement.
#[derive(Debug)]
struct Row {
    line: usize,
    section: String,
    state: String,
    files: Vec<String>,
    tests: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests stand below the root")
}

fn rows() -> Vec<Row> {
    let document = fs::read_to_string(root().join("docs/http.md")).expect("docs/http.md");
    let mut rows = Vec::new();
    for (at, line) in document.lines().enumerate() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if !line.starts_with('|') || line.starts_with("|---") || cells.first() == Some(&"Section") {
            continue;
        }
        assert_eq!(cells.len(), 5, "docs/http.md:{}: section, what is asked, state, where, test", at + 1);
        rows.push(Row {
            line: at + 1,
            section: cells[0].to_owned(),
            state: cells[2].to_owned(),
            files: quoted(cells[3]),
            tests: quoted(cells[4]),
        });
    }
    rows
}

/// What stands in back quotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every file with Rust code that is the project's own.
fn sources() -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = ["gateway", "plugins", "tests/it"].map(|folder| root().join(folder)).into();
    let mut files = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() && !entry.ends_with("target") {
                open.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                files.push(entry);
            }
        }
    }
    files
}

/// Names of the tests in a file.
fn tests_of(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("fn ") {
            if marked {
                names.insert(rest.split('(').next().unwrap_or_default().to_owned());
            }
            marked = false;
        }
    }
    names
}

/// Tests of every module, as `module::test`.
fn tests() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for path in sources() {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).expect("a folder");
        let module = if stem == "mod" { folder } else { stem };
        let source = fs::read_to_string(&path).expect("a readable file");
        all.extend(tests_of(&source).into_iter().map(|test| format!("{module}::{test}")));
    }
    all
}

#[test]
fn every_row_names_tests_and_files_that_are_there() {
    let (rows, tests, sources) = (rows(), tests(), sources());
    let mut faults = Vec::new();
    for row in &rows {
        let at = format!("docs/http.md:{} ({})", row.line, row.section);
        if row.tests.is_empty() {
            faults.push(format!("{at}: no test"));
        }
        faults
            .extend(row.tests.iter().filter(|test| !tests.contains(*test)).map(|test| format!("{at}: no test {test}")));
        let is_there = |file: &&String| sources.iter().any(|path| path.ends_with(Path::new(file.as_str())));
        faults.extend(row.files.iter().filter(|file| !is_there(file)).map(|file| format!("{at}: no file {file}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_is_not_done_has_a_reason_and_everything_else_is_done() {
    let rows = rows();
    assert!(rows.len() >= 150, "{} rows", rows.len());
    for row in &rows {
        let Row { line, section, state, .. } = row;
        let undone = state.strip_prefix("not done");
        let reason = undone.and_then(|rest| rest.split_once(": ")).map(|(_, reason)| reason);
        assert!(
            reason.is_some_and(|reason| reason.split(' ').count() >= 10) || state.starts_with("done"),
            "docs/http.md:{line} ({section}): {state:?} is neither done, nor not done for a reason"
        );
        assert!(section.contains(|c: char| c.is_ascii_digit()), "docs/http.md:{line}: {section:?} is no section");
    }
}

#[test]
fn no_requirement_stands_there_twice() {
    let document = fs::read_to_string(root().join("docs/http.md")).expect("docs/http.md");
    let mut seen = BTreeMap::new();
    for (at, line) in
        document.lines().enumerate().filter(|(_, line)| line.starts_with("| ") && !line.contains("| Asked |"))
    {
        if let Some(first) = seen.insert(line, at) {
            panic!("docs/http.md:{}: the same as line {}", at + 1, first + 1);
        }
    }
}

#[test]
fn tests_are_told_from_other_functions() {
    let source = "#[test]\nfn one() {\n}\n\nfn helper(x: u8) {}\n    #[test]\n    fn two() {}\n";
    assert_eq!(tests_of(source).into_iter().collect::<Vec<_>>(), ["one", "two"]);
}
