//! Witgate: an edge gateway extended with WebAssembly.
//!
//! This crate is the only one that names Pingora. [`app`] puts the rooms together; [`proxy`] is the request path;
//! [`snapshot`] builds generations and [`reload`] swaps them; [`cli`] is the command line.

pub mod admin;
pub mod allocator;
pub mod app;
pub mod check;
pub mod cli;
pub mod client_reply;
pub mod drain;
pub mod envelope;
pub mod gateway;
pub mod listen;
mod occupant;
pub mod proxy;
pub mod reload;
pub mod request_id;
pub mod snapshot;
pub mod telemetry;
mod unreadable;
pub mod upstream;
pub mod watch;
