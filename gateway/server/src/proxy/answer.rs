//! Writes the responses that the gateway makes itself.

use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, StatusCode};

use crate::envelope::{Answer, Audience, Problem, render};
use crate::proxy::alarm::Alarm;
use crate::proxy::context::RequestCtx;
use crate::proxy::downstream::{Downstream, Length};
use crate::proxy::failure::{self, Failure, Told};
use crate::proxy::{relay, request};
use crate::request_id;

/// Answers a request that failed, if the client is still there and has got nothing yet.
pub async fn to_failure(
    downstream: &mut Downstream<'_>,
    ctx: &mut RequestCtx<'_>,
    alarm: &mut Alarm,
    failure: Failure,
) {
    let begun = ctx.facts.status.is_some();
    let failure = match failure {
        Failure::Stopped(outcome) => request::stopped(ctx, *outcome),
        failure => failure,
    };
    if !matches!(failure, Failure::Answer(_) | Failure::Problem(_)) || begun {
        ctx.facts.error.get_or_insert_with(|| failure.to_string());
    }
    if begun {
        return downstream.abort();
    }
    let answer = match failure::told(failure) {
        Told::Nothing => return downstream.abort(),
        Told::Answer(answer) => answer,
        Told::Problem(problem) => to_problem(problem, ctx),
    };
    if let Err(failure) = send(downstream, ctx, alarm, answer).await {
        ctx.facts.error.get_or_insert_with(|| failure.to_string());
        downstream.abort();
    }
}

/// Renders a problem in the form that the client wants.
fn to_problem(problem: Problem, ctx: &mut RequestCtx) -> Answer {
    ctx.facts.code = Some(problem.code.label());
    let request = ctx.exchange.as_ref().map(|exchange| &exchange.request);
    render(problem, &ctx.id, request.map(|head| Audience { method: &head.method, headers: &head.headers }))
}

async fn send(
    downstream: &mut Downstream<'_>,
    ctx: &mut RequestCtx<'_>,
    alarm: &mut Alarm,
    answer: Answer,
) -> Result<(), Failure> {
    let Answer { status, mut headers, body } = answer;
    if let Some(exchange) = &ctx.exchange {
        exchange.response_edits.apply_beneath(&mut headers);
    }
    headers.insert(request_id::FIELD, ctx.id_field.clone());
    let length = if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        Length::None
    } else {
        let is_described = ctx.facts.method == Method::HEAD;
        // In HTTP/1 what frames a body is written with the head.
        if is_described || !matches!(downstream, Downstream::Http1(_)) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        if is_described { Length::Described } else { Length::Known(u64::try_from(body.len()).unwrap_or(u64::MAX)) }
    };
    if let Downstream::Http1(client) = downstream
        && client.waits_to_send()
    {
        // Whether its body follows all the same is the client's choice, so nobody can tell what comes next.
        client.end_after_response();
    }
    downstream.answer(status, &headers, &body, length)?;
    ctx.facts.status = Some(status);
    relay::flush(downstream, alarm, ctx.snapshot.config.downstream.body_timeout).await
}
