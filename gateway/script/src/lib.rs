//! Runs Lua scripts as stages of a pipeline, with the API of OpenResty.
//!
//! A [`Script`] has chunks for phases of requests; an [`App`] has the settings of the VMs that scripts share, and what they may
//! reach. Each proxy thread makes its own [LuaJIT](https://luajit.org) VM for each app, lazily; a phase of a request runs in a
//! coroutine of it, with its own globals. A call that takes time yields to the gateway and goes on when the result is there.
//!
//! Scripts are stopped when they run for too long, in compiled loops as well (`watchdog.rs`), and each VM has a limit on its
//! memory. A VM that was stopped, or is full, is replaced while requests that it serves go on.
//!
//! Everything of a VM stays on the thread that made it: threads must run their tasks themselves, and steal none.

mod api;
mod app;
mod changes;
pub mod clock;
mod confined;
mod deadline;
pub mod dict;
mod error;
mod field_names;
mod host;
mod json;
pub mod library;
mod native;
mod pattern;
mod pcre;
mod phase;
mod raw;
mod reach;
mod request;
mod run;
mod script;
mod socket;
mod stage;
mod subrequest;
mod symbols;
#[cfg(test)]
mod testing;
mod timer;
pub mod usage;
mod vm;
mod wait;
mod watchdog;

pub use app::{App, AppHandle, AppSpec, Chunk, Figures, Limits, Modules, Stores, Trust};
pub use error::{Concern, MemoryLimit, Mistake, ScriptError};
pub use host::ScriptHost;
pub use phase::Phase;
pub use reach::{Network, Reach};
pub use script::{Script, ScriptSpec};
pub use stage::ScriptStage;
pub use subrequest::{Extent, Subrequest, Subrequests, Subresponse};
