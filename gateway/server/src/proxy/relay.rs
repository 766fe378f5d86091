//! Moves a request's body to the endpoint and a response to the client, both at once and neither faster than the slower
//! side takes it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use witgate_stage::Exchange;

use crate::proxy::alarm::Alarm;
use crate::proxy::downstream::{ClientError, Downstream};
use crate::proxy::failure::Failure;
use crate::proxy::filter::{Filter, PIECE_LIMIT, Piece};
use crate::proxy::request;
use crate::proxy::upstream::{ResponseParts, Upstream, UpstreamError, WRITE_TIMEOUT};

/// Time limits of a request.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub deadline: Option<Instant>,
    /// Longest pause of a client within a body.
    pub pause: Duration,
}

impl Times {
    /// The earlier of the deadline and a moment.
    pub fn or(self, moment: Option<Instant>) -> Option<Instant> {
        match (self.deadline, moment) {
            (Some(deadline), Some(moment)) => Some(deadline.min(moment)),
            (deadline, moment) => deadline.or(moment),
        }
    }

    pub fn is_late(self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Runs `work` while the client is there and the deadline has not passed.
///
/// # Errors
/// The client is gone, or it is late; `work` is dropped then.
pub async fn bounded<T>(
    downstream: &mut Downstream<'_>,
    alarm: &mut Alarm,
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Poll::Ready(output) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        if let Poll::Ready(error) = downstream.poll_gone(context) {
            return Poll::Ready(Err(ClientError::Gone(error).into()));
        }
        alarm.poll_at(context, deadline).map(|()| Err(Failure::Late))
    })
    .await
}

/// Who the request's body waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Client,
    Endpoint,
}

/// A request's body on its way to the endpoint.
pub struct RequestFlow {
    /// All of it has been handed over, or the endpoint takes no more.
    done: bool,
    broken: bool,
    /// Bytes that the client may still send; none: no limit.
    allowance: Option<u64>,
    limit: u64,
    waiting: Waiting,
    moved: Instant,
    /// The whole body, if it has been held back: what the client sent has been read then.
    held: Option<Bytes>,
    /// Bytes of it that have been handed over.
    passed: usize,
    /// The stages that want the body piece by piece.
    filter: Option<Filter>,
}

impl RequestFlow {
    /// `now`: when the request began.
    pub fn new(limit: Option<u64>, now: Instant) -> Self {
        Self {
            done: false,
            broken: false,
            allowance: limit,
            limit: limit.unwrap_or(u64::MAX),
            waiting: Waiting::Client,
            moved: now,
            held: None,
            passed: 0,
            filter: None,
        }
    }

    /// Sends these bytes, which stages have seen and perhaps changed, instead of what comes from the client.
    pub fn hold(&mut self, body: Bytes) {
        self.held = Some(body);
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
        self.filter = Some(filter);
    }

    /// Nothing has been taken from the client: another endpoint can have it all.
    pub fn is_untouched(&self, downstream: &Downstream<'_>) -> bool {
        self.held.is_some() || downstream.counts().0 == 0
    }

    /// Begins again, for another endpoint.
    pub fn restart(&mut self) {
        (self.done, self.broken, self.passed) = (false, false, 0);
    }

    /// Moves what can be moved. `home`: where the exchange is while no stage has it.
    ///
    /// # Errors
    /// The body cannot be completed.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        downstream: &mut Downstream<'_>,
        upstream: &mut Upstream,
        home: &mut Option<Box<Exchange>>,
    ) -> Result<(), Failure> {
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
            match self.poll_piece(context, downstream, upstream, home)? {
                Poll::Ready(()) => moved = true,
                Poll::Pending => {
                    self.waiting = Waiting::Client;
                    break;
                }
            }
        }
        if !self.broken && matches!(upstream.poll_flush(context), Poll::Ready(Err(_))) {
            self.broken = true;
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
        home: &mut Option<Box<Exchange>>,
    ) -> Result<Poll<()>, Failure> {
        if let Some(held) = &self.held {
            let piece = held.slice(self.passed..held.len().min(self.passed + PIECE_LIMIT));
            self.passed += piece.len();
            upstream.push(&piece);
            if self.passed == held.len() {
                upstream.end(downstream.take_trailers());
                self.done = true;
            }
            return Ok(Poll::Ready(()));
        }
        if let Some(filter) = self.filter.as_mut().filter(|filter| filter.is_busy()) {
            let Poll::Ready(piece) = filter.poll(context, home)? else { return Ok(Poll::Pending) };
            self.pass(&piece, downstream, upstream);
            return Ok(Poll::Ready(()));
        }
        // The other direction's stages have the exchange: it comes back, and with it a wake-up.
        if self.filter.is_some() && home.is_none() {
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
            (None, None) => {
                upstream.end(downstream.take_trailers());
                self.done = true;
            }
            (Some(filter), count) => {
                let bytes = Bytes::copy_from_slice(downstream.data(count.unwrap_or(0)));
                downstream.consume(bytes.len());
                if let Some(exchange) = home.take() {
                    filter.begin(exchange, bytes, count.is_none());
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Hands over what stages made of a piece.
    fn pass(&mut self, piece: &Piece, downstream: &mut Downstream<'_>, upstream: &mut Upstream) {
        upstream.push(&piece.bytes);
        if piece.last {
            upstream.end(downstream.take_trailers());
            self.done = true;
        }
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

    /// Until when somebody has to move.
    fn patience(&self, pause: Duration) -> Option<Instant> {
        let limit = match self.waiting {
            Waiting::Client => pause,
            Waiting::Endpoint => WRITE_TIMEOUT,
        };
        (!self.done && !self.broken).then(|| self.moved + limit)
    }

    /// Ready once nothing is left to wait for: the client is gone, the request is late, or nobody has moved for too long.
    pub fn poll_over(
        &self,
        context: &mut Context<'_>,
        downstream: &mut Downstream<'_>,
        alarm: &mut Alarm,
        times: Times,
    ) -> Poll<Failure> {
        if downstream.is_body_done()
            && let Poll::Ready(error) = downstream.poll_gone(context)
        {
            return Poll::Ready(ClientError::Gone(error).into());
        }
        alarm.poll_at(context, times.or(self.patience(times.pause))).map(|()| match self.waiting {
            _ if times.is_late() => Failure::Late,
            Waiting::Client => ClientError::Silent.into(),
            Waiting::Endpoint => UpstreamError::Stuck.into(),
        })
    }
}

/// Sends the request and waits for the head of the final response, or of one that switches protocols.
///
/// # Errors
/// There will be none.
pub async fn await_head(
    downstream: &mut Downstream<'_>,
    upstream: &mut Upstream,
    flow: &mut RequestFlow,
    alarm: &mut Alarm,
    (method, home, times): (&Method, &mut Option<Box<Exchange>>, Times),
) -> Result<ResponseParts, Failure> {
    poll_fn(|context| {
        flow.poll(context, downstream, upstream, home)?;
        loop {
            match upstream.poll_head(context, method) {
                Poll::Ready(Ok(head)) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return Poll::Ready(Ok(head));
                }
                Poll::Ready(Ok(head)) if head.status.is_informational() => {
                    // The gateway has said 100 itself, once it wanted the body.
                    if let (Downstream::Http1(client), false) = (&mut *downstream, head.status == StatusCode::CONTINUE)
                    {
                        client.interim(head.status, &head.reason, (&head.headers, &head.names));
                        let _ = client.wire.poll_flush(context);
                    }
                }
                Poll::Ready(result) => return Poll::Ready(result.map_err(Failure::from)),
                Poll::Pending => break,
            }
        }
        flow.poll_over(context, downstream, alarm, times).map(Err)
    })
    .await
}

/// Waits until no stage has the exchange.
///
/// # Errors
/// The request is over.
pub async fn settle(
    downstream: &mut Downstream<'_>,
    upstream: &mut Upstream,
    flow: &mut RequestFlow,
    alarm: &mut Alarm,
    (home, times): (&mut Option<Box<Exchange>>, Times),
) -> Result<(), Failure> {
    if home.is_some() {
        return Ok(());
    }
    poll_fn(|context| {
        if let Some(filter) = flow.filter.as_mut().filter(|filter| filter.is_busy()) {
            match filter.poll(context, home) {
                Poll::Ready(piece) => flow.pass(&piece?, downstream, upstream),
                Poll::Pending => return alarm.poll_at(context, times.deadline).map(|()| Err(Failure::Late)),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// How a response's body is passed on.
pub struct PassOn<'p> {
    /// Where the exchange is while no stage has it.
    pub home: &'p mut Option<Box<Exchange>>,
    /// The stages that want the body piece by piece.
    pub filter: Option<Filter>,
    pub times: Times,
    /// Fields behind the body go on, too.
    pub trailers: bool,
}

/// Passes the response's body on, whose head has been written, and what is left of the request's.
///
/// # Errors
/// The response cannot be completed.
pub async fn stream(
    downstream: &mut Downstream<'_>,
    upstream: &mut Upstream,
    flow: &mut RequestFlow,
    alarm: &mut Alarm,
    PassOn { home, filter, times, trailers }: PassOn<'_>,
) -> Result<(), Failure> {
    let (mut done, mut waits, mut moved) = (false, 0, None);
    let gone = |error: io::Error| Failure::from(ClientError::Gone(error));
    let mut filter = filter;
    poll_fn(|context| {
        flow.poll(context, downstream, upstream, home)?;
        while !done {
            match downstream.poll_room(context) {
                Poll::Ready(room) => room.map_err(gone)?,
                Poll::Pending => break,
            }
            if let Some(filter) = &mut filter {
                match poll_filtered(context, downstream, upstream, (filter, home))? {
                    Poll::Ready(false) => continue,
                    Poll::Ready(true) => {
                        downstream.end(upstream.take_trailers().filter(|_| trailers));
                        done = true;
                    }
                    Poll::Pending => {}
                }
                break;
            }
            match upstream.poll_body(context) {
                Poll::Ready(Ok(Some(count))) => {
                    downstream.push(upstream.data(count));
                    upstream.consume(count);
                }
                Poll::Ready(Ok(None)) => {
                    downstream.end(upstream.take_trailers().filter(|_| trailers));
                    done = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => break,
            }
        }
        match downstream.poll_flush(context) {
            Poll::Ready(Ok(())) if done => return Poll::Ready(Ok(())),
            Poll::Ready(sent) => sent.map_err(gone)?,
            Poll::Pending => {}
        }
        if downstream.is_body_done()
            && let Poll::Ready(error) = downstream.poll_gone(context)
        {
            return Poll::Ready(Err(gone(error)));
        }
        let unsent = downstream.unsent();
        let since = moved.get_or_insert_with(Instant::now);
        if unsent != waits {
            (waits, *since) = (unsent, Instant::now());
        }
        let patience = (unsent > 0).then(|| *since + times.pause).or_else(|| flow.patience(times.pause));
        alarm
            .poll_at(context, times.or(patience))
            .map(|()| Err(if times.is_late() { Failure::Late } else { gone(io::ErrorKind::TimedOut.into()) }))
    })
    .await
}

/// Moves one piece of a response through the stages. True: it was the last.
fn poll_filtered(
    context: &mut Context<'_>,
    downstream: &mut Downstream<'_>,
    upstream: &mut Upstream,
    (filter, home): (&mut Filter, &mut Option<Box<Exchange>>),
) -> Result<Poll<bool>, Failure> {
    if filter.is_busy() {
        let Poll::Ready(piece) = filter.poll(context, home)? else { return Ok(Poll::Pending) };
        if !piece.bytes.is_empty() {
            downstream.push(&piece.bytes);
        }
        return Ok(Poll::Ready(piece.last));
    }
    // The request's stages have the exchange: it comes back, and with it a wake-up.
    if home.is_none() {
        return Ok(Poll::Pending);
    }
    let Poll::Ready(count) = upstream.poll_body(context)? else { return Ok(Poll::Pending) };
    let bytes = Bytes::copy_from_slice(upstream.data(count.unwrap_or(0).min(PIECE_LIMIT)));
    upstream.consume(bytes.len());
    if let Some(exchange) = home.take() {
        filter.begin(exchange, bytes, count.is_none());
    }
    Ok(Poll::Ready(false))
}

/// Sends what has been written to the client.
///
/// # Errors
/// It is gone, or takes nothing for too long.
pub async fn flush(downstream: &mut Downstream<'_>, alarm: &mut Alarm, pause: Duration) -> Result<(), Failure> {
    let (mut waits, mut moved) = (0, None);
    poll_fn(|context| {
        if let Poll::Ready(sent) = downstream.poll_flush(context) {
            return Poll::Ready(sent.map_err(|error| ClientError::Gone(error).into()));
        }
        let unsent = downstream.unsent();
        let moved = moved.get_or_insert_with(Instant::now);
        if unsent != waits {
            (waits, *moved) = (unsent, Instant::now());
        }
        alarm
            .poll_at(context, Some(*moved + pause))
            .map(|()| Err(ClientError::Gone(io::ErrorKind::TimedOut.into()).into()))
    })
    .await
}

/// Takes the rest of the request's body off the connection, for at most `time`. True: its end was reached.
pub async fn drain(downstream: &mut Downstream<'_>, alarm: &mut Alarm, time: Duration) -> bool {
    let until = Instant::now() + time;
    poll_fn(|context| {
        loop {
            match downstream.poll_body(context) {
                Poll::Ready(Ok(Some(count))) => downstream.consume(count),
                Poll::Ready(Ok(None)) => return Poll::Ready(true),
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return alarm.poll_at(context, Some(until)).map(|()| false),
            }
            if Instant::now() >= until {
                return Poll::Ready(false);
            }
        }
    })
    .await
}
