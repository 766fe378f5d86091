//! Harness of the end-to-end suites in `it/`, `pairs/` and `suites/`: the real binary, real sockets, real components.
//!
//! [`gateway`] starts the gateway on free ports with a configuration of its own; [`upstream`] is a service behind it
//! whose every answer the test decides; [`client`] and [`http2`] send exactly what they are told.

pub mod client;
pub mod examples;
pub mod gateway;
pub mod http2;
pub mod nginx;
pub mod pace;
pub mod projects;
pub mod redis;
pub mod snippets;
pub mod upstream;

pub use client::{Connection, Response};
pub use gateway::{Gateway, Site};
pub use pace::at_some_pace;
pub use redis::Redis;
pub use upstream::Upstream;
