//! `witgate model …`: what to know about a model, through the binary.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use witgate_tests::gateway::binary;

/// Standard output, standard error and exit status.
fn witgate(arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(binary()).arg("model").args(arguments).output().expect("witgate runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn model(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/{name}.onnx")).display().to_string()
}

fn library() -> String {
    std::env::var("WITGATE_ONNXRUNTIME").expect("`cargo xtask test` installs ONNX Runtime and sets WITGATE_ONNXRUNTIME")
}

fn inspected(name: &str) -> (Value, Option<i32>) {
    let (out, err, status) = witgate(&["inspect", &model(name), "--runtime", &library(), "--format", "json"]);
    (serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")), status)
}

#[test]
fn inspect_tells_what_a_model_takes_and_what_runs_it() {
    let (report, status) = inspected("mlp");
    assert_eq!(status, Some(0));
    assert_eq!(report["inputs"], json!([{ "name": "x", "type": "FP32", "shape": ["batch", 8] }]));
    assert_eq!(report["outputs"], json!([{ "name": "score", "type": "FP32", "shape": ["batch", 1] }]));
    assert_eq!((&report["opsets"], &report["producer"]), (&json!({ "": 17 }), &json!("witgate-tests")));
    assert_eq!(report["operators"], json!(["Gemm", "Relu", "Sigmoid"]));
    assert_eq!((&report["runtimes"][0]["ok"], &report["runtimes"][1]["ok"]), (&json!(true), &json!(true)));

    let (out, _, status) = witgate(&["inspect", &model("scaler"), "--runtime", &library()]);
    assert_eq!(status, Some(0), "{out}");
    assert!(out.contains("the embedded runtime cannot run the model: it has no ai.onnx.ml::Scaler"), "{out}");
    assert!(out.contains("onnxruntime: runs it (ONNX Runtime 1."), "{out}");
}

#[test]
fn inspect_says_why_a_model_cannot_be_served() {
    let (report, status) = inspected("own_domain");
    assert_eq!((status, &report["ok"]), (Some(1), &json!(false)));
    for runtime in [0, 1] {
        let problem = report["runtimes"][runtime]["problem"].as_str().expect("a problem");
        assert!(problem.contains("com.example"), "{problem}");
    }
    let (_, err, status) = witgate(&["inspect", &model("bad_zipmap")]);
    assert_eq!(status, Some(1));
    assert!(err.contains("the output `p` is a sequence") && err.contains("'zipmap': False"), "{err}");
    let (_, err, status) = witgate(&["inspect", "/nowhere/model.onnx"]);
    assert!(status == Some(1) && err.contains("/nowhere/model.onnx: cannot read the file"), "{err}");
}

#[test]
fn a_runtime_that_is_not_the_expected_one_is_not_installed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().join("runtime").display().to_string();
    let install = |more: &[&str]| witgate(&[&["runtime", "install", "--dir", folder.as_str()], more].concat());
    let (_, err, status) = install(&["--wheel", &model("mlp")]);
    assert!(status == Some(1) && err.contains("nothing was installed: expected SHA-256"), "{err}");
    let (_, err, status) = install(&["--version", "1.2.3"]);
    assert!(status == Some(1) && err.contains("--sha256"), "{err}");
    assert_eq!(std::fs::read_dir(&folder).map(Iterator::count).unwrap_or_default(), 0, "nothing is left behind");
}
