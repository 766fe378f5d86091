//! What plugin authors do before a plugin is served: begin a project ([`new`]) and [`build`] it, [`inspect`] the
//! component, [`validate`] a configuration for it, [`test`](fn@test) it with cases from a file, and [`bench`](fn@bench)
//! it; and what authors of scripts do: check them.
//!
//! Components run on the plugin host that the gateway uses, with its limits and its checks, so what holds here holds
//! there. Each command gives a report that is printed by `Display` for people and by `to_json` for tools.

mod bench;
mod cases;
mod component;
mod diff;
mod error;
mod inspect;
mod log;
#[cfg(feature = "lua")]
mod lua;
#[cfg(feature = "lua")]
mod openresty;
mod project;
mod stand_in;
mod units;
mod validate;

pub use bench::{Bench, BenchOptions, bench};
pub use cases::{TestOptions, TestSubject, Tested, test};
pub use error::CommandError;
pub use inspect::{Inspected, inspect};
#[cfg(feature = "lua")]
pub use lua::{Checked, LuaCheckOptions, LuaFinding, lua_check, lua_findings};
#[cfg(feature = "lua")]
pub use openresty::{Against, CaseOutcome, Conformance, ConformanceOptions, Known, Outcome, conformance};
pub use project::{Built, Created, Language, build, new};
pub use validate::{ConfigFrom, Validated, validate};

use http::StatusCode;
use witgate_stage::ErrorCode;

/// What a client gets for a refusal, or for a plugin that failed: told by the caller, because only the proxy knows.
#[derive(Debug, Clone, Copy)]
pub struct Statuses {
    pub refusal: fn(ErrorCode) -> StatusCode,
    pub failure: StatusCode,
}
