//! The model server as Triton's client finds it, with either runtime. `cargo xtask test --suite clients` makes the virtual environment
//! that it needs, and installs ONNX Runtime.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use witgate_tests::examples::root;
use witgate_tests::{Gateway, Site};

/// A Python with the packages of `tests/clients/requirements.txt`.
fn python() -> PathBuf {
    let python = std::env::var_os("WITGATE_CLIENTS_PYTHON");
    python
        .map(PathBuf::from)
        .expect("`cargo xtask test --suite clients` makes a virtual environment and sets WITGATE_CLIENTS_PYTHON")
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
