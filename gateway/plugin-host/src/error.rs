//! What goes wrong before a plugin serves.

use std::path::PathBuf;

use crate::fault::Fault;

/// The host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("the WASM engine does not start; expected room for {instances_limit} instances in the address space")]
    Engine { instances_limit: u32, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the plugin cache {path:?} cannot be used")]
    Cache { path: PathBuf, source: std::io::Error },
    #[error(
        "the plugin cache {path:?} is open to other users (mode {mode:o}, expected 700); whoever can write there can \
         run code in the gateway: use a directory of its own, or `chmod 700` it"
    )]
    CacheOpen { path: PathBuf, mode: u32 },
    #[error("a background thread does not start")]
    Thread(#[source] std::io::Error),
}

/// Which part of a spec is at fault: for pointing at the right line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    Component,
    Config,
    Grants,
}

/// A plugin cannot be loaded. `Display` tells an operator what is wrong, what was expected and what to do; it names no
/// place, for the caller knows the line.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(
        "the file is not a WebAssembly component ({found}); expected one for world witgate:plugin/plugin@0.1.0, as \
         `cargo build --release --target wasm32-wasip2` makes"
    )]
    NotComponent { found: &'static str },
    #[error("the component is damaged and cannot be compiled; expected it as the build made it, whole and unchanged")]
    Compile,
    #[error("plugin imports {import}, which needs the grant \"{grant}\"; add it to the stage's `grants`")]
    MissingGrant { import: String, grant: &'static str },
    #[error(
        "plugin imports {import}, which this gateway does not have; expected interfaces of witgate:plugin@0.1 and of \
         WASI 0.2 (cli, clocks, filesystem, io, random, sockets) only"
    )]
    UnknownImport { import: String },
    #[error(
        "plugin speaks {name}, and this gateway serves {served}; rebuild the plugin with an SDK of that version, or \
         serve it by a gateway of its own"
    )]
    UnknownVersion { name: String, served: String },
    #[error("plugin mixes versions of the contract: {} and {}; rebuild it with one SDK", names[0], names[1])]
    MixedVersions { names: [String; 2] },
    #[error("plugin does not export witgate:plugin/lifecycle@0.1.0, which every plugin must")]
    NoLifecycle,
    #[error("plugin exports no hook; expected on-request-headers or on-response-headers of witgate:plugin@0.1.0")]
    NoHook,
    #[error("plugin does not fit the contract witgate:plugin@0.1.0: {reason}")]
    Mismatch { reason: String },
    #[error("plugin cannot be started ({}): {fault}", fault.kind.label())]
    Start { fault: Fault },
    #[error("plugin fails in `describe` ({}): {fault}", fault.kind.label())]
    Describe { fault: Fault },
    #[error("plugin's description is unusable: {reason}")]
    Description { reason: String },
    #[error(
        "plugin's own configuration schema is not a JSON Schema; expected one of version 2020-12, without references to \
         other documents"
    )]
    Schema,
    #[error("configuration is not JSON: {0}")]
    ConfigSyntax(#[source] serde_json::Error),
    #[error("{}", list(problems))]
    ConfigSchema { problems: Vec<ConfigProblem> },
    #[error("plugin refuses its configuration: {message}")]
    ConfigRefused { message: String },
    #[error("plugin fails in `configure` ({}): {fault}", fault.kind.label())]
    Configure { fault: Fault },
    #[error("plugin wants to see bodies, but has no hook for them; expected the export `{hook}`, or interest `none`")]
    BodyInterest { hook: &'static str },
}

/// One disagreement of a configuration with the plugin's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Dotted path below the plugin's configuration; empty for the configuration itself.
    pub path: String,
    /// The same as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// The key of that table which is wrong, if it is the key and not its value.
    pub key: Option<String>,
    /// Keys that there are instead.
    pub known: Vec<String>,
    /// The key of that table which has to be there.
    pub missing: Option<String>,
    /// What is wrong and what was expected.
    pub message: String,
}

fn list(problems: &[ConfigProblem]) -> String {
    let lines = problems.iter().map(|problem| match problem.path.as_str() {
        "" => problem.message.clone(),
        path => format!("`{path}`: {}", problem.message),
    });
    lines.collect::<Vec<_>>().join("; ")
}

impl LoadError {
    /// The engine found that an import or export is not what the contract says. Its words are for those who build engines;
    /// they are in the log at `debug`.
    pub(crate) fn mismatch(error: &wasmtime::Error) -> Self {
        let chain = crate::error_chain(error);
        tracing::debug!(error = chain, "a plugin does not fit the contract");
        let named = chain.split('`').skip(1).step_by(2).find(|name| name.contains('/') || name.contains(':'));
        let subject = named.map_or_else(|| "one of its functions".to_owned(), |name| format!("`{name}`"));
        Self::Mismatch { reason: format!("{subject} has other types there; rebuild it with the SDK of that version") }
    }

    /// Which part of the spec to mend.
    pub fn concerns(&self) -> Concern {
        match self {
            Self::MissingGrant { .. } => Concern::Grants,
            Self::ConfigSyntax(_) | Self::ConfigSchema { .. } | Self::ConfigRefused { .. } => Concern::Config,
            Self::NotComponent { .. }
            | Self::Compile
            | Self::UnknownImport { .. }
            | Self::UnknownVersion { .. }
            | Self::MixedVersions { .. }
            | Self::NoLifecycle
            | Self::NoHook
            | Self::Mismatch { .. }
            | Self::Start { .. }
            | Self::Describe { .. }
            | Self::Description { .. }
            | Self::Schema
            | Self::Configure { .. }
            | Self::BodyInterest { .. } => Concern::Component,
        }
    }
}
