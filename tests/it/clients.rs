//! The model server as clients of others find it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use witgate_tests::gateway::binary;
use witgate_tests::{Gateway, Site, Upstream};

use crate::examples::{root, serve};

/// A Python with the packages of `tests/clients/requirements.txt`.
fn python() -> PathBuf {
    let python = std::env::var_os("WITGATE_CLIENTS_PYTHON");
    python.map(PathBuf::from).expect("`cargo xtask test` makes a virtual environment and sets WITGATE_CLIENTS_PYTHON")
}

fn onnx_runtime() -> String {
    std::env::var("WITGATE_ONNXRUNTIME").expect("`cargo xtask test` installs ONNX Runtime and sets WITGATE_ONNXRUNTIME")
}

fn run(script: &str, arguments: &[&str]) -> Output {
    let script = root().join("tests/clients").join(script);
    Command::new(python()).arg(script).args(arguments).output().expect("python runs")
}

fn text_of(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// A gateway that serves the models of `make_models.py`, at `/ml` and with gRPC at the root.
fn serving_all(inference: &str, without: &[&str]) -> Gateway {
    let site = Site::new("");
    let made = run("make_models.py", &[&site.path("").display().to_string()]);
    assert!(made.status.success(), "{}", text_of(&made));
    let files = std::fs::read_dir(site.path("")).expect("readable").map(|entry| entry.expect("readable").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    let names = files.map(|path| path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned());
    let models = names
        .filter(|name| !without.contains(&name.as_str()))
        .map(|name| format!("[models.{name}]\npath = \"{name}.onnx\"\nbatch_limit = 8\n"));
    let models: String = models.collect();
    assert!(models.matches("[models.").count() >= 14, "{models}");
    site.configure(&format!(
        "{inference}{models}[[routes]]\nname = \"grpc\"\nmodels = \"all\"\n\
         [[routes]]\nname = \"ml\"\nmodels = \"all\"\npath_prefix = \"/ml\"\n"
    ));
    site.start()
}

fn passes_the_suite(gateway: &Gateway, without: &[&str]) {
    let address = gateway.address().to_string();
    let url = format!("http://{address}/ml");
    let suite = run("tritonclient_suite.py", &[&[&*url, &*address], without].concat());
    let printed = text_of(&suite);
    assert!(suite.status.success(), "{printed}");
    assert!(printed.contains(" passed, 0 failed"), "{printed}");
}

#[test]
fn triton_s_client_is_served_by_the_embedded_runtime() {
    passes_the_suite(&serving_all("", &["identity_bf16"]), &["--without", "BF16"]);
}

#[test]
fn triton_s_client_is_served_by_onnx_runtime() {
    let library = onnx_runtime();
    assert!(Path::new(&library).is_file(), "{library}");
    let gateway = serving_all(&format!("[inference]\nruntime = \"{library}\"\n"), &[]);
    passes_the_suite(&gateway, &[]);
    assert!(gateway.admin("/metrics").text().contains("backend=\"onnxruntime\""));
}

#[test]
fn the_model_server_s_example_tells_files_apart() {
    let file = root().join("examples/model-server/gateway.toml");
    let text = std::fs::read_to_string(&file).expect("readable");
    let gateway = serve(&file, &text, &Upstream::saying("unused"), None);
    let mut classify = Command::new("python3");
    classify.arg(root().join("examples/model-server/classify.py")).args(["--url", &gateway.url("")]);
    let classified =
        classify.args([root().join("README.md"), root().join("Cargo.toml"), binary()]).output().expect("runs");
    let printed = text_of(&classified);
    for (name, kind) in [("README.md", "markdown"), ("Cargo.toml", "toml"), ("witgate", "elf")] {
        let told = printed.lines().any(|line| line.contains(name) && line.contains(&format!(": {kind}")));
        assert!(told, "{name} should be {kind}: {printed}");
    }
}

#[test]
fn the_abuse_example_scores_as_it_was_trained() {
    let file = root().join("examples/abuse-scoring/gateway.toml");
    let config = std::fs::read_to_string(&file).expect("readable").replace("refuse_above = 0.9", "refuse_above = 2.0");
    let upstream = Upstream::saying("ok");
    let gateway = serve(&file, &config, &upstream, None);
    let samples = std::fs::read_to_string(file.with_file_name("samples.jsonl")).expect("readable");
    for line in samples.lines() {
        let sample: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let request = &sample["request"];
        let part = |name: &str| request[name].as_str().map(str::to_owned);
        // The path as it is: what this gateway routes by is normal, and the model sees that.
        let path = part("path").expect("a path");
        if has_dots(&path) {
            continue;
        }
        let target = part("query").map_or(path.clone(), |query| format!("{path}?{query}"));
        assert_eq!(gateway.get(&target).status, 200, "{target}");
        let score: f64 = upstream.last().header("x-abuse-score").expect("a score").parse().expect("a number");
        let trained = sample["score"].as_f64().expect("a number");
        assert!((score - trained).abs() < 0.001, "{target}: {score}, in training {trained}");
    }
    assert!(upstream.received().len() >= 4, "most samples have normal paths");
}

/// Whether a path has segments that a gateway removes.
fn has_dots(path: &str) -> bool {
    path.split('/').any(|segment| segment == ".." || segment == ".")
}
