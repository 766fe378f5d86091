//! `witgate model …`: what to know about a model before it is served, and what runs it. `witgate-inference` does it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use witgate_inference::inspect;
use witgate_inference::install::{self, InstallOptions};

use super::Format;

/// What `witgate model` can do.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Tell what a model is: inputs, outputs, operators, and which runtimes can run it.
    ///
    /// Loads it with the embedded runtime, and with ONNX Runtime if that is installed. Exit status 0: one of them runs it. 1:
    /// none does, or it is no model that can be served; the report says why.
    Inspect {
        /// The model.
        #[arg(value_name = "FILE.onnx")]
        model: PathBuf,
        /// The library of ONNX Runtime. Without it: the one that `witgate model runtime install` installed.
        #[arg(long, value_name = "LIBRARY")]
        runtime: Option<PathBuf>,
        /// `human` for people; `json` for tools: {"ok", "bytes", "sha256", "inputs": [{"name", "type", "shape"}], "outputs",
        /// "batch_axis", "ir_version", "opsets", "operators", "producer", "producer_version", "graph", "description",
        /// "runtimes": [{"runtime", "ok", "version", "problem", "help"}]}; of a file that is no model {"ok", "error", "help"}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Install what runs models that the embedded runtime cannot run.
    Runtime {
        #[command(subcommand)]
        command: RuntimeCommand,
    },
}

/// What `witgate model runtime` can do.
#[derive(Debug, Subcommand)]
pub enum RuntimeCommand {
    /// Install ONNX Runtime, and print the line for gateway.toml.
    ///
    /// Lets `python3 -m pip` fetch the wheel from PyPI, checks its digest, and takes the library out of it. A wheel that was
    /// fetched elsewhere can be given instead. What is there already is left alone.
    Install {
        /// Another version than the one that this gateway was tested with; needs --sha256.
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
        /// The folder to put the library in. Without it: witgate/onnxruntime/VERSION in the user's data directory
        /// ($XDG_DATA_HOME or ~/.local/share), where `runtime = "auto"` looks.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// The wheel, if it is here already: needs neither Python nor a network.
        #[arg(long, value_name = "FILE.whl")]
        wheel: Option<PathBuf>,
        /// SHA-256 of the wheel, for versions whose digest this gateway does not know.
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
        /// `human` for people; `json` for tools: {"ok", "path", "version", "sha256", "present"}; if nothing was installed
        /// {"ok", "error"}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
}

/// Runs the command; prints its report on standard output, and why there is none on standard error.
#[expect(clippy::print_stdout, reason = "the result of the command")]
pub fn run(command: ModelCommand) -> ExitCode {
    let ok = match command {
        ModelCommand::Inspect { model, runtime, format } => match (inspect(&model, runtime.as_deref()), format) {
            (Ok(inspected), Format::Human) => {
                print!("{inspected}");
                inspected.is_ok()
            }
            (Ok(inspected), Format::Json) => {
                println!("{}", inspected.to_json());
                inspected.is_ok()
            }
            (Err(error), Format::Human) => {
                eprintln!("witgate: {}: {error}\n  help: {}", model.display(), error.help);
                false
            }
            (Err(error), Format::Json) => {
                println!("{}", json!({ "ok": false, "error": error.message, "help": error.help }));
                false
            }
        },
        ModelCommand::Runtime { command: RuntimeCommand::Install { version, dir, wheel, sha256, format } } => {
            let options = InstallOptions { version, folder: dir, wheel, sha256 };
            match (install::install(&options), format) {
                (Ok(installed), Format::Human) => {
                    print!("{installed}");
                    true
                }
                (Ok(it), Format::Json) => {
                    let (path, present) = (it.path.display().to_string(), it.present);
                    let (version, sha256) = (it.version, it.sha256);
                    let report =
                        json!({ "ok": true, "path": path, "version": version, "sha256": sha256, "present": present });
                    println!("{report}");
                    true
                }
                (Err(error), Format::Human) => {
                    eprintln!("witgate: {error}");
                    false
                }
                (Err(error), Format::Json) => {
                    println!("{}", json!({ "ok": false, "error": error.to_string() }));
                    false
                }
            }
        }
    };
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
