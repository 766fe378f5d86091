//! The response as the client gets it.

use http::header::HeaderValue;
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
use witgate_stage::{Hook, Outcome};

use crate::proxy::context::RequestCtx;
use crate::proxy::{answer, deadline, hop, lend, request};
use crate::request_id;

/// Runs the stages on the response's head and puts the gateway's fields on it.
///
/// # Errors
/// A stage failed or answered in the upstream's place (`ctx.answer`): the upstream's response is dropped.
pub async fn prepare(session: &mut Session, response: &mut ResponseHeader, ctx: &mut RequestCtx) -> Result<()> {
    let switching = response.status == StatusCode::SWITCHING_PROTOCOLS;
    if switching {
        // The deadline was for the answer; a tunnel lives on.
        ctx.deadline = None;
        deadline::set(None);
    } else if response.status.is_informational() {
        return Ok(());
    } else {
        hop::strip_response(response);
    }
    if let Some(route) = ctx.route.clone().filter(|route| route.pipeline.has(Hook::ResponseHeaders))
        && let Some(exchange) = ctx.exchange.take()
    {
        run_stages(session, response, ctx, &route, exchange).await?;
    }
    if let Ok(id) = HeaderValue::from_str(&ctx.id) {
        response.insert_header(&request_id::FIELD, id)?;
    }
    Ok(())
}

async fn run_stages(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut RequestCtx,
    route: &crate::snapshot::Route,
    mut exchange: Box<witgate_stage::Exchange>,
) -> Result<()> {
    exchange.end_of_stream = session.req_header().method == Method::HEAD
        || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || response.headers.get(http::header::CONTENT_LENGTH).is_some_and(|length| length == "0");
    exchange.request = lend::lend_request(session.req_header_mut())?;
    exchange.response = Some(lend::lend_response(response)?);
    let outcome;
    (exchange, outcome) = route.pipeline.run(Hook::ResponseHeaders, exchange, route).await;
    lend::return_request(std::mem::replace(&mut exchange.request, Box::new(lend::Absent)), session.req_header_mut());
    if let Some(lent) = exchange.response.take() {
        lend::return_response(lent, response);
    }
    ctx.exchange = Some(exchange);
    let (step, replacement) = match outcome {
        Outcome::Continue => return Ok(()),
        Outcome::Respond { step, response } => (step, response.into()),
        Outcome::Refuse { step, refusal } => (step, answer::to_problem(refusal.into(), session, ctx)),
        Outcome::Failed { step, error } => {
            let problem = request::stage_failed(ctx, &error);
            (step, answer::to_problem(problem, session, ctx))
        }
    };
    ctx.facts.stage = route.stage_name(step);
    ctx.answer = Some(replacement);
    Error::e_explain(ErrorType::Custom("ReplacedByStage"), "a stage answered in the upstream's place")
}
