//! From a checked head to the route that the request takes.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Version};
use witgate_http::http1::field::Names;
use witgate_http::max_forwards::{self, Hop};
use witgate_http::{hop, owned};
use witgate_stage::RequestHead;

use crate::envelope::{Answer, Code, Problem};
use crate::proxy::context::RequestCtx;
use crate::proxy::downstream::Length;
use crate::proxy::failure::Failure;
use crate::proxy::forward;
use crate::proxy::origin::Arrival;
use crate::snapshot::{Route, Snapshot};

/// A request that has a route.
pub struct Admitted<'s> {
    pub route: &'s Arc<Route>,
    pub names: Names,
    pub body: Length,
    /// The client asked to leave HTTP for another protocol.
    pub upgrade: bool,
    /// The host that the client asked for, if not by a `Host` field.
    pub authority: Option<http::uri::Authority>,
}

/// Routes a request.
///
/// # Errors
/// The request is malformed, too large, or nobody's.
pub fn admit<'s>(ctx: &mut RequestCtx<'s>, arrival: Arrival) -> Result<Admitted<'s>, Failure> {
    let snapshot = ctx.snapshot;
    let exchange = ctx.exchange.here()?;
    let head = &mut exchange.request;
    if let Some(answer) = last_hop(head, &arrival)? {
        return Err(Failure::Answer(Box::new(answer)));
    }
    // A client names `TE` in `Connection`, as it should (RFC 9110, section 10.1.4).
    ctx.takes_trailers = arrival.version == Version::HTTP_2 || forward::accepts_trailers(&head.headers);
    hop::strip(&mut head.headers, arrival.upgrade);
    // So that what a stage sets can be told from what the client says.
    owned::mark_claims(&mut head.headers);
    if forward::is_loop(&head.headers) {
        return Err(
            Problem::new(Code::LoopDetected, "The request has come back to this gateway time and again.").into()
        );
    }
    let (route, normal) = locate(snapshot, head, &arrival)?;
    if let Some(normal) = normal {
        head.path = normal;
    }
    exchange.route = Arc::clone(&route.name);
    ctx.deadline = route.deadline.map(|deadline| ctx.started + deadline);
    ctx.route = Some(route);
    check_length(&exchange.request.headers, route)?;
    let Arrival { names, body, upgrade, authority, .. } = arrival;
    Ok(Admitted { route, names, body, upgrade, authority })
}

/// The methods that the gateway passes on, of those that have a specification.
const PASSED_ON: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE");

/// The answer to a request that goes no further than here, whatever routes there are: `OPTIONS *` asks the gateway itself, and
/// `Max-Forwards: 0` whoever gets it (RFC 9110, sections 7.6.2, 9.3.7 and 9.3.8).
fn last_hop(head: &mut RequestHead, arrival: &Arrival) -> Result<Option<Answer>, Problem> {
    let malformed = |error| Problem::new(Code::InvalidRequest, format!("Malformed request: {error}."));
    let RequestHead { method, path, headers } = head;
    let asks_gateway = *method == Method::OPTIONS && path.as_str() == "*";
    if max_forwards::count_down(method, headers).map_err(malformed)? == Hop::Onward && !asks_gateway {
        return Ok(None);
    }
    let mut answer = Answer { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: Bytes::new() };
    if *method == Method::TRACE {
        answer.status = StatusCode::OK;
        answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static("message/http"));
        answer.body = max_forwards::reflection((method, path, arrival.version), (headers, &arrival.names)).into();
    } else {
        answer.headers.insert(ALLOW, PASSED_ON);
    }
    Ok(Some(answer))
}

/// Finds the route of a head and makes its path normal, if it is not: the upstream gets the path that was routed on.
fn locate<'s>(
    snapshot: &'s Snapshot,
    head: &RequestHead,
    arrival: &Arrival,
) -> Result<(&'s Arc<Route>, Option<PathAndQuery>), Problem> {
    let authority = arrival.host(&head.headers)?;
    let host = authority.map(witgate_http::host::host_of).transpose()?;
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
