//! Bodies on their way through the stages of a route.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use witgate_stage::{BodyDesk, BodyMode, Exchange, Hook, Outcome};

use crate::envelope::{Code, Problem};
use crate::proxy::alarm::Alarm;
use crate::proxy::downstream::{ClientError, Downstream};
use crate::proxy::failure::Failure;
use crate::proxy::relay::{RequestFlow, Times};
use crate::proxy::upstream::Upstream;
use crate::snapshot::Route;

/// Most bytes that one call of a hook gets of a body that is passed on piece by piece.
pub const PIECE_LIMIT: usize = 64 * 1024;

type Running = Pin<Box<dyn Future<Output = (Box<Exchange>, Outcome)> + Send>>;

/// Runs a body hook of a route's stages, one piece after the other.
pub struct Filter {
    route: Arc<Route>,
    hook: Hook,
    running: Option<Running>,
}

/// What stages have made of a piece.
pub struct Piece {
    pub bytes: Bytes,
    pub last: bool,
}

impl Filter {
    /// None: no stage wants the body piece by piece.
    pub fn new(route: &Arc<Route>, hook: Hook) -> Option<Self> {
        let wanted = route.pipeline.body_mode(hook) == BodyMode::Chunks;
        wanted.then(|| Self { route: Arc::clone(route), hook, running: None })
    }

    /// Whether a piece is with the stages.
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Hands a piece to the stages. The exchange has to be there, and no other piece with them.
    pub fn begin(&mut self, mut exchange: Box<Exchange>, bytes: Bytes, last: bool) {
        exchange.body = bytes;
        exchange.end_of_stream = last;
        exchange.heads_sent = true;
        let (route, hook) = (Arc::clone(&self.route), self.hook);
        self.running = Some(Box::pin(async move { route.pipeline.run(hook, exchange, &*route).await }));
    }

    /// Ready with what became of the piece; puts the exchange back.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        home: &mut Option<Box<Exchange>>,
    ) -> Poll<Result<Piece, Failure>> {
        let Some(running) = &mut self.running else { return Poll::Pending };
        let (mut exchange, outcome) = ready!(running.as_mut().poll(context));
        self.running = None;
        let piece = Piece { bytes: std::mem::take(&mut exchange.body), last: exchange.end_of_stream };
        *home = Some(exchange);
        // The other direction may wait for the exchange.
        context.waker().wake_by_ref();
        Poll::Ready(if matches!(outcome, Outcome::Continue) {
            Ok(piece)
        } else {
            Err(Failure::Stopped(Box::new(outcome)))
        })
    }
}

/// Reads the whole body of a request, of at most `limit` bytes.
///
/// # Errors
/// It is too long, malformed, or does not come.
pub async fn hold_request(
    downstream: &mut Downstream<'_>,
    flow: &mut RequestFlow,
    alarm: &mut Alarm,
    (times, limit): (Times, usize),
) -> Result<Bytes, Failure> {
    let (mut held, mut moved) = (BytesMut::new(), Instant::now());
    poll_fn(|context| {
        loop {
            match downstream.poll_body(context)? {
                Poll::Ready(Some(count)) => {
                    flow.spend(count)?;
                    if held.len() + count > limit {
                        let message =
                            format!("The request body exceeds the {limit} bytes that this route can hold back.");
                        return Poll::Ready(Err(Problem::new(Code::PayloadTooLarge, message).into()));
                    }
                    held.extend_from_slice(downstream.data(count));
                    downstream.consume(count);
                    moved = Instant::now();
                }
                Poll::Ready(None) => return Poll::Ready(Ok(std::mem::take(&mut held).freeze())),
                Poll::Pending => break,
            }
        }
        alarm
            .poll_at(context, times.or(Some(moved + times.pause)))
            .map(|()| Err(if times.is_late() { Failure::Late } else { ClientError::Silent.into() }))
    })
    .await
}

/// Runs stages that may ask for the request's body, and reads it, of at most `limit` bytes, when they do.
///
/// # Errors
/// The body is too long, malformed, or does not come; the client is gone, or it is late.
pub async fn serve_desk<T>(
    downstream: &mut Downstream<'_>,
    flow: &mut RequestFlow,
    alarm: &mut Alarm,
    (times, limit): (Times, usize),
    (desk, run): (&BodyDesk, impl Future<Output = T>),
) -> Result<T, Failure> {
    let mut run = pin!(run);
    loop {
        let asked = poll_fn(|context| {
            if let Poll::Ready(output) = run.as_mut().poll(context) {
                return Poll::Ready(Ok(Some(output)));
            }
            if desk.is_asked() {
                return Poll::Ready(Ok(None));
            }
            if let Poll::Ready(error) = downstream.poll_gone(context) {
                return Poll::Ready(Err(ClientError::Gone(error).into()));
            }
            alarm.poll_at(context, times.deadline).map(|()| Err(Failure::Late))
        });
        match asked.await? {
            Some(output) => return Ok(output),
            None => desk.give(hold_request(downstream, flow, alarm, (times, limit)).await?),
        }
    }
}

/// Reads the whole body of a response, of at most `limit` bytes, while the rest of the request goes on.
///
/// # Errors
/// It is too long or breaks off, or the client is gone.
pub async fn hold_response(
    downstream: &mut Downstream<'_>,
    upstream: &mut Upstream,
    flow: &mut RequestFlow,
    alarm: &mut Alarm,
    (home, times, limit): (&mut Option<Box<Exchange>>, Times, usize),
) -> Result<Bytes, Failure> {
    let mut held = BytesMut::new();
    poll_fn(|context| {
        flow.poll(context, downstream, upstream, home)?;
        loop {
            match upstream.poll_body(context)? {
                Poll::Ready(Some(count)) => {
                    if held.len() + count > limit {
                        let message = "The upstream's response is longer than this route can hold back.";
                        return Poll::Ready(Err(Problem::new(Code::UpstreamInvalid, message).into()));
                    }
                    held.extend_from_slice(upstream.data(count));
                    upstream.consume(count);
                }
                Poll::Ready(None) => return Poll::Ready(Ok(std::mem::take(&mut held).freeze())),
                Poll::Pending => break,
            }
        }
        flow.poll_over(context, downstream, alarm, times).map(Err)
    })
    .await
}
