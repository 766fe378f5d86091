//! `witgate lua …`: the commands for scripts.

use std::fs;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use witgate_authoring::{Against, ConformanceOptions, LuaCheckOptions, TestSubject, conformance, lua_check};
use witgate_script::Trust;

use super::Format;
use super::plugin::{print, test};

/// What `witgate lua` can do.
#[derive(Debug, Subcommand)]
pub enum LuaCommand {
    /// Check scripts without running them: syntax, names that nothing defines, API that is not here.
    ///
    /// A configuration stands for the scripts, `init` code and modules that it names, each with the settings of its
    /// `[lua.NAME]`. Errors: code that is not Lua; names of `ngx` and of the gateway's modules that do not exist, or are not
    /// supported (with what to use instead); modules that are not found; calls that their phase refuses; what sandboxed scripts
    /// do not have. Warnings: globals that nothing defines, for code may define them in ways that nobody sees from here; globals
    /// that functions assign to; variables that are not there. Exit status 0: no errors. 1: there are some.
    Check {
        /// Lua files, directories (with all `.lua` files below them), or configurations (`.toml`).
        #[arg(value_name = "PATH", default_value = "gateway.toml")]
        paths: Vec<PathBuf>,
        /// Of files that are not named by a configuration: whether they are checked as the operator's own.
        #[arg(long, value_enum, default_value_t = Trusted::Sandbox)]
        trust: Trusted,
        /// For such files: a directory of modules, as in `path` of `[lua.NAME]`; may be repeated. Without any, modules are
        /// not looked for.
        #[arg(long = "path", value_name = "DIR")]
        modules: Vec<PathBuf>,
        /// Tell as well what is not quite as in OpenResty, and what is found in libraries outside of the configuration's
        /// directory.
        #[arg(long)]
        notes: bool,
        /// What counts as an error besides errors.
        #[arg(long, value_enum)]
        deny: Option<Deny>,
        /// `human` for people; `json` for tools: {"ok", "files", "errors", "warnings", "diagnostics": [{"severity", "file",
        /// "line", "column", "path", "message", "help"}]}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Run the cases of a file: requests, and what a script has to make of them.
    ///
    /// Cases run in order on one VM, with the limits and checks of the gateway but without a network. What a case leaves in
    /// shared dictionaries is there for the next. Time stands still but for what the file lets pass, and what scripts wait for.
    /// Sockets reach only what the file has conversations for, and `ngx.location.capture` only what it has answers for.
    /// docs/lua/README.md describes the file. Exit status 0: every case came out as expected. 1: one did not, or the file is
    /// wrong.
    Test {
        #[arg(value_name = "CASES.toml")]
        cases: PathBuf,
        /// Seed of random pieces of bodies: the same one cuts the same pieces.
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u64>,
        /// Write the golden files (`body = { file = "…" }` below `expect`) instead of comparing with them.
        #[arg(long)]
        bless: bool,
        /// `human` for people; `json` for tools: {"ok", "file", "script", "seed", "passed", "failed", "cases": [{"name",
        /// "line", "ok", "time_us", "differences": [{"path", "expected", "got"}]}]}.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
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
pub enum Trusted {
    Sandbox,
    Full,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Deny {
    Warnings,
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
pub fn run(command: LuaCommand) -> ExitCode {
    match command {
        LuaCommand::Check { paths, trust, modules, notes, deny, format } => {
            let trust = match trust {
                Trusted::Sandbox => Trust::Sandbox,
                Trusted::Full => Trust::Full,
            };
            let deny_warnings = matches!(deny, Some(Deny::Warnings));
            let report = lua_check(&LuaCheckOptions { paths, trust, modules, notes, deny_warnings });
            print(format, report, |it| (it.is_ok(), it.to_json()))
        }
        LuaCommand::Test { cases, seed, bless, format } => test(TestSubject::Script, (cases, seed, bless), format),
        LuaCommand::Conformance { checkout, only, file, json, jobs, show, against, known, keep } => {
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
            let options =
                ConformanceOptions { checkout, file, only, against, jobs: jobs.into(), show_failed, known, keep };
            replay(&options, json)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
fn replay(options: &ConformanceOptions, json: Option<PathBuf>) -> ExitCode {
    let live = stderr().is_terminal();
    let report = conformance(options, |done, all| {
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
