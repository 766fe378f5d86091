//! What the gateway tells about itself: metrics, access records, and its log.

mod access_log;
mod custom;
mod log_writer;
mod metrics;
mod models;
pub mod scripts;
mod tally;
pub mod upstreams;

pub use access_log::{AccessLog, Record, StageRecord};
pub use custom::CustomMetrics;
pub use metrics::{Metrics, ReloadOutcome, RouteMetrics, StageMetrics};
pub use models::ModelFigures;

use tracing_subscriber::EnvFilter;

/// Pingora logs each failed request at `error` in its own words; the access record says the same, so it is silenced
/// unless asked for.
const DEFAULT_FILTER: &str = "warn,witgate=info,witgate_server=info,pingora=off,pingora_core=off,pingora_proxy=off";

/// Sends the log to standard error, so that standard output carries nothing but access records and the ready line.
/// `WITGATE_LOG` takes the directives of `tracing-subscriber`'s `EnvFilter`.
///
/// # Errors
/// A filter that cannot be parsed, with the part at fault.
pub fn init_log() -> Result<(), String> {
    let filter = match std::env::var("WITGATE_LOG") {
        Ok(text) if !text.is_empty() => {
            EnvFilter::try_new(&text).map_err(|error| format!("WITGATE_LOG=`{text}` is not a log filter: {error}"))?
        }
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // A second call (tests in one process) finds the log set up already, which is what it wants.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .with_target(false)
        .try_init();
    Ok(())
}
