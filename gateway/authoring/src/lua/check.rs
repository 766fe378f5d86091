//! `witgate lua check`: what is wrong with scripts, without running them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value, json};
use witgate_config::{Config, Diagnostic, Spot};
use witgate_script::Trust;

use super::collect::{Collection, FILES_LIMIT, Text, Unit};
use super::judge::{Defined, Effect, Finding, Judge, Severity};
use crate::CommandError;

/// Findings that are shown; nobody reads more at once.
const SHOWN_LIMIT: usize = 500;

/// Bytes of a line in which a name is looked for.
const LINE_LIMIT: usize = 1024;

/// What to check and how.
#[derive(Debug, Clone)]
pub struct LuaCheckOptions {
    /// Lua files, directories of them, configurations.
    pub paths: Vec<PathBuf>,
    /// Of files that no configuration names.
    pub trust: Trust,
    /// Directories of modules, for such files; empty: modules are not looked for.
    pub modules: Vec<PathBuf>,
    /// Tell as well what differs from OpenResty, and what is found in installed libraries.
    pub notes: bool,
    /// Warnings count as errors.
    pub deny_warnings: bool,
}

/// What was found.
pub struct Checked {
    files: usize,
    findings: Vec<Told>,
    deny_warnings: bool,
}

struct Told {
    severity: Severity,
    diagnostic: Diagnostic,
    text: Option<Rc<Text>>,
}

/// Checks scripts. Nothing of them is run.
///
/// # Errors
/// There can be no VM to know names from. What is wrong with the scripts is in the report.
pub fn lua_check(options: &LuaCheckOptions) -> Result<Checked, CommandError> {
    let judge = Judge::new().map_err(CommandError::Usage)?;
    let mut collection = Collection::default();
    for path in &options.paths {
        collection.add(path, options.trust, &options.modules);
    }
    let mut findings = Vec::new();
    for group in &collection.groups {
        let defined = Defined::of(group);
        for unit in &group.units {
            for finding in judge.unit(group, &defined, unit) {
                let is_broken = unit.uses.is_err();
                let severity = if unit.is_foreign && !is_broken { Severity::Note } else { finding.severity };
                if severity != Severity::Note || options.notes {
                    findings.push(told(unit, finding, severity));
                }
            }
        }
    }
    if collection.files.len() >= FILES_LIMIT {
        let message = format!("only the first {FILES_LIMIT} files are checked");
        let file = options.paths.first().cloned().unwrap_or_default();
        collection.problems.push((Diagnostic::of_file(&file, message, "name smaller directories"), None));
    }
    let problems = collection.problems.into_iter();
    let mut all: Vec<Told> = problems
        .map(|(diagnostic, text)| Told { severity: Severity::Error, diagnostic, text })
        .chain(findings)
        .collect();
    let place = |told: &Told| {
        let spot = told.diagnostic.spot.as_ref().map(|spot| (spot.line, spot.column));
        (told.diagnostic.file.clone(), spot, told.severity, told.diagnostic.message.clone())
    };
    all.sort_by_cached_key(place);
    // A file that several scripts name is told of once.
    let mut seen = BTreeSet::new();
    all.retain(|told| seen.insert(place(told)));
    Ok(Checked { files: collection.files.len(), findings: all, deny_warnings: options.deny_warnings })
}

/// Something that is wrong with the code of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LuaFinding {
    pub diagnostic: Diagnostic,
    /// The code fails whenever it runs. Otherwise it may, or does not do what was meant.
    pub fails: bool,
}

/// What is wrong with the code of a configuration, `text` of the file `path`, whose files have been read: for whoever serves
/// it. Matters of style are left out, and code outside of the configuration's directory, which is somebody else's.
///
/// # Errors
/// There can be no VM to know names from.
pub fn lua_findings(
    config: &Config,
    (path, text): (&Path, &str),
    files: &BTreeMap<PathBuf, Arc<[u8]>>,
) -> Result<Vec<LuaFinding>, CommandError> {
    let judge = Judge::new().map_err(CommandError::Usage)?;
    let collection = Collection::of(config, (path, text), files);
    let mut findings = Vec::new();
    for group in &collection.groups {
        let defined = Defined::of(group);
        for unit in group.units.iter().filter(|unit| !unit.is_foreign) {
            for finding in judge.unit(group, &defined, unit) {
                let (effect, severity) = (finding.effect, finding.severity);
                if effect != Effect::Works {
                    let diagnostic = told(unit, finding, severity).diagnostic;
                    findings.push(LuaFinding { diagnostic, fails: effect == Effect::Fails });
                }
            }
        }
    }
    // Code that several scripts name is told of once.
    findings.dedup();
    Ok(findings)
}

fn told(unit: &Unit, finding: Finding, severity: Severity) -> Told {
    let Finding { line, name, message, help, .. } = finding;
    let diagnostic = if line == 0 && unit.key.is_empty() {
        Diagnostic::of_file(&unit.file, message, help)
    } else {
        let line = unit.line(line.max(1));
        let column = column(unit.text.line(line).unwrap_or_default(), &name);
        Diagnostic::at(&unit.file, &Spot { line, column, path: unit.key.clone() }, message, help)
    };
    Told { severity, diagnostic, text: Some(Rc::clone(&unit.text)) }
}

/// The column of a name in a line, by characters from 1: bytecode knows lines only.
fn column(line: &str, name: &str) -> usize {
    // Nobody reads beyond that, and a generated file may have one line and a hundred thousand names.
    let text = line.get(..line.floor_char_boundary(LINE_LIMIT)).unwrap_or_default();
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let whole_word = |name: &str| {
        text.match_indices(name).map(|(at, _)| at).find(|at| {
            let before = text.get(..*at).and_then(|before| before.chars().next_back());
            let after = text.get(at + name.len()..).and_then(|after| after.chars().next());
            !(name.is_empty() || before.is_some_and(is_part) || after.is_some_and(is_part))
        })
    };
    // A module's name stands between quotes, and often names a local variable as well.
    let quoted = ['"', '\''].into_iter().find_map(|quote| whole_word(&format!("{quote}{name}{quote}")));
    let at = quoted.or_else(|| whole_word(name)).or_else(|| whole_word(last));
    let at = at.unwrap_or_else(|| text.len() - text.trim_start().len());
    text.get(..at).map_or(0, |before| before.chars().count()) + 1
}

impl Checked {
    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|told| told.severity == severity).count()
    }

    pub fn is_ok(&self) -> bool {
        self.count(Severity::Error) == 0 && (self.count(Severity::Warning) == 0 || !self.deny_warnings)
    }

    /// For tools: `ok`, `files`, `errors`, `warnings`, and `diagnostics` as `witgate check` has them, each with a `severity`.
    pub fn to_json(&self) -> Value {
        let diagnostics = self.findings.iter().map(|told| {
            let mut diagnostic = told.diagnostic.to_json();
            if let Some(fields) = diagnostic.as_object_mut() {
                fields.insert("severity".to_owned(), told.severity.label().into());
            }
            diagnostic
        });
        json!({
            "ok": self.is_ok(),
            "files": self.files,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "diagnostics": diagnostics.collect::<Vec<_>>(),
        })
    }
}

impl Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for told in self.findings.iter().take(SHOWN_LIMIT) {
            let line = told.diagnostic.spot.as_ref().map(|spot| spot.line);
            let line = told.text.as_ref().and_then(|text| text.line(line?));
            writeln!(f, "{}\n", told.diagnostic.render_as(told.severity.label(), line))?;
        }
        if let Some(more) = self.findings.len().checked_sub(SHOWN_LIMIT).filter(|more| *more > 0) {
            writeln!(f, "{more} more are not shown; `--format json` has all\n")?;
        }
        let counted = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let (files, verdict) = (counted(self.files, "file"), if self.is_ok() { "ok" } else { "not ok" });
        writeln!(f, "{files}: {verdict} ({}, {})", counted(errors, "error"), counted(warnings, "warning"))
    }
}
