//! The binaries that users run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::workspace::{Host, PLUGINS};
use crate::{process, toolchain, training};

/// Build the binaries that users run, `witgate` and `witgate-componentize`, and print their paths.
///
/// The gateway is built twice, with link-time optimisation and one codegen unit: first so that it counts what runs how often while
/// it serves a training load, then by these counts. Takes an hour on two cores, and 10 GiB of memory. Adds the wasm target and
/// llvm-tools to the toolchain if they are missing.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Build once, without a profile: in less than half of the time, for a gateway that is slower.
    #[arg(long)]
    unprofiled: bool,
}

/// Builds the gateway, and beside it the tool that `witgate plugin build` needs for C and Go, and looks for there.
pub fn run(options: &Options) -> Result<(), Failure> {
    let progress = Progress::start();
    let gateway = build(&progress, !options.unprofiled)?;
    progress.step("build witgate-componentize");
    process::complete(Host::cargo().args(["build", "--release", "--package", "witgate-componentize"]))?;
    let tool = gateway.with_file_name("witgate-componentize");
    let built = Host::read()?.program("release", "witgate-componentize");
    fs::copy(built, &tool).map_err(Failure::io(tool.display().to_string()))?;
    println!("{}\n{}", gateway.display(), tool.display());
    Ok(())
}

/// Builds the gateway with the `dist` profile of cargo, and by a profile of what it does if `profiled`.
pub fn build(progress: &Progress, profiled: bool) -> Result<PathBuf, Failure> {
    let host = Host::read()?;
    let gateway = host.witgate("dist");
    if !profiled {
        progress.step("build the gateway");
        process::complete(&mut cargo("build"))?;
        return Ok(gateway);
    }
    let profdata = toolchain::ensure_profdata(progress)?;
    let target = toolchain::host_target()?;
    toolchain::ensure_wasm_target(progress)?;
    progress.step(&format!("compile the {} to components", PLUGINS.title));
    PLUGINS.build()?;

    let folder = host.target().join("training");
    let counts = folder.join("counts");
    // Counts of other code would be taken for those of this.
    let _ = fs::remove_dir_all(&counts);
    fs::create_dir_all(&counts).map_err(Failure::io(counts.display().to_string()))?;
    progress.step("build the gateway so that it counts");
    let mut counting = profiling("rustc", &target, &format!("-Cprofile-generate={}", counts.display()));
    // Link-time optimisation has to be there, lest functions have other names, but need not be thorough.
    process::complete(counting.args(["--bin", "witgate", "--", "-Clto=thin"]))?;
    let built = host.target().join(&target).join("dist/witgate");
    progress.step("train it");
    training::run(&built, &folder, training::REQUESTS)?;
    let profile = folder.join("witgate.profdata");
    process::complete(Command::new(profdata).arg("merge").arg("--output").arg(&profile).arg(&counts))?;

    progress.step("build the gateway by what it has counted");
    // What has no counts is not made smaller for it (pgso): the training does not know what a user does most.
    let flags = format!("-Cprofile-use={} -Cllvm-args=-pgso=false", profile.display());
    process::complete(&mut profiling("build", &target, &flags))?;
    let parent = gateway.parent().unwrap_or(&gateway);
    fs::create_dir_all(parent).map_err(Failure::io(parent.display().to_string()))?;
    // A gateway that runs from there keeps its file.
    let _ = fs::remove_file(&gateway);
    fs::copy(&built, &gateway).map_err(Failure::io(gateway.display().to_string()))?;
    Ok(gateway)
}

fn cargo(subcommand: &str) -> Command {
    let mut cargo = Host::cargo();
    cargo.args([subcommand, "--profile", "dist", "--package", "witgate-server"]);
    cargo
}

/// Cargo with more flags of the compiler. For a target that is named, even if it is this machine's: then they are not those of build
/// scripts and macros.
fn profiling(subcommand: &str, target: &str, flags: &str) -> Command {
    let own = std::env::var("RUSTFLAGS").unwrap_or_default();
    let mut cargo = cargo(subcommand);
    cargo.args(["--target", target]).env("RUSTFLAGS", format!("{own} {flags}"));
    cargo
}
