//! How the cases of a file came out.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::check::Difference;
use crate::units::show_time;

/// The report of a run.
#[derive(Debug)]
pub struct Tested {
    pub(crate) file: PathBuf,
    /// `plugin` or `script`, and its path or name.
    pub(crate) subject: (&'static str, String),
    /// Name and version.
    pub(crate) described: String,
    pub(crate) seed: u64,
    pub(crate) cases: Vec<CaseReport>,
}

#[derive(Debug)]
pub(crate) struct CaseReport {
    name: String,
    line: usize,
    /// Of its slowest run.
    time: Duration,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    /// Which of how many runs.
    run: (u32, u32),
    differences: Vec<Difference>,
    log: Vec<String>,
}

impl CaseReport {
    pub(crate) fn new(name: &str, line: usize) -> Self {
        Self { name: name.to_owned(), line, time: Duration::ZERO, failure: None }
    }

    pub(crate) fn ran(&mut self, time: Duration) {
        self.time = self.time.max(time);
    }

    pub(crate) fn failed(&mut self, run: (u32, u32), differences: Vec<Difference>, log: Vec<String>) {
        self.failure = Some(Failure { run, differences, log });
    }

    fn to_json(&self) -> Value {
        let difference = |it: &Difference| json!({ "path": it.path, "expected": it.expected, "got": it.got });
        let differences = self.failure.iter().flat_map(|failure| &failure.differences).map(difference);
        json!({
            "name": self.name,
            "line": self.line,
            "ok": self.failure.is_none(),
            "time_us": self.time.as_micros() as u64,
            "run": self.failure.as_ref().map(|failure| failure.run.0),
            "differences": differences.collect::<Vec<_>>(),
            "log": self.failure.as_ref().map(|failure| &failure.log),
        })
    }
}

impl Tested {
    pub fn is_ok(&self) -> bool {
        self.failed() == 0
    }

    fn failed(&self) -> usize {
        self.cases.iter().filter(|case| case.failure.is_some()).count()
    }

    pub fn to_json(&self) -> Value {
        let (kind, subject) = &self.subject;
        json!({
            "ok": self.is_ok(),
            "file": self.file.display().to_string(),
            *kind: subject,
            "seed": self.seed,
            "passed": self.cases.len() - self.failed(),
            "failed": self.failed(),
            "cases": self.cases.iter().map(CaseReport::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Display for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, described, seed, cases, .. } = self;
        writeln!(f, "{}: {} cases for {described}, seed {seed}", file.display(), cases.len())?;
        for case in cases {
            let time = show_time(case.time);
            let Some(Failure { run: (run, runs), differences, log }) = &case.failure else {
                writeln!(f, "ok    {} ({time})", case.name)?;
                continue;
            };
            let run = if *runs > 1 { format!(", run {run} of {runs}") } else { String::new() };
            writeln!(f, "FAIL  {} ({}:{}{run})", case.name, file.display(), case.line)?;
            for line in differences.iter().flat_map(Difference::lines) {
                writeln!(f, "      {line}")?;
            }
            if !log.is_empty() {
                writeln!(f, "      the log")?;
                log.iter().try_for_each(|line| writeln!(f, "        {line}"))?;
            }
        }
        writeln!(f, "{} passed, {} failed", cases.len() - self.failed(), self.failed())
    }
}
