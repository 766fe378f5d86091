//! Parts of the Rust toolchain that a fresh installation may lack.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process;
use crate::progress::Progress;
use crate::workspace::{self, Host, WASM_TARGET};

/// Adds the target that plugins are compiled to, if it is missing.
pub fn ensure_wasm_target(progress: &Progress) -> Result<(), Failure> {
    // Asks the compiler, not rustup: distributions ship the target as a package of their own.
    if Path::new(&ask_rustc(&["--print", "target-libdir", "--target", WASM_TARGET])?).is_dir() {
        return Ok(());
    }
    progress.step(&format!("add the compilation target {WASM_TARGET}"));
    rustup(&["target", "add", WASM_TARGET], &format!("the compilation target {WASM_TARGET}"))
}

/// Adds `rustfmt` and `clippy`, if they are missing: the minimal rustup profile leaves them out.
pub fn ensure_linters(progress: &Progress) -> Result<(), Failure> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if !process::succeeds(Host::cargo().args([subcommand, "--version"])) {
            progress.step(&format!("add the toolchain component {component}"));
            rustup(&["component", "add", component], &format!("the toolchain component {component}"))?;
        }
    }
    Ok(())
}

/// The program that sums profiles, of the compiler's own LLVM; adds it if it is missing.
pub fn ensure_profdata(progress: &Progress) -> Result<PathBuf, Failure> {
    let libraries = PathBuf::from(ask_rustc(&["--print", "target-libdir"])?);
    let program = libraries.with_file_name("bin").join("llvm-profdata");
    if !program.is_file() {
        progress.step("add the toolchain component llvm-tools");
        rustup(&["component", "add", "llvm-tools"], "the toolchain component llvm-tools")?;
    }
    Ok(program)
}

/// The target that the compiler builds for unless it is told otherwise.
pub fn host_target() -> Result<String, Failure> {
    let version = ask_rustc(&["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned);
    host.ok_or_else(|| Failure::Output { command: "rustc -vV".to_owned(), detail: "no line for the host".to_owned() })
}

fn ask_rustc(arguments: &[&str]) -> Result<String, Failure> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    Ok(process::output(rustc.args(arguments).current_dir(workspace::root()))?.trim().to_owned())
}

fn rustup(arguments: &[&str], what: &str) -> Result<(), Failure> {
    let mut rustup = Command::new("rustup");
    match process::complete(rustup.args(arguments).current_dir(workspace::root())) {
        Err(Failure::Start { .. }) => Err(Failure::Toolchain { what: what.to_owned() }),
        done => done,
    }
}
