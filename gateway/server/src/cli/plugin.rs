//! `witgate plugin …`: the commands for plugin authors. What they do is `witgate-authoring`'s.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use witgate_authoring::{
    self as authoring, BenchOptions, CommandError, ConfigFrom, Language, Statuses, TestOptions, TestSubject,
};

use super::Format;
use crate::envelope::Code;
use crate::telemetry::CustomMetrics;

/// What `witgate plugin` can do.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Begin a plugin: write a project that builds as it is, with cases to test it.
    ///
    /// The folder gets a small plugin with a configuration, the contract (and for Rust the SDK), the recipe that builds
    /// it, `cases.toml`, a `gateway.toml` that has it on a route, and a README. What is there already is left alone: a
    /// folder with something in it is refused.
    New {
        /// The folder; its last part is the plugin's name: lower-case letters, digits and hyphens.
        #[arg(value_name = "NAME")]
        folder: PathBuf,
        /// The language of its source.
        #[arg(long, value_enum, default_value_t = Lang::Rust)]
        lang: Lang,
        /// `human` for people; `json` for tools: {"ok", "folder", "name", "language", "files", "next"}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Build the component of a project and check it.
    ///
    /// Runs the project's own recipe: `cargo build --release --target wasm32-wasip2` where there is a Cargo.toml, `npm
    /// run build` where there is a package.json, `make` where there is a Makefile. What that prints is shown if it
    /// fails. Then the component is looked at, as `inspect` does. Exit status 0: the gateway would load it, given its
    /// grants. 1: it would not, it was not built, or a tool is missing; the message says which, and how to install it.
    Build {
        /// The project's folder.
        #[arg(value_name = "DIR", default_value = ".")]
        folder: PathBuf,
        /// `human` for people; `json` for tools: {"ok", "language", "command", "file", "bytes", "description", "hooks",
        /// "problem"}; of a build that failed {"ok", "error", "output"}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Tell what a component is: description, hooks, grants it needs, schema of its configuration, size.
    ///
    /// Needs no grants and no configuration. Compiles the component and measures how long that takes, and how long loading
    /// it from a cache. Exit status 0: the gateway would load it, given its grants. 1: it would not, and the report says why.
    Inspect {
        /// The component.
        #[arg(value_name = "FILE.wasm")]
        plugin: PathBuf,
        /// `human` for people; `json` for tools: {"ok", "description", "contract", "hooks", "imports", "grants",
        /// "config_schema", "bytes", "compile_us", "load_us", "problem"}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Check a configuration: against the plugin's schema, and by the plugin itself.
    ///
    /// Every problem is listed with its path in the configuration. Names in it (of buckets, keys, load scopes) are taken to
    /// exist and to be granted; `witgate check` holds them against a gateway's configuration. Exit status 0: the plugin
    /// takes it. 1: it does not.
    Validate {
        /// The component.
        #[arg(value_name = "FILE.wasm")]
        plugin: PathBuf,
        /// The configuration, as JSON; `-` reads it from standard input.
        #[arg(long, value_name = "FILE.json")]
        config: PathBuf,
        /// `human` for people; `json` for tools: {"ok", "plugin", "config", "problems": [{"path", "message"}]}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Run the cases of a file: requests, and what the plugin has to make of them.
    ///
    /// Cases run in order on one loaded plugin, with the host, limits and checks of the gateway but without a network. What
    /// a case leaves in the key-value namespace and takes from buckets is there for the next. Time stands still but for what
    /// the file lets pass, and upstreams answer what it says. Bodies reach plugins that want pieces in random ones; the seed
    /// is printed. docs/plugins/commands.md describes the file. Exit status 0: every case came out as expected. 1: one did
    /// not, or the file is wrong.
    Test {
        #[arg(value_name = "CASES.toml")]
        cases: PathBuf,
        /// A component in the place of the one that the file names.
        #[arg(long, value_name = "FILE.wasm")]
        plugin: Option<PathBuf>,
        /// Seed of random pieces and bytes: the same one cuts the same pieces and gives the same bytes.
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u64>,
        /// Write the golden files (`body = { file = "…" }` below `expect`) instead of comparing with them.
        #[arg(long)]
        bless: bool,
        /// `human` for people; `json` for tools: {"ok", "seed", "passed", "failed", "cases": [{"name", "line", "ok",
        /// "time_us", "differences": [{"path", "expected", "got"}]}]}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Measure the hooks: how long they take, in a warm instance and in a new one, and how much memory.
    ///
    /// Calls each hook that the plugin has with a request of a common size, one call after the other on one thread.
    /// Everything is granted; buckets never run dry, and key sets know nobody. The time includes the host's part of a call.
    Bench {
        /// The component.
        #[arg(value_name = "FILE.wasm")]
        plugin: PathBuf,
        /// The configuration, as JSON; `-` reads it from standard input. Without it: {}.
        #[arg(long, value_name = "FILE.json")]
        config: Option<PathBuf>,
        /// Calls of each hook in each kind of instance.
        #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
        calls: u32,
        /// A field of the request, besides the usual ones; may be repeated.
        #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
        headers: Vec<(HeaderName, HeaderValue)>,
        /// `human` for people; `json` for tools: {"calls", "memory_peak", "hooks": [{"hook", "instance", "p50_ns", "p90_ns",
        /// "p99_ns", "max_ns", "verdicts"}]}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
}

/// Languages by the names that pages and examples have.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Lang {
    Rust,
    Js,
    Python,
    Go,
    C,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::Rust => Self::Rust,
            Lang::Js => Self::Js,
            Lang::Python => Self::Python,
            Lang::Go => Self::Go,
            Lang::C => Self::C,
        }
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected `NAME: VALUE`")?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| "expected the name of a header field before the colon")?;
    let value = HeaderValue::try_from(value.trim()).map_err(|_| "expected a value without control characters")?;
    Ok((name, value))
}

/// Runs the command; prints its report on standard output, and why there is none on standard error.
pub fn run(command: PluginCommand) -> ExitCode {
    match command {
        PluginCommand::New { folder, lang, format } => {
            let report = authoring::new(&folder, lang.into());
            print(format, report, |it| (true, it.to_json()))
        }
        PluginCommand::Build { folder, format } => {
            let report = authoring::build(&folder, |command| eprintln!("witgate: runs `{command}`"));
            print(format, report, |it| (it.is_ok(), it.to_json()))
        }
        PluginCommand::Inspect { plugin, format } => {
            let report = authoring::inspect(&plugin);
            print(format, report, |it| (it.is_ok(), it.to_json()))
        }
        PluginCommand::Validate { plugin, config, format } => {
            let report = authoring::validate(&plugin, &config_from(Some(config)));
            print(format, report, |it| (it.is_ok(), it.to_json()))
        }
        PluginCommand::Test { cases, plugin, seed, bless, format } => {
            test(TestSubject::Plugin(plugin), (cases, seed, bless), format)
        }
        PluginCommand::Bench { plugin, config, calls, headers, format } => {
            let report = authoring::bench(&BenchOptions { plugin, config: config_from(config), calls, headers });
            print(format, report, |it| (true, it.to_json()))
        }
    }
}

/// Runs the cases of a file.
pub(super) fn test(
    subject: TestSubject,
    (cases, seed, bless): (PathBuf, Option<u64>, bool),
    format: Format,
) -> ExitCode {
    let refusal = |code| Code::from(code).status();
    let statuses = Statuses { refusal, failure: Code::PluginFailed.status() };
    let metrics = Arc::new(CustomMetrics::default());
    let report = authoring::test(&TestOptions { cases, subject, seed, bless, statuses, metrics });
    print(format, report, |it| (it.is_ok(), it.to_json()))
}

fn config_from(path: Option<PathBuf>) -> ConfigFrom {
    match path {
        None => ConfigFrom::Nothing,
        Some(path) if path.as_os_str() == "-" => ConfigFrom::Input,
        Some(path) => ConfigFrom::File(path),
    }
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) fn print<R: Display>(
    format: Format,
    report: Result<R, CommandError>,
    result: impl FnOnce(&R) -> (bool, Value),
) -> ExitCode {
    let ok = match (report, format) {
        (Ok(report), Format::Human) => {
            print!("{report}");
            result(&report).0
        }
        (Ok(report), Format::Json) => {
            let (ok, json) = result(&report);
            println!("{json}");
            ok
        }
        (Err(error), Format::Human) => {
            match &error {
                CommandError::Cases { .. } => eprintln!("{error}"),
                CommandError::Build { output, .. } => eprintln!("{output}\nwitgate: {error}"),
                _ => eprintln!("witgate: {error}"),
            }
            false
        }
        (Err(error), Format::Json) => {
            println!("{}", error.to_json());
            false
        }
    };
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
