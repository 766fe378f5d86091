//! How cases came out, one by one and counted.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde_json::{Value, json};

use super::case::Problem;
use super::text::show;

/// How one case came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// What was otherwise than expected.
    Failed(Vec<String>),
    /// It says something that has no equivalent, or that is not understood here.
    Untranslatable(String),
    /// It says itself that it is not to be run.
    Skipped(String),
}

impl From<Problem> for Outcome {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Skipped(reason) => Self::Skipped(reason),
            Problem::Untranslatable(reason) => Self::Untranslatable(reason),
        }
    }
}

impl Outcome {
    fn label(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Untranslatable(_) => "untranslatable",
            Self::Skipped(_) => "skipped",
        }
    }

    fn reasons(&self) -> &[String] {
        match self {
            Self::Passed => &[],
            Self::Failed(reasons) => reasons,
            Self::Untranslatable(reason) | Self::Skipped(reason) => std::slice::from_ref(reason),
        }
    }
}

/// One case of the report.
#[derive(Debug, Clone)]
pub struct CaseOutcome {
    /// Below the checkout's `t`.
    pub file: String,
    pub number: usize,
    pub line: usize,
    pub title: String,
    pub outcome: Outcome,
    /// Expectations that were not checked, because they are about the server and not about its Lua.
    pub unchecked: Vec<&'static str>,
}

/// The report of a run.
#[derive(Debug)]
pub struct Conformance {
    pub against: &'static str,
    pub cases: Vec<CaseOutcome>,
    /// Whether failed cases are shown one by one.
    pub show_failed: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    passed: usize,
    failed: usize,
    untranslatable: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Untranslatable(_) => self.untranslatable += 1,
            Outcome::Skipped(_) => self.skipped += 1,
        }
    }

    fn share(&self) -> f64 {
        let run = self.passed + self.failed;
        if run == 0 { 0.0 } else { 100.0 * self.passed as f64 / run as f64 }
    }
}

impl Conformance {
    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.cases.iter().for_each(|case| counts.add(&case.outcome));
        counts
    }

    /// Whether no case failed.
    pub fn is_ok(&self) -> bool {
        self.counts().failed == 0
    }

    pub fn to_json(&self) -> Value {
        let counts = self.counts();
        let cases = self.cases.iter().map(|case| {
            json!({
                "file": case.file,
                "number": case.number,
                "line": case.line,
                "title": case.title,
                "outcome": case.outcome.label(),
                "reasons": case.outcome.reasons(),
                "unchecked": case.unchecked,
            })
        });
        json!({
            "ok": counts.failed == 0,
            "against": self.against,
            "passed": counts.passed,
            "failed": counts.failed,
            "untranslatable": counts.untranslatable,
            "skipped": counts.skipped,
            "passed_share": (counts.share() * 10.0).round() / 10.0,
            "cases": cases.collect::<Vec<_>>(),
        })
    }

    fn by_reason(&self, label: &str) -> Vec<(usize, String)> {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for case in self.cases.iter().filter(|case| case.outcome.label() == label) {
            let reason = case.outcome.reasons().first().map_or("", String::as_str);
            let reason = reason.split("(`").next().unwrap_or(reason);
            *reasons.entry(show(reason.lines().next().unwrap_or_default(), 100)).or_default() += 1;
        }
        let mut reasons: Vec<(usize, String)> = reasons.into_iter().map(|(reason, count)| (count, reason)).collect();
        reasons.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        reasons
    }
}

impl Display for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut files: BTreeMap<&str, Counts> = BTreeMap::new();
        for case in &self.cases {
            files.entry(&case.file).or_default().add(&case.outcome);
        }
        writeln!(f, "{:<36} {:>7} {:>7} {:>7} {:>7}", "file", "passed", "failed", "untrans", "skipped")?;
        for (file, counts) in &files {
            let Counts { passed, failed, untranslatable, skipped } = counts;
            writeln!(f, "{file:<36} {passed:>7} {failed:>7} {untranslatable:>7} {skipped:>7}")?;
        }
        for label in ["untranslatable", "skipped"] {
            let reasons = self.by_reason(label);
            if !reasons.is_empty() {
                writeln!(f, "\n{label}, by reason")?;
            }
            for (count, reason) in reasons.iter().take(40) {
                writeln!(f, "{count:>5}  {reason}")?;
            }
        }
        let mut unchecked: BTreeMap<&str, usize> = BTreeMap::new();
        for case in self.cases.iter().filter(|case| case.outcome == Outcome::Passed) {
            case.unchecked.iter().for_each(|what| *unchecked.entry(what).or_default() += 1);
        }
        for (what, count) in &unchecked {
            writeln!(f, "\n{count} passed cases expect {what} besides, which was not checked")?;
        }
        if self.show_failed {
            for case in &self.cases {
                if let Outcome::Failed(reasons) = &case.outcome {
                    writeln!(f, "\nFAIL  {}:{} {}", case.file, case.line, case.title)?;
                    reasons.iter().try_for_each(|reason| writeln!(f, "      {reason}"))?;
                }
            }
        }
        let counts = self.counts();
        let Counts { passed, failed, untranslatable, skipped } = counts;
        writeln!(
            f,
            "\n{}: {passed} passed, {failed} failed, {untranslatable} untranslatable, {skipped} skipped; {:.1} % of those run",
            self.against,
            counts.share()
        )
    }
}
