//! Write Witgate plugins in Rust.
//!
//! A plugin is a struct that is made from its configuration and has the hooks it wants; one macro turns it into a
//! component. Build it with `cargo build --release --target wasm32-wasip2` from a crate of type `cdylib`, name the
//! `.wasm` file under `[plugins]` in gateway.toml, and put it into the stages of a route.
//!
//! ```
//! use serde::Deserialize;
//! use witgate_sdk::{Action, ConfigError, Edits, Error, ErrorCode, OnRequest, Plugin, Refusal, Request};
//!
//! /// Lets a request pass if it names a tenant that is known, and tells the upstream which one.
//! struct Tenants {
//!     known: Vec<String>,
//! }
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     known: Vec<String>,
//! }
//!
//! impl Plugin for Tenants {
//!     const NAME: &'static str = "tenants";
//!     const VERSION: &'static str = "1.0.0";
//!     const SUMMARY: &'static str = "Lets known tenants pass";
//!     type Config = Config;
//!
//!     fn configure(config: Config) -> Result<Self, ConfigError> {
//!         if config.known.is_empty() {
//!             return Err("known: expected at least one tenant".into());
//!         }
//!         Ok(Self { known: config.known })
//!     }
//! }
//!
//! impl OnRequest for Tenants {
//!     fn on_request(&self, request: &Request<'_>, _end_of_stream: bool) -> Result<Action, Error> {
//!         match request.header_str("x-tenant") {
//!             Some(tenant) if self.known.contains(&tenant) => {
//!                 request.apply(Edits::new().set("x-tenant-checked", "yes"))?;
//!                 Ok(Action::Continue)
//!             }
//!             _ => Ok(Action::Refuse(Refusal::new(ErrorCode::Forbidden, "Name a known tenant in x-tenant."))),
//!         }
//!     }
//! }
//!
//! witgate_sdk::export!(Tenants: request);
//!
//! // The same plugin in a unit test, without a gateway:
//! use witgate_sdk::testing::TestRequest;
//! let plugin = Tenants::configure(Config { known: vec!["acme".into()] }).unwrap();
//! let request = TestRequest::new("GET", "/").header("x-tenant", "acme");
//! assert!(matches!(plugin.on_request(&request.request(), true), Ok(Action::Continue)));
//! assert_eq!(request.value("x-tenant-checked").as_deref(), Some("yes"));
//! ```
//!
//! What a plugin may reach beyond the request (time, shared state, rate limits, keys) it reaches through the functions
//! of [`clock`], [`kv`], [`limiter`], [`load`], [`crypto`] and [`log`]; the route has to grant each of them.

#[doc(hidden)]
pub mod bindings;
mod capability;
mod config;
mod edits;
mod error;
mod export;
mod header;
mod plugin;
mod request;
mod response;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use bindings::imports::witgate::plugin::http::{ErrorCode, Field, FieldError, Refusal, Response};
pub use bindings::on_request::exports::witgate::plugin::on_request_headers::Action;
pub use bindings::on_response::exports::witgate::plugin::on_response_headers::Action as ResponseAction;
pub use capability::{clock, crypto, kv, limiter, load, log};
pub use edits::Edits;
pub use error::{AccessError, ConfigError, Error};
pub use header::{HeaderName, InvalidHeaderName};
pub use plugin::{OnRequest, OnResponse, Plugin};
pub use request::{Client, Request};
pub use response::ResponseHead;

#[doc(hidden)]
pub mod export_support {
    pub use crate::export::{configure, description, failed, has_request_hook, has_response_hook, instance};
}
