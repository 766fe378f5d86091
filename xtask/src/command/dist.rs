//! The binary that users run.

use crate::failure::Failure;
use crate::process;
use crate::progress::Progress;
use crate::workspace::Host;

pub fn run() -> Result<(), Failure> {
    let binary = build(&Progress::start())?;
    println!("{}", binary.display());
    Ok(())
}

/// Builds it: fat link-time optimisation and one codegen unit, which takes minutes and much memory.
pub fn build(progress: &Progress) -> Result<std::path::PathBuf, Failure> {
    progress.step("build the gateway with the dist profile");
    process::complete(Host::cargo().args(["build", "--profile", "dist", "--package", "witgate-server"]))?;
    Ok(Host::read()?.witgate("dist"))
}
