//! `witgate model …`: what to know about a model before it is served, and what runs it. `witgate-inference` does it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};
use witgate_inference::install::{self, InstallOptions};
use witgate_inference::{LoadError, inspect, verify};

use super::Format;

/// What `witgate model` can do.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Tell what a model is: inputs, outputs, operators, and which runtimes can run it.
    ///
    /// Loads it with the embedded runtime, and with ONNX Runtime if that is installed, and runs it on zeros. Exit status 0: one of
    /// them runs it. 1: none does, or it is no model that can be served; the report says why. `score` is the number that a stage
    /// without `output` takes, or what it has to choose from.
    Inspect {
        /// The model.
        #[arg(value_name = "FILE")]
        model: PathBuf,
        /// The library of ONNX Runtime. Without it: the one that `witgate model runtime install` installed.
        #[arg(long, value_name = "LIBRARY")]
        runtime: Option<PathBuf>,
        /// The size of a named dimension for the run, as `dimensions` in gateway.toml; 1 without it. Can be given several times.
        #[arg(long = "dimension", value_name = "NAME=SIZE", value_parser = dimension)]
        dimensions: Vec<(String, usize)>,
        /// `human` for people; `json` for tools: {"ok", "bytes", "sha256", "inputs": [{"name", "type", "shape"}], "outputs":
        /// [{"name", "type", "shape", "classes", "map"}], "batch_axis", "features": {"ok", "takes", "problem"}, "score": {"output",
        /// "element", "class", "choices"}, "ir_version", "opsets", "operators", "producer", "producer_version", "graph",
        /// "description", "carries_samples", "native": {"format", "objective", "trees"}, "runtimes": [{"runtime", "ok", "version", "load_seconds", "problem", "help"}]}; of a file that is no
        /// model {"ok", "error", "help"}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Compare what a model gives here with the scores that the training side wrote down.
    ///
    /// Runs it on samples with the embedded runtime, and with ONNX Runtime if that is installed, and shows the largest difference
    /// and the rows that differ most. Exit status 0: all runtimes that can run it give those scores. 1: one gives others, none can
    /// run it, or a file is not what it should be.
    Verify {
        /// The model.
        #[arg(value_name = "FILE")]
        model: PathBuf,
        /// Rows with their scores: CSV, as `witgate_features.write_samples` writes it. Without it: those that the model carries.
        #[arg(long, value_name = "FILE.csv")]
        samples: Option<PathBuf>,
        /// The largest difference that is nothing to speak of: absolute for scores between -1 and 1, in proportion to the score
        /// beyond. Without it: what the model carries, or 1e-6.
        #[arg(long, value_name = "NUMBER", value_parser = tolerance)]
        tolerance: Option<f64>,
        /// The library of ONNX Runtime. Without it: the one that `witgate model runtime install` installed.
        #[arg(long, value_name = "LIBRARY")]
        runtime: Option<PathBuf>,
        /// `human` for people; `json` for tools: {"ok", "tolerance", "runtimes": [{"runtime", "ok", "rows", "columns": [{"of",
        /// "difference", "beyond", "worst": [{"row", "expected", "got", "difference"}]}], "problem", "help"}]}; if nothing was
        /// compared {"ok", "error", "help"}.
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

/// `NAME=SIZE`
fn dimension(text: &str) -> Result<(String, usize), String> {
    let (name, size) = text.rsplit_once('=').ok_or("expected a name, `=`, and a size")?;
    let size = size.parse().ok().filter(|size| (1..=1_000_000).contains(size));
    Ok((name.to_owned(), size.ok_or("expected a size from 1 to 1000000")?))
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number >= 0.0 && number.is_finite());
    number.ok_or_else(|| "expected a number from 0 on".to_owned())
}

/// Runs the command; prints its report on standard output, and why there is none on standard error.
#[expect(clippy::print_stdout, reason = "the result of the command")]
pub fn run(command: ModelCommand) -> ExitCode {
    let ok = match command {
        ModelCommand::Inspect { model, runtime, dimensions, format } => {
            let inspected = inspect(&model, runtime.as_deref(), &dimensions);
            report(inspected.map(|it| (it.is_ok(), it.to_string(), it.to_json())), (&model, format))
        }
        ModelCommand::Verify { model, samples, tolerance, runtime, format } => {
            let verified = verify(&model, samples.as_deref(), runtime.as_deref(), tolerance);
            report(verified.map(|it| (it.is_ok(), it.to_string(), it.to_json())), (&model, format))
        }
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

/// Prints what became of a model: for people, or for tools. Whether it is well.
#[expect(clippy::print_stdout, reason = "the result of the command")]
fn report(found: Result<(bool, String, Value), LoadError>, (model, format): (&Path, Format)) -> bool {
    match (found, format) {
        (Ok((is_ok, text, _)), Format::Human) => {
            print!("{text}");
            is_ok
        }
        (Ok((is_ok, _, json)), Format::Json) => {
            println!("{json}");
            is_ok
        }
        (Err(error), Format::Human) => {
            eprintln!("witgate: {}: {error}\n  help: {}", model.display(), error.help);
            false
        }
        (Err(error), Format::Json) => {
            println!("{}", json!({ "ok": false, "error": error.message, "help": error.help }));
            false
        }
    }
}
