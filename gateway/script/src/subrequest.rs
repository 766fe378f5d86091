//! Requests that scripts make to routes of the gateway itself (`ngx.location.capture`).

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use witgate_stage::Client;

/// A request to a route.
#[derive(Debug, Clone)]
pub struct Subrequest {
    pub method: Method,
    pub path: PathAndQuery,
    /// The parent's, by which routes are found.
    pub host: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The parent's.
    pub client: Client,
    /// How many subrequests this one is within.
    pub depth: u32,
    /// Most bytes of a response.
    pub limit: usize,
}

/// What a route answered.
#[derive(Debug, Clone)]
pub struct Subresponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub extent: Extent,
}

/// How much of a response's body there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// What came before it broke off.
    BrokenOff,
    /// What is within the limit of the subrequest.
    TooLong,
}

impl Extent {
    /// As `ngx.exec` is told.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::BrokenOff => "broken off",
            Self::TooLong => "too long",
        }
    }
}

/// Serves subrequests.
pub trait Subrequests: Send + Sync {
    /// # Errors
    /// Why there is no response.
    fn serve(&self, request: Subrequest) -> Pin<Box<dyn Future<Output = Result<Subresponse, String>> + Send>>;
}
