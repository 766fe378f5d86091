#![doc = include_str!("../README.md")]

#[cfg(all(feature = "allocator", any(test, all(target_family = "wasm", not(target_feature = "atomics")))))]
mod allocator;
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
pub use bindings::lifecycle::exports::witgate::plugin::lifecycle::BodyMode;
pub use bindings::on_log::exports::witgate::plugin::on_log::Outcome;
pub use bindings::on_request::exports::witgate::plugin::on_request_headers::Action;
pub use bindings::on_request_body::exports::witgate::plugin::on_request_body::Action as RequestBodyAction;
pub use bindings::on_response::exports::witgate::plugin::on_response_headers::Action as ResponseAction;
pub use bindings::on_response_body::exports::witgate::plugin::on_response_body::Action as ResponseBodyAction;
pub use capability::{clock, crypto, inference, kv, limiter, load, log, metrics, outbound, random};
pub use edits::Edits;
pub use error::{AccessError, ConfigError, Error};
pub use header::{HeaderName, InvalidHeaderName};
pub use plugin::{OnLog, OnRequest, OnRequestBody, OnResponse, OnResponseBody, Plugin};
pub use request::{Client, Request};
pub use response::ResponseHead;

#[cfg(all(feature = "allocator", target_family = "wasm", not(target_feature = "atomics")))]
#[global_allocator]
static ALLOCATOR: allocator::Recycling = allocator::Recycling::new();

#[doc(hidden)]
pub mod export_support {
    pub use crate::bindings::lifecycle::exports::witgate::plugin::lifecycle::Interest;
    pub use crate::export::{
        configure, description, failed, has_log_hook, has_request_body_hook, has_request_hook, has_response_body_hook,
        has_response_hook, instance,
    };
}
