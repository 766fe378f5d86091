//! Why a task ended early, in words for the person who started it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("`{command}` failed ({status})")]
    Command { command: String, status: ExitStatus },
    #[error("`{program}` cannot be started: {source}")]
    Start { program: String, source: io::Error },
    #[error("the training of the profile: {what}. `cargo xtask dist --unprofiled` builds without one")]
    Training { what: String },
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("`{command}` printed something unexpected: {detail}")]
    Output { command: String, detail: String },
    #[error(
        "{what} is missing, and there is no rustup to add it. Install rustup (https://rustup.rs), or add {what} to your \
         Rust toolchain by its own means"
    )]
    Toolchain { what: String },
    #[error(
        "the tests need the Debian packages {packages}, which cannot be installed from here ({reason}). As root: {command}"
    )]
    Packages { packages: String, reason: &'static str, command: String },
    #[error("{what} is needed, and is not there: {remedy}")]
    Needs { what: String, remedy: String },
    #[error("{file}: {problem}", file = file.display())]
    Sample { file: PathBuf, problem: String },
    #[error("there is no example `{name}`. There are: {known}", known = known.join(", "))]
    Example { name: String, known: Vec<String> },
    #[error(
        "{address} is taken, but the demo upstream must listen there. Stop what does, or pass --no-demo if it is the \
         service you want behind the gateway"
    )]
    UpstreamTaken { address: SocketAddr },
    #[error("{address} is taken, but the gateway must listen there. Stop what does, or edit `listeners` in {file}", file = file.display())]
    ListenerTaken { address: SocketAddr, file: PathBuf },
    #[error("the gateway ended by itself ({0})")]
    Gateway(ExitStatus),
    #[error("tests failed")]
    Tests,
}

impl Failure {
    /// Turns an I/O error into a failure that says what was being done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
