//! Parts of the Rust toolchain that a fresh installation may lack.

use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::process;
use crate::progress::Progress;
use crate::workspace::{self, Host, WASM_TARGET};

/// Adds the target that plugins are compiled to, if it is missing.
pub fn ensure_wasm_target(progress: &Progress) -> Result<(), Failure> {
    // Asks the compiler, not rustup: distributions ship the target as a package of their own.
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut question = Command::new(rustc);
    question.args(["--print", "target-libdir", "--target", WASM_TARGET]).current_dir(workspace::root());
    if Path::new(process::output(&mut question)?.trim()).is_dir() {
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

fn rustup(arguments: &[&str], what: &str) -> Result<(), Failure> {
    let mut rustup = Command::new("rustup");
    match process::complete(rustup.args(arguments).current_dir(workspace::root())) {
        Err(Failure::Start { .. }) => Err(Failure::Toolchain { what: what.to_owned() }),
        done => done,
    }
}
