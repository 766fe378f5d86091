//! Takes one request through the hooks of the plugin, as the proxy would.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use witgate_plugin_host::Simulation;
use witgate_stage::{
    Attributes, BodyDesk, BodyMode, Client, Ended, ErrorCode, Exchange, Hook, Observer, Outcome, Pipeline, RequestHead,
    ResponseHead, StageError, Usage, Verdict as StageVerdict,
};

use super::content::Fields;
use super::expect::Verdict;
use super::file::{Case, Pieces};
use super::world::World;
use crate::{CommandError, Statuses};

/// What the proxy hands to a body hook at most.
const PIECE_LIMIT: usize = 64 * 1024;

/// What came of one run of a case.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) verdict: Verdict,
    /// The hook that decided, if not to continue.
    pub(crate) hook: Option<Hook>,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) message: Option<String>,
    /// Label of the kind.
    pub(crate) failure: Option<&'static str>,
    /// The request as it came, and as the plugin left it; none if no upstream got it.
    pub(crate) upstream: Option<(RequestHead, RequestHead, Bytes)>,
    /// The response as it came, if it did, and as the client gets it; none if there is none.
    pub(crate) client: Option<(Option<ResponseHead>, ResponseHead, Bytes)>,
    /// What the plugin set of a response that never came.
    pub(crate) response_to_come: HeaderMap,
    pub(crate) attributes: Attributes,
    /// Of all hooks together.
    pub(crate) time: Duration,
    /// Bytes, as the hook with most of them has told.
    pub(crate) memory: usize,
}

/// A case with its files read.
pub(crate) struct Prepared {
    request: RequestHead,
    body: Option<Bytes>,
    response: Option<(ResponseHead, Option<Bytes>)>,
    pub(crate) random: Bytes,
}

impl Prepared {
    pub(crate) fn new(case: &Case, folder: &Path) -> Result<Self, String> {
        let load = |body: &Option<super::content::Content>| {
            body.as_ref().map(|body| body.load(folder)).transpose().map_err(|error| error.to_string())
        };
        let request = &case.request;
        let method = Method::from_bytes(request.method.as_bytes());
        let path: Result<PathAndQuery, _> = request.path.parse();
        let head = RequestHead {
            method: method.map_err(|_| format!("request.method: {:?} is no method", request.method))?,
            path: path.ok().filter(|_| request.path.starts_with('/')).ok_or_else(|| {
                format!("request.path: expected a path and query that begin with a slash, got {:?}", request.path)
            })?,
            headers: header_map(&request.headers),
        };
        let response = case.response.as_ref().map(|response| {
            let status = StatusCode::from_u16(response.status)
                .map_err(|_| format!("response.status: expected 100 to 999, got {}", response.status))?;
            let head = ResponseHead { status, headers: header_map(&response.headers) };
            Ok::<_, String>((head, load(&response.body)?))
        });
        Ok(Self {
            request: head,
            body: load(&request.body)?,
            response: response.transpose()?,
            random: load(&case.random)?.unwrap_or_default(),
        })
    }
}

/// Values were checked when the file was read.
pub(super) fn header_map(fields: &Fields) -> HeaderMap {
    let pairs = fields.0.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    pairs.filter_map(|(name, value)| Some((name.clone(), HeaderValue::try_from(value.as_str()).ok()?))).collect()
}

/// Cuts bodies for plugins that want them in pieces.
pub(crate) struct Knife {
    pub(crate) pieces: Pieces,
    pub(crate) random: fastrand::Rng,
}

impl Knife {
    /// The pieces of a body, of which the last may be empty: a proxy often learns of the end after the last byte.
    fn cut(&mut self, mut body: Bytes) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while !body.is_empty() {
            let most = body.len().min(PIECE_LIMIT);
            let length = match self.pieces {
                Pieces::Whole => most,
                // Small ones as often as large ones: boundaries between two bytes that belong together are what breaks.
                Pieces::Random if self.random.bool() => self.random.usize(1..=most.min(16)),
                Pieces::Random => self.random.usize(1..=most),
            };
            pieces.push(body.split_to(length));
        }
        if pieces.is_empty() || (self.pieces == Pieces::Random && self.random.bool()) {
            pieces.push(Bytes::new());
        }
        pieces
    }
}

#[derive(Default)]
struct Stopwatch(Mutex<(Duration, usize)>);

impl Observer for Stopwatch {
    fn stage_ran(&self, _: usize, _: Hook, (elapsed, usage): (Duration, &Usage), _: &Result<StageVerdict, StageError>) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *figures = (figures.0 + elapsed, figures.1.max(usage.memory));
    }
}

/// A run in progress.
struct Drive<'a> {
    pipeline: &'a Pipeline,
    stopwatch: Stopwatch,
    exchange: Box<Exchange>,
}

pub(crate) async fn run(
    world: &World,
    (case, prepared): (&Case, &Prepared),
    knife: &mut Knife,
    statuses: Statuses,
) -> Result<Observed, CommandError> {
    let started = world.simulated.elapsed();
    let (pipeline, stopwatch) = (&world.pipeline, Stopwatch::default());
    let mut drive = Drive { pipeline, stopwatch, exchange: exchange(case, prepared) };
    let before = prepared.request.clone();
    let (mut upstream, mut client, mut sent) = (None, None, Bytes::new());
    let stopped = match drive.request(prepared, knife, &mut sent).await {
        Ok(()) => {
            upstream = Some((before, drive.exchange.request.clone(), sent));
            match &prepared.response {
                Some((head, body)) => {
                    let after = case.response.as_ref().and_then(|response| response.after);
                    world.simulated.advance(after.map_or(Duration::ZERO, |time| time.0));
                    let mut received = Bytes::new();
                    match drive.response((head, body), knife, &mut received).await {
                        Ok(()) => {
                            let after = drive.exchange.response.clone().unwrap_or_else(|| head.clone());
                            client = Some((Some(head.clone()), after, received));
                            None
                        }
                        Err(stopped) => Some(stopped),
                    }
                }
                None => None,
            }
        }
        Err(stopped) => Some(stopped),
    };
    let mut observed = Observed {
        verdict: Verdict::Continue,
        hook: None,
        code: None,
        message: None,
        failure: None,
        upstream,
        client,
        response_to_come: HeaderMap::new(),
        attributes: Attributes::default(),
        time: Duration::ZERO,
        memory: 0,
    };
    if let Some((hook, outcome)) = stopped {
        let is_own = !hook.is_response() && !matches!(outcome, Outcome::Failed { .. });
        observed.stop(hook, outcome, statuses);
        if let Some((_, head, _)) = &mut observed.client {
            drive.exchange.response_edits.apply_beneath(&mut head.headers);
        }
        if is_own && pipeline.filtering(0) > 0 {
            drive.filter_own_answer(&mut observed, knife, statuses).await;
        }
    }
    if observed.client.is_none() {
        drive.exchange.response_edits.apply_to(&mut observed.response_to_come);
    }
    let duration = world.simulated.elapsed().saturating_sub(started);
    drive.log(&mut observed, prepared, duration).await;
    observed.attributes = drive.exchange.attributes.clone();
    (observed.time, observed.memory) = *drive.stopwatch.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(observed)
}

fn exchange(case: &Case, prepared: &Prepared) -> Box<Exchange> {
    let request = &case.request;
    let client = Client { address: request.client.0, local: ([127, 0, 0, 1], 80).into(), tls: request.tls, sni: None };
    let (id, route) = (request.id.as_str().into(), request.route.as_str().into());
    let mut exchange = Box::new(Exchange::new(prepared.request.clone(), id, route, client));
    exchange.end_of_stream = false;
    exchange.authority = Some(request.authority.as_str().into());
    exchange
}

type Stopped = (Hook, Outcome);

impl Drive<'_> {
    async fn hook(&mut self, hook: Hook) -> Result<(), Stopped> {
        // Only the end of a request may lose its exchange, so there is always one to put back.
        let path = PathAndQuery::from_static("/");
        let nothing = RequestHead { method: Method::GET, path, headers: HeaderMap::new() };
        let client = self.exchange.client.clone();
        let placeholder = Box::new(Exchange::new(nothing, "".into(), "".into(), client));
        let exchange = std::mem::replace(&mut self.exchange, placeholder);
        let (exchange, outcome) = self.pipeline.run(hook, exchange, &self.stopwatch).await;
        self.exchange = exchange;
        if matches!(outcome, Outcome::Continue) { Ok(()) } else { Err((hook, outcome)) }
    }

    async fn request(&mut self, case: &Prepared, knife: &mut Knife, sent: &mut Bytes) -> Result<(), Stopped> {
        self.exchange.end_of_stream = case.body.is_none();
        // A script asks for the body while its first hook runs, and may put another in its place.
        let desk = case.body.as_ref().filter(|_| self.pipeline.may_ask_for_body()).map(|body| {
            let desk = Arc::new(BodyDesk::default());
            desk.give(body.clone());
            desk
        });
        self.exchange.desk = desk.clone();
        let passed = self.hook(Hook::RequestHeaders).await;
        self.exchange.desk = None;
        passed?;
        let Some(body) = &case.body else { return Ok(()) };
        let body = desk.and_then(|desk| desk.body()).unwrap_or_else(|| body.clone());
        *sent = self.body(Hook::RequestBody, body, knife).await?;
        Ok(())
    }

    async fn response(
        &mut self,
        (head, body): (&ResponseHead, &Option<Bytes>),
        knife: &mut Knife,
        received: &mut Bytes,
    ) -> Result<(), Stopped> {
        self.exchange.answered(head.clone(), false);
        self.exchange.end_of_stream = body.is_none();
        // Of the response nothing has been sent, whatever has been of the request.
        self.exchange.heads_sent = false;
        self.hook(Hook::ResponseHeaders).await?;
        let Some(body) = body else { return Ok(()) };
        *received = self.body(Hook::ResponseBody, body.clone(), knife).await?;
        Ok(())
    }

    /// Has a stage's response hooks see what its request hook has answered.
    async fn filter_own_answer(&mut self, observed: &mut Observed, knife: &mut Knife, statuses: Statuses) {
        let Some((_, head, body)) = observed.client.take() else { return };
        self.exchange.response = Some(head);
        self.exchange.end_of_stream = body.is_empty();
        self.exchange.heads_sent = false;
        let filtered = match self.hook(Hook::ResponseHeaders).await {
            Ok(()) if body.is_empty() => Ok(body),
            Ok(()) => self.body(Hook::ResponseBody, body, knife).await,
            Err(stopped) => Err(stopped),
        };
        match (filtered, self.exchange.response.take()) {
            (Ok(body), Some(head)) => observed.client = Some((None, head, body)),
            (Ok(_), None) => {}
            (Err((hook, outcome)), _) => observed.stop(hook, outcome, statuses),
        }
    }

    /// Gives a body to its hook, whole or in pieces as the plugin wants it; what is left of it.
    async fn body(&mut self, hook: Hook, body: Bytes, knife: &mut Knife) -> Result<Bytes, Stopped> {
        let (pieces, heads_sent) = match self.pipeline.body_mode(hook) {
            BodyMode::None => return Ok(body),
            BodyMode::Buffered => (vec![body], false),
            BodyMode::Watched | BodyMode::Chunks => (knife.cut(body), true),
        };
        let mut passed_on = BytesMut::new();
        let last = pieces.len().saturating_sub(1);
        for (at, piece) in pieces.into_iter().enumerate() {
            self.exchange.body = piece;
            self.exchange.end_of_stream = at == last;
            self.exchange.heads_sent = heads_sent;
            self.hook(hook).await?;
            passed_on.extend_from_slice(&std::mem::take(&mut self.exchange.body));
        }
        Ok(passed_on.freeze())
    }

    /// Tells the plugin how the request ended. A failure there is the case's only if nothing failed before.
    async fn log(&mut self, observed: &mut Observed, case: &Prepared, duration: Duration) {
        if !self.pipeline.has(Hook::Log) {
            return;
        }
        let answered = observed.verdict != Verdict::Continue;
        self.exchange.heads_sent = true;
        self.exchange.end_of_stream = true;
        self.exchange.ended = Some(Ended {
            status: observed.client.as_ref().map(|(_, head, _)| head.status),
            code: observed.code.map(ErrorCode::label),
            stage: answered.then(|| self.pipeline.steps().first().map(|step| step.stage.name().to_owned())).flatten(),
            duration,
            bytes_in: case.body.as_ref().map_or(0, |body| body.len() as u64),
            bytes_out: observed.client.as_ref().map_or(0, |(_, _, body)| body.len() as u64),
        });
        if let Err((hook, Outcome::Failed { error, .. })) = self.hook(Hook::Log).await
            && observed.verdict == Verdict::Continue
        {
            observed.verdict = Verdict::Fail;
            observed.hook = Some(hook);
            observed.failure = Some(error.kind.label());
            observed.message = Some(error.source.to_string());
        }
    }
}

impl Observed {
    fn stop(&mut self, hook: Hook, outcome: Outcome, statuses: Statuses) {
        self.hook = Some(hook);
        let head = |status, headers| ResponseHead { status, headers };
        match outcome {
            Outcome::Continue => {}
            Outcome::Respond { response, .. } => {
                self.verdict = Verdict::Respond;
                self.client = Some((None, head(response.status, response.headers), response.body));
            }
            Outcome::Refuse { refusal, .. } => {
                self.verdict = Verdict::Refuse;
                self.code = Some(refusal.code);
                let mut headers = refusal.headers;
                if let Some(wait) = refusal.retry_after {
                    // In whole seconds, rounded up, as the gateway writes it.
                    let seconds = u64::try_from(wait.as_millis().div_ceil(1000).max(1)).unwrap_or(u64::MAX);
                    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
                }
                self.message = Some(refusal.message);
                self.client = Some((None, head((statuses.refusal)(refusal.code), headers), Bytes::new()));
            }
            Outcome::Failed { error, .. } => {
                self.verdict = Verdict::Fail;
                self.failure = Some(error.kind.label());
                self.message = Some(error.source.to_string());
                self.client = Some((None, head(statuses.failure, HeaderMap::new()), Bytes::new()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_to_the_body_and_are_the_same_for_the_same_seed() {
        let body = Bytes::from(vec![7; 200_000]);
        for seed in 0..50 {
            let cut = || Knife { pieces: Pieces::Random, random: fastrand::Rng::with_seed(seed) }.cut(body.clone());
            let pieces = cut();
            assert_eq!(pieces.concat(), body);
            assert!(pieces.iter().all(|piece| piece.len() <= PIECE_LIMIT) && pieces.len() > 2);
            assert!(pieces.iter().rev().skip(1).all(|piece| !piece.is_empty()), "only the last may be empty");
            assert_eq!(pieces, cut());
        }
        let mut whole = Knife { pieces: Pieces::Whole, random: fastrand::Rng::with_seed(0) };
        assert_eq!(whole.cut(Bytes::from_static(b"abc")), ["abc"]);
        assert_eq!(whole.cut(Bytes::new()), [""], "an empty body has one piece");
    }
}
