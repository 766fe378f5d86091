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

impl CaseOutcome {
    /// As in a list of known failures.
    fn key(&self) -> String {
        format!("{}#{}", self.file, self.number)
    }
}

/// Cases that are known to fail, with the reasons.
#[derive(Debug, Default)]
pub struct Known(BTreeMap<String, String>);

impl Known {
    /// Reads `[[groups]]` with `reason` and `cases`, each `FILE#NUMBER`.
    ///
    /// # Errors
    /// What in the text is otherwise.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let groups = table.get("groups").and_then(toml::Value::as_array).ok_or("expected `[[groups]]`")?;
        let mut known = BTreeMap::new();
        for group in groups {
            let reason = group.get("reason").and_then(toml::Value::as_str).ok_or("expected `reason` in each group")?;
            let cases = group.get("cases").and_then(toml::Value::as_array).ok_or("expected `cases` in each group")?;
            for case in cases {
                let case = case.as_str().ok_or("expected `cases` as texts")?;
                known.insert(case.to_owned(), reason.to_owned());
            }
        }
        Ok(Self(known))
    }
}

/// The report of a run.
#[derive(Debug)]
pub struct Conformance {
    pub against: &'static str,
    pub cases: Vec<CaseOutcome>,
    /// Whether failed cases are shown one by one.
    pub show_failed: bool,
    pub known: Option<Known>,
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

    /// Whether no case failed, or none but those that are known to.
    pub fn is_ok(&self) -> bool {
        self.unknown_failures().next().is_none()
    }

    fn unknown_failures(&self) -> impl Iterator<Item = &CaseOutcome> {
        let failed = self.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed(_)));
        failed.filter(|case| self.known.as_ref().is_none_or(|known| !known.0.contains_key(&case.key())))
    }

    /// Cases that are known to fail, but passed.
    fn unexpected_passes(&self) -> impl Iterator<Item = &CaseOutcome> {
        let passed = self.cases.iter().filter(|case| case.outcome == Outcome::Passed);
        passed.filter(|case| self.known.as_ref().is_some_and(|known| known.0.contains_key(&case.key())))
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
            "ok": self.is_ok(),
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
        if self.known.is_some() {
            for (what, cases) in [
                ("failed and is not known to", self.unknown_failures().collect::<Vec<_>>()),
                ("passed, though known to fail", self.unexpected_passes().collect()),
            ] {
                cases.iter().try_for_each(|case| writeln!(f, "{} {what}: {}", case.key(), case.title))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn case(number: usize, outcome: Outcome) -> CaseOutcome {
        let (file, title) = ("a.t".to_owned(), "a title".to_owned());
        CaseOutcome { file, number, line: 1, title, outcome, unchecked: Vec::new() }
    }

    fn report(cases: Vec<CaseOutcome>, known: Option<&str>) -> Conformance {
        let known = known.map(|text| Known::parse(text).unwrap());
        Conformance { against: "gateway", cases, show_failed: false, known }
    }

    #[test]
    fn only_failures_that_are_not_known_count() {
        let failed = Outcome::Failed(vec!["status".to_owned()]);
        let known = "[[groups]]\nreason = 'by design'\ncases = ['a.t#1', 'a.t#2']\n";
        assert!(!report(vec![case(1, failed.clone())], None).is_ok());
        let known_ones = report(vec![case(1, failed.clone()), case(2, Outcome::Passed)], Some(known));
        assert!(known_ones.is_ok());
        assert!(known_ones.to_string().contains("a.t#2 passed, though known to fail"), "{known_ones}");
        let new = report(vec![case(3, failed)], Some(known));
        assert!(!new.is_ok() && new.to_string().contains("a.t#3 failed and is not known to"), "{new}");
    }

    #[test]
    fn a_list_of_known_failures_is_read_strictly() {
        for text in ["", "groups = 1", "[[groups]]\ncases = []", "[[groups]]\nreason = 'x'\ncases = [1]"] {
            assert!(Known::parse(text).is_err(), "{text}");
        }
    }
}
