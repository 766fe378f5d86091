//! The ordered steps of a route.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Exchange, FailureKind, Refusal, Response, Stage, StageError, Verdict};

/// A point of a request's life at which stages run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    RequestHeaders,
    ResponseHeaders,
}

impl Hook {
    pub const ALL: [Self; 2] = [Self::RequestHeaders, Self::ResponseHeaders];

    /// Label in metrics and logs: the name of the WIT interface.
    pub fn label(self) -> &'static str {
        match self {
            Self::RequestHeaders => "on-request-headers",
            Self::ResponseHeaders => "on-response-headers",
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
}

/// What each kind of failure of one stage means: explicit settings, not one bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FailurePolicy {
    /// The guest crashed, grabbed too much memory, or answered with something unusable.
    pub on_trap: Disposition,
    /// The guest was stopped at its time limit.
    pub on_timeout: Disposition,
    /// No instance was free.
    pub on_overload: Disposition,
}

impl FailurePolicy {
    pub fn disposition(self, kind: FailureKind) -> Disposition {
        match kind {
            FailureKind::Trap | FailureKind::Limit | FailureKind::InvalidOutput => self.on_trap,
            FailureKind::Deadline => self.on_timeout,
            FailureKind::Unavailable => self.on_overload,
        }
    }
}

/// One stage in a pipeline, with its policy.
pub struct Step {
    pub stage: Arc<dyn Stage>,
    pub policy: FailurePolicy,
}

/// Sees what every stage did: for metrics and logs.
pub trait Observer: Send + Sync {
    /// `step` is the index of the stage in the route's list.
    fn stage_ran(&self, step: usize, hook: Hook, elapsed: Duration, result: &Result<Verdict, StageError>);
}

/// How a run through the stages ended.
#[derive(Debug)]
pub enum Outcome {
    /// Every stage let it pass.
    Continue,
    /// This stage answered.
    Respond { step: usize, response: Response },
    /// This stage refused the request.
    Refuse { step: usize, refusal: Refusal },
    /// This stage failed and its policy is to deny.
    Failed { step: usize, error: StageError },
}

/// The stages of one route, in the order of its configuration.
#[derive(Default)]
pub struct Pipeline {
    steps: Vec<Step>,
    request: Vec<usize>,
    response: Vec<usize>,
}

impl Pipeline {
    pub fn new(steps: Vec<Step>) -> Self {
        let having = |hook| move |&(_, step): &(usize, &Step)| step.stage.has(hook);
        let request = steps.iter().enumerate().filter(having(Hook::RequestHeaders)).map(|(at, _)| at).collect();
        let response = steps.iter().enumerate().rev().filter(having(Hook::ResponseHeaders)).map(|(at, _)| at).collect();
        Self { steps, request, response }
    }

    /// All stages, in configured order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether any stage has this hook; if not, the proxy need not lend its head.
    pub fn has(&self, hook: Hook) -> bool {
        !self.order(hook).is_empty()
    }

    fn order(&self, hook: Hook) -> &[usize] {
        match hook {
            Hook::RequestHeaders => &self.request,
            Hook::ResponseHeaders => &self.response,
        }
    }

    /// Runs one hook of every stage that has it: in order for requests, in reverse for responses. Edits are made after
    /// each stage, so the next one sees them.
    pub async fn run(
        &self,
        hook: Hook,
        mut exchange: Box<Exchange>,
        observer: &dyn Observer,
    ) -> (Box<Exchange>, Outcome) {
        for (step, Step { stage, policy }) in
            self.order(hook).iter().filter_map(|&at| self.steps.get(at).map(|step| (at, step)))
        {
            let started = Instant::now();
            let (returned, result) = match hook {
                Hook::RequestHeaders => stage.on_request(exchange).await,
                Hook::ResponseHeaders => stage.on_response(exchange).await,
            };
            exchange = returned;
            observer.stage_ran(step, hook, started.elapsed(), &result);
            match result {
                Ok(Verdict::Continue(edits)) if edits.is_empty() => {}
                Ok(Verdict::Continue(edits)) => match (hook, exchange.response.as_mut()) {
                    (Hook::ResponseHeaders, Some(response)) => response.apply(edits),
                    _ => exchange.request.apply(edits),
                },
                Ok(Verdict::Respond(response)) => return (exchange, Outcome::Respond { step, response }),
                Ok(Verdict::Refuse(refusal)) => return (exchange, Outcome::Refuse { step, refusal }),
                Err(error) => match policy.disposition(error.kind) {
                    Disposition::Deny => return (exchange, Outcome::Failed { step, error }),
                    Disposition::Skip => {}
                },
            }
        }
        (exchange, Outcome::Continue)
    }
}
