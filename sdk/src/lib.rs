#![doc = include_str!("../README.md")]

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
