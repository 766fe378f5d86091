//! The data path: from an accepted connection to the last byte of a response.
//!
//! `connection` reads requests off a client's connection; `serve` takes each through its phases: `request` (route and
//! stages), `upstream` (endpoint and connection), `forward` (the request as the upstream gets it), `relay` (bodies, both
//! ways, through stages by a `filter`), or `tunnel` for what leaves HTTP. What goes wrong is a `failure`, and `answer` tells the client. The access record
//! is written when the request's `context` is dropped.
//!
//! Either side speaks HTTP/1, by `witgate-http`, or HTTP/2, by `h2`: `downstream` and `upstream` hide which. Clients' connections
//! of HTTP/2 are kept by `http2`, and no fault of the gateway concerns more than one request (`panic`).

mod attempt;
mod closing;
pub mod connection;
mod context;
mod date;
mod deadline_timer;
mod downstream;
mod failure;
mod filter;
mod forward;
mod h2_sender;
mod http2;
mod origin;
pub mod outbound;
mod panic;
mod relay;
mod reply;
mod request;
mod serve;
mod session;
mod slot;
mod stages;
#[cfg(feature = "lua")]
pub mod subrequests;
mod tunnel;
mod upstream;
mod wire;
