//! Attempts at the endpoints of an upstream, until one has answered.

use std::time::Instant;

use http::Method;
use http::header::CONTENT_LENGTH;
use tracing::warn;
use witgate_http::http1::write::Framing;

use crate::envelope::{Code, Problem};
use crate::proxy::downstream::Length;
use crate::proxy::failure::Failure;
use crate::proxy::forward;
use crate::proxy::relay::{self, Exchanged, RequestFlow};
use crate::proxy::request::Admitted;
use crate::proxy::session::Session;
use crate::proxy::upstream::{ResponseParts, UNPROCESSED_LIMIT, Upstream, UpstreamError};
use crate::request_id;
use crate::snapshot::{self, Endpoint, Target};
use crate::upstream::{Cause, Pick};

/// Sends the request to an endpoint, the next one if the first cannot be reached, and waits for the response's head.
///
/// # Errors
/// No endpoint answered, or the request is over.
pub async fn ask(
    session: &mut Session<'_>,
    admitted: &Admitted<'_>,
    group: &snapshot::Upstream,
    mut flow: RequestFlow,
) -> Result<(Box<Exchanged>, Box<ResponseParts>), Failure> {
    let mut pick = pick(session, admitted, group)?;
    let Some(mut attempt) = pick.next(session.ctx.started) else {
        session.ctx.facts.error = Some(format!("no name of upstream `{}` resolves", group.name));
        return Err(Problem::new(Code::UpstreamUnavailable, "The upstream cannot be reached.").into());
    };
    let headers = &mut session.ctx.exchange.here()?.request.headers;
    let (id, version) = (request_id::field(&session.ctx.id), session.ctx.facts.version);
    forward::prepare(headers, id, version, session.origin, &attempt);
    let (mut fresh, mut refused) = (false, 0);
    loop {
        session.ctx.facts.endpoint = Some(attempt.address);
        flow.write_timeout = attempt.write_timeout;
        flow.read_timeout = attempt.read_timeout.for_request(session.ctx.deadline.is_some());
        let reused = if fresh { None } else { Upstream::reuse(&attempt, session.ctx.started) };
        let upstream = match reused {
            Some(upstream) => Ok(upstream),
            // In a box of its own, like all that is rare here: every connection has room for the largest future.
            None => Box::pin(session.bounded(attempt.connecting(Upstream::connect(&attempt)))).await?,
        };
        let upstream = match upstream {
            Ok(upstream) => upstream,
            Err(error) => {
                attempt.failed(error.cause(), Instant::now());
                // Nothing of the request has been sent, so it does not matter what it asks for.
                let unsent = matches!(error, UpstreamError::Unreachable(_) | UpstreamError::ConnectTimeout);
                attempt = unsent.then(|| pick.next(Instant::now())).flatten().ok_or(error)?;
                continue;
            }
        };
        let mut exchanged = Box::new(Exchanged { upstream, attempt, flow });
        let failure = match ask_on(session, &mut exchanged, admitted).await {
            Ok(head) => {
                exchanged.attempt.reached();
                return Ok((exchanged, head));
            }
            Err(failure) => failure,
        };
        let is_untouched = exchanged.flow.is_untouched(&session.client);
        match failure {
            // The endpoint closed an idle connection while the request was on its way (RFC 9112, section 9.3.1): as if it had
            // never been sent, if it can be sent again as it was.
            Failure::Upstream(UpstreamError::Closed(_))
                if is_untouched
                    && !fresh
                    && exchanged.upstream.may_be_stale()
                    && is_idempotent(&session.ctx.facts.method) =>
            {
                fresh = true;
            }
            // It says that it has done nothing with it, whatever the request asks for (RFC 9113, section 8.7).
            Failure::Upstream(UpstreamError::Unprocessed(_)) if is_untouched && refused < UNPROCESSED_LIMIT => {
                refused += 1;
            }
            Failure::DeadlineExceeded => {
                // Otherwise it was the client who took its time.
                if exchanged.flow.is_sent() {
                    exchanged.attempt.failed(Cause::Deadline, Instant::now());
                }
                return Err(Failure::DeadlineExceeded);
            }
            failure => return Err(relay::blame(&exchanged.attempt, failure)),
        }
        (attempt, flow) = (exchanged.attempt, exchanged.flow);
        flow.restart();
    }
}

/// The endpoints that the request may go to: any, or the one that a stage has chosen.
fn pick<'g>(
    session: &mut Session<'_>,
    admitted: &Admitted<'_>,
    group: &'g snapshot::Upstream,
) -> Result<Pick<'g, Endpoint>, Failure> {
    let chosen = session.ctx.exchange.here()?.endpoint;
    let is_own = matches!(&admitted.route.target, Target::Upstream(own) if std::ptr::eq(&**own, group));
    match chosen.map(|address| group.pick_only(address).ok_or(address)) {
        Some(Ok(only)) => Ok(only),
        Some(Err(address)) if is_own => {
            warn!(request_id = &*session.ctx.id, %address, "a stage chose an endpoint that the upstream does not have");
            Err(Problem::new(Code::UpstreamUnavailable, "The request cannot be sent where it should go.").into())
        }
        // What it chose among the endpoints of the route's own upstream says nothing of another one's.
        Some(Err(_)) | None => Ok(group.pick()),
    }
}

async fn ask_on(
    session: &mut Session<'_>,
    exchanged: &mut Exchanged,
    admitted: &Admitted<'_>,
) -> Result<Box<ResponseParts>, Failure> {
    let head = &mut session.ctx.exchange.here()?.request;
    let is_replaced = exchanged.flow.is_held();
    let framing = match admitted.body {
        // Trailers follow chunks alone, be there any or none.
        _ if exchanged.flow.has_trailers() => Framing::Chunked,
        Length::Known(0) if !head.headers.contains_key(CONTENT_LENGTH) => Framing::None,
        Length::Known(length) => {
            // Over HTTP/2 it is the field that says it, and stages may have changed the body.
            if is_replaced {
                head.headers.insert(CONTENT_LENGTH, length.into());
            }
            Framing::Length(length)
        }
        _ => Framing::Chunked,
    };
    if framing == Framing::Chunked {
        head.headers.remove(CONTENT_LENGTH);
    }
    let fields = (&head.headers, &admitted.names);
    exchanged.upstream.send(&head.method, &head.path, fields, framing, admitted.upgrade)?;
    let method = head.method.clone();
    relay::await_head(session, exchanged, &method).await
}

/// RFC 9110, section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}
