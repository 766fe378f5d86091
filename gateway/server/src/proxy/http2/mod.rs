//! HTTP/2 towards clients: connections, by `h2`, and what `h2` leaves to its user.
//!
//! `connection` takes requests off a connection and has each served by a task of its own, on the connection's thread; it keeps
//! the time limits and ends connections. `watched` lies between `h2` and the socket, follows the frames (`frames`), and answers
//! for requests that `h2` refuses by itself (`answer`). `head` makes of a head what the other versions have.
//!
//! Extended CONNECT (RFC 8441) is off, for its setting is not sent: `h2` refuses `:protocol` then.

mod answer;
mod connection;
mod frames;
mod head;
#[cfg(test)]
mod tests;
mod watched;

pub use connection::serve;
pub use watched::Watch;

use std::time::Duration;

/// Flow-control windows, in bytes. The protocol's default of 64 KiB throttles a single upload to a few megabytes a second over a
/// long link; a connection can make the gateway hold at most the second figure.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Requests at once on one connection; browsers use up to 100 (RFC 9113, section 5.1.2).
const STREAMS_LIMIT: u32 = 128;

/// Time in which frames that bring nothing, and requests that are given up, are counted.
const BREATH: Duration = Duration::from_secs(10);

/// How long a client has to take the last words and to close.
const LINGER: Duration = Duration::from_secs(1);

/// How long a client that was answered may send nothing of its body, as over HTTP/1.
const BODY_LINGER_PAUSE: Duration = Duration::from_secs(5);

/// How long a client that has requests open may be silent before it is asked whether it is still there, and how long it has to
/// say so: a request without a deadline would otherwise be held for one that has lost its network.
const SILENCE: Duration = Duration::from_secs(60);
