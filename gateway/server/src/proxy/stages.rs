//! The stages of a route, run on a request's head and body.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::error;
use witgate_stage::{BodyDesk, BodyMode, FAILURE_LINES, FailureKind, Hook, Outcome, Progress, StageError};

use crate::envelope::{Code, Problem};
use crate::proxy::context::RequestCtx;
use crate::proxy::downstream::Length;
use crate::proxy::failure::Failure;
use crate::proxy::filter::{self, Filter};
use crate::proxy::relay::RequestFlow;
use crate::proxy::request::Admitted;
use crate::proxy::session::Session;
use crate::snapshot::{Route, Target};

/// Runs the hooks for a request's head, and reads its body if one of them asks for it meanwhile.
///
/// # Errors
/// A stage answered, refused or failed, or the request is over.
pub async fn on_request_head(
    session: &mut Session<'_>,
    admitted: &mut Admitted<'_>,
    flow: &mut RequestFlow,
) -> Result<(), Failure> {
    let route = admitted.route;
    if route.pipeline.may_ask_for_body() && admitted.body != Length::Known(0) {
        Box::pin(with_desk(session, admitted, flow)).await?;
    } else {
        run(session, route, Hook::RequestHeaders).await?;
    }
    session.ctx.reached = route.pipeline.steps().len();
    Ok(())
}

async fn with_desk(
    session: &mut Session<'_>,
    admitted: &mut Admitted<'_>,
    flow: &mut RequestFlow,
) -> Result<(), Failure> {
    let desk = Arc::new(BodyDesk::default());
    session.ctx.exchange.here()?.desk = Some(Arc::clone(&desk));
    let route = admitted.route;
    let outcome = match begin(session, route, Hook::RequestHeaders)? {
        Progress::Ended(exchange, outcome) => {
            session.ctx.exchange.put(exchange);
            Ok(outcome)
        }
        Progress::Waits(run) => {
            let ended = filter::serve_desk(session, flow, route.buffer_limit, (&desk, run)).await;
            recovered(session, ended)
        }
    };
    session.ctx.exchange.here()?.desk = None;
    let outcome = outcome?;
    if let Some(body) = desk.body() {
        admitted.body = Length::of(&body);
        flow.hold(body);
    }
    passed(outcome)
}

/// Gives the request's body to the stages that want it: whole and now, or piece by piece when it is sent.
///
/// # Errors
/// As [`on_request_head`]; the body is too long, malformed, or does not come.
pub async fn on_request_body(
    session: &mut Session<'_>,
    admitted: &mut Admitted<'_>,
    flow: &mut RequestFlow,
) -> Result<(), Failure> {
    let route = admitted.route;
    // A request for a protocol upgrade may have a body as well, and whoever checks bodies has to see it.
    if admitted.body == Length::Known(0) {
        return Ok(());
    }
    let exchange = session.ctx.exchange.here()?;
    let need = route.pipeline.body_need(Hook::RequestBody, session.ctx.reached, exchange);
    // Models want it whole, too: up to the limit that they have without stages.
    let (for_models, limit) = match route.target {
        Target::Models(_) => (true, models_limit(route)),
        _ => (false, route.buffer_limit),
    };
    let limit = if need == BodyMode::Buffered { route.buffer_limit } else { limit };
    let is_whole = match need {
        BodyMode::None => return Ok(()),
        BodyMode::Watched | BodyMode::Chunks => for_models || flow.is_held(),
        BodyMode::Buffered => true,
    };
    if !is_whole {
        if need == BodyMode::Chunks {
            // Nobody knows how long it will be.
            admitted.body = Length::Unknown;
        }
        flow.filter(Filter::new(route, Hook::RequestBody, session.ctx.reached, need));
        return Ok(());
    }
    let body = match flow.take_held() {
        Some(body) => body,
        None => filter::hold_request(session, flow, limit).await?,
    };
    let body = whole(session, route, Hook::RequestBody, body, need).await?;
    admitted.body = Length::of(&body);
    flow.hold(body);
    Ok(())
}

/// Bytes of a request for models: the route's limit for bodies; without one, what can be held back is the limit.
pub fn models_limit(route: &Route) -> usize {
    route.body_limit.map_or(route.buffer_limit, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Runs a body hook on a body that is there as a whole, in pieces where that is how the stages want it; gives what they made
/// of it.
///
/// # Errors
/// As [`on_request_head`].
pub async fn whole(
    session: &mut Session<'_>,
    route: &Route,
    hook: Hook,
    mut body: Bytes,
    need: BodyMode,
) -> Result<Bytes, Failure> {
    let mut made: Option<Vec<u8>> = None;
    loop {
        let piece = match need {
            BodyMode::Watched | BodyMode::Chunks if body.len() > filter::PIECE_LIMIT => {
                body.split_to(filter::PIECE_LIMIT)
            }
            _ => std::mem::take(&mut body),
        };
        let last = body.is_empty();
        let watched = (need == BodyMode::Watched).then(|| piece.clone());
        let exchange = session.ctx.exchange.here()?;
        (exchange.body, exchange.end_of_stream) = (piece, last);
        run(session, route, hook).await?;
        let staged = std::mem::take(&mut session.ctx.exchange.here()?.body);
        let piece = watched.unwrap_or(staged);
        match (&mut made, last) {
            (None, true) => return Ok(piece),
            (made, _) => made.get_or_insert_default().extend_from_slice(&piece),
        }
        if last {
            return Ok(made.unwrap_or_default().into());
        }
    }
}

/// Runs a hook of the steps that see this request, while the client is there and in time.
///
/// # Errors
/// As [`on_request_head`].
pub async fn run(session: &mut Session<'_>, route: &Route, hook: Hook) -> Result<(), Failure> {
    if !route.pipeline.has(hook) {
        return Ok(());
    }
    let outcome = match begin(session, route, hook)? {
        Progress::Ended(exchange, outcome) => {
            session.ctx.exchange.put(exchange);
            outcome
        }
        Progress::Waits(run) => {
            let ended = session.bounded(run).await;
            recovered(session, ended)?
        }
    };
    passed(outcome)
}

fn begin<'r>(session: &mut Session<'_>, route: &'r Route, hook: Hook) -> Result<Progress<'r>, Failure> {
    let exchange = session.ctx.exchange.lend()?;
    let count = match hook {
        // All are to see the request; how far it came is known afterwards.
        Hook::RequestHeaders => route.pipeline.steps().len(),
        _ => session.ctx.reached,
    };
    Ok(route.pipeline.begin_among(hook, count, exchange, route))
}

/// Takes the exchange back from a run that has ended, or that was cut off: then only the steps before that stage see the answer.
fn recovered(
    session: &mut Session<'_>,
    ended: Result<(Box<witgate_stage::Exchange>, Outcome), Failure>,
) -> Result<Outcome, Failure> {
    match ended {
        Ok((exchange, outcome)) => {
            session.ctx.exchange.put(exchange);
            Ok(outcome)
        }
        Err(failure) => {
            cut_off(&mut session.ctx);
            Err(failure)
        }
    }
}

/// Takes the exchange back from a stage that was cut off, if one was.
pub fn cut_off(ctx: &mut RequestCtx<'_>) {
    if let Some(step) = ctx.exchange.recover() {
        ctx.reached = step;
    }
}

/// Notes whose stage ended a request, and how many steps see the answer.
fn note(ctx: &mut RequestCtx<'_>, step: usize, reached: usize) {
    ctx.reached = reached;
    ctx.facts.stage = ctx.route.and_then(|route| route.stage_name(step));
}

fn passed(outcome: Outcome) -> Result<(), Failure> {
    if matches!(outcome, Outcome::Continue) { Ok(()) } else { Err(Failure::Stopped(Box::new(outcome))) }
}

/// What became of a request that a stage stopped, for the client and for the record, and who sees it.
pub fn stopped(ctx: &mut RequestCtx<'_>, outcome: Outcome) -> Failure {
    let (step, failure) = match outcome {
        Outcome::Continue => return Failure::Broken("a stage stopped a request to let it pass"),
        Outcome::Refuse { step, refusal } => (step, Failure::Problem((*refusal).into())),
        Outcome::Respond { step, response } => (step, Failure::Answer(Box::new((*response).into()))),
        Outcome::Failed { step, error } => (step, Failure::Problem(stage_failed(ctx, step, &error))),
    };
    // In a hook for the response a stage puts its answer in the place of what it has seen already.
    let is_request = ctx.exchange.get().is_some_and(|exchange| exchange.response.is_none());
    let filtering = ctx.route.filter(|_| is_request).map(|route| route.pipeline.filtering(step));
    note(ctx, step, filtering.unwrap_or(step));
    failure
}

/// What the client is told of a stage that failed; what happened goes to the log.
fn stage_failed(ctx: &mut RequestCtx<'_>, step: usize, failure: &StageError) -> Problem {
    let reason = format!("{failure}: {}", failure.source);
    if let Some(dropped) = FAILURE_LINES.admit(Instant::now()) {
        let dropped = (dropped > 0).then_some(dropped);
        error!(request_id = &*ctx.id, route = ctx.route.map(|route| &*route.name), dropped, "{reason}");
    }
    ctx.facts.error = Some(reason);
    match failure.kind {
        FailureKind::Unavailable => {
            Problem::new(Code::Overloaded, "The gateway is busy; try again later.").retry_after(Duration::from_secs(1))
        }
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
