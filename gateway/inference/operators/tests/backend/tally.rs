//! What became of the cases.

use std::collections::BTreeMap;
use std::fmt;

use super::case::{Case, Outcome};

#[derive(Debug, Default)]
pub struct Tally {
    domains: BTreeMap<String, Vec<(String, Outcome)>>,
    /// By operator: cases that passed, and reasons for refusals.
    operators: BTreeMap<String, (usize, Vec<String>)>,
}

impl Tally {
    pub fn add(&mut self, case: &Case, outcome: Outcome) {
        let domains = case.operators.iter().filter_map(|name| name.rsplit_once('.')).map(|(domain, _)| domain);
        let domain = domains.max().unwrap_or("ai.onnx").to_owned();
        for operator in &case.operators {
            let (passed, reasons) = self.operators.entry(operator.clone()).or_default();
            match &outcome {
                Outcome::Passed => *passed += 1,
                Outcome::Refused(reason) if !reasons.contains(reason) => reasons.push(reason.clone()),
                Outcome::Refused(_) | Outcome::Wrong(_) => {}
            }
        }
        self.domains.entry(domain).or_default().push((case.name.clone(), outcome));
    }

    pub fn wrong(&self) -> Vec<String> {
        let told = |(name, outcome): &(String, Outcome)| match outcome {
            Outcome::Wrong(why) => Some(format!("{name}: {why}")),
            Outcome::Passed | Outcome::Refused(_) => None,
        };
        self.domains.values().flatten().filter_map(told).collect()
    }

    /// A line for each operator of which cases pass.
    pub fn passed(&self) -> String {
        let operators = self.operators.iter().filter(|(_, (passed, _))| *passed > 0);
        operators.map(|(operator, (passed, _))| format!("{operator} {passed}\n")).collect()
    }

    pub fn refused(&self, domain: &str) -> Vec<&str> {
        let cases = self.domains.get(domain).into_iter().flatten();
        cases.filter(|(_, outcome)| matches!(outcome, Outcome::Refused(_))).map(|(name, _)| name.as_str()).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (operator, (passed, reasons)) in &self.operators {
            let reasons: Vec<String> = reasons.iter().take(3).map(|why| why.chars().take(120).collect()).collect();
            writeln!(formatter, "{operator}: {passed} passed; refused: {}", reasons.join(" | "))?;
        }
        for (domain, cases) in &self.domains {
            let count = |is: fn(&Outcome) -> bool| cases.iter().filter(|(_, outcome)| is(outcome)).count();
            let passed = count(|outcome| *outcome == Outcome::Passed);
            let refused = count(|outcome| matches!(outcome, Outcome::Refused(_)));
            let wrong = count(|outcome| matches!(outcome, Outcome::Wrong(_)));
            writeln!(formatter, "{domain}: {passed} passed, {refused} refused, {wrong} wrong")?;
        }
        Ok(())
    }
}
