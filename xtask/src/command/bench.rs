use std::path::{Path, PathBuf};
use std::process::Command;

use super::dist;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::workspace::{self, Host, PLUGINS, TEST_GUESTS};
use crate::{process, toolchain};

/// Measure: the parts by themselves, or the gateway beside its peers.
///
/// Without --peers or --inference: the criterion benchmarks (finding a route, running a pipeline of plugins, one plugin
/// call, one host call). Arguments after `--` go to criterion.
///
/// With --peers: nginx, nginx + Lua, HAProxy, Envoy and Witgate as `cargo xtask dist` builds it side by side, each checked
/// before it is measured, in interleaved rounds on pinned cores. Missing peers are installed, which needs root. Reports
/// requests/s, latency, CPU-seconds per 100 000 requests and peak memory.
///
/// With --inference: what models cost in Witgate so built, with either runtime, beside ONNX Runtime behind a plain
/// Python server; and whether loading models for a long time costs memory or requests.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("side_by_side").args(["peers", "inference"]))]
pub struct Options {
    /// Measure side by side with other gateways.
    #[arg(long)]
    peers: bool,
    /// Measure what models cost.
    #[arg(long, conflicts_with = "peers")]
    inference: bool,
    /// Which cases, comma-separated. Of --peers: plain, auth, scripts, redis, limit, stages. Of --inference: score64,
    /// workers, batching, stage, slow, swap.
    #[arg(long, requires = "side_by_side")]
    cases: Option<String>,
    /// How often each contender is measured.
    #[arg(long, requires = "side_by_side", value_name = "N")]
    rounds: Option<u32>,
    /// Length of a measurement, in seconds.
    #[arg(long, requires = "side_by_side", value_name = "S")]
    secs: Option<u32>,
    /// Build Witgate once, without a profile, as `cargo xtask dist --unprofiled` does.
    #[arg(long, requires = "side_by_side")]
    unprofiled: bool,
    /// Only contenders that match.
    #[arg(long, requires = "peers", conflicts_with = "inference", value_name = "REGEX")]
    only: Option<String>,
    /// An earlier build to measure beside this one, with the same plugins.
    #[arg(long, requires = "peers", conflicts_with = "inference", value_name = "BINARY")]
    before: Option<PathBuf>,
    /// Write every measurement to a file.
    #[arg(long, requires = "side_by_side", value_name = "FILE")]
    json: Option<PathBuf>,
    /// Arguments for criterion: a filter, --save-baseline NAME, …
    #[arg(last = true, conflicts_with = "side_by_side")]
    criterion: Vec<String>,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let progress = Progress::start();
    if options.inference {
        return models(options, &progress);
    }
    toolchain::ensure_wasm_target(&progress)?;
    for guests in [PLUGINS, TEST_GUESTS] {
        progress.step(&format!("compile the {} to components", guests.title));
        guests.build()?;
    }
    if options.peers { beside_peers(options, &progress) } else { parts(options, &progress) }
}

fn parts(options: &Options, progress: &Progress) -> Result<(), Failure> {
    progress.step("criterion benchmarks");
    let host = Host::read()?;
    let mut cargo = Host::cargo();
    cargo.arg("bench");
    // Each by its name: `cargo bench` alone also starts the unit tests, which do not know criterion's arguments.
    for (package, benchmark) in host.benchmarks() {
        cargo.args(["--package", package, "--bench", benchmark]);
    }
    process::complete(cargo.arg("--").args(&options.criterion))
}

fn beside_peers(options: &Options, progress: &Progress) -> Result<(), Failure> {
    let witgate = dist::build(progress, !options.unprofiled)?;
    progress.step("measure side by side");
    let mut script = python("peers");
    script.arg("--plugins").arg(PLUGINS.components()).arg("--guests").arg(TEST_GUESTS.components());
    script.args(options.only.iter().flat_map(|only| ["--only", only]));
    if let Some(before) = &options.before {
        script.arg("--before").arg(std::path::absolute(before).map_err(Failure::io("--before"))?);
    }
    side_by_side(options, script, &witgate)
}

fn models(options: &Options, progress: &Progress) -> Result<(), Failure> {
    let witgate = dist::build(progress, !options.unprofiled)?;
    progress.step("measure what models cost");
    side_by_side(options, python("inference"), &witgate)
}

fn python(script: &str) -> Command {
    let mut python = Command::new("python3");
    python.current_dir(workspace::root()).arg(format!("tests/bench/{script}.py"));
    python
}

/// Runs a script, with the options that all have.
fn side_by_side(options: &Options, mut script: Command, witgate: &Path) -> Result<(), Failure> {
    script.arg("--witgate").arg(witgate);
    let mut pass = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            script.args([name, &value]);
        }
    };
    pass("--cases", options.cases.clone());
    pass("--rounds", options.rounds.map(|rounds| rounds.to_string()));
    pass("--secs", options.secs.map(|secs| secs.to_string()));
    if let Some(file) = &options.json {
        // As the caller means it: the script runs at the root.
        script.arg("--json").arg(std::path::absolute(file).map_err(Failure::io("--json"))?);
    }
    process::complete(&mut script)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Options;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn what_is_for_peers_alone_is_taken_with_them_alone() {
        for option in [["--only", "nginx"], ["--before", "witgate"]] {
            let parse = |others: &[&str]| Cli::try_parse_from([&["bench"], others, &option[..]].concat());
            assert!(parse(&["--peers"]).is_ok_and(|cli| cli.options.peers), "{option:?}");
            assert!(parse(&[]).is_err(), "{option:?}");
            // What cannot be there, as `--peers` beside this, clap requires no more.
            assert!(parse(&["--inference"]).is_err(), "{option:?}");
        }
    }
}
