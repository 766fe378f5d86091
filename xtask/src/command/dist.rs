//! The binaries that users run.

use std::fs;
use std::path::PathBuf;

use crate::failure::Failure;
use crate::process;
use crate::progress::Progress;
use crate::workspace::Host;

/// Builds the gateway, and beside it the tool that `witgate plugin build` needs for C and Go, and looks for there.
pub fn run() -> Result<(), Failure> {
    let progress = Progress::start();
    let gateway = build(&progress)?;
    progress.step("build witgate-componentize");
    process::complete(Host::cargo().args(["build", "--release", "--package", "witgate-componentize"]))?;
    let tool = gateway.with_file_name("witgate-componentize");
    let built = Host::read()?.program("release", "witgate-componentize");
    fs::copy(built, &tool).map_err(Failure::io(tool.display().to_string()))?;
    println!("{}\n{}", gateway.display(), tool.display());
    Ok(())
}

/// Builds the gateway: fat link-time optimisation and one codegen unit, which takes minutes and much memory.
pub fn build(progress: &Progress) -> Result<PathBuf, Failure> {
    progress.step("build the gateway with the dist profile");
    process::complete(Host::cargo().args(["build", "--profile", "dist", "--package", "witgate-server"]))?;
    Ok(Host::read()?.witgate("dist"))
}
