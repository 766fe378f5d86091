//! Requests of plugins to the operator's upstreams.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};

/// A request that a plugin sends.
#[derive(Debug, Clone)]
pub struct OutboundCall {
    pub method: Method,
    pub path: PathAndQuery,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// For everything, from connecting to the last byte of the reply.
    pub timeout: Duration,
    /// Most bytes of the reply's body.
    pub reply_limit: usize,
}

/// What an upstream answered.
#[derive(Debug, Clone)]
pub struct OutboundReply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboundError {
    TooLarge,
    Timeout,
    Unavailable,
}

/// A running call: dropping it gives it up.
pub type OutboundFuture = Pin<Box<dyn Future<Output = Result<OutboundReply, OutboundError>> + Send>>;

/// An upstream that plugins may be granted.
pub trait OutboundTarget: std::fmt::Debug + Send + Sync {
    /// Equal for targets that can take each other's place.
    fn identity(&self) -> u64;

    /// Sends a request.
    fn fetch(&self, call: OutboundCall) -> OutboundFuture;
}
