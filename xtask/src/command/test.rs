use std::path::Path;

use clap::ValueEnum;

use super::guests;
use crate::failure::Failure;
use crate::guests::Language;
use crate::progress::Progress;
use crate::tally::Tally;
use crate::workspace::{Host, PLUGINS, TEST_GUESTS};
use crate::{debian, lua, models, process, toolchain};

/// Run all tests, the end-to-end suites included.
///
/// Adds the wasm target if it is missing, installs the Debian packages that the end-to-end suites use (nginx, curl, wrk,
/// nghttp2-client, make, redis-server, memcached; as root or through a sudo that does not ask), compiles the shipped plugins and the test guests to
/// components, installs the toolchains of the other guest languages and builds their first plugins (as `cargo xtask
/// guests` does; needs python3 with venv), builds the gateway, lets it install ONNX Runtime below `target`, as
/// well as Triton's client and an example's model (all by pip), unpacks Debian's Lua libraries there, and runs unit,
/// integration, end-to-end and documentation tests. The last line is `N passed, M failed`; the exit status is 0 if none
/// failed.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Run only the tests whose name contains this.
    filter: Option<String>,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let progress = Progress::start();
    toolchain::ensure_wasm_target(&progress)?;
    debian::ensure_test_programs(&progress)?;
    for guests in [PLUGINS, TEST_GUESTS] {
        progress.step(&format!("compile the {} to components", guests.title));
        guests.build()?;
    }
    guests::build(Language::value_variants(), &progress)?;
    progress.step("build the gateway and the tests");
    // Binaries and tests in one go: cargo then settles on one set of features for each dependency, and builds it once.
    process::complete(Host::cargo().args(["build", "--release", "--workspace", "--bins", "--tests"]))?;

    let library = models::ensure_onnx_runtime(&Host::read()?, &progress)?;
    let clients = models::ensure_clients(&progress)?;
    let lua_libraries = lua::ensure_libraries(&progress)?;
    models::ensure_example(Path::new("examples/model-server/gateway.toml"), &progress)?;

    let mut tally = Tally::default();
    let filter = options.filter.as_slice();
    progress.step("test the gateway, end to end");
    let mut tests = Host::cargo();
    tests.args(["test", "--release", "--workspace", "--no-fail-fast"]).args(filter);
    tests.env(models::RUNTIME, library).env(models::CLIENTS, clients).env(lua::LIBRARIES, lua_libraries);
    tally.add(&mut tests)?;
    progress.step("test the plugins' logic natively");
    // Not in release: that profile is made for small components and would spend its time in link-time optimisation.
    tally.add(PLUGINS.cargo().args(["test", "--workspace", "--no-fail-fast"]).args(filter))?;
    progress.step("done");
    println!("{tally}");
    if tally.failed == 0 { Ok(()) } else { Err(Failure::Tests) }
}
