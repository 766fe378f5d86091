//! `witgate check`.

use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Value, json};
use witgate_config::Diagnostic;

use super::{Format, count};
use crate::check::{Addresses, Checked, check};
use crate::reload::report;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Deny {
    Warnings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Skip {
    Addresses,
}

/// Checks, and prints what was found.
#[expect(clippy::print_stdout, reason = "the result of the command")]
pub fn run(path: &Path, format: Format, (deny, skip): (Option<Deny>, Option<Skip>)) -> ExitCode {
    let addresses = match skip {
        Some(Skip::Addresses) => Addresses::Skipped,
        None => Addresses::Tried,
    };
    let checked = match check(path, addresses) {
        Ok(checked) => checked,
        Err(error) => {
            eprintln!("witgate: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let is_ok = is_ok(&checked, deny);
    match format {
        Format::Human => {
            report(path, "error", &checked.problems);
            report(path, "warning", &checked.warnings);
            if checked.problems.is_empty() {
                println!("{}", summary(path, &checked, is_ok));
            } else {
                eprintln!("witgate: {}", count(&checked.problems));
            }
        }
        Format::Json => println!("{}", to_json(&checked, is_ok)),
    }
    if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_ok(checked: &Checked, deny: Option<Deny>) -> bool {
    checked.problems.is_empty() && (deny.is_none() || checked.warnings.is_empty())
}

fn summary(path: &Path, checked: &Checked, is_ok: bool) -> String {
    let Checked { routes, plugins, warnings, served_by, .. } = checked;
    let verdict = if is_ok { "ok" } else { "not ok" };
    let mut parts = vec![format!("{routes} routes"), format!("{plugins} loaded plugins")];
    match warnings.len() {
        0 => {}
        1 => parts.push("1 warning".to_owned()),
        many => parts.push(format!("{many} warnings")),
    }
    parts.extend(served_by.map(|process| format!("process {process} serves it")));
    format!("{}: {verdict} ({})", path.display(), parts.join(", "))
}

fn to_json(checked: &Checked, is_ok: bool) -> Value {
    let with = |severity: &'static str| {
        move |diagnostic: &Diagnostic| {
            let mut told = diagnostic.to_json();
            if let Some(fields) = told.as_object_mut() {
                fields.insert("severity".to_owned(), severity.into());
            }
            told
        }
    };
    let problems = checked.problems.iter().map(with("error"));
    let diagnostics: Vec<_> = problems.chain(checked.warnings.iter().map(with("warning"))).collect();
    json!({ "ok": is_ok, "diagnostics": diagnostics })
}
