//! What is wrong with a configuration, for the person who has to mend it.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::Spot;

/// Characters of a source line that an excerpt shows; longer lines are cut around the column.
const EXCERPT_WIDTH: usize = 100;

/// One problem: where, what was expected, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub file: PathBuf,
    /// None if the problem is with the file as a whole.
    pub spot: Option<Spot>,
    /// What is wrong, and what was expected instead.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A problem at a spot.
    pub fn at(file: &Path, spot: &Spot, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { file: file.into(), spot: Some(spot.clone()), message: message.into(), help: Some(help.into()) }
    }

    /// A problem with the file as a whole.
    pub fn of_file(file: &Path, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { file: file.into(), spot: None, message: message.into(), help: Some(help.into()) }
    }

    /// For people: several lines, the last without a line break. With the file's text at hand the line in question is
    /// shown. The result holds no control characters of the file, so that it is safe on a terminal.
    pub fn render(&self, source: Option<&str>) -> String {
        let line = self.spot.as_ref().and_then(|spot| line_of(source?, spot));
        self.render_as("error", line)
    }

    /// As [`Self::render`], of what is perhaps no error: `kind` is the word that it begins with, `source` the line in question.
    pub fn render_as(&self, kind: &str, source: Option<&str>) -> String {
        let line = self.spot.as_ref().map_or(0, |spot| spot.line);
        let gutter = " ".repeat(line.to_string().len());
        let mut out = format!("{kind}: {}\n {gutter}--> {}", self.message, self.file.display());
        if let Some(spot) = &self.spot {
            if spot.is_in_file() {
                push(&mut out, format_args!(":{}:{}", spot.line, spot.column));
            }
            if !spot.path.is_empty() {
                push(&mut out, format_args!(" ({})", spot.path));
            }
            if let Some(line) = source {
                push_excerpt(&mut out, line, spot, &gutter);
            }
        }
        if let Some(help) = &self.help {
            push(&mut out, format_args!("\n {gutter} = help: {help}"));
        }
        out
    }

    /// For programs: `file`, `line`, `column`, `path`, `message`, `help`; what is unknown is null.
    pub fn to_json(&self) -> serde_json::Value {
        let in_file = self.spot.as_ref().filter(|spot| spot.is_in_file());
        json!({
            "file": self.file.display().to_string(),
            "line": in_file.map(|spot| spot.line),
            "column": in_file.map(|spot| spot.column),
            "path": self.spot.as_ref().map(|spot| spot.path.as_str()).filter(|path| !path.is_empty()),
            "message": self.message,
            "help": self.help,
        })
    }
}

/// In one line, apart from the help: for logs.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(spot) = &self.spot {
            if spot.is_in_file() {
                write!(f, ":{}:{}", spot.line, spot.column)?;
            }
            if !spot.path.is_empty() {
                write!(f, ": {}", spot.path)?;
            }
        }
        write!(f, ": {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

fn push(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

fn line_of<'a>(text: &'a str, spot: &Spot) -> Option<&'a str> {
    text.split('\n').nth(spot.line.checked_sub(1)?)
}

fn push_excerpt(out: &mut String, line: &str, spot: &Spot, gutter: &str) {
    let column = spot.column.saturating_sub(1);
    let start = column.saturating_sub(EXCERPT_WIDTH * 2 / 3);
    let shown: String = line
        .trim_end()
        .trim_start_matches('\u{feff}')
        .chars()
        .skip(start)
        .take(EXCERPT_WIDTH)
        .map(|c| if c == '\t' { ' ' } else { c })
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    let indent = " ".repeat(column - start);
    push(out, format_args!("\n {gutter} |\n {} | {shown}\n {gutter} | {indent}^", spot.line));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(line: usize, column: usize) -> Diagnostic {
        let spot = Spot { line, column, path: "a.b".into() };
        Diagnostic::at(Path::new("gateway.toml"), &spot, "expected this, got that", "write this")
    }

    #[test]
    fn a_rendering_shows_the_line_and_points_at_the_column() {
        let text = "[a]\r\nb = 7\r\n";
        assert_eq!(
            diagnostic(2, 5).render(Some(text)),
            "error: expected this, got that\n  --> gateway.toml:2:5 (a.b)\n   |\n 2 | b = 7\n   |     ^\n   = help: write this"
        );
    }

    #[test]
    fn an_excerpt_holds_neither_control_characters_nor_more_than_its_width() {
        let text = format!("\u{1b}[2J\t{}", "x".repeat(10_000));
        for column in [1, 70, 9_000, 20_000] {
            let rendered = diagnostic(1, column).render(Some(&text));
            assert!(!rendered.contains(['\u{1b}', '\t']), "{rendered}");
            assert!(rendered.lines().nth(3).unwrap().chars().count() <= EXCERPT_WIDTH + 5, "{rendered}");
        }
    }

    #[test]
    fn a_value_that_stands_nowhere_in_the_file_is_named_by_its_path_alone() {
        let diagnostic = diagnostic(0, 0);
        assert_eq!(diagnostic.to_string(), "gateway.toml: a.b: expected this, got that\n  help: write this");
        assert_eq!(diagnostic.to_json()["line"], serde_json::Value::Null);
        assert!(
            diagnostic.render(Some("[a]")).starts_with("error: expected this, got that\n  --> gateway.toml (a.b)\n")
        );
    }

    #[test]
    fn a_problem_without_a_path_of_its_own_is_named_by_its_place_alone() {
        let syntax = Diagnostic { spot: Some(Spot { line: 12, column: 1, path: String::new() }), ..diagnostic(0, 0) };
        assert_eq!(syntax.to_string(), "gateway.toml:12:1: expected this, got that\n  help: write this");
        assert_eq!(syntax.to_json()["path"], serde_json::Value::Null);
        assert_eq!(
            syntax.render(None),
            "error: expected this, got that\n   --> gateway.toml:12:1\n    = help: write this"
        );
    }

    #[test]
    fn json_has_every_field() {
        assert_eq!(
            diagnostic(2, 5).to_json(),
            json!({"file": "gateway.toml", "line": 2, "column": 5, "path": "a.b",
                   "message": "expected this, got that", "help": "write this"})
        );
    }
}
