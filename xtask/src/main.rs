//! `cargo xtask …`: what it takes to run, test and measure Witgate, from a clean clone.

#![allow(clippy::print_stdout, reason = "a command line tool: its output is its result")]

mod command;
mod debian;
mod demo;
mod failure;
mod gateway;
mod guests;
mod http1;
mod lua;
mod models;
mod process;
mod progress;
mod redis;
mod sample;
mod suites;
mod tally;
mod toolchain;
mod training;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{bench, check, dist, guests as guests_command, run, test};
use crate::failure::Failure;

/// Developer tasks of Witgate. Each does everything it needs on a machine that has rustup and a C compiler.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Options),
    Test(test::Options),
    /// Check format, lints and documentation of all workspaces; warnings are errors.
    Check,
    Bench(bench::Options),
    Guests(guests_command::Options),
    Dist(dist::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Run(options) => run::run(options),
        Command::Test(options) => test::run(options),
        Command::Check => check::run(),
        Command::Bench(options) => bench::run(options),
        Command::Guests(options) => guests_command::run(options),
        Command::Dist(options) => dist::run(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The last line of a test run is its tally, which says it all.
        Err(Failure::Tests) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
