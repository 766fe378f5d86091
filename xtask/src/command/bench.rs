use std::path::PathBuf;
use std::process::Command;

use super::dist;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::workspace::{self, Host, PLUGINS, TEST_GUESTS};
use crate::{process, toolchain};

/// Measure: the parts by themselves, or the gateway beside its peers.
///
/// Without --peers: the criterion benchmarks (finding a route, running a pipeline of plugins, one plugin call, one host
/// call). Arguments after `--` go to criterion.
///
/// With --peers: nginx, nginx + Lua, HAProxy, Envoy and Witgate's dist build side by side, each checked before it is
/// measured, in interleaved rounds on pinned cores. Missing peers are installed, which needs root. Reports requests/s,
/// latency, CPU-seconds per 100 000 requests and peak memory.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Measure side by side with other gateways.
    #[arg(long)]
    peers: bool,
    /// Which cases, comma-separated: plain, auth, limit.
    #[arg(long, requires = "peers")]
    cases: Option<String>,
    /// How often each contender is measured.
    #[arg(long, requires = "peers", value_name = "N")]
    rounds: Option<u32>,
    /// Length of a measurement, in seconds.
    #[arg(long, requires = "peers", value_name = "S")]
    secs: Option<u32>,
    /// Only contenders that match.
    #[arg(long, requires = "peers", value_name = "REGEX")]
    only: Option<String>,
    /// Write every measurement to a file.
    #[arg(long, requires = "peers", value_name = "FILE")]
    json: Option<PathBuf>,
    /// Arguments for criterion: a filter, --save-baseline NAME, …
    #[arg(last = true, conflicts_with = "peers")]
    criterion: Vec<String>,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let progress = Progress::start();
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
    let witgate = dist::build(progress)?;
    progress.step("measure side by side");
    let mut script = Command::new("python3");
    script.current_dir(workspace::root()).arg("tests/bench/peers.py");
    script.arg("--witgate").arg(witgate);
    script.arg("--plugins").arg(PLUGINS.components()).arg("--guests").arg(TEST_GUESTS.components());
    let mut pass = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            script.args([name, &value]);
        }
    };
    pass("--cases", options.cases.clone());
    pass("--rounds", options.rounds.map(|rounds| rounds.to_string()));
    pass("--secs", options.secs.map(|secs| secs.to_string()));
    pass("--only", options.only.clone());
    if let Some(file) = &options.json {
        // As the caller means it: the script runs at the root.
        script.arg("--json").arg(std::path::absolute(file).map_err(Failure::io("--json"))?);
    }
    process::complete(&mut script)
}
