//! The command line.

mod check;
#[cfg(feature = "lua")]
mod lua;
mod model;
mod plugin;
mod top;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use witgate_config::Diagnostic;

use crate::app::{self, StartError};
use crate::reload::report;
use crate::telemetry;

/// An edge gateway that you extend with WebAssembly.
///
/// Witgate stands in front of your services. Each route runs a pipeline of stages: plugins (WASM components) for
/// authentication, load shedding, rate limiting or anything else. One file configures it; a change of that file, or of a
/// file it names, takes effect without a restart and without a failed request.
#[derive(Debug, Parser)]
#[command(name = "witgate", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a configuration until SIGTERM or SIGINT.
    ///
    /// Prints `ready http://ADDRESS` for each listener once it accepts connections. Access records go to standard output
    /// (see `[access_log]`), everything else to standard error; WITGATE_LOG sets its level (`debug`, or
    /// `warn,witgate=debug`).
    ///
    /// SIGHUP reloads the configuration, as a change of its files does, and opens the access log anew. SIGTERM and SIGINT
    /// end the gateway: GET /ready says so while connections are accepted for `runtime.accept_timeout` more, then requests
    /// in flight may end within `runtime.drain_timeout`; a second signal stops at once.
    Run {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Check a configuration: everything that a start or a reload does, short of serving it.
    ///
    /// Reads the file and every file that it names, loads each plugin and gives it its configuration, makes each script and
    /// looks for names in it that are not there, and tries the addresses of listeners and the file of the access log. An
    /// address that a running gateway holds for this very file is as it should be. Exit status 0: it would be served; there
    /// may be warnings, of certificates that are not valid today for instance. 1: it has problems, and all of them are
    /// listed.
    Check {
        #[command(flatten)]
        config: ConfigFile,
        /// What counts as a problem besides problems.
        #[arg(long, value_enum)]
        deny: Option<check::Deny>,
        /// What is not tried, because the file is for another machine.
        #[arg(long, value_enum)]
        skip: Option<check::Skip>,
        /// `human` for people; `json` for tools: {"ok", "diagnostics": [{"severity", "file", "line", "column", "path",
        /// "message", "help"}]}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Watch a running gateway: rates, times and failures of routes and plugins, live.
    ///
    /// Reads GET /metrics of the admin listener again and again and shows what happened between two readings, most
    /// expensive first: by route; by route, plugin and hook, with times and bytes as means of a call; and the instances of
    /// each plugin. q, Escape and Ctrl-C end it. A gateway that cannot be reached is tried again.
    ///
    /// If standard output is not a terminal, it prints one view and exits, as with --once; with `--format json` it prints
    /// one after another until it is ended, unless --once is given. Exit status 1: the gateway could not be reached, or the
    /// address is not that of an admin listener; the message says what to do.
    Top {
        #[command(flatten)]
        options: top::Options,
    },
    /// Begin, build, inspect, validate, test and measure a plugin, without a gateway.
    Plugin {
        #[command(subcommand)]
        command: plugin::PluginCommand,
    },
    /// Look at a model, and install what runs it, without a gateway.
    Model {
        #[command(subcommand)]
        command: model::ModelCommand,
    },
    /// Check and test scripts without a gateway, and hold the Lua stage against what it stands in for.
    #[cfg(feature = "lua")]
    Lua {
        #[command(subcommand)]
        command: lua::LuaCommand,
    },
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration; without it, `gateway.toml`.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same.
    #[arg(short = 'c', long = "config", value_name = "FILE", conflicts_with = "file")]
    path: Option<PathBuf>,
}

impl ConfigFile {
    fn path(self) -> PathBuf {
        self.path.or(self.file).unwrap_or_else(|| PathBuf::from("gateway.toml"))
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Human,
    Json,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = telemetry::init_log() {
        eprintln!("witgate: {error}");
        return ExitCode::FAILURE;
    }
    match cli.command {
        Command::Run { config } => run(&config.path()),
        Command::Check { config, deny, skip, format } => check::run(&config.path(), format, (deny, skip)),
        Command::Top { options } => top::run(&options),
        Command::Plugin { command } => plugin::run(command),
        Command::Model { command } => model::run(command),
        #[cfg(feature = "lua")]
        Command::Lua { command } => lua::run(command),
    }
}

fn run(path: &Path) -> ExitCode {
    match app::run(path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(path, &error),
    }
}

fn failed(path: &Path, error: &StartError) -> ExitCode {
    match error {
        StartError::Config(diagnostics) => {
            report(path, "error", diagnostics);
            eprintln!("witgate: {}", count(diagnostics));
        }
        StartError::Other(error) => eprintln!("witgate: {error:#}"),
    }
    ExitCode::FAILURE
}

fn count(diagnostics: &[Diagnostic]) -> String {
    match diagnostics.len() {
        1 => "1 problem".to_owned(),
        n => format!("{n} problems"),
    }
}
