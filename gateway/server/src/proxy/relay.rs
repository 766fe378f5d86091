//! Moves a request's body to the endpoint and a response to the client, both at once and neither faster than the slower
//! side takes it.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::proxy::deadline_timer::DeadlineTimer;
use crate::proxy::downstream::{ClientError, Downstream};
use crate::proxy::failure::Failure;
use crate::proxy::filter::{Filter, PIECE_LIMIT, Piece};
use crate::proxy::request;
use crate::proxy::session::{self, Session};
use crate::proxy::slot::Slot;
use crate::proxy::upstream::{ResponseParts, Upstream, UpstreamError};
use crate::snapshot::Attempt;

/// A request that is with an endpoint: the connection, and what is left of the request's body.
pub struct Exchanged {
    pub upstream: Upstream,
    pub attempt: Attempt,
    pub flow: RequestFlow,
}

impl Exchanged {
    /// The response has come to its end: keeps the connection for others, if it is in a state for that.
    pub fn release(self, now: Instant) {
        let Self { upstream, attempt, .. } = self;
        attempt.succeeded();
        upstream.release(now);
    }
}

/// Notes a failure that is the endpoint's.
pub fn blame(attempt: &Attempt, failure: Failure) -> Failure {
    if let Failure::Upstream(error) = &failure {
        attempt.failed(error.cause(), Instant::now());
    }
    failure
}

/// What an exchange with an endpoint waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// For the client, to send more of it.
    Client,
    /// For the endpoint, to take more of it.
    Endpoint,
    /// For the endpoint, to send more of the response.
    Response,
}

/// A request's body on its way to the endpoint.
pub struct RequestFlow {
    /// All of it has been handed over, or the endpoint takes no more.
    done: bool,
    /// And has left for the endpoint.
    flushed: bool,
    broken: bool,
    /// Bytes that the client may still send; none: no limit.
    allowance: Option<u64>,
    limit: u64,
    waiting: Waiting,
    /// Longest time for which the endpoint may take nothing.
    pub write_timeout: Duration,
    /// Longest time for which it may say nothing once it owes a response; none: no limit.
    pub read_timeout: Option<Duration>,
    moved: Instant,
    /// The whole body, if it has been held back: what the client sent has been read then.
    held: Option<Bytes>,
    /// Trailers of a body that has been held back, or has ended: there may be another attempt.
    trailers: Option<Box<HeaderMap>>,
    /// Bytes of it that have been handed over.
    passed: usize,
    /// The stages that want the body piece by piece. In a box, as most requests have none and a flow is handed on.
    filter: Option<Box<Filter>>,
}

impl RequestFlow {
    /// `now`: when the request began.
    pub fn new(limit: Option<u64>, now: Instant) -> Self {
        Self {
            done: false,
            flushed: false,
            broken: false,
            allowance: limit,
            limit: limit.unwrap_or(u64::MAX),
            waiting: Waiting::Client,
            // Until it is known which endpoint it goes to, none is waited for.
            write_timeout: Duration::ZERO,
            read_timeout: None,
            moved: now,
            held: None,
            trailers: None,
            passed: 0,
            filter: None,
        }
    }

    /// Sends these bytes, which stages have seen and perhaps changed, instead of what comes from the client.
    pub fn hold(&mut self, body: Bytes) {
        self.held = Some(body);
    }

    /// Trailers of a body that has been held back: they follow it, whatever stages have made of it.
    pub fn hold_trailers(&mut self, trailers: Option<HeaderMap>) {
        self.trailers = trailers.map(Box::new);
    }

    /// Whether trailers are known to follow the body.
    pub fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    /// The whole body, if it has been held back.
    pub fn take_held(&mut self) -> Option<Bytes> {
        self.held.take()
    }

    /// Whether the whole body has been held back.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Takes every piece through stages.
    pub fn filter(&mut self, filter: Filter) {
        self.filter = Some(Box::new(filter));
    }

    /// Nothing has been taken from the client: another endpoint can have it all.
    pub fn is_untouched(&self, downstream: &Downstream<'_>) -> bool {
        // Stages have seen the end of a body that they get in pieces: they must not see it twice.
        self.held.is_some() || (downstream.counts().0 == 0 && (self.filter.is_none() || !self.done))
    }

    /// Whether the endpoint has got all of it, and owes a response.
    pub fn is_sent(&self) -> bool {
        self.done && self.flushed
    }

    /// Begins again, for another endpoint.
    pub fn restart(&mut self) {
        (self.done, self.flushed, self.broken, self.passed) = (false, false, false, 0);
    }

    /// Moves what can be moved. `slot`: where the exchange is while no stage has it.
    ///
    /// # Errors
    /// The body cannot be completed.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        downstream: &mut Downstream<'_>,
        upstream: &mut Upstream,
        slot: &mut Slot,
    ) -> Result<(), Failure> {
        if self.done && self.flushed {
            return Ok(());
        }
        let mut moved = false;
        while !self.done && !self.broken {
            match upstream.poll_room(context) {
                Poll::Ready(Ok(())) => {}
                // It may have answered before it closed: the response tells.
                Poll::Ready(Err(_)) => self.broken = true,
                Poll::Pending => {
                    self.waiting = Waiting::Endpoint;
                    break;
                }
            }
            match self.poll_piece(context, downstream, upstream, slot)? {
                Poll::Ready(()) => moved = true,
                Poll::Pending => {
                    self.waiting = Waiting::Client;
                    break;
                }
            }
        }
        if !self.broken {
            match upstream.poll_flush(context) {
                Poll::Ready(Ok(())) => self.flushed = true,
                Poll::Ready(Err(_)) => self.broken = true,
                Poll::Pending => self.flushed = false,
            }
        }
        if moved {
            self.moved = Instant::now();
        }
        Ok(())
    }

    /// Moves one piece.
    fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
        downstream: &mut Downstream<'_>,
        upstream: &mut Upstream,
        slot: &mut Slot,
    ) -> Result<Poll<()>, Failure> {
        if let Some(held) = &self.held {
            let piece = held.slice(self.passed..held.len().min(self.passed + PIECE_LIMIT));
            self.passed += piece.len();
            upstream.push(&piece);
            if self.passed == held.len() {
                self.end(downstream, upstream);
            }
            return Ok(Poll::Ready(()));
        }
        if let Some(filter) = self.filter.as_mut().filter(|filter| filter.is_busy()) {
            let Poll::Ready(piece) = filter.poll(context, slot)? else { return Ok(Poll::Pending) };
            self.pass(&piece, downstream, upstream);
            return Ok(Poll::Ready(()));
        }
        // The other direction's stages have the exchange: it comes back, and with it a wake-up.
        if self.filter.is_some() && !slot.is_here() {
            return Ok(Poll::Pending);
        }
        let Poll::Ready(count) = downstream.poll_body(context)? else { return Ok(Poll::Pending) };
        let count = count.map(|count| if self.filter.is_some() { count.min(PIECE_LIMIT) } else { count });
        if let Some(count) = count {
            self.spend(count)?;
        }
        match (&mut self.filter, count) {
            (None, Some(count)) => {
                upstream.push(downstream.data(count));
                downstream.consume(count);
            }
            (None, None) => self.end(downstream, upstream),
            (Some(filter), count) => {
                let bytes = Bytes::copy_from_slice(downstream.data(count.unwrap_or(0)));
                downstream.consume(bytes.len());
                filter.begin(slot.lend()?, bytes, count.is_none());
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Hands over what stages made of a piece.
    fn pass(&mut self, piece: &Piece, downstream: &mut Downstream<'_>, upstream: &mut Upstream) {
        upstream.push(&piece.bytes);
        if piece.last {
            self.end(downstream, upstream);
        }
    }

    /// Ends the body, with the trailers that came; they are kept for another attempt.
    fn end(&mut self, downstream: &mut Downstream<'_>, upstream: &mut Upstream) {
        if let Some(trailers) = downstream.take_trailers() {
            self.hold_trailers(Some(trailers));
        }
        upstream.end(self.trailers.as_deref().cloned());
        self.done = true;
    }

    /// Counts bytes against the limit of the route.
    ///
    /// # Errors
    /// There are too many.
    pub fn spend(&mut self, count: usize) -> Result<(), Failure> {
        let Some(allowance) = self.allowance else { return Ok(()) };
        let left = allowance.checked_sub(u64::try_from(count).unwrap_or(u64::MAX));
        self.allowance = Some(left.ok_or_else(|| Failure::Problem(request::too_large(self.limit)))?);
        Ok(())
    }

    /// Somebody has moved: in this direction, or the other, for nothing is idle while one of them moves.
    pub fn note_moved(&mut self) {
        self.moved = Instant::now();
    }

    /// Who has to move next, and until when.
    fn patience(&self, pause: Duration) -> (Option<Instant>, Waiting) {
        let (limit, waiting) = match self.waiting {
            _ if self.broken || self.is_sent() => (self.read_timeout, Waiting::Response),
            Waiting::Client => (Some(pause), Waiting::Client),
            _ => (Some(self.write_timeout), Waiting::Endpoint),
        };
        (limit.map(|limit| self.moved + limit), waiting)
    }

    /// Ready once nothing is left to wait for: the client is gone, the request is over, or nobody has moved for too long.
    pub fn poll_over(&self, context: &mut Context<'_>, session: &mut Session<'_>) -> Poll<Failure> {
        if session.client.is_body_done()
            && let Poll::Ready(error) = session.client.poll_gone(context)
        {
            return Poll::Ready(ClientError::Disconnected(error).into());
        }
        let (until, waiting) = self.patience(session.pause());
        session.poll_over(context, until).map(|over| {
            over.into_failure(|| match waiting {
                Waiting::Client => ClientError::BodyTimeout.into(),
                Waiting::Endpoint => UpstreamError::WriteTimeout.into(),
                Waiting::Response => UpstreamError::ReadTimeout.into(),
            })
        })
    }
}

/// Interim responses to one request that are passed on: real ones come once or twice. They have no flow control, so a client that
/// does not read would have the gateway keep all that an endpoint sends.
const INTERIM_LIMIT: u32 = 32;

/// Waits for the head of the final response, or of one that switches protocols, while the request is sent.
///
/// # Errors
/// There will be none.
pub async fn await_head(
    session: &mut Session<'_>,
    exchanged: &mut Exchanged,
    method: &Method,
) -> Result<Box<ResponseParts>, Failure> {
    let Exchanged { upstream, flow, .. } = exchanged;
    let mut interim = 0;
    poll_fn(|context| {
        flow.poll(context, &mut session.client, upstream, &mut session.ctx.exchange)?;
        loop {
            match upstream.poll_head(context, method) {
                Poll::Ready(Ok(head)) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return Poll::Ready(Ok(head));
                }
                Poll::Ready(Ok(head)) if head.status.is_informational() => {
                    interim += 1;
                    if interim <= INTERIM_LIMIT {
                        pass_interim(session, *head);
                        let _ = session.client.poll_flush(context);
                        flow.note_moved();
                    }
                }
                Poll::Ready(result) => return Poll::Ready(result.map_err(Failure::from)),
                Poll::Pending => break,
            }
        }
        flow.poll_over(context, session).map(Err)
    })
    .await
}

/// An interim response of the endpoint, for the client.
fn pass_interim(session: &mut Session<'_>, head: ResponseParts) {
    // The gateway has said 100 itself, once it wanted the body.
    if head.status == StatusCode::CONTINUE {
        return;
    }
    let ResponseParts { status, reason, headers, names } = head;
    session.client.interim(status, &reason, headers, &names);
}

/// Waits until no stage has the exchange.
///
/// # Errors
/// The request is over.
pub async fn settle(session: &mut Session<'_>, exchanged: &mut Exchanged) -> Result<(), Failure> {
    if session.ctx.exchange.is_here() {
        return Ok(());
    }
    let Exchanged { upstream, flow, .. } = exchanged;
    poll_fn(|context| {
        if let Some(filter) = flow.filter.as_mut().filter(|filter| filter.is_busy()) {
            match filter.poll(context, &mut session.ctx.exchange) {
                Poll::Ready(piece) => flow.pass(&piece?, &mut session.client, upstream),
                Poll::Pending => {
                    return session
                        .poll_over(context, None)
                        .map(|over| Err(over.into_failure(|| Failure::DeadlineExceeded)));
                }
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// Passes on a response's body, whose head has been written, and what is left of the request's. `filter`: the stages that want it
/// piece by piece.
///
/// # Errors
/// The response cannot be completed.
pub async fn stream(
    session: &mut Session<'_>,
    mut exchanged: Box<Exchanged>,
    mut filter: Option<Filter>,
) -> Result<(), Failure> {
    let Exchanged { upstream, attempt, flow } = &mut *exchanged;
    let (mut done, mut waits, mut taken) = (false, 0, None);
    let gone = |error: io::Error| Failure::from(ClientError::Disconnected(error));
    poll_fn(|context| {
        flow.poll(context, &mut session.client, upstream, &mut session.ctx.exchange)?;
        let mut moved = false;
        while !done {
            match session.client.poll_room(context) {
                Poll::Ready(room) => room.map_err(gone)?,
                Poll::Pending => break,
            }
            let next = match &mut filter {
                Some(filter) => poll_filtered(context, session, upstream, filter)?,
                None => poll_unfiltered(context, session, upstream)?,
            };
            let Poll::Ready(last) = next else { break };
            moved = true;
            if last {
                let trailers = upstream.take_trailers().filter(|_| session.ctx.takes_trailers);
                session.client.end(trailers);
                done = true;
            }
        }
        match session.client.poll_flush(context) {
            Poll::Ready(Ok(())) if done => return Poll::Ready(Ok(())),
            Poll::Ready(sent) => sent.map_err(gone)?,
            Poll::Pending => {}
        }
        if moved {
            flow.note_moved();
        }
        let unsent = session.client.unsent();
        if unsent == 0 {
            waits = 0;
            if taken.take().is_some() {
                // The endpoint was not asked while the client was waited for.
                flow.note_moved();
            }
            return flow.poll_over(context, session).map(Err);
        }
        // The client is the one to wait for.
        if session.client.is_body_done()
            && let Poll::Ready(error) = session.client.poll_gone(context)
        {
            return Poll::Ready(Err(gone(error)));
        }
        let since = taken.get_or_insert_with(Instant::now);
        if unsent != waits {
            (waits, *since) = (unsent, Instant::now());
        }
        let until = *since + session.pause();
        session.poll_over(context, Some(until)).map(|over| Err(over.into_failure(session::takes_nothing)))
    })
    .await
    .map_err(|failure| blame(attempt, failure))?;
    exchanged.release(session.ctx.end());
    Ok(())
}

/// Moves a piece of a response as it is. True: it has ended.
fn poll_unfiltered(
    context: &mut Context<'_>,
    session: &mut Session<'_>,
    upstream: &mut Upstream,
) -> Result<Poll<bool>, Failure> {
    Ok(match upstream.poll_body(context)? {
        Poll::Ready(Some(count)) => {
            session.client.push(upstream.data(count));
            upstream.consume(count);
            Poll::Ready(false)
        }
        Poll::Ready(None) => Poll::Ready(true),
        Poll::Pending => Poll::Pending,
    })
}

/// Moves one piece of a response through the stages. True: it was the last.
fn poll_filtered(
    context: &mut Context<'_>,
    session: &mut Session<'_>,
    upstream: &mut Upstream,
    filter: &mut Filter,
) -> Result<Poll<bool>, Failure> {
    let slot = &mut session.ctx.exchange;
    if filter.is_busy() {
        let Poll::Ready(piece) = filter.poll(context, slot)? else { return Ok(Poll::Pending) };
        if !piece.bytes.is_empty() {
            session.client.push(&piece.bytes);
        }
        return Ok(Poll::Ready(piece.last));
    }
    // The request's stages have the exchange: it comes back, and with it a wake-up.
    if !slot.is_here() {
        return Ok(Poll::Pending);
    }
    let Poll::Ready(count) = upstream.poll_body(context)? else { return Ok(Poll::Pending) };
    let bytes = Bytes::copy_from_slice(upstream.data(count.unwrap_or(0).min(PIECE_LIMIT)));
    upstream.consume(bytes.len());
    filter.begin(slot.lend()?, bytes, count.is_none());
    Ok(Poll::Ready(false))
}

/// Takes the rest of the request's body off a connection whose client has its answer, as long as it comes: for at most `time` in all, and
/// `pause` without anything. True: its end was reached.
pub async fn drain(client: &mut Downstream<'_>, timer: &mut DeadlineTimer, time: Duration, pause: Duration) -> bool {
    let end = Instant::now() + time;
    let mut until = end.min(Instant::now() + pause);
    poll_fn(|context| {
        loop {
            match client.poll_body(context) {
                Poll::Ready(Ok(Some(count))) => client.consume(count),
                Poll::Ready(Ok(None)) => return Poll::Ready(true),
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return timer.poll_at(context, Some(until)).map(|()| false),
            }
            let now = Instant::now();
            if now >= end {
                return Poll::Ready(false);
            }
            until = end.min(now + pause);
        }
    })
    .await
}
