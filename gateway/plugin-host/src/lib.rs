//! Loads WASM component plugins and runs them as stages of a pipeline.
//!
//! A [`PluginHost`] is the process's engine with everything plugins share; [`PluginHost::load`] turns a [`PluginSpec`]
//! into a [`LoadedPlugin`], or says what is wrong with it; a [`PluginStage`] puts that into a pipeline.
//!
//! What a guest can do to others is bounded on every side: its run time (it yields at every millisecond and is stopped at
//! its timeout), its memory, the number of its instances, the size of everything it asks for, and its reach, which is what
//! its [`Grants`] name. A guest that fails takes only its own instance with it. `gateway/ARCHITECTURE.md` has the whole
//! picture and the figures.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use witgate_plugin_host::{Grants, HostSettings, Isolation, PluginHost, PluginLimits, PluginSpec};
//!
//! let host = PluginHost::new(HostSettings { instances_limit: 8, ..HostSettings::default() })?;
//! let refused = host.load(PluginSpec {
//!     name: "auth".into(),
//!     wasm: Arc::from(&b"\0asm\x01\0\0\0"[..]),
//!     config_json: "{}".into(),
//!     limits: PluginLimits::new(16 << 20, Duration::from_millis(50), 4),
//!     isolation: Isolation::Shared,
//!     grants: Grants { log: true, ..Grants::default() },
//! });
//! assert!(refused.is_err_and(|error| error.to_string().contains("core module")));
//! # Ok::<(), witgate_plugin_host::HostError>(())
//! ```

mod bindings;
mod breaker;
mod cache;
mod compile;
mod contract;
mod engine;
mod error;
mod exports;
mod fault;
mod grants;
mod guests;
mod host;
mod imports;
mod inspect;
mod instance;
mod load;
mod memory;
mod pace;
mod plugin;
mod plugin_host;
mod schema;
mod service;
mod spec;
mod stage;
mod standby;
mod stats;
mod turn;
mod verdict;

pub use breaker::BreakerState;
pub use error::{Concern, ConfigProblem, HostError, LoadError};
pub use fault::Fault;
pub use grants::Grants;
pub use inspect::{Import, Inspection, KvStore, KvStoreError};
pub use plugin::{Description, LoadedPlugin};
pub use plugin_host::{HostSettings, PluginHost};
pub use service::{
    Admission, Bucket, BucketSpec, Decision, HashKind, HmacKey, KeySet, LoadLimits, LoadScope, LoadSignal, Measure,
    MetricError, MetricSink, OutboundCall, OutboundError, OutboundFuture, OutboundReply, OutboundTarget, ScoreError,
    ScoreFuture, ScoreTarget, ScoreTensor, Scores, Simulation, Surroundings,
};
pub use spec::{Isolation, PluginLimits, PluginSpec};
pub use stage::PluginStage;
pub use stats::PluginStats;

/// An error of the engine with its causes, in one line.
fn error_chain(error: &wasmtime::Error) -> String {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    causes.join(": ").split_whitespace().collect::<Vec<_>>().join(" ")
}
