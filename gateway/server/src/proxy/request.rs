//! From a checked head to the decision whether an upstream sees the request.

use std::sync::Arc;

use bytes::Bytes;
use http::Version;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::uri::PathAndQuery;
use tracing::error;
use witgate_stage::{
    Accounts, Attributes, Edits, Exchange, FailureKind, Hook, Outcome, Progress, RequestHead, StageError, Usage,
};

use crate::envelope::{Code, Problem};
use crate::http1::field::Names;
use crate::proxy::alarm::Alarm;
use crate::proxy::context::RequestCtx;
use crate::proxy::downstream::{Downstream, Length};
use crate::proxy::failure::Failure;
use crate::proxy::origin::{Incoming, Origin};
use crate::proxy::{forward, hop, relay};
use crate::snapshot::{Route, Snapshot};

/// What of a request is not for stages.
pub struct Admitted<'s> {
    pub route: &'s Arc<Route>,
    pub names: Names,
    pub body: Length,
    /// The client asked to leave HTTP for another protocol.
    pub upgrade: bool,
    /// The client takes fields behind the response's body.
    pub trailers: bool,
    /// The host that the client asked for, if not by a `Host` field.
    pub authority: Option<http::uri::Authority>,
}

/// Routes a request. The head goes to the context in any case, for the answer depends on it.
///
/// # Errors
/// The request is malformed, too large, or nobody's.
pub fn admit<'s>(ctx: &mut RequestCtx<'s>, mut incoming: Incoming, origin: &Origin) -> Result<Admitted<'s>, Failure> {
    hop::strip(&mut incoming.headers, incoming.upgrade);
    let located = locate(ctx.snapshot, &incoming);
    let trailers = incoming.version == Version::HTTP_2 || forward::accepts_trailers(&incoming.headers);
    let Incoming { method, path, authority, headers, names, body, upgrade, .. } = incoming;
    let (route, path) = match located {
        Ok((route, normal)) => (Ok(route), normal.unwrap_or(path)),
        Err(problem) => (Err(problem), path),
    };
    let too_large = route.as_ref().ok().and_then(|route| check_length(&headers, route).err());
    ctx.exchange = Some(Box::new(Exchange {
        request: RequestHead { method, path, headers },
        response: None,
        body: Bytes::new(),
        end_of_stream: body == Length::Known(0),
        heads_sent: false,
        ended: None,
        id: Arc::clone(&ctx.id),
        route: route.as_ref().map_or_else(|_| Arc::default(), |route| Arc::clone(&route.name)),
        authority: authority.as_ref().map(|name| Arc::from(name.as_str())),
        client: origin.client.clone(),
        attributes: Attributes::default(),
        response_edits: Edits::default(),
        usage: Usage::default(),
        accounts: ctx.wants_accounts().then(Accounts::default),
        upstream: None,
        endpoint: None,
        version: ctx.facts.version,
        desk: None,
        depth: origin.depth,
        scores: Vec::new(),
        holds: Vec::new(),
    }));
    let route = route?;
    ctx.deadline = route.deadline.map(|deadline| ctx.started + deadline);
    ctx.route = Some(route);
    if route.pipeline.has(Hook::Log) {
        ctx.logged = ctx.exchange.as_ref().map(|exchange| exchange.request.clone());
    }
    if let Some(problem) = too_large {
        return Err(problem.into());
    }
    Ok(Admitted { route, names, body, upgrade, trailers, authority })
}

/// Finds the route of a head and makes its path normal, if it is not: the upstream gets the path that was routed on.
fn locate<'s>(snapshot: &'s Snapshot, incoming: &Incoming) -> Result<(&'s Arc<Route>, Option<PathAndQuery>), Problem> {
    let authority = incoming.host()?;
    let host = authority
        .map(witgate_route::host_of)
        .transpose()
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("Malformed host: {error}.")))?;
    let path = incoming.path.path();
    let normal = witgate_route::normalise(path)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("Malformed path: {error}.")))?;
    let route = snapshot.routes.find(host.as_deref(), &normal);
    let route = route.ok_or_else(|| Problem::new(Code::NotFound, "No route matches this host and path."))?;
    let target = (normal != path).then(|| match incoming.path.query() {
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

/// Begins a hook of the route's stages.
pub fn begin_stages<'r>(hook: Hook, route: &'r Route, ctx: &mut RequestCtx<'_>) -> Option<Progress<'r>> {
    let exchange = ctx.exchange.take()?;
    Some(route.pipeline.begin(hook, exchange, route))
}

/// Runs a hook of the route's stages, while the client is there and in time.
///
/// # Errors
/// A stage answered, refused or failed, or the request is over.
pub async fn run_stages(
    hook: Hook,
    route: &Route,
    ctx: &mut RequestCtx<'_>,
    downstream: &mut Downstream<'_>,
    alarm: &mut Alarm,
) -> Result<(), Failure> {
    if !route.pipeline.has(hook) {
        return Ok(());
    }
    let Some(run) = begin_stages(hook, route, ctx) else { return Ok(()) };
    let (exchange, outcome) = match run {
        Progress::Ended(exchange, outcome) => (exchange, outcome),
        Progress::Waits(run) => relay::bounded(downstream, alarm, ctx.deadline, run).await?,
    };
    ctx.exchange = Some(exchange);
    if matches!(outcome, Outcome::Continue) { Ok(()) } else { Err(Failure::Stopped(Box::new(outcome))) }
}

/// What became of a request that a stage stopped, for the client and for the record.
pub fn stopped(ctx: &mut RequestCtx<'_>, outcome: Outcome) -> Failure {
    let (step, failure) = match outcome {
        Outcome::Continue => return Failure::Late,
        Outcome::Refuse { step, refusal } => (step, Failure::Problem((*refusal).into())),
        Outcome::Respond { step, response } => (step, Failure::Answer(Box::new((*response).into()))),
        Outcome::Failed { step, error } => (step, Failure::Problem(stage_failed(ctx, step, &error))),
    };
    ctx.facts.stage = ctx.route.and_then(|route| route.stage_name(step));
    failure
}

/// What the client is told of a stage that failed; what happened goes to the log.
fn stage_failed(ctx: &mut RequestCtx<'_>, step: usize, failure: &StageError) -> Problem {
    let reason = format!("{failure}: {}", failure.source);
    error!(request_id = &*ctx.id, route = ctx.route.map(|route| &*route.name), "{reason}");
    ctx.facts.error = Some(reason);
    match failure.kind {
        FailureKind::Unavailable => Problem::new(Code::Overloaded, "The gateway is busy; try again later.")
            .retry_after(std::time::Duration::from_secs(1)),
        FailureKind::Trap
        | FailureKind::Deadline
        | FailureKind::Limit
        | FailureKind::InvalidOutput
        | FailureKind::Breaker => {
            let answers = ctx.route.is_some_and(|route| route.stage_answers(step));
            let what = if answers { "answered" } else { "checked" };
            Problem::new(Code::PluginFailed, format!("The request could not be {what}."))
        }
    }
}
