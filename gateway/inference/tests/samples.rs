//! Models against the scores that the training side wrote down, with `witgate_features`.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test panics")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use witgate_inference::backend::Embedded;
use witgate_inference::samples::{Samples, SamplesError};
use witgate_inference::{Executor, Inference, LoadError, Metadata, ModelOptions, ModelSpec, RunOn, verify};

const WRITE: &str = r#"
import json, sys
import witgate_features
path, function, arguments = json.load(sys.stdin)
arguments["path"] = path
getattr(witgate_features, function)(**arguments)
"#;

/// Rows of four numbers.
const ROWS: [[f64; 4]; 4] =
    [[-1.0, 0.0, 0.0, 0.0], [1.0, 0.5, -0.5, 2.0], [0.25, 9.0, 1.0, 1.0], [-0.1, 3.0, 0.0, 1.0]];

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/models/exporters/{name}.onnx"))
}

fn in_python(path: &Path, function: &str, arguments: &serde_json::Value) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python/witgate_features/src");
    let mut python = Command::new("python3")
        .args(["-c", WRITE])
        .env("PYTHONPATH", package)
        .stdin(Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let input = json!([path, function, arguments]).to_string();
    python.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("python reads");
    assert!(python.wait().expect("python ends").success());
}

/// Scores of the rows, as the embedded runtime gives them.
fn scores(path: &Path) -> Vec<f64> {
    let text = format!("a,b,c,d,=\n{}", ROWS.map(|[a, b, c, d]| format!("{a},{b},{c},{d},nan\n")).concat());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("samples.csv");
    std::fs::write(&file, text).expect("a file");
    let verified = verify(path, Some(&file), None, None).expect("reads");
    let json = verified.to_json();
    let worst = json["runtimes"][0]["columns"][0]["worst"].as_array().expect("rows that differ").clone();
    let mut rows: Vec<_> = worst
        .iter()
        .map(|row| {
            (row["row"].as_u64().expect("a row"), row["got"].as_str().expect("a number").parse().expect("a number"))
        })
        .collect();
    rows.sort_by_key(|(row, _): &(u64, f64)| *row);
    rows.into_iter().map(|(_, score)| score).collect()
}

fn load(bytes: &[u8]) -> Result<(), LoadError> {
    let options = ModelOptions {
        intra_op_threads: 1,
        concurrency: 1,
        queue: 10,
        queue_timeout: Duration::from_secs(60),
        batch_limit: 4,
        batching: None,
        run_on: RunOn::Threads,
        warm_up: Some(Vec::new()),
        load_timeout: Duration::from_secs(60),
        record: false,
    };
    let inference = Inference::new(Arc::new(Embedded), Executor::start(1, 0).expect("a thread"), 1);
    inference.load(ModelSpec { name: "m", version: 1, path: "m.onnx", bytes, options }).map(drop)
}

#[test]
fn a_file_of_samples_is_met_or_shows_the_rows_that_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, model) = (folder.path().join("samples.csv"), model("lightgbm"));
    let mut scores = scores(&model);
    let written = |scores: &[f64], output: &str| {
        in_python(&file, "write_samples", &json!({ "rows": ROWS, "scores": scores, "output": output }));
        verify(&model, Some(&file), None, None).expect("goes with the model")
    };
    for output in ["", "probabilities", "probabilities[1]"] {
        let verified = written(&scores, output);
        assert!(verified.is_ok(), "{verified}");
        assert!(verified.to_string().contains("`probabilities[1]`, the class `1`: largest difference 0"), "{verified}");
    }
    scores[2] += 0.125;
    let verified = written(&scores, "");
    assert!(!verified.is_ok());
    let text = verified.to_string();
    assert!(text.contains("gives OTHER scores, to 0.000001") && text.contains("1 beyond the tolerance"), "{text}");
    assert!(text.contains("row 3: expected "), "{text}");
    assert!(verify(&model, Some(&file), None, Some(0.2)).expect("goes with the model").is_ok());
}

#[test]
fn a_model_is_held_to_the_samples_that_it_carries() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    let mut scores = scores(&model("lightgbm_map"));
    let attached = |scores: &[f64]| {
        std::fs::copy(model("lightgbm_map"), &path).expect("a copy");
        in_python(&path, "attach_samples", &json!({ "rows": ROWS, "scores": scores }));
        std::fs::read(&path).expect("a model")
    };
    load(&attached(&scores)).expect("gives those scores");
    assert!(verify(&path, None, None, None).expect("carries samples").is_ok());
    scores[0] += 1e-4;
    let refused = load(&attached(&scores)).expect_err("gives others");
    assert!(
        refused.message.contains("1 of 4 samples of `probabilities[1]`, the class `1` differ by more than"),
        "{refused}"
    );
    assert!(
        refused.message.contains(": row 1 should be ") && refused.help.contains("witgate model verify"),
        "{refused:?}"
    );
    let bare = verify(&model("lightgbm"), None, None, None).expect_err("carries none");
    assert!(bare.message.contains("carries no samples") && bare.help.contains("--samples FILE"), "{bare:?}");
}

#[test]
fn samples_that_do_not_go_with_a_model_say_why() {
    let read = |name: &str, text: &str| {
        let metadata = Metadata::read(&std::fs::read(model(name)).expect("a model")).expect("metadata");
        let SamplesError { message, help } =
            Samples::read(text.as_bytes(), &metadata).map(drop).expect_err("does not go");
        format!("{message} / {help}")
    };
    for (name, text, expected) in [
        ("lightgbm", "a,b,c,d\n1,2,3,4\n", "none begins with `=`"),
        ("lightgbm", "a,b,c,d,=\n", "no rows / samples are CSV with a head"),
        ("lightgbm", "a,b,c,=\n1,2,3,0.5\n", "and the samples have 3 columns for it"),
        ("lightgbm", "a,b,c,d,=\n1,2,3,x,0.5\n", "`x` in the column `d` of row 1 is no number"),
        ("lightgbm", "a,b,c,d,=\n1,2,3,0.5\n", "no CSV: "),
        ("lightgbm", "a,b,c,d,=p[]\n1,2,3,4,0.5\n", "the column `=p[]` names no output"),
        ("columns", "length_path,=\n1,0.5\n", "no column is named `length_query` or `length_query[0]`"),
        (
            "columns",
            "length_path,length_query,tokens_path,tokens_query,more,=\n1,2,3,4,5,0.5\n",
            "the column `more` is no input of the model",
        ),
    ] {
        let refused = read(name, text);
        assert!(refused.contains(expected), "{text:?}: {refused}");
    }
}
