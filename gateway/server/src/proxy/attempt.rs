//! Attempts at the endpoints of an upstream, until one has answered.

use std::sync::Arc;

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
use crate::snapshot;

/// Sends the request to an endpoint, the next one if the first cannot be reached, and waits for the response's head.
///
/// # Errors
/// No endpoint answered, or the request is over.
pub async fn ask(
    session: &mut Session<'_>,
    admitted: &Admitted<'_>,
    group: &snapshot::Upstream,
    mut flow: RequestFlow,
) -> Result<(Box<Exchanged>, ResponseParts), Failure> {
    let exchange = session.ctx.exchange.here()?;
    // A script chooses among the endpoints of the route's own upstream.
    let chosen = exchange.endpoint.filter(|_| exchange.upstream.is_none());
    let chosen = chosen.map(|address| group.find(address).ok_or(address)).transpose().map_err(|address| {
        warn!(request_id = &*session.ctx.id, %address, "a stage chose an endpoint that the upstream does not have");
        Problem::new(Code::UpstreamUnavailable, "The request cannot be sent where it should go.")
    })?;
    let mut endpoint = Arc::clone(chosen.unwrap_or_else(|| group.next()));
    let headers = &mut session.ctx.exchange.here()?.request.headers;
    let (id, version) = (&session.ctx.id_field, session.ctx.facts.version);
    forward::prepare(headers, admitted.authority.as_ref(), id, version, session.origin, &endpoint);
    let (mut tries, mut refused) = (1, 0);
    let mut fresh = false;
    loop {
        session.ctx.facts.endpoint = Some(endpoint.address);
        let reused = if fresh { None } else { Upstream::reuse(&endpoint, session.ctx.started) };
        let upstream = match reused {
            Some(upstream) => Ok(upstream),
            // In a box of its own, like all that is rare here: every connection has room for the largest future.
            None => Box::pin(session.bounded(Upstream::connect(&endpoint))).await?,
        };
        let upstream = match upstream {
            Ok(upstream) => upstream,
            // Nothing of the request has been sent, so it does not matter what it asks for.
            Err(UpstreamError::Unreachable(_) | UpstreamError::ConnectTimeout)
                if tries < group.endpoints() && chosen.is_none() =>
            {
                tries += 1;
                endpoint = Arc::clone(group.next());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let mut exchanged = Box::new(Exchanged { upstream, endpoint, flow });
        match ask_on(session, &mut exchanged, admitted).await {
            Ok(head) => return Ok((exchanged, head)),
            // The endpoint closed an idle connection while the request was on its way (RFC 9112, section 9.3.1): as if it had
            // never been sent, if it can be sent again as it was.
            Err(Failure::Upstream(UpstreamError::Closed(_)))
                if exchanged.upstream.may_be_stale()
                    && exchanged.flow.is_untouched(&session.client)
                    && is_idempotent(&session.ctx.facts.method) =>
            {
                fresh = true;
                (endpoint, flow) = (exchanged.endpoint, exchanged.flow);
                flow.restart();
            }
            // The endpoint says that it has done nothing with it, whatever it asks for (RFC 9113, section 8.7).
            Err(Failure::Upstream(UpstreamError::Unprocessed(_)))
                if refused < UNPROCESSED_LIMIT && exchanged.flow.is_untouched(&session.client) =>
            {
                refused += 1;
                (endpoint, flow) = (exchanged.endpoint, exchanged.flow);
                flow.restart();
            }
            Err(failure) => return Err(failure),
        }
    }
}

async fn ask_on(
    session: &mut Session<'_>,
    exchanged: &mut Exchanged,
    admitted: &Admitted<'_>,
) -> Result<ResponseParts, Failure> {
    let head = &mut session.ctx.exchange.here()?.request;
    let is_replaced = exchanged.flow.is_held();
    let framing = match admitted.body {
        Length::Known(0) if !head.headers.contains_key(CONTENT_LENGTH) => Framing::None,
        Length::Known(length) => {
            // Over HTTP/2 it is the field that says it, and stages may have changed the body.
            if is_replaced {
                head.headers.insert(CONTENT_LENGTH, length.into());
            }
            Framing::Length(length)
        }
        _ => {
            head.headers.remove(CONTENT_LENGTH);
            Framing::Chunked
        }
    };
    let fields = (&head.headers, &admitted.names);
    exchanged.upstream.send(&head.method, &head.path, fields, framing, admitted.upgrade)?;
    let method = head.method.clone();
    relay::await_head(session, exchanged, &method).await
}

/// RFC 9110, section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}
