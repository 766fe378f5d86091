//! HTTP/1 as bytes: heads, bodies and their framing (RFC 9112), without sockets.
//!
//! What clients send is read by the letter ([`request`]), for a gateway that decides about access must not guess what two
//! parsers could read in two ways. Of upstreams, which are our own, more is taken ([`response`]); it leaves in one form.

pub mod body;
pub mod field;
pub mod request;
pub mod response;
pub mod write;
