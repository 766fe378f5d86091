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
    assert!(
        out.contains("embedded: runs it (Witgate ") && out.contains("onnxruntime: runs it (ONNX Runtime 1."),
        "{out}"
    );
}

#[test]
fn inspect_tells_what_goes_in_and_which_number_is_the_score() {
    let (report, _) = inspected("exporters/lightgbm");
    let probabilities = json!({ "name": "probabilities", "type": "FP32", "shape": [null, 2], "classes": [0, 1] });
    assert_eq!(report["outputs"], json!([{ "name": "label", "type": "INT64", "shape": [null] }, probabilities]));
    assert_eq!(report["batch_axis"], json!(true));
    assert_eq!(report["features"], json!({ "ok": true, "takes": "a set of 4 numbers" }));
    let choices = ["probabilities[0]", "probabilities[1]", "label"];
    assert_eq!(report["score"], json!({ "output": "probabilities", "element": 1, "class": "1", "choices": choices }));
    assert!(report["runtimes"][1]["load_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{report}");
    let told = |name: &str| witgate(&["inspect", &model(name), "--runtime", &library()]).0;
    let out = told("exporters/lightgbm_names");
    assert!(out.contains("  probabilities  FP32 [?, 2], classes \"bot\", \"human\"\n"), "{out}");
    let which = "score      say which: output = \"probabilities[bot]\", \"probabilities[human]\"\n";
    assert!(out.contains(which), "{out}");
    for (name, line) in [
        ("exporters/isolation", "score      `scores`\n"),
        ("exporters/scaled_double", "features   a set of 4 numbers\n"),
        ("exporters/columns_double", "features   a number for each of 4 inputs, by its name\n"),
        ("identity_string", "features   none: features can be FP32, FP64, INT32 or INT64, not BYTES (`x`)\n"),
        ("identity_string", "score      none\n"),
        ("fixed_batch", "batches    no batch axis\n"),
        ("two_by_two", "score      say which: output = \"sum[0]\", \"sum[1]\", \"sum[2]\", \"rounded\"\n"),
        (
            "exporters/catboost_map",
            "  probabilities  FP32 [N, 2], classes \"0\", \"1\", a map of each row in the file\n",
        ),
        ("exporters/catboost_map", "score      `probabilities[1]`, the class `1`\n"),
    ] {
        let out = told(name);
        assert!(out.contains(line), "{name}: {out}");
    }
}

#[test]
fn inspect_says_why_a_model_cannot_be_served() {
    let (report, status) = inspected("own_domain");
    assert_eq!((status, &report["ok"]), (Some(1), &json!(false)));
    for runtime in [0, 1] {
        let problem = report["runtimes"][runtime]["problem"].as_str().expect("a problem");
        assert!(problem.contains("com.example"), "{problem}");
    }
    let (_, err, status) = witgate(&["inspect", &model("bad_sequence")]);
    assert_eq!(status, Some(1));
    assert!(err.contains("the output `y` is a sequence: only tensors are served"), "{err}");
    let (_, err, status) = witgate(&["inspect", "/nowhere/model.onnx"]);
    assert!(status == Some(1) && err.contains("/nowhere/model.onnx: cannot read the file"), "{err}");
}

#[test]
fn verify_compares_with_what_the_library_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("samples.csv").display().to_string();
    let verified = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).expect("a file");
        let model = model("two_by_two");
        witgate(&[&["verify", &model, "--samples", &file, "--runtime", &library()], more].concat())
    };
    let samples = "left[0],left[1],left[2],right[0],right[1],right[2],=sum[1]\n1,2,3,10,20,30,22\n0,0.5,0,0,1,0,1.5\n";
    let (out, err, status) = verified(samples, &[]);
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(out.starts_with("embedded: gives the scores, to 0.000001\n  `sum[1]`: largest difference 0"), "{out}");
    assert!(out.contains("\nonnxruntime: gives the scores"), "{out}");
    let wrong = samples.replace("1.5", "1.75");
    let (out, _, status) = verified(&wrong, &["--format", "json"]);
    assert_eq!(status, Some(1), "{out}");
    let report: Value = serde_json::from_str(&out).expect("JSON");
    let worst = json!([{ "row": 2, "expected": "1.75", "got": "1.5", "difference": 0.25 / 1.75 }]);
    assert_eq!(report["runtimes"][0]["columns"][0]["worst"], worst);
    assert_eq!(verified(&wrong, &["--tolerance", "0.2"]).2, Some(0));
    let (_, err, status) = witgate(&["verify", &model("mlp")]);
    assert!(
        status == Some(1) && err.contains("the model carries no samples") && err.contains("--samples FILE"),
        "{err}"
    );
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
