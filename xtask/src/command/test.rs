use std::path::Path;
use std::process::Command;

use super::guests;
use crate::failure::Failure;
use crate::guests::Language;
use crate::progress::Progress;
use crate::suites::{Choice, Suite};
use crate::tally::Tally;
use crate::workspace::{Host, PLUGINS, TEST_GUESTS};
use crate::{debian, lua, models, process, toolchain};

/// Run the tests, the end-to-end suites included.
///
/// Adds the wasm target if it is missing, installs the Debian packages that the end-to-end suites use (nginx, curl, wrk,
/// nghttp2-client, make, redis-server, memcached; as root or through a sudo that does not ask), compiles the shipped plugins and the test guests to
/// components, installs a compiler for plugins in C and builds the first plugins in C and Rust (as `cargo xtask
/// guests` does; needs python3 with venv), builds the gateway, lets it install ONNX Runtime below `target`, as
/// well as an example's model and the `onnx` package with its cases (by pip), unpacks Debian's Lua libraries there, and runs unit,
/// integration, end-to-end and documentation tests. The last line is `N passed, M failed`; the exit status is 0 if none
/// failed.
///
/// What takes longer to install or to run is in suites of its own, which --suite names: docs/testing.md says what each needs.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Run only the tests whose name contains this.
    filter: Option<String>,
    /// Run these instead of the tests of every run, comma-separated; `all`: both.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    suite: Vec<Choice>,
}

impl Options {
    /// Whether the tests of every run are wanted, and which suites.
    fn chosen(&self) -> (bool, Vec<Suite>) {
        let all = self.suite.contains(&Choice::All);
        let is_chosen = |suite: &Suite| all || self.suite.contains(&Choice::One(*suite));
        let suites = <Suite as clap::ValueEnum>::value_variants().iter().copied().filter(is_chosen).collect();
        (all || self.suite.is_empty(), suites)
    }
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let progress = Progress::start();
    let (usual, suites) = options.chosen();
    toolchain::ensure_wasm_target(&progress)?;
    debian::ensure_test_programs(&progress)?;
    for guests in [PLUGINS, TEST_GUESTS] {
        progress.step(&format!("compile the {} to components", guests.title));
        guests.build()?;
    }
    if usual {
        guests::build(&[Language::Rust, Language::C], &progress)?;
    }
    suites.iter().try_for_each(|suite| suite.install(&progress))?;
    progress.step("build the gateway and the tests");
    // Binaries and tests in one go, whatever is run: cargo then settles on one set of features for each dependency, and builds it once.
    let mut build = Host::cargo();
    build.args(["build", "--release", "--workspace", "--bins", "--tests"]);
    build.args(suites.iter().flat_map(|suite| ["--test", suite.target()]));
    process::complete(&mut build)?;

    let (host, mut tally) = (Host::read()?, Tally::default());
    if usual {
        run_usual(options, &host, &progress, &mut tally)?;
    }
    for suite in suites {
        let environment = suite.environment(&host, &progress)?;
        progress.step(&format!("suite {}", suite.target()));
        let mut tests = cargo_test();
        tests.args(["--test", suite.target()]).envs(environment);
        tally.add(tests.args(options.filter.as_slice()))?;
    }
    progress.step("done");
    println!("{tally}");
    if tally.failed == 0 { Ok(()) } else { Err(Failure::Tests) }
}

fn run_usual(options: &Options, host: &Host, progress: &Progress, tally: &mut Tally) -> Result<(), Failure> {
    let library = models::ensure_onnx_runtime(host, progress)?;
    let cases = models::ensure_onnx_cases(progress)?;
    let lua_libraries = lua::ensure_libraries(progress)?;
    models::ensure_example(Path::new("examples/model-server/gateway.toml"), progress)?;
    progress.step("test the gateway, end to end");
    let mut tests = cargo_test();
    tests
        .args(options.filter.as_slice())
        .env(models::RUNTIME, library)
        .env(models::CASES, cases)
        .env(lua::LIBRARIES, lua_libraries);
    tally.add(&mut tests)?;
    progress.step("test the plugins' logic natively");
    // Not in release: that profile is made for small components and would spend its time in link-time optimisation.
    tally.add(PLUGINS.cargo().args(["test", "--workspace", "--no-fail-fast"]).args(options.filter.as_slice()))
}

/// Of the whole workspace, whatever is run: so cargo finds what has been built.
fn cargo_test() -> Command {
    let mut tests = Host::cargo();
    tests.args(["test", "--release", "--workspace", "--no-fail-fast"]);
    tests
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn chosen(arguments: &[&str]) -> (bool, Vec<Suite>) {
        Cli::parse_from([&["test"], arguments].concat()).options.chosen()
    }

    #[test]
    fn suites_are_run_when_they_are_named_and_all_of_them_with_the_usual_tests() {
        assert_eq!(chosen(&[]), (true, vec![]));
        assert_eq!(chosen(&["--suite", "languages"]), (false, vec![Suite::Languages]));
        assert_eq!(chosen(&["--suite", "clients,languages", "x"]), (false, vec![Suite::Languages, Suite::Clients]));
        assert_eq!(chosen(&["--suite", "all"]), (true, vec![Suite::Languages, Suite::Clients, Suite::LuaNginx]));
    }
}
