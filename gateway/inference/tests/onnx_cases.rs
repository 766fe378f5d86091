//! The backend cases of ONNX, as files: through the reader of files, the operators and the trees.
//!
//! The room of the operators tries its graphs by the same cases; here functions are inlined, and trees are compiled.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed test panics"
)]

#[path = "../operators/tests/backend/case.rs"]
#[allow(dead_code, clippy::indexing_slicing, reason = "the operators' test uses all of it")]
mod case;
#[path = "../operators/tests/backend/near.rs"]
#[allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "the operators' test uses all of it"
)]
mod near;

use std::io::BufRead;
use std::path::PathBuf;
use std::time::Duration;

use case::{Case, Outcome};
use serde::Deserialize;
use witgate_inference::backend::Embedded;
use witgate_inference::{Backend, Cancel, Metadata, SessionOptions, Tensor};
use witgate_operators::{Shape, Value};

/// The file that `operators/tests/onnx/cases.py` writes.
const CASES: &str = "WITGATE_ONNX_CASES";
/// Cases that pass; no fewer may.
const PASSED: usize = 1706;

/// A case with the file that its graph was in.
#[derive(Debug, Deserialize)]
struct File {
    /// In hexadecimal.
    model: String,
    #[serde(flatten)]
    case: Case,
}

fn files() -> impl Iterator<Item = File> {
    let path = std::env::var_os(CASES).map(PathBuf::from).unwrap_or_else(|| {
        panic!("{CASES} is not set to the file of ONNX's cases: `cargo xtask test` writes it and sets this")
    });
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    std::io::BufReader::new(file).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

fn given(value: &Value) -> Option<Tensor> {
    match value {
        Value::Tensor(tensor) => Tensor::new(tensor.shape().dimensions(), tensor.data().clone()).ok(),
        _ => None,
    }
}

fn answered(tensor: Tensor) -> Value {
    let (shape, data) = tensor.into_parts();
    Value::from(witgate_operators::Tensor::new(Shape::new(&shape).unwrap(), data).unwrap())
}

fn run(File { model, case }: &File) -> Result<(), Outcome> {
    let refused = |reason: &dyn ToString| Outcome::Refused(reason.to_string());
    let model = case::bytes(model);
    let metadata = Metadata::read(&model).map_err(|error| refused(&error))?;
    let options = SessionOptions { intra_op_threads: 1, load_timeout: Duration::from_secs(120), code: None };
    let graph = Embedded.load(&model, &metadata, &options).map_err(|error| refused(&error))?;
    let mut session = graph.session().map_err(|error| refused(&error))?;
    let outputs: Vec<usize> = (0..metadata.signature.outputs.len()).collect();
    if case.sets.is_empty() {
        return Err(refused(&"values that no test has a form for"));
    }
    for set in &case.sets {
        let inputs: Option<Vec<_>> = set.inputs().iter().map(given).collect();
        let inputs = inputs.ok_or_else(|| refused(&"inputs that are no tensors"))?;
        let answers = session.run(&inputs, &outputs, &Cancel::default()).map_err(|error| refused(&error))?;
        let rtol = set.rtol.unwrap_or(case.rtol);
        for (at, (answer, expected)) in answers.into_iter().zip(set.outputs()).enumerate() {
            near::values(&answered(answer), &expected, rtol)
                .map_err(|difference| Outcome::Wrong(format!("output {at}: {difference}")))?;
        }
    }
    Ok(())
}

#[test]
fn no_case_of_onnx_is_answered_wrongly_as_a_file() {
    let (mut passed, mut wrong, mut refused) = (0, Vec::new(), Vec::new());
    for file in files() {
        match run(&file) {
            Ok(()) => passed += 1,
            Err(Outcome::Wrong(why)) => wrong.push(format!("{}: {why}", file.case.name)),
            Err(outcome) => refused.push((file.case.name, outcome)),
        }
    }
    println!("{passed} passed, {} refused, {} wrong", refused.len(), wrong.len());
    refused.iter().for_each(|(name, outcome)| println!("{name}: {outcome:?}"));
    assert_eq!(wrong, Vec::<String>::new(), "cases that were answered wrongly");
    let learned: Vec<_> = refused.iter().filter(|(name, _)| name.starts_with("test_ai_onnx_ml_")).collect();
    assert!(learned.is_empty(), "cases of ai.onnx.ml that are refused: {learned:?}");
    assert!(passed >= PASSED, "{passed} cases pass, and {PASSED} did");
}
