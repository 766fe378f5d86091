//! Bodies on their way through the stages of a route.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use witgate_stage::{BodyDesk, BodyMode, Exchange, Hook, Outcome, Progress};

use crate::envelope::{Code, Problem};
use crate::proxy::downstream::ClientError;
use crate::proxy::failure::Failure;
use crate::proxy::relay::{self, Exchanged, RequestFlow};
use crate::proxy::session::Session;
use crate::proxy::slot::Slot;
use crate::snapshot::Route;

/// Most bytes that one call of a hook gets of a body that is passed on piece by piece.
pub const PIECE_LIMIT: usize = 64 * 1024;

type Running = Pin<Box<dyn Future<Output = (Box<Exchange>, Outcome)> + Send>>;

/// Runs a body hook of a route's stages, one piece after the other.
pub struct Filter {
    route: Arc<Route>,
    hook: Hook,
    /// Steps that see it, from the first on.
    count: usize,
    /// They only look on.
    watched: bool,
    /// The piece that is with them, if they only look on.
    piece: Bytes,
    running: Option<Running>,
}

/// What stages have made of a piece.
pub struct Piece {
    pub bytes: Bytes,
    pub last: bool,
}

impl Filter {
    /// Of the first `count` steps, which want the body in this way.
    pub fn new(route: &Arc<Route>, hook: Hook, count: usize, mode: BodyMode) -> Self {
        let watched = mode == BodyMode::Watched;
        Self { route: Arc::clone(route), hook, count, watched, piece: Bytes::new(), running: None }
    }

    /// Whether a piece is with the stages.
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Hands a piece to the stages. The exchange has to be there, and no other piece with them.
    pub fn begin(&mut self, mut exchange: Box<Exchange>, bytes: Bytes, last: bool) {
        if self.watched {
            self.piece = bytes.clone();
        }
        exchange.body = bytes;
        exchange.end_of_stream = last;
        exchange.heads_sent = true;
        let (route, hook, count) = (Arc::clone(&self.route), self.hook, self.count);
        self.running = Some(Box::pin(async move {
            match route.pipeline.begin_among(hook, count, exchange, &*route) {
                Progress::Ended(exchange, outcome) => (exchange, outcome),
                Progress::Waits(run) => run.await,
            }
        }));
    }

    /// Ready with what became of the piece; puts the exchange into its slot.
    pub fn poll(&mut self, context: &mut Context<'_>, slot: &mut Slot) -> Poll<Result<Piece, Failure>> {
        let Some(running) = &mut self.running else { return Poll::Pending };
        let (mut exchange, outcome) = ready!(running.as_mut().poll(context));
        self.running = None;
        let staged = std::mem::take(&mut exchange.body);
        let bytes = if self.watched { std::mem::take(&mut self.piece) } else { staged };
        let piece = Piece { bytes, last: exchange.end_of_stream };
        slot.put(exchange);
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
pub async fn hold_request(session: &mut Session<'_>, flow: &mut RequestFlow, limit: usize) -> Result<Bytes, Failure> {
    let (mut held, mut moved) = (BytesMut::new(), Instant::now());
    poll_fn(|context| {
        loop {
            match session.client.poll_body(context)? {
                Poll::Ready(Some(count)) => {
                    flow.spend(count)?;
                    if held.len() + count > limit {
                        let message =
                            format!("The request body exceeds the {limit} bytes that this route can hold back.");
                        return Poll::Ready(Err(Problem::new(Code::PayloadTooLarge, message).into()));
                    }
                    held.extend_from_slice(session.client.data(count));
                    session.client.consume(count);
                    moved = Instant::now();
                }
                Poll::Ready(None) => {
                    flow.hold_trailers(session.client.take_trailers());
                    return Poll::Ready(Ok(std::mem::take(&mut held).freeze()));
                }
                Poll::Pending => break,
            }
        }
        let until = moved + session.pause();
        session.poll_over(context, Some(until)).map(|over| Err(over.into_failure(|| ClientError::BodyTimeout.into())))
    })
    .await
}

/// Runs stages that may ask for the request's body, and reads it, of at most `limit` bytes, when they do.
///
/// # Errors
/// The body is too long, malformed, or does not come; the client is gone, or it is late.
pub async fn serve_desk<T>(
    session: &mut Session<'_>,
    flow: &mut RequestFlow,
    limit: usize,
    (desk, run): (&BodyDesk, impl Future<Output = T>),
) -> Result<T, Failure> {
    let mut run = pin!(run);
    loop {
        let asked = session.bounded(poll_fn(|context| match run.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if desk.is_asked() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }));
        match asked.await? {
            Some(output) => return Ok(output),
            None => desk.give(hold_request(session, flow, limit).await?),
        }
    }
}

/// Reads the whole body of a response, of at most `limit` bytes, while the rest of the request goes on.
///
/// # Errors
/// It is too long or breaks off, or the client is gone.
pub async fn hold_response(
    session: &mut Session<'_>,
    exchanged: &mut Exchanged,
    limit: usize,
) -> Result<Bytes, Failure> {
    let mut held = BytesMut::new();
    let Exchanged { upstream, attempt, flow } = exchanged;
    poll_fn(|context| {
        flow.poll(context, &mut session.client, upstream, &mut session.ctx.exchange)?;
        let before = held.len();
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
        if held.len() > before {
            flow.note_moved();
        }
        flow.poll_over(context, session).map(Err)
    })
    .await
    .map_err(|failure| relay::blame(attempt, failure))
}
