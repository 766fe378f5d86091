//! Format, lints and documentation of all workspaces and of the first plugin in Rust, with warnings as errors; that the
//! fuzz targets and the gateway without scripts compile.

use crate::failure::Failure;
use crate::progress::Progress;
use crate::workspace::{Host, PLUGINS, TEST_GUESTS, WASM_TARGET, first_plugin};
use crate::{process, toolchain};

/// What clippy is told after `--`.
const DENY_WARNINGS: [&str; 3] = ["--", "-D", "warnings"];

pub fn run() -> Result<(), Failure> {
    let progress = Progress::start();
    toolchain::ensure_wasm_target(&progress)?;
    toolchain::ensure_linters(&progress)?;

    progress.step("formatting");
    for mut cargo in [Host::cargo(), PLUGINS.cargo(), TEST_GUESTS.cargo(), first_plugin()] {
        process::complete(cargo.args(["fmt", "--check"]))?;
    }
    progress.step("clippy: gateway");
    let clippy = ["clippy", "--release", "--workspace"];
    process::complete(Host::cargo().args(clippy).arg("--all-targets").args(DENY_WARNINGS))?;
    progress.step("clippy: gateway without scripts");
    let without_scripts = ["-p", "witgate-server", "--no-default-features"];
    process::complete(Host::cargo().args(["clippy", "--release"]).args(without_scripts).args(DENY_WARNINGS))?;
    progress.step("clippy: fuzz targets");
    // Without the fuzzer itself, which needs a C++ compiler.
    let targets = ["--manifest-path", "fuzz/Cargo.toml", "--no-default-features", "--locked"];
    process::complete(Host::cargo().arg("clippy").args(targets).args(DENY_WARNINGS))?;
    for guests in [PLUGINS, TEST_GUESTS] {
        progress.step(&format!("clippy: {}", guests.title));
        process::complete(guests.cargo().args(clippy).args(["--target", WASM_TARGET]).args(DENY_WARNINGS))?;
    }
    progress.step("clippy: first plugin in Rust");
    let clippy_it = ["clippy", "--release", "--locked", "--all-targets"];
    process::complete(first_plugin().args(clippy_it).args(DENY_WARNINGS))?;
    progress.step("clippy: plugins' native tests");
    process::complete(PLUGINS.cargo().args(clippy).arg("--all-targets").args(DENY_WARNINGS))?;
    progress.step("documentation");
    let mut doc = Host::cargo();
    process::complete(doc.args(["doc", "--release", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    progress.step("done");
    Ok(())
}
