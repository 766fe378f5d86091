use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::sample::Sample;
use crate::workspace::{Host, PLUGINS};
use crate::{demo, gateway, models, process, redis, toolchain};

/// Build everything and serve the sample configuration.
///
/// Adds the wasm target if it is missing, compiles the shipped plugins to components and the gateway in release, starts a
/// demo upstream (an echo server) on each loopback endpoint that the configuration names (a Redis, where the port is Redis's),
/// and serves. Once it prints
/// `ready http://ADDRESS`, curl commands to try follow. Edit the configuration while it runs: the gateway reloads it.
///
/// Ctrl-C lets requests in flight finish and ends everything, with exit status 0.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Serve examples/NAME/gateway.toml instead of gateway.toml.
    #[arg(long, value_name = "NAME")]
    example: Option<String>,
    /// Serve this configuration instead of gateway.toml.
    #[arg(long, value_name = "FILE", conflicts_with = "example")]
    config: Option<PathBuf>,
    /// Start no demo upstream: your own service listens at the endpoints.
    #[arg(long)]
    no_demo: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    let progress = Progress::start();
    let sample = match &options.config {
        Some(file) => Sample::read_file(file)?,
        None => Sample::read(options.example.as_deref())?,
    };
    // Before the build, which takes minutes the first time: a port that is taken should show at once.
    if !options.no_demo {
        for endpoint in &sample.loopback_endpoints {
            if endpoint.port() == redis::PORT {
                redis::start(*endpoint, &progress)?;
            } else {
                demo::start(*endpoint)?;
            }
        }
    }
    for listener in &sample.listeners {
        check_free(*listener, &sample)?;
    }
    models::ensure_example(&sample.file, &progress)?;
    toolchain::ensure_wasm_target(&progress)?;
    progress.step("compile the plugins to components");
    PLUGINS.build()?;
    progress.step("build the gateway (the first time takes minutes)");
    process::complete(Host::cargo().args(["build", "--release", "--package", "witgate-server"]))?;
    progress.step(&format!("serve {}", sample.file.display()));
    gateway::serve(&Host::read()?.witgate("release"), &sample)
}

fn check_free(address: SocketAddr, sample: &Sample) -> Result<(), Failure> {
    match TcpListener::bind(address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Err(Failure::ListenerTaken { address, file: sample.file.clone() })
        }
        // Anything else is the gateway's to report.
        _ => Ok(()),
    }
}
