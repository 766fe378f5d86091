//! What HTTP says, as bytes and as rules. Pure: no sockets, no clock, no configuration, no knowledge of what a client is
//! answered with.
//!
//! * [`http1`]: heads and bodies of HTTP/1, read and written; [`http2`]: heads of HTTP/2 in the form that HTTP/1 has.
//! * [`owned`]: fields that the gateway owns; [`hop`]: those that concern one connection alone; [`trailer`]: those that may
//!   come behind a body.
//! * [`host`] and [`path`]: the one form in which hosts and paths are compared; [`authority`]: who a request is for.
//! * [`cookie`]: cookies that came in crumbs; [`max_forwards`]: requests that may go no further.
//! * [`request_id`]: the id that a client may bring along.
//!
//! Each part has an error of its own that says what is wrong; what a client is told of it is decided by whoever speaks
//! with the client.

pub mod authority;
pub mod cookie;
pub mod hop;
pub mod host;
pub mod http1;
pub mod http2;
pub mod max_forwards;
pub mod owned;
pub mod path;
pub mod request_id;
pub mod trailer;
