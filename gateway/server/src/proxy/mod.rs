//! The data path: from an accepted connection to the last byte of a response.
//!
//! `connection` reads requests off a client's connection, and `serve` walks each through its steps, with a `session` in hand: `request`
//! finds its route, `stages` run, an `attempt` at an endpoint answers it (`forward` sets what that may trust, `relay` moves bodies
//! both ways, `filter` through stages), and the `reply`, whoever made it, passes the stages in reverse and is written. `tunnel` takes
//! over after a protocol upgrade. What goes wrong is a `failure`, which becomes a reply, too. The access record is written when the
//! request's `context` is dropped.
//!
//! Either side speaks HTTP/1, by `witgate-http`, or HTTP/2, by `h2`: `downstream` and `upstream` hide which. Clients' connections
//! of HTTP/2 are kept by `http2`. All bytes go over a `transport`, those of HTTP/1 through the buffers of a `wire`. No fault of the
//! gateway concerns more than one request (`panic`).

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
mod transport;
mod tunnel;
mod upstream;
mod wire;
