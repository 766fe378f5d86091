//! Protocol upgrades: connections that go on with another protocol (RFC 9110, section 7.8): bytes go both ways until both sides have
//! closed, or neither says anything for too long.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::UPGRADE;
use http::{HeaderMap, StatusCode};
use witgate_http::hop;
use witgate_stage::{Hook, ResponseHead};

use crate::envelope::Answer;
use crate::proxy::closing::Closing;
use crate::proxy::deadline_timer::DeadlineTimer;
use crate::proxy::downstream::{Downstream, Http1};
use crate::proxy::failure::Failure;
use crate::proxy::relay::{self, Exchanged};
use crate::proxy::session::Session;
use crate::proxy::stages;
use crate::proxy::upstream::{ResponseParts, Upstream, UpstreamError};
use crate::proxy::wire::Wire;
use crate::request_id;

/// One direction.
#[derive(Debug, Default)]
struct Way {
    bytes: u64,
    /// The source has closed.
    ended: bool,
    /// And the sink knows.
    closed: bool,
}

impl Way {
    /// Moves what can be moved; ready once the source has closed and the sink knows.
    fn poll(&mut self, context: &mut Context<'_>, from: &mut Wire, to: &mut Wire) -> Poll<io::Result<()>> {
        while !self.ended {
            if !from.input.is_empty() {
                ready!(to.poll_room(context))?;
                self.bytes += u64::try_from(from.input.len()).unwrap_or(u64::MAX);
                to.output().extend_from_slice(&from.input);
                from.input.clear();
            }
            match from.poll_fill(context)? {
                Poll::Ready(0) => self.ended = true,
                Poll::Ready(_) => {}
                Poll::Pending => {
                    ready!(to.poll_flush(context))?;
                    return Poll::Pending;
                }
            }
        }
        if !self.closed {
            ready!(to.poll_shutdown(context))?;
            self.closed = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// Leaves HTTP, as the client has asked for and the endpoint has agreed to, once the stages have seen the head that says so.
///
/// # Errors
/// The endpoint switches to what nobody asked for, a stage answers instead, or the gateway ends.
pub async fn switch(
    session: &mut Session<'_>,
    mut exchanged: Box<Exchanged>,
    head: Box<ResponseParts>,
    asked: bool,
) -> Result<(), Failure> {
    relay::settle(session, &mut exchanged).await?;
    let unasked = || UpstreamError::Invalid("it switches protocols, which nobody asked for".to_owned());
    let ResponseParts { status, reason, mut headers, names } = *head;
    let exchange = session.ctx.exchange.here()?;
    exchanged.attempt.succeeded();
    let Upstream::Http1 { mut connection, .. } = exchanged.upstream else { return Err(unasked().into()) };
    if !asked || !answers(&exchange.request.headers, &headers) {
        return Err(unasked().into());
    }
    hop::strip(&mut headers, true);
    let route = session.ctx.route.filter(|route| route.pipeline.has(Hook::ResponseHeaders));
    (exchange.heads_sent, exchange.end_of_stream) = (false, true);
    exchange.answered(ResponseHead { status, headers }, route.is_none());
    if let Some(route) = route {
        stages::run(session, route, Hook::ResponseHeaders).await?;
    }
    let id = request_id::field(&session.ctx.id);
    let Some(head) = &mut session.ctx.exchange.here()?.response else {
        return Err(Failure::Broken("a reply without a head"));
    };
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        // A stage would rather not, and has seen the answer already.
        let ResponseHead { status, headers } = head.clone();
        session.ctx.reached = 0;
        return Err(Failure::Answer(Box::new(Answer { status, headers, body: Bytes::new() })));
    }
    head.headers.insert(witgate_http::request_id::FIELD, id);
    let Downstream::Http1(client) = &mut session.client else { return Err(unasked().into()) };
    client.switch(&reason, (&head.headers, &names));
    session.ctx.facts.status = Some(StatusCode::SWITCHING_PROTOCOLS);
    let (timer, closing) = (&mut *session.timer, &mut *session.closing);
    let silence = session.ctx.route.and_then(|route| route.tunnel_idle_timeout);
    carry(client, &mut connection.wire, (timer, closing), silence).await
}

/// Whether a response switches to a protocol that the request named (RFC 9110, section 7.8).
fn answers(request: &HeaderMap, response: &HeaderMap) -> bool {
    let list = |headers: &HeaderMap| -> Vec<Vec<u8>> {
        let values = headers.get_all(UPGRADE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        values.map(|name| name.trim_ascii().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
    };
    // The version is compared only if both have one.
    let name = |protocol: &[u8]| protocol.split(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    let same = |a: &Vec<u8>, b: &Vec<u8>| a == b || (name(a) == name(b) && !(a.contains(&b'/') && b.contains(&b'/')));
    let (asked, taken) = (list(request), list(response));
    !taken.is_empty() && taken.iter().all(|taken| asked.iter().any(|asked| same(asked, taken)))
}

/// Carries a tunnel to its end. `silence`: how long neither side may say anything; none: for ever.
///
/// # Errors
/// The gateway ends first.
async fn carry(
    client: &mut Http1,
    endpoint: &mut Wire,
    (timer, closing): (&mut DeadlineTimer, &mut Closing),
    silence: Option<Duration>,
) -> Result<(), Failure> {
    let (mut up, mut down) = (Way::default(), Way::default());
    let (mut seen, mut heard) = (0, Instant::now());
    let ended = poll_fn(|context| {
        let client = &mut client.wire;
        let ended = [up.poll(context, client, endpoint), down.poll(context, endpoint, client)];
        if ended.iter().any(|way| matches!(way, Poll::Ready(Err(_)))) || ended.iter().all(Poll::is_ready) {
            return Poll::Ready(Ok(()));
        }
        if closing.poll_cut_off(context).is_ready() {
            return Poll::Ready(Err(Failure::CutOff));
        }
        if up.bytes + down.bytes != seen {
            (seen, heard) = (up.bytes + down.bytes, Instant::now());
        }
        timer.poll_at(context, silence.map(|silence| heard + silence)).map(Ok)
    })
    .await;
    (client.received, client.sent) = (up.bytes, down.bytes);
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_to_a_protocol_that_was_asked_for() {
        let headers = |value: &str| -> HeaderMap {
            let values = Some(value).filter(|value| !value.is_empty());
            values.iter().map(|value| (UPGRADE, value.parse().unwrap())).collect()
        };
        for (request, response, right) in [
            ("websocket", "websocket", true),
            ("websocket", "WebSocket", true),
            ("h2c, websocket", "websocket", true),
            ("foo/1", "foo", true),
            ("foo/1", "foo/2", false),
            ("websocket", "foo", false),
            ("websocket", "websocket, foo", false),
            ("websocket", "", false),
        ] {
            assert_eq!(answers(&headers(request), &headers(response)), right, "{request:?} and {response:?}");
        }
    }
}
