//! `witgate lua …`: the commands for scripts.

use std::fs;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use witgate_authoring::{Against, ConformanceOptions, conformance};

/// What `witgate lua` can do.
#[derive(Debug, Subcommand)]
pub enum LuaCommand {
    /// Replay the test files of lua-nginx-module, and tell which cases pass.
    ///
    /// Reads a checkout of that project; each case becomes a configuration of a gateway of its own, which answers the
    /// case's requests. What has no equivalent is counted by its reason. Cases that speak to Redis or memcached need
    /// `redis-server` and `memcached` installed. Exit status 0: no case failed, but perhaps those
    /// that `--known` names. 1: one did, or none could be run.
    Conformance {
        /// The checkout, with the test files in its `t`.
        #[arg(value_name = "CHECKOUT")]
        checkout: PathBuf,
        /// Only cases whose `FILE NUMBER TITLE` matches.
        #[arg(long, value_name = "REGEX")]
        only: Option<String>,
        /// Only files whose path below `t` matches.
        #[arg(long, value_name = "REGEX")]
        file: Option<String>,
        /// Write every case with its outcome to a file: {"ok", "against", "passed", "failed", "untranslatable", "skipped",
        /// "passed_share", "cases": [{"file", "number", "line", "title", "outcome", "reasons", "unchecked"}]}.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Cases at once.
        #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
        jobs: u8,
        /// What to show one by one.
        #[arg(long, value_enum)]
        show: Option<Show>,
        /// What answers: the gateway, or an nginx with its Lua module that is installed, which gets each case's own
        /// configuration and so shows what the replay itself is worth.
        #[arg(long, value_enum, default_value_t = Server::Gateway)]
        against: Server,
        /// Cases that are known to fail, such as docs/lua/conformance.toml: only others count.
        #[arg(long, value_name = "FILE.toml")]
        known: Option<PathBuf>,
        /// Leave the directories of cases below this one, to look at.
        #[arg(long, value_name = "DIR")]
        keep: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Show {
    Failed,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Server {
    Gateway,
    Nginx,
}

/// Runs the command; prints its report on standard output, and why there is none on standard error.
#[expect(clippy::print_stdout, reason = "the result of the command")]
pub fn run(command: LuaCommand) -> ExitCode {
    let LuaCommand::Conformance { checkout, only, file, json, jobs, show, against, known, keep } = command;
    let against = match against {
        Server::Nginx => Against::Nginx,
        Server::Gateway => match std::env::current_exe() {
            Ok(program) => Against::Gateway(program),
            Err(error) => {
                eprintln!("witgate: the path of this program is not known: {error}");
                return ExitCode::FAILURE;
            }
        },
    };
    let show_failed = matches!(show, Some(Show::Failed));
    let options = ConformanceOptions { checkout, file, only, against, jobs: jobs.into(), show_failed, known, keep };
    let live = stderr().is_terminal();
    let report = conformance(&options, |done, all| {
        if live {
            eprint!("\r{done} of {all}");
        }
    });
    if live {
        eprintln!();
    }
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            eprintln!("witgate: {error}");
            return ExitCode::FAILURE;
        }
    };
    print!("{report}");
    if let Some(path) = json
        && let Err(error) = fs::write(&path, format!("{}\n", report.to_json()))
    {
        eprintln!("witgate: {} cannot be written: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
