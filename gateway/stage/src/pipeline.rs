//! The ordered steps of a route.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::{Exchange, FailureKind, Refusal, Response, Run, Stage, StageError, StageFuture, Stopwatch, Usage, Verdict};

/// A point of a request's life at which stages run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// The request's head has arrived; no upstream has been contacted.
    RequestHeaders,
    /// A piece of the request's body, or all of it, has arrived.
    RequestBody,
    /// The head of the upstream's response has arrived.
    ResponseHeaders,
    /// A piece of the response's body, or all of it, has arrived.
    ResponseBody,
    /// The request has ended.
    Log,
}

/// How a stage wants a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum BodyMode {
    /// Not at all.
    #[default]
    None,
    /// Piece by piece, as it passes by: nothing that the stage does changes it.
    Watched,
    /// Piece by piece, as it arrives.
    Chunks,
    /// Whole, before the head is sent.
    Buffered,
}

impl Hook {
    pub const ALL: [Self; 5] =
        [Self::RequestHeaders, Self::RequestBody, Self::ResponseHeaders, Self::ResponseBody, Self::Log];

    /// Whether it is about the response, whose head its edits change.
    pub fn is_response(self) -> bool {
        matches!(self, Self::ResponseHeaders | Self::ResponseBody)
    }

    /// Label in metrics and logs: the name of the WIT interface.
    pub fn label(self) -> &'static str {
        match self {
            Self::RequestHeaders => "on-request-headers",
            Self::RequestBody => "on-request-body",
            Self::ResponseHeaders => "on-response-headers",
            Self::ResponseBody => "on-response-body",
            Self::Log => "on-log",
        }
    }
}

/// What a failure of a stage means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Disposition {
    /// The request is refused: fail closed.
    #[default]
    Deny,
    /// The request goes on as if the stage were not there.
    Skip,
    /// The hook is run once more, on the last good version of the stage ([`Step::last_good`]).
    LastGood,
}

/// What each kind of failure of one stage means: explicit settings, not one bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailurePolicy {
    /// The guest crashed, grabbed too much memory, answered with something unusable, or was not called because it had done
    /// so again and again.
    pub on_trap: Disposition,
    /// The guest was stopped at its time limit.
    pub on_timeout: Disposition,
    /// No instance was free.
    pub on_overload: Disposition,
}

impl FailurePolicy {
    pub fn disposition(self, kind: FailureKind) -> Disposition {
        match kind {
            FailureKind::Trap | FailureKind::Limit | FailureKind::InvalidOutput | FailureKind::Breaker => self.on_trap,
            FailureKind::Deadline => self.on_timeout,
            FailureKind::Unavailable => self.on_overload,
        }
    }

    /// Whether a last good version is of any use.
    pub fn wants_last_good(self) -> bool {
        [self.on_trap, self.on_timeout, self.on_overload].contains(&Disposition::LastGood)
    }
}

/// One stage in a pipeline, with its policy.
pub struct Step {
    pub stage: Arc<dyn Stage>,
    pub policy: FailurePolicy,
    /// Runs what failed once more where the policy says [`Disposition::LastGood`]. Whatever goes wrong then, and a hook that
    /// it does not have, is denied: a check that did not happen must not pass for one that did.
    pub last_good: Option<Arc<dyn Stage>>,
}

impl Step {
    /// Without a last good version.
    pub fn new(stage: Arc<dyn Stage>, policy: FailurePolicy) -> Self {
        Self { stage, policy, last_good: None }
    }

    /// Whether there is something to run a hook once more that failed.
    fn has_substitute(&self, hook: Hook, kind: FailureKind) -> bool {
        self.policy.disposition(kind) == Disposition::LastGood
            && self.last_good.as_ref().is_some_and(|stage| stage.has(hook))
    }

    /// How a body is wanted, by either version.
    fn body_mode(&self, hook: Hook) -> BodyMode {
        let last_good = self.last_good.as_ref().filter(|stage| stage.has(hook));
        self.stage.body_mode(hook).max(last_good.map_or(BodyMode::None, |stage| stage.body_mode(hook)))
    }

    fn body_need(&self, hook: Hook, exchange: &Exchange) -> BodyMode {
        let last_good = self.last_good.as_ref().filter(|stage| stage.has(hook));
        let last_good = last_good.map_or(BodyMode::None, |stage| stage.body_need(hook, exchange));
        self.stage.body_need(hook, exchange).max(last_good)
    }
}

/// Sees what every stage did: for metrics and logs.
pub trait Observer: Send + Sync {
    /// `step` is the index of the stage in the route's list. `took`: the time that passed, with making the changes of the
    /// stage before, and what the stage says of it. A hook that is run once more, on a last good version, is seen twice.
    fn stage_ran(&self, step: usize, hook: Hook, took: (Duration, &Usage), result: &Result<Verdict, StageError>);
}

/// How a run through the stages ended.
#[derive(Debug)]
pub enum Outcome {
    /// Every stage let it pass.
    Continue,
    /// This stage answered.
    Respond { step: usize, response: Box<Response> },
    /// This stage refused the request.
    Refuse { step: usize, refusal: Box<Refusal> },
    /// This stage failed and its policy is to deny, or its last good version did not help.
    Failed { step: usize, error: StageError },
}

/// The stages of one route, in the order of its configuration.
#[derive(Default)]
pub struct Pipeline {
    steps: Vec<Step>,
    /// For each hook, the steps that have it in the order in which they run.
    orders: [Vec<usize>; Hook::ALL.len()],
    request_body: BodyMode,
    response_body: BodyMode,
}

impl Pipeline {
    pub fn new(steps: Vec<Step>) -> Self {
        let orders = Hook::ALL.map(|hook| {
            let having = steps.iter().enumerate().filter(|(_, step)| step.stage.has(hook)).map(|(at, _)| at);
            if hook.is_response() { having.rev().collect() } else { having.collect() }
        });
        let mode = |hook| {
            let modes = steps.iter().filter(|step| step.stage.has(hook)).map(|step| step.body_mode(hook));
            modes.max().unwrap_or_default()
        };
        // The first reading of a process takes long: better now than when a request waits.
        let _ = Stopwatch::start();
        let (request_body, response_body) = (mode(Hook::RequestBody), mode(Hook::ResponseBody));
        Self { steps, orders, request_body, response_body }
    }

    /// All stages, in configured order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether any stage has this hook.
    pub fn has(&self, hook: Hook) -> bool {
        !self.order(hook).is_empty()
    }

    /// Whether any of the first `count` steps has this hook.
    pub fn has_among(&self, hook: Hook, count: usize) -> bool {
        self.order(hook).iter().any(|at| *at < count)
    }

    /// How many steps, from the first on, see an answer that this step's stage has made while it looked at the request: those
    /// before it, and itself if it filters its own answers.
    pub fn filtering(&self, step: usize) -> usize {
        let own = self.steps.get(step).is_some_and(|step| step.stage.filters_own_answers());
        if own { step + 1 } else { step }
    }

    /// Whether a stage may ask for the request's body while it looks at the head.
    pub fn may_ask_for_body(&self) -> bool {
        let versions = |step: &Step| {
            step.stage.may_ask_for_body() || step.last_good.as_ref().is_some_and(|s| s.may_ask_for_body())
        };
        self.steps.iter().any(versions)
    }

    /// How the stages together want the body of a body hook: whole if one of them does.
    pub fn body_mode(&self, hook: Hook) -> BodyMode {
        if hook.is_response() { self.response_body } else { self.request_body }
    }

    /// [`Pipeline::body_mode`] for the first `count` steps and the message in hand, which not every stage wants.
    pub fn body_need(&self, hook: Hook, count: usize, exchange: &Exchange) -> BodyMode {
        if self.body_mode(hook) == BodyMode::None {
            return BodyMode::None;
        }
        let steps = self.order(hook).iter().filter(|at| **at < count).filter_map(|at| self.steps.get(*at));
        steps.map(|step| step.body_need(hook, exchange)).max().unwrap_or_default()
    }

    fn order(&self, hook: Hook) -> &[usize] {
        self.orders.get(hook as usize).map(Vec::as_slice).unwrap_or_default()
    }

    /// Runs one hook of every stage that has it: in order for requests, in reverse for responses. Edits are made, and bytes
    /// replaced, after each stage, so the next one sees them. What becomes of the body is in `exchange.body`.
    ///
    /// It has ended when this returns, unless a stage waits: most stages never do, and a future costs more than the rest.
    pub fn begin<'a>(&'a self, hook: Hook, exchange: Box<Exchange>, observer: &'a dyn Observer) -> Progress<'a> {
        self.begin_among(hook, self.steps.len(), exchange, observer)
    }

    /// [`Pipeline::begin`] with the first `count` steps alone: what a response hook does with an answer that a later step, or
    /// nobody, has made.
    pub fn begin_among<'a>(
        &'a self,
        hook: Hook,
        count: usize,
        exchange: Box<Exchange>,
        observer: &'a dyn Observer,
    ) -> Progress<'a> {
        if !self.has(hook) {
            return Progress::Ended(exchange, Outcome::Continue);
        }
        let stopwatch = Stopwatch::start();
        let mut pass = Pass { pipeline: self, hook, observer, count, position: 0, on_last_good: false, stopwatch };
        match pass.advance(exchange) {
            Advance::Ended(exchange, outcome) => Progress::Ended(exchange, outcome),
            Advance::Waits(future) => Progress::Waits(Box::pin(pass.go_on(future))),
        }
    }

    /// [`Pipeline::begin`] to its end.
    pub async fn run(&self, hook: Hook, exchange: Box<Exchange>, observer: &dyn Observer) -> (Box<Exchange>, Outcome) {
        match self.begin(hook, exchange, observer) {
            Progress::Ended(exchange, outcome) => (exchange, outcome),
            Progress::Waits(future) => future.await,
        }
    }
}

/// A run through the stages that was begun.
pub enum Progress<'a> {
    Ended(Box<Exchange>, Outcome),
    /// Gives what `Ended` has.
    Waits(Pin<Box<dyn Future<Output = (Box<Exchange>, Outcome)> + Send + 'a>>),
}

/// Where a run through the stages is.
struct Pass<'a> {
    pipeline: &'a Pipeline,
    hook: Hook,
    observer: &'a dyn Observer,
    /// Steps from this one on have no turn.
    count: usize,
    /// Index into the hook's order of the step whose turn it is.
    position: usize,
    /// That step has failed and has its turn once more, on its last good version.
    on_last_good: bool,
    /// One reading for each turn, for the end of one is the start of the next.
    stopwatch: Stopwatch,
}

enum Advance<'a> {
    Ended(Box<Exchange>, Outcome),
    Waits(StageFuture<'a>),
}

impl<'a> Pass<'a> {
    fn turn(&mut self) -> Option<(usize, &'a Step)> {
        loop {
            let at = *self.pipeline.order(self.hook).get(self.position)?;
            if at < self.count {
                return Some((at, self.pipeline.steps.get(at)?));
            }
            self.position += 1;
        }
    }

    /// Runs stages until one waits or all have run.
    fn advance(&mut self, mut exchange: Box<Exchange>) -> Advance<'a> {
        while let Some((at, step)) = self.turn() {
            exchange.step = at;
            let stage = if self.on_last_good { step.last_good.as_ref().unwrap_or(&step.stage) } else { &step.stage };
            match stage.run(self.hook, exchange) {
                Run::Waits(future) => return Advance::Waits(future),
                Run::Ended(returned, result) => match self.judge(returned, result) {
                    ControlFlow::Continue(returned) => exchange = returned,
                    ControlFlow::Break((exchange, outcome)) => return Advance::Ended(exchange, outcome),
                },
            }
        }
        Advance::Ended(exchange, Outcome::Continue)
    }

    async fn go_on(mut self, mut future: StageFuture<'a>) -> (Box<Exchange>, Outcome) {
        loop {
            let (exchange, result) = future.await;
            let exchange = match self.judge(exchange, result) {
                ControlFlow::Continue(exchange) => exchange,
                ControlFlow::Break(ended) => return ended,
            };
            future = match self.advance(exchange) {
                Advance::Ended(exchange, outcome) => return (exchange, outcome),
                Advance::Waits(future) => future,
            };
        }
    }

    /// Ends a turn: makes the changes that the stage asked for, and says how it goes on.
    fn judge(
        &mut self,
        mut exchange: Box<Exchange>,
        result: Result<Verdict, StageError>,
    ) -> ControlFlow<(Box<Exchange>, Outcome), Box<Exchange>> {
        let Some((step, configured)) = self.turn() else { return ControlFlow::Continue(exchange) };
        let took = (self.stopwatch.lap(), &std::mem::take(&mut exchange.usage));
        self.observer.stage_ran(step, self.hook, took, &result);
        if let Some(accounts) = &mut exchange.accounts {
            accounts.book(step, self.hook, took, result.is_err());
        }
        match result {
            Ok(Verdict::Continue(edits)) => exchange.apply(self.hook, edits),
            Ok(Verdict::Replace(edits, body)) => {
                exchange.apply(self.hook, edits);
                exchange.body = body;
            }
            Ok(Verdict::Respond(response)) => {
                return ControlFlow::Break((exchange, Outcome::Respond { step, response }));
            }
            Ok(Verdict::Refuse(refusal)) => return ControlFlow::Break((exchange, Outcome::Refuse { step, refusal })),
            Err(error) if !self.on_last_good && configured.has_substitute(self.hook, error.kind) => {
                self.on_last_good = true;
                return ControlFlow::Continue(exchange);
            }
            Err(error) if !self.on_last_good && configured.policy.disposition(error.kind) == Disposition::Skip => {}
            Err(error) => return ControlFlow::Break((exchange, Outcome::Failed { step, error })),
        }
        self.position += 1;
        self.on_last_good = false;
        ControlFlow::Continue(exchange)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::uri::PathAndQuery;
    use http::{HeaderMap, Method, StatusCode};

    use super::*;
    use crate::{Client, Edits, ErrorCode, Refusal, RequestHead, ResponseHead, Side};
    use bytes::Bytes;

    fn exchange(response: bool) -> Box<Exchange> {
        let request =
            RequestHead { method: Method::GET, path: PathAndQuery::from_static("/"), headers: HeaderMap::new() };
        let client =
            Client { address: ([127, 0, 0, 1], 1).into(), local: ([127, 0, 0, 1], 80).into(), tls: false, sni: None };
        let mut exchange = Box::new(Exchange::new(request, "id".into(), "route".into(), client));
        exchange.response = response.then(|| ResponseHead { status: StatusCode::OK, headers: HeaderMap::new() });
        exchange
    }

    /// What a stage of these tests does.
    #[derive(Clone, Copy)]
    enum Deed {
        /// Appends its name to `trace`, and continues.
        Trace,
        /// Appends its name to the body.
        Sign,
        Respond,
        Refuse,
        Fail(FailureKind),
    }

    struct Double {
        name: &'static str,
        hooks: &'static [Hook],
        deed: Deed,
        mode: BodyMode,
    }

    impl Stage for Double {
        fn name(&self) -> &str {
            self.name
        }
        fn has(&self, hook: Hook) -> bool {
            self.hooks.contains(&hook)
        }
        fn body_mode(&self, _hook: Hook) -> BodyMode {
            self.mode
        }
        fn run(&self, hook: Hook, exchange: Box<Exchange>) -> Run<'_> {
            let result = match self.deed {
                Deed::Trace => {
                    let side = if hook.is_response() { Side::Response } else { Side::Request };
                    let mut edits = Edits::default();
                    edits.append("trace", self.name.as_bytes(), side).unwrap();
                    Ok(Verdict::Continue(edits))
                }
                Deed::Sign => {
                    let body = [&exchange.body[..], self.name.as_bytes()].concat();
                    Ok(Verdict::Replace(Edits::default(), body.into()))
                }
                Deed::Respond => Ok(Verdict::Respond(Box::new(Response::new(204, "").unwrap()))),
                Deed::Refuse => Ok(Verdict::Refuse(Box::new(Refusal::new(ErrorCode::Forbidden, "no").unwrap()))),
                Deed::Fail(kind) => Err(StageError { stage: self.name.into(), kind, source: "told to".into() }),
            };
            Run::Ended(exchange, result)
        }
    }

    #[derive(Default)]
    struct Seen(Mutex<Vec<(usize, Hook, bool)>>);

    impl Observer for Seen {
        fn stage_ran(&self, step: usize, hook: Hook, _: (Duration, &Usage), result: &Result<Verdict, StageError>) {
            self.0.lock().unwrap().push((step, hook, result.is_ok()));
        }
    }

    const BOTH: &[Hook] = &Hook::ALL;

    fn pipeline(stages: Vec<(&'static str, &'static [Hook], Deed)>, policy: FailurePolicy) -> Pipeline {
        let step =
            |(name, hooks, deed)| Step::new(Arc::new(Double { name, hooks, deed, mode: BodyMode::Chunks }), policy);
        Pipeline::new(stages.into_iter().map(step).collect())
    }

    fn trace(headers: &HeaderMap) -> Vec<&str> {
        headers.get_all("trace").iter().map(|value| value.to_str().unwrap()).collect()
    }

    async fn outcome(deed: Deed, policy: FailurePolicy) -> (Outcome, Vec<String>) {
        let pipeline = pipeline(vec![("a", BOTH, Deed::Trace), ("b", BOTH, deed), ("c", BOTH, Deed::Trace)], policy);
        let (exchange, outcome) = pipeline.run(Hook::RequestHeaders, exchange(false), &Seen::default()).await;
        (outcome, trace(&exchange.request.headers).into_iter().map(str::to_owned).collect())
    }

    #[tokio::test]
    async fn requests_pass_the_stages_in_order_and_responses_in_reverse() {
        let pipeline = pipeline(vec![("a", BOTH, Deed::Trace), ("b", BOTH, Deed::Trace)], FailurePolicy::default());
        let (exchange, _) = pipeline.run(Hook::RequestHeaders, exchange(true), &Seen::default()).await;
        assert_eq!(trace(&exchange.request.headers), ["a", "b"]);
        let (exchange, _) = pipeline.run(Hook::ResponseHeaders, exchange, &Seen::default()).await;
        assert_eq!(trace(&exchange.response.as_ref().unwrap().headers), ["b", "a"]);
        assert_eq!(trace(&exchange.request.headers), ["a", "b"], "the request is as it was sent");
    }

    #[tokio::test]
    async fn each_stage_gets_the_bytes_that_the_one_before_left() {
        let stages = vec![("a", BOTH, Deed::Sign), ("b", BOTH, Deed::Fail(FailureKind::Trap)), ("c", BOTH, Deed::Sign)];
        let policy = FailurePolicy { on_trap: Disposition::Skip, ..FailurePolicy::default() };
        let pipeline = pipeline(stages, policy);
        for (hook, left) in [(Hook::RequestBody, "x-ac"), (Hook::ResponseBody, "x-ca")] {
            let mut exchange = exchange(true);
            exchange.body = Bytes::from_static(b"x-");
            let (exchange, _) = pipeline.run(hook, exchange, &Seen::default()).await;
            assert_eq!(exchange.body, left, "{hook:?}");
        }
    }

    #[test]
    fn a_body_is_held_back_if_one_stage_wants_it_whole() {
        let step = |mode, hooks| {
            Step::new(Arc::new(Double { name: "a", hooks, deed: Deed::Trace, mode }), FailurePolicy::default())
        };
        let both = Pipeline::new(vec![step(BodyMode::Chunks, BOTH), step(BodyMode::Buffered, &[Hook::RequestBody])]);
        assert_eq!(both.body_mode(Hook::RequestBody), BodyMode::Buffered);
        assert_eq!(both.body_mode(Hook::ResponseBody), BodyMode::Chunks);
        let none = Pipeline::new(vec![step(BodyMode::Buffered, &[Hook::RequestHeaders])]);
        assert_eq!(none.body_mode(Hook::RequestBody), BodyMode::None);
    }

    #[tokio::test]
    async fn a_stage_without_the_hook_is_not_called() {
        let stages = vec![("a", &[Hook::ResponseHeaders][..], Deed::Respond), ("b", BOTH, Deed::Trace)];
        let pipeline = pipeline(stages, FailurePolicy::default());
        let seen = Seen::default();
        let (_, outcome) = pipeline.run(Hook::RequestHeaders, exchange(false), &seen).await;
        assert!(matches!(outcome, Outcome::Continue));
        assert_eq!(*seen.0.lock().unwrap(), [(1, Hook::RequestHeaders, true)], "steps keep their index in the route");
    }

    #[test]
    fn a_pipeline_knows_which_hooks_it_has() {
        let only = pipeline(vec![("a", &[Hook::RequestHeaders], Deed::Trace)], FailurePolicy::default());
        assert!(only.has(Hook::RequestHeaders) && !only.has(Hook::ResponseHeaders));
        assert!(!Pipeline::default().has(Hook::RequestHeaders));
    }

    #[tokio::test]
    async fn an_answer_ends_the_run() {
        let (answer, trace) = outcome(Deed::Respond, FailurePolicy::default()).await;
        assert!(matches!(answer, Outcome::Respond { step: 1, response } if response.status == 204));
        assert_eq!(trace, ["a"]);
        let (answer, trace) = outcome(Deed::Refuse, FailurePolicy::default()).await;
        assert!(matches!(answer, Outcome::Refuse { step: 1, refusal } if refusal.code == ErrorCode::Forbidden));
        assert_eq!(trace, ["a"]);
    }

    #[tokio::test]
    async fn a_failure_is_denied_unless_its_own_setting_says_skip() {
        let skipping = |kind| {
            let mut policy = FailurePolicy::default();
            match kind {
                FailureKind::Deadline => policy.on_timeout = Disposition::Skip,
                FailureKind::Unavailable => policy.on_overload = Disposition::Skip,
                FailureKind::Trap | FailureKind::Limit | FailureKind::InvalidOutput | FailureKind::Breaker => {
                    policy.on_trap = Disposition::Skip;
                }
            }
            policy
        };
        for kind in FailureKind::ALL {
            let (denied, trace) = outcome(Deed::Fail(kind), FailurePolicy::default()).await;
            assert!(matches!(denied, Outcome::Failed { step: 1, error } if error.kind == kind));
            assert_eq!(trace, ["a"]);
            let (skipped, trace) = outcome(Deed::Fail(kind), skipping(kind)).await;
            assert!(matches!(skipped, Outcome::Continue));
            assert_eq!(trace, ["a", "c"]);
            for other in FailureKind::ALL {
                let same = skipping(kind) == skipping(other);
                let (outcome, _) = outcome(Deed::Fail(kind), skipping(other)).await;
                assert_eq!(matches!(outcome, Outcome::Continue), same, "{kind:?} under the setting of {other:?}");
            }
        }
    }

    /// A step that fails, between two that trace, with this last good version.
    fn falling_back(kind: FailureKind, policy: FailurePolicy, last_good: Option<(&'static [Hook], Deed)>) -> Pipeline {
        let stages = vec![("a", BOTH, Deed::Trace), ("b", BOTH, Deed::Fail(kind)), ("c", BOTH, Deed::Trace)];
        let mut steps = pipeline(stages, policy).steps;
        let double = |(hooks, deed)| Arc::new(Double { name: "old", hooks, deed, mode: BodyMode::Buffered });
        steps[1].last_good = last_good.map(|version| double(version) as Arc<dyn Stage>);
        Pipeline::new(steps)
    }

    const LAST_GOOD: FailurePolicy = FailurePolicy {
        on_trap: Disposition::LastGood,
        on_timeout: Disposition::LastGood,
        on_overload: Disposition::LastGood,
    };

    #[tokio::test]
    async fn a_failed_hook_is_run_once_more_on_the_last_good_version() {
        for kind in FailureKind::ALL {
            let pipeline = falling_back(kind, LAST_GOOD, Some((BOTH, Deed::Trace)));
            let seen = Seen::default();
            let (exchange, outcome) = pipeline.run(Hook::RequestHeaders, exchange(false), &seen).await;
            assert!(matches!(outcome, Outcome::Continue), "{kind:?}: {outcome:?}");
            assert_eq!(trace(&exchange.request.headers), ["a", "old", "c"]);
            let results: Vec<_> = seen.0.lock().unwrap().iter().map(|&(step, _, ok)| (step, ok)).collect();
            assert_eq!(results, [(0, true), (1, false), (1, true), (2, true)]);
        }
        let only_traps = FailurePolicy { on_trap: Disposition::LastGood, ..FailurePolicy::default() };
        let pipeline = falling_back(FailureKind::Deadline, only_traps, Some((BOTH, Deed::Trace)));
        let (_, outcome) = pipeline.run(Hook::RequestHeaders, exchange(false), &Seen::default()).await;
        assert!(matches!(outcome, Outcome::Failed { step: 1, .. }), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_last_good_version_that_does_not_help_is_a_refusal() {
        let skip_timeouts = FailurePolicy { on_timeout: Disposition::Skip, ..LAST_GOOD };
        for (last_good, kind) in [
            (None, FailureKind::Trap),
            (Some((&[Hook::ResponseHeaders][..], Deed::Trace)), FailureKind::Trap),
            (Some((BOTH, Deed::Fail(FailureKind::Deadline))), FailureKind::Deadline),
        ] {
            let pipeline = falling_back(FailureKind::Trap, skip_timeouts, last_good);
            let (exchange, outcome) = pipeline.run(Hook::RequestHeaders, exchange(false), &Seen::default()).await;
            assert!(matches!(&outcome, Outcome::Failed { step: 1, error } if error.kind == kind), "{outcome:?}");
            assert_eq!(trace(&exchange.request.headers), ["a"]);
        }
    }

    #[test]
    fn a_body_is_held_back_for_a_last_good_version_too() {
        let pipeline = falling_back(FailureKind::Trap, LAST_GOOD, Some((BOTH, Deed::Trace)));
        assert_eq!(pipeline.body_mode(Hook::RequestBody), BodyMode::Buffered);
    }

    #[tokio::test]
    async fn every_stage_that_ran_is_observed_with_its_result() {
        let stages =
            vec![("a", BOTH, Deed::Trace), ("b", BOTH, Deed::Fail(FailureKind::Trap)), ("c", BOTH, Deed::Trace)];
        let pipeline = pipeline(stages, FailurePolicy::default());
        let seen = Seen::default();
        pipeline.run(Hook::RequestHeaders, exchange(false), &seen).await;
        assert_eq!(*seen.0.lock().unwrap(), [(0, Hook::RequestHeaders, true), (1, Hook::RequestHeaders, false)]);
    }
}
