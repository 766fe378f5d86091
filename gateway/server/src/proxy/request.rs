//! From a checked head to the route that the request takes.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HeaderMap};
use http::uri::PathAndQuery;
use http::{Method, Version};
use witgate_http::http1::field::Names;
use witgate_http::max_forwards::{self, Hop};
use witgate_http::{hop, owned};
use witgate_stage::RequestHead;

use crate::client_reply;
use crate::envelope::{Code, Problem};
use crate::proxy::context::RequestCtx;
use crate::proxy::downstream::Length;
use crate::proxy::failure::Failure;
use crate::proxy::forward;
use crate::proxy::origin::{self, Arrival};
use crate::snapshot::{Route, Snapshot};

/// A request that has a route.
pub struct Admitted<'s> {
    pub route: &'s Arc<Route>,
    pub names: Names,
    pub body: Length,
    /// The client asked for a protocol upgrade.
    pub upgrade: bool,
}

/// Routes a request.
///
/// # Errors
/// The request is malformed, too large, or nobody's.
pub fn admit<'s>(ctx: &mut RequestCtx<'s>, arrival: Arrival) -> Result<Admitted<'s>, Failure> {
    let snapshot = ctx.snapshot;
    let exchange = ctx.exchange.here()?;
    let head = &mut exchange.request;
    // A client names `TE` in `Connection`, as it should (RFC 9110, section 10.1.4).
    ctx.takes_trailers = arrival.version == Version::HTTP_2 || forward::accepts_trailers(&head.headers);
    hop::strip(&mut head.headers, arrival.upgrade);
    if forward::is_loop(&head.headers) {
        return Err(
            Problem::new(Code::LoopDetected, "The request has come back to this gateway time and again.").into()
        );
    }
    let hop = max_forwards::count_down(&head.method, &mut head.headers).map_err(Problem::from)?;
    // `OPTIONS *` asks the gateway itself (RFC 9110, section 9.3.7).
    let asks_gateway = head.method == Method::OPTIONS && head.path.as_str() == "*";
    if hop == Hop::Last || asks_gateway {
        return Err(Failure::Answer(Box::new(client_reply::of_last_hop(head, arrival.version, &arrival.names))));
    }
    // So that what a stage sets can be told from what the client says. What a script asks of its own gateway for a client
    // comes with what stages have set.
    if exchange.depth == 0 {
        owned::mark_claims(&mut head.headers);
    }
    let (route, normal) = locate(snapshot, head)?;
    if let Some(normal) = normal {
        head.path = normal;
    }
    exchange.route = Arc::clone(&route.name);
    ctx.deadline = route.deadline.map(|deadline| ctx.started + deadline);
    ctx.route = Some(route);
    check_length(&exchange.request.headers, route)?;
    let Arrival { names, body, upgrade, .. } = arrival;
    Ok(Admitted { route, names, body, upgrade })
}

/// Finds the route of a head and makes its path normal, if it is not: the upstream gets the path that was routed on.
fn locate<'s>(snapshot: &'s Snapshot, head: &RequestHead) -> Result<(&'s Arc<Route>, Option<PathAndQuery>), Problem> {
    let host = origin::host(&head.headers)?.map(witgate_http::host::host_of).transpose()?;
    let path = head.path.path();
    let normal = witgate_http::path::normalise(path)?;
    let route = snapshot.routes.find(host.as_deref(), &normal);
    let route = route.ok_or_else(|| Problem::new(Code::NotFound, "No route matches this host and path."))?;
    let target = (normal != path).then(|| match head.path.query() {
        Some(query) => PathAndQuery::try_from(format!("{normal}?{query}")),
        None => PathAndQuery::try_from(normal.into_owned()),
    });
    let target = target.transpose().map_err(|_| Problem::new(Code::InvalidRequest, "Malformed request target."))?;
    Ok((route, target))
}

/// Refuses a body that announces itself as too large, before a byte of it is read.
fn check_length(headers: &HeaderMap, route: &Route) -> Result<(), Problem> {
    let Some(limit) = route.body_limit else { return Ok(()) };
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit) { Err(too_large(limit)) } else { Ok(()) }
}

/// The answer to a body over the limit.
pub fn too_large(limit: u64) -> Problem {
    Problem::new(Code::PayloadTooLarge, format!("The request body exceeds the limit of {limit} bytes."))
}
