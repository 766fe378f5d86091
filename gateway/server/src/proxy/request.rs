//! From a checked head to the decision whether an upstream sees the request.

use std::sync::Arc;

use bytes::Bytes;
use http::Version;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::PathAndQuery;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use tracing::error;
use witgate_stage::{Attributes, Client, Exchange, FailureKind, Hook, Outcome, StageError};

use crate::envelope::{Answer, Code, Problem};
use crate::listen::Sni;
use crate::proxy::context::RequestCtx;
use crate::proxy::{answer, deadline, hop, lend, upstream};
use crate::snapshot::Route;

/// Why a request goes no further.
enum Stop {
    /// The gateway refuses it.
    Problem(Problem),
    /// A stage answered it.
    Answer(Answer),
    /// There is nobody left to answer.
    Broken(Box<Error>),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Box<Error>> for Stop {
    fn from(error: Box<Error>) -> Self {
        Self::Broken(error)
    }
}

/// Routes the request and runs its stages. True: it has been answered.
pub async fn admit(session: &mut Session, ctx: &mut RequestCtx) -> Result<bool> {
    let head = session.req_header();
    ctx.begin(&head.method, &head.uri, head.version, &head.headers);
    ctx.facts.client = session.client_addr().and_then(|address| address.as_inet()).copied();
    let answer = match pass(session, ctx).await {
        Ok(()) => return Ok(false),
        Err(Stop::Broken(error)) => return Err(error),
        Err(Stop::Answer(answer)) => answer,
        Err(Stop::Problem(problem)) => answer::to_problem(problem, session, ctx),
    };
    answer::send(session, ctx, answer).await?;
    Ok(true)
}

async fn pass(session: &mut Session, ctx: &mut RequestCtx) -> std::result::Result<(), Stop> {
    hop::strip_request(session.req_header_mut())?;
    let route = locate(session, ctx)?;
    ctx.deadline = route.deadline.map(|deadline| ctx.started + deadline);
    ctx.tunnel = session.is_upgrade_req();
    deadline::set(ctx.deadline);
    ctx.body_allowance = route.body_limit;
    ctx.route = Some(Arc::clone(&route));
    bound_body(session, ctx);
    check_length(session, &route)?;
    if route.pipeline.has(Hook::RequestHeaders) || route.pipeline.has(Hook::ResponseHeaders) {
        run_stages(session, ctx, &route).await?;
    }
    Ok(())
}

/// Bounds the pauses of a client that sends or takes a body. A tunnel may be silent for longer.
fn bound_body(session: &mut Session, ctx: &RequestCtx) {
    let pause = if ctx.tunnel { upstream::TUNNEL_IDLE_TIMEOUT } else { ctx.snapshot.config.downstream.body_timeout };
    session.set_read_timeout(Some(pause));
    session.set_write_timeout(Some(pause));
}

/// Finds the route of a head and makes its path normal.
fn locate(session: &mut Session, ctx: &RequestCtx) -> std::result::Result<Arc<Route>, Problem> {
    let head = session.req_header();
    let authority = authority(head)?;
    let host = authority
        .map(witgate_route::host_of)
        .transpose()
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("Malformed host: {error}.")))?;
    let path = head.uri.path();
    let normal = witgate_route::normalise(path)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("Malformed path: {error}.")))?;
    let route = ctx.snapshot.routes.find(host.as_deref(), &normal).map(Arc::clone);
    let route = route.ok_or_else(|| Problem::new(Code::NotFound, "No route matches this host and path."))?;
    // The upstream gets the path that was routed on, in origin form: what was checked is what is used.
    if normal != path || head.version != Version::HTTP_2 && head.raw_path().first() != Some(&b'/') {
        let target = match head.uri.query() {
            Some(query) => format!("{normal}?{query}"),
            None => normal.into_owned(),
        };
        let target = PathAndQuery::try_from(target)
            .map_err(|_| Problem::new(Code::InvalidRequest, "Malformed request target."))?;
        let uri = lend::with_path(&head.uri, target);
        session.req_header_mut().set_uri(uri);
    }
    Ok(route)
}

/// The host that the client asked for. HTTP/2 has it in `:authority`; a `host` field beside it must say the same
/// (RFC 9113, section 8.3.1).
fn authority(head: &pingora::http::RequestHeader) -> std::result::Result<Option<&str>, Problem> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next().map(|value| value.to_str()).transpose();
    let host = host.map_err(|_| Problem::new(Code::InvalidRequest, "Malformed host."))?;
    if hosts.next().is_some() {
        return Err(Problem::new(Code::InvalidRequest, "Malformed request: Host is given more than once."));
    }
    match (head.uri.authority().map(|authority| authority.as_str()), host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            Err(Problem::new(Code::InvalidRequest, "Malformed request: `:authority` and `host` differ."))
        }
        (authority, host) => Ok(authority.or(host).filter(|name| !name.is_empty())),
    }
}

/// Refuses a body that announces itself as too large, before a byte of it is read.
fn check_length(session: &Session, route: &Route) -> std::result::Result<(), Problem> {
    let announced = session.req_header().headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    match (announced, route.body_limit) {
        (Some(length), Some(limit)) if length > limit => Err(too_large(limit)),
        _ => Ok(()),
    }
}

/// The answer to a body over the limit.
pub fn too_large(limit: u64) -> Problem {
    Problem::new(Code::PayloadTooLarge, format!("The request body exceeds the limit of {limit} bytes."))
}

/// Counts a chunk of the request's body against the limit of its route.
///
/// # Errors
/// The body is over the limit.
pub fn count_body(chunk: Option<&Bytes>, ctx: &mut RequestCtx) -> Result<()> {
    let (Some(chunk), Some(allowance)) = (chunk, ctx.body_allowance) else { return Ok(()) };
    if ctx.tunnel {
        return Ok(());
    }
    let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
    ctx.body_allowance = Some(
        allowance
            .checked_sub(length)
            .ok_or_else(|| Error::explain(ErrorType::HTTPStatus(413), "request body over the limit").into_down())?,
    );
    Ok(())
}

/// Runs the stages of the route on the request's head.
async fn run_stages(session: &mut Session, ctx: &mut RequestCtx, route: &Arc<Route>) -> std::result::Result<(), Stop> {
    let mut exchange = open_exchange(session, ctx, route)?;
    let outcome;
    (exchange, outcome) = route.pipeline.run(Hook::RequestHeaders, exchange, &**route).await;
    lend::return_request(std::mem::replace(&mut exchange.request, Box::new(lend::Absent)), session.req_header_mut());
    ctx.exchange = Some(exchange);
    let (step, stop) = match outcome {
        Outcome::Continue => return Ok(()),
        Outcome::Refuse { step, refusal } => (step, Stop::Problem(refusal.into())),
        Outcome::Respond { step, response } => (step, Stop::Answer(response.into())),
        Outcome::Failed { step, error } => (step, Stop::Problem(stage_failed(ctx, &error))),
    };
    ctx.facts.stage = route.stage_name(step);
    Err(stop)
}

/// What the client is told of a stage that failed; what happened goes to the log.
pub fn stage_failed(ctx: &mut RequestCtx, failure: &StageError) -> Problem {
    let reason = format!("{failure}: {}", failure.source);
    error!(request_id = &*ctx.id, route = ctx.route.as_ref().map(|route| &*route.name), "{reason}");
    ctx.facts.error = Some(reason);
    match failure.kind {
        FailureKind::Unavailable => Problem::new(Code::Overloaded, "The gateway is busy; try again later.")
            .retry_after(std::time::Duration::from_secs(1)),
        FailureKind::Trap | FailureKind::Deadline | FailureKind::Limit | FailureKind::InvalidOutput => {
            Problem::new(Code::PluginFailed, "The request could not be checked.")
        }
    }
}

fn open_exchange(session: &mut Session, ctx: &RequestCtx, route: &Route) -> Result<Box<Exchange>> {
    let end_of_stream = session.is_body_empty();
    let authority = authority(session.req_header()).ok().flatten().map(Arc::from);
    let tls = session.digest().and_then(|digest| digest.ssl_digest.as_ref());
    let sni = tls.and_then(|tls| tls.extension.get::<Sni>()).map(|sni| Arc::clone(&sni.0));
    let unknown = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let client = Client { address: ctx.facts.client.unwrap_or(unknown), tls: tls.is_some(), sni };
    Ok(Box::new(Exchange {
        request: lend::lend_request(session.req_header_mut())?,
        response: None,
        end_of_stream,
        id: Arc::clone(&ctx.id),
        route: Arc::clone(&route.name),
        authority,
        client,
        attributes: Attributes::default(),
        holds: Vec::new(),
    }))
}
