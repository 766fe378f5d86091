//! Chooses the endpoint for a request.

use std::time::{Duration, Instant};

use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use crate::proxy::context::RequestCtx;

/// How long a tunnel (a WebSocket, say) may be silent. Long enough for the usual pings, short enough that connections
/// whose peer has vanished go away.
pub const TUNNEL_IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// The next endpoint in turn, with the time that is left as read timeout.
///
/// # Errors
/// The deadline has passed.
pub fn choose(ctx: &mut RequestCtx) -> Result<Box<HttpPeer>> {
    let Some(route) = &ctx.route else {
        return Error::e_explain(ErrorType::InternalError, "no route");
    };
    let mut peer = Box::new(route.upstream.next().clone());
    ctx.facts.endpoint = Some(peer._address.as_inet().copied()).flatten();
    ctx.tries += 1;
    peer.options.read_timeout = match ctx.deadline {
        _ if ctx.tunnel => Some(TUNNEL_IDLE_TIMEOUT),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Error::e_explain(ErrorType::HTTPStatus(504), "deadline passed before an endpoint was chosen");
            }
            let connect = peer.options.total_connection_timeout.map_or(left, |timeout| timeout.min(left));
            peer.options.total_connection_timeout = Some(connect);
            Some(left)
        }
        None => None,
    };
    Ok(peer)
}

/// Lets the request try another endpoint: nothing of it has been sent yet, so it does not matter what it asks for.
pub fn connect_failed(ctx: &RequestCtx, mut error: Box<Error>) -> Box<Error> {
    let endpoints = ctx.route.as_ref().map_or(0, |route| route.upstream.endpoints());
    error.set_retry(ctx.tries < endpoints && !ctx.is_late());
    error
}
