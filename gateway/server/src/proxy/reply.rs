//! The one way out: whatever answers a request becomes a [`Reply`], which passes the response stages of its route and is
//! written to the client, whichever protocol it speaks.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use witgate_http::hop;
use witgate_http::http1::field::Names;
use witgate_http::http1::response::is_bodiless;
use witgate_inference::protocol::ServerResponse;
use witgate_stage::{BodyMode, Hook, ResponseHead};

use crate::envelope::{Answer, Audience, Problem, render};
use crate::proxy::context::RequestCtx;
use crate::proxy::date;
use crate::proxy::downstream::Length;
use crate::proxy::failure::{self, ClientReply, Failure};
use crate::proxy::filter::{self, Filter};
use crate::proxy::relay::{self, Exchanged};
use crate::proxy::session::Session;
use crate::proxy::stages;
use crate::proxy::upstream::ResponseParts;
use crate::request_id;
use crate::snapshot::Route;

/// An answer to a request, before the response stages have seen it.
pub struct Reply {
    pub head: ResponseHead,
    /// As the endpoint wrote it, with the status that it belongs to.
    reason: Option<(StatusCode, Bytes)>,
    /// Field names as the endpoint wrote them.
    names: Names,
    pub source: Source,
    trailers: Option<HeaderMap>,
    maker: Maker,
}

/// Where the body of a reply comes from.
pub enum Source {
    /// All of it is here.
    Bytes(Bytes),
    Endpoint(Box<Exchanged>),
}

/// Who made a reply: what stages had added to the response before there was one goes over it, or beneath.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    /// What the route leads to.
    Target,
    /// A stage, or the gateway itself.
    Gateway,
}

impl Reply {
    /// What an endpoint answered.
    pub fn of_endpoint(parts: ResponseParts, exchanged: Box<Exchanged>) -> Self {
        let ResponseParts { status, reason, mut headers, names } = parts;
        // A client that has to upgrade has to learn to what (RFC 9110, section 15.5.22).
        hop::strip(&mut headers, status == StatusCode::UPGRADE_REQUIRED);
        Self {
            head: ResponseHead { status, headers },
            reason: Some((status, reason)),
            names,
            source: Source::Endpoint(exchanged),
            trailers: None,
            maker: Maker::Target,
        }
    }

    /// What the gateway's own model server answered.
    pub fn of_models(response: ServerResponse) -> Self {
        let ServerResponse { status, headers, body, trailers } = response;
        Self { trailers, maker: Maker::Target, ..Self::of_answer(Answer { status, headers, body }) }
    }

    /// What a stage or the gateway itself answered.
    fn of_answer(answer: Answer) -> Self {
        let Answer { status, headers, body } = answer;
        Self {
            head: ResponseHead { status, headers },
            reason: None,
            names: Names::default(),
            source: Source::Bytes(body),
            trailers: None,
            maker: Maker::Gateway,
        }
    }

    /// Bytes of the body, if they are known.
    fn left(&self) -> Option<u64> {
        match &self.source {
            Source::Bytes(body) => Some(u64::try_from(body.len()).unwrap_or(u64::MAX)),
            Source::Endpoint(exchanged) => exchanged.upstream.body_left(),
        }
    }
}

/// A reply whose head the stages are done with.
struct Staged {
    length: Length,
    /// The stages that want the body piece by piece as it comes.
    filter: Option<Filter>,
}

/// Sends a reply through the response stages to the client. What a stage answers instead goes through those before it.
///
/// # Errors
/// The client is gone, or the reply broke off after its head was written.
pub async fn send(session: &mut Session<'_>, reply: &mut Reply) -> Result<(), Failure> {
    loop {
        match stage(session, reply).await {
            Ok(staged) => return write(session, reply, staged).await,
            Err(failure) => {
                // With it goes whatever stages still have in hand, so that the exchange comes home.
                reply.source = Source::Bytes(Bytes::new());
                *reply = instead(session, failure)?;
            }
        }
    }
}

/// Answers a request that failed, if the client is still there and has got nothing yet.
pub async fn send_failure(session: &mut Session<'_>, failure: Failure) {
    let begun = session.ctx.facts.status.is_some();
    let sent = match if begun { Err(failure) } else { instead(session, failure) } {
        Ok(mut reply) => send(session, &mut reply).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = sent {
        session.ctx.facts.error.get_or_insert_with(|| failure.to_string());
        session.client.abort();
    }
}

/// The reply to a failure.
///
/// # Errors
/// The failure, if nobody is left to be told of it.
fn instead(session: &mut Session<'_>, failure: Failure) -> Result<Reply, Failure> {
    let ctx = &mut session.ctx;
    // With the pieces of a body that were on their way.
    stages::cut_off(ctx);
    let failure = match failure {
        Failure::Stopped(outcome) => stages::stopped(ctx, *outcome),
        failure => failure,
    };
    if !matches!(failure, Failure::Answer(_) | Failure::Problem(_)) {
        ctx.facts.error.get_or_insert_with(|| failure.to_string());
    }
    if matches!(failure, Failure::CutOff | Failure::Panicked(_) | Failure::Broken(_)) {
        // There is no time for stages, or it may be one of them that cannot be trusted.
        ctx.reached = 0;
    }
    match failure::client_reply(failure) {
        ClientReply::Nothing(failure) => Err(failure),
        ClientReply::Answer(answer) => Ok(Reply::of_answer(answer)),
        ClientReply::Problem(problem) => {
            // It may have passed, and a client has to be told of that, too: stages have their own limits, and the client its.
            ctx.deadline = None;
            Ok(Reply::of_answer(rendered(problem, ctx)))
        }
    }
}

/// A problem in the form that the client wants.
fn rendered(problem: Problem, ctx: &mut RequestCtx<'_>) -> Answer {
    ctx.facts.code = Some(problem.code.label());
    let request = ctx.exchange.get().map(|exchange| &exchange.request);
    render(problem, &ctx.id, request.map(|head| Audience { method: &head.method, headers: &head.headers }))
}

/// Runs the response stages that see a reply.
async fn stage(session: &mut Session<'_>, reply: &mut Reply) -> Result<Staged, Failure> {
    let route = session.ctx.route;
    let count = session.ctx.reached;
    let has = |hook| route.is_some_and(|route| route.pipeline.has_among(hook, count));
    let (heads, bodies) = (has(Hook::ResponseHeaders), has(Hook::ResponseBody));
    // A piece of the request's body may be with the stages, and the exchange with it.
    if let Source::Endpoint(exchanged) = &mut reply.source {
        relay::settle(session, exchanged).await?;
    }
    let mut left = reply.left();
    let exchange = session.ctx.exchange.here()?;
    // Pieces of the request's body came after its head; this one has not been sent.
    exchange.heads_sent = false;
    exchange.end_of_stream = left == Some(0);
    let ResponseHead { status, mut headers } = take_head(reply);
    match reply.maker {
        Maker::Target => exchange.answered(ResponseHead { status, headers }, !heads && !bodies),
        Maker::Gateway => {
            exchange.response_edits.apply_beneath(&mut headers);
            exchange.response = Some(ResponseHead { status, headers });
        }
    }
    if let (true, Some(route)) = (heads, route) {
        stages::run(session, route, Hook::ResponseHeaders).await?;
    }
    let (mut filter, mut changed) = (None, false);
    if let (true, Some(route)) = (bodies, route) {
        let need = route.pipeline.body_need(Hook::ResponseBody, count, session.ctx.exchange.here()?);
        changed = need > BodyMode::Watched;
        match (need, &reply.source) {
            (BodyMode::None, _) => {}
            _ if left == Some(0) => {}
            (BodyMode::Watched | BodyMode::Chunks, Source::Endpoint(_)) => {
                left = left.filter(|_| !changed);
                filter = Some(Filter::new(route, Hook::ResponseBody, count, need));
            }
            _ => {
                Box::pin(stage_whole_body(session, route, reply, need)).await?;
                left = reply.left();
            }
        }
    }
    let length = settle_length(session, reply, left, changed)?;
    Ok(Staged { length, filter })
}

/// The head moves to the exchange, where stages see it.
fn take_head(reply: &mut Reply) -> ResponseHead {
    ResponseHead { status: reply.head.status, headers: std::mem::take(&mut reply.head.headers) }
}

/// Runs the body hooks on a whole body, which is read for that if it has not come.
async fn stage_whole_body(
    session: &mut Session<'_>,
    route: &Arc<Route>,
    reply: &mut Reply,
    need: BodyMode,
) -> Result<(), Failure> {
    let body = match &mut reply.source {
        Source::Bytes(body) => std::mem::take(body),
        Source::Endpoint(exchanged) => {
            let body = filter::hold_response(session, exchanged, route.buffer_limit).await?;
            relay::settle(session, exchanged).await?;
            reply.trailers = exchanged.upstream.take_trailers();
            body
        }
    };
    let made = stages::whole(session, route, Hook::ResponseBody, body, need).await?;
    if let Source::Endpoint(exchanged) = std::mem::replace(&mut reply.source, Source::Bytes(made)) {
        exchanged.release(Instant::now());
    }
    Ok(())
}

/// Decides how the body is framed, and has the fields say the same. `changed`: stages have had the body.
fn settle_length(
    session: &mut Session<'_>,
    reply: &mut Reply,
    left: Option<u64>,
    changed: bool,
) -> Result<Length, Failure> {
    let is_head = session.ctx.facts.method == Method::HEAD;
    let (id, takes_trailers) = (request_id::field(&session.ctx.id), session.ctx.takes_trailers);
    let exchange = session.ctx.exchange.here()?;
    let Some(ResponseHead { status, headers }) = &mut exchange.response else {
        return Err(Failure::Broken("a reply without a head"));
    };
    // Under another status the endpoint's fields say nothing of the body any more.
    let changed = changed || reply.reason.as_ref().is_some_and(|(of, _)| of != status);
    headers.insert(witgate_http::request_id::FIELD, id);
    // Of a response that came without one it is the time when it came (RFC 9110, section 6.6.1).
    headers.entry(DATE).or_insert_with(date::now);
    if is_head || is_bodiless(*status) {
        return Ok(without_body(reply, (*status, headers), left, changed));
    }
    reply.trailers = reply.trailers.take().filter(|_| takes_trailers);
    // An endpoint's own body is as long as its head says.
    let is_ours = changed || matches!(reply.source, Source::Bytes(_));
    let length = left.filter(|_| reply.trailers.is_none());
    match length {
        Some(length) if is_ours => drop(headers.insert(CONTENT_LENGTH, length.into())),
        None if is_ours => drop(headers.remove(CONTENT_LENGTH)),
        _ => {}
    }
    Ok(length.map_or(Length::Unknown, Length::Known))
}

/// Takes the body off a reply that has none, whatever came: it is to HEAD, or its status says so. What its fields may tell of one is
/// that which the same request gets with GET, or as the answer to a request without conditions (RFC 9110, section 8.6).
fn without_body(
    reply: &mut Reply,
    (status, headers): (StatusCode, &mut HeaderMap),
    left: Option<u64>,
    changed: bool,
) -> Length {
    reply.trailers = None;
    // An endpoint's is not waited for.
    let has_body = left != Some(0);
    let bytes = match &mut reply.source {
        Source::Bytes(body) => Some(std::mem::take(body)),
        Source::Endpoint(_) if has_body => {
            reply.source = Source::Bytes(Bytes::new());
            None
        }
        Source::Endpoint(_) => None,
    };
    if !is_bodiless(status) {
        match bytes {
            Some(bytes) => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()))),
            None if changed => drop(headers.remove(CONTENT_LENGTH)),
            None => {}
        }
        return Length::Described;
    }
    // A 304 tells the length of what it stands for; a stage's own, one that a stage has made of another status, or one for a body
    // that stages would change, does not.
    if status != StatusCode::NOT_MODIFIED || bytes.is_some() || has_body || changed {
        headers.remove(CONTENT_LENGTH);
    }
    if status == StatusCode::NOT_MODIFIED { Length::Described } else { Length::None }
}

/// Writes a reply that the stages are done with.
async fn write(session: &mut Session<'_>, reply: &mut Reply, staged: Staged) -> Result<(), Failure> {
    let Reply { reason, names, source, trailers, maker, .. } = reply;
    let Staged { length, filter } = staged;
    let Some(ResponseHead { status, headers }) = session.ctx.exchange.get().and_then(|e| e.response.as_ref()) else {
        return Err(Failure::Broken("a reply without a head"));
    };
    // As late as can be: a client that keeps its connection through the end of the gateway loses its next request.
    if session.closing.has_begun() {
        session.client.end_after_response();
    }
    if *maker == Maker::Gateway || status.is_client_error() || status.is_server_error() {
        session.client.refuse_body();
    }
    let canonical = status.canonical_reason().unwrap_or_default().as_bytes();
    // The endpoint's own, unless a stage has changed what it was for.
    let reason = reason.as_ref().filter(|(of, _)| of == status).map_or(canonical, |(_, reason)| reason);
    session.client.respond(*status, reason, (headers, names), length)?;
    session.ctx.facts.status = Some(*status);
    match std::mem::replace(source, Source::Bytes(Bytes::new())) {
        Source::Endpoint(exchanged) => relay::stream(session, exchanged, filter).await,
        Source::Bytes(body) => {
            if matches!(length, Length::Unknown | Length::Known(1..)) {
                session.client.push(&body);
                session.client.end(trailers.take());
            }
            session.flush().await
        }
    }
}
