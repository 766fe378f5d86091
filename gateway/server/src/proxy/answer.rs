//! Writes the responses that the gateway makes itself.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT, HeaderValue};
use http::{Method, StatusCode};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::envelope::{Answer, Audience, Problem, render};
use crate::proxy::context::RequestCtx;
use crate::request_id;

/// How long a client that was refused may go on sending its body: closing at once would reset the connection and lose
/// the answer on its way (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// Renders a problem for the client of this session.
pub fn to_problem(problem: Problem, session: &Session, ctx: &mut RequestCtx) -> Answer {
    ctx.facts.code = Some(problem.code.label());
    let head = session.req_header();
    render(problem, &ctx.id, Some(Audience { method: &head.method, headers: &head.headers }))
}

/// Sends an answer and ends the response.
///
/// # Errors
/// The connection broke.
pub async fn send(session: &mut Session, ctx: &RequestCtx, answer: Answer) -> Result<()> {
    let Answer { status, headers, body } = answer;
    let mut head = ResponseHeader::build(status, Some(headers.len() + 4))?;
    for (name, value) in &headers {
        head.append_header(name, value)?;
    }
    if let Ok(id) = HeaderValue::from_str(&ctx.id) {
        head.insert_header(&request_id::FIELD, id)?;
    }
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !bodiless {
        head.insert_header(CONTENT_LENGTH, body.len())?;
    }
    let request = session.req_header();
    let end = bodiless || body.is_empty() || request.method == Method::HEAD;
    // A client that waits for `100 Continue` will not send its body now: nothing to linger for.
    if !request.headers.contains_key(EXPECT) {
        session.set_close_on_response_before_downstream_finish(false);
        session.set_total_drain_timeout(Some(LINGER));
    }
    session.write_response_header(Box::new(head), end).await?;
    if !end {
        session.write_response_body(Some(body), true).await?;
    }
    // Pingora drains HTTP/1 bodies itself. A stream of HTTP/2 that is dropped while the client still sends is reset, which
    // may overtake the answer.
    if session.as_downstream().is_http2() && !session.is_body_done() {
        let _ = tokio::time::timeout(LINGER, session.drain_request_body()).await;
    }
    Ok(())
}
