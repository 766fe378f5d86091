//! What ONNX Runtime and scikit-learn answer for the operators of `ai.onnx.ml` and of texts.

use std::collections::HashSet;

use witgate_operators::all;

use super::case::{Case, Outcome};
use super::{near, run};

/// What `tests/onnx/answers.py` wrote.
const ANSWERS: &str = include_str!("answers.jsonl");

/// Operators of which cases of ONNX pass.
const PASSED_CASES: &str = include_str!("passed.txt");

/// Cases that are refused, and why.
const REFUSED: [(&str, &str); 0] = [];

#[test]
fn answers_are_those_of_onnx_runtime_and_scikit_learn() {
    let mut surprises = Vec::new();
    for line in ANSWERS.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let refused = REFUSED.iter().find(|(name, _)| *name == case.name).map(|(_, why)| *why);
        match (run(&case, near::CLOSE), refused) {
            (Outcome::Passed, None) => {}
            (Outcome::Refused(reason), Some(why)) if reason.contains(why) => {}
            (outcome, _) => surprises.push(format!("{}: {outcome:?}", case.name)),
        }
    }
    assert!(surprises.is_empty(), "{} cases:\n{}", surprises.len(), surprises.join("\n"));
}

#[test]
fn no_operator_is_without_a_case() {
    let called = |domain: &str, operator: &str| {
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        format!("{domain}.{operator}")
    };
    let of_onnx = PASSED_CASES.lines().filter_map(|line| line.split_once(' ')).map(|(operator, _)| operator.to_owned());
    let mut held: HashSet<String> = of_onnx.collect();
    for line in ANSWERS.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        held.extend(case.spec().nodes.iter().map(|node| called(&node.domain, &node.op_type)));
    }
    let untried: Vec<_> =
        all().map(|(domain, operator)| called(domain, operator)).filter(|it| !held.contains(it)).collect();
    assert!(untried.is_empty(), "nothing holds these to ONNX: {untried:?}");
}
