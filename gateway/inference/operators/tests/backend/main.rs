//! The backend cases of ONNX: what each operator answers, against what ONNX expects.
//!
//! A case passes or is refused with a reason. None may be answered wrongly, and no fewer may pass than did.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a test ends at the first surprise, and tells what it has seen"
)]

mod altered;
mod answers;
mod case;
mod near;
mod tally;

use std::io::BufRead;
use std::path::PathBuf;

use case::{Case, Outcome};
use tally::Tally;
use witgate_operators::{Graph, Limits};

/// The file that `tests/onnx/cases.py` writes.
const CASES: &str = "WITGATE_ONNX_CASES";

/// Operators, and how many cases that they are in pass: none may be lost. `BLESS=1` writes it anew.
const PASSED: &str = "tests/backend/passed.txt";

/// Cases of `ai.onnx.ml` that are refused here, as another crate makes their operator; `tests/onnx_cases.rs` of
/// witgate-inference has them pass.
const OF_OTHERS: [&str; 2] =
    ["test_ai_onnx_ml_tree_ensemble_single_tree", "test_ai_onnx_ml_tree_ensemble_set_membership"];

/// Cases whose outputs were typed by hand, with four digits; what they allow is meant.
const TYPED: [&str; 1] = ["test_averagepool_2d_ceil_last_window_starts_on_pad"];

fn cases() -> Vec<Case> {
    let path = std::env::var_os(CASES).map(PathBuf::from).unwrap_or_else(|| {
        panic!("{CASES} is not set to the file of ONNX's cases: `cargo xtask test` writes it and sets this")
    });
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    std::io::BufReader::new(file).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

/// Runs a case, whose answers may differ by this if it says nothing else.
fn run(case: &Case, rtol: f64) -> Outcome {
    if let Some(reason) = &case.unsupported {
        return Outcome::Refused(reason.clone());
    }
    let graph = match Graph::new(case.spec(), &(), Limits::default()) {
        Ok(graph) => graph,
        Err(reason) => return Outcome::Refused(reason.to_string()),
    };
    for set in &case.sets {
        let answers = match graph.run(set.inputs()) {
            Ok(answers) => answers,
            Err(reason) => return Outcome::Refused(reason.to_string()),
        };
        for (at, (answer, expected)) in answers.iter().zip(set.outputs()).enumerate() {
            if let Err(difference) = near::values(answer, &expected, set.rtol.unwrap_or(rtol)) {
                return Outcome::Wrong(format!("output {at}: {difference}"));
            }
        }
    }
    Outcome::Passed
}

#[test]
fn no_case_of_onnx_is_answered_wrongly() {
    let mut tally = Tally::default();
    for case in cases() {
        let rtol = if TYPED.contains(&case.name.as_str()) { case.rtol } else { case.rtol.min(near::CLOSE) };
        let outcome = run(&case, rtol);
        tally.add(&case, outcome);
    }
    println!("{tally}");
    assert_eq!(tally.wrong(), Vec::<String>::new(), "cases that were answered wrongly");
    let passed = tally.passed();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(PASSED, &passed).unwrap();
    }
    assert_eq!(passed, std::fs::read_to_string(PASSED).unwrap(), "cases that pass, by operator");
    assert_eq!(tally.refused("ai.onnx.ml"), OF_OTHERS, "cases of ai.onnx.ml that are refused");
}
