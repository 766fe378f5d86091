//! Every error of the proxy becomes an answer here, and nowhere else.

use pingora::proxy::{FailToProxy, Session};
use pingora::{Error, ErrorSource, ErrorType};

use crate::envelope::{Code, Problem};
use crate::proxy::context::RequestCtx;
use crate::proxy::{answer, request};

/// Answers a request that failed, if the client is still there and has got nothing yet.
pub async fn answer(session: &mut Session, error: &Error, ctx: &mut RequestCtx) -> FailToProxy {
    let begun = session.response_written().is_some_and(|head| !head.status.is_informational());
    let replaced = ctx.answer.take();
    let by_stage = replaced.is_some();
    if !by_stage {
        ctx.facts.error = Some(error.to_string());
    }
    let answer = match (begun, replaced, problem(error, ctx)) {
        (true, _, _) | (false, None, None) => None,
        (false, Some(answer), _) => Some(answer),
        (false, None, Some(problem)) => Some(answer::to_problem(problem, session, ctx)),
    };
    let Some(answer) = answer else { return FailToProxy { error_code: 0, can_reuse_downstream: false } };
    let status = answer.status.as_u16();
    let sent = answer::send(session, ctx, answer).await.is_ok();
    // After a failure of the client's own the position in its stream is unknown.
    let can_reuse_downstream = sent && (by_stage || *error.esource() == ErrorSource::Upstream);
    FailToProxy { error_code: status, can_reuse_downstream }
}

/// What a client is told of an error; none: it has left.
fn problem(error: &Error, ctx: &RequestCtx) -> Option<Problem> {
    let problem = match (error.esource(), error.etype()) {
        (_, ErrorType::HTTPStatus(413)) => {
            request::too_large(ctx.route.as_ref().and_then(|route| route.body_limit).unwrap_or_default())
        }
        (_, ErrorType::HTTPStatus(504)) => late(),
        (ErrorSource::Downstream, kind) => return client_problem(kind),
        (ErrorSource::Upstream, kind) => upstream_problem(kind, ctx),
        (ErrorSource::Internal | ErrorSource::Unset, kind) => match kind {
            // Pingora leaves the source of connection errors open.
            ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::ConnectProxyFailure
            | ErrorType::TLSHandshakeFailure
            | ErrorType::TLSHandshakeTimedout
            | ErrorType::InvalidCert => upstream_problem(kind, ctx),
            _ => Problem::new(Code::Internal, "The gateway could not serve the request."),
        },
    };
    Some(problem)
}

fn late() -> Problem {
    Problem::new(Code::DeadlineExceeded, "The upstream did not answer in time.")
}

fn client_problem(kind: &ErrorType) -> Option<Problem> {
    match kind {
        ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed | ErrorType::WriteTimedout => None,
        ErrorType::ReadTimedout => Some(Problem::new(Code::RequestTimeout, "The request body did not arrive in time.")),
        _ => Some(Problem::new(Code::InvalidRequest, "Malformed request body.")),
    }
}

fn upstream_problem(kind: &ErrorType, ctx: &RequestCtx) -> Problem {
    match kind {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => late(),
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout if ctx.is_late() => late(),
        ErrorType::ConnectTimedout
        | ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::ConnectProxyFailure
        | ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::InvalidCert => Problem::new(Code::UpstreamUnavailable, "The upstream cannot be reached."),
        _ => Problem::new(Code::UpstreamInvalid, "The upstream broke off or sent something that is not HTTP."),
    }
}
