//! A loaded model: its sessions, its queue, and the turns that threads take at it.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use tracing::warn;

use crate::executor::{Crew, Turn};
use crate::queue::{Answer, Job, Queue, Run, Waiting};
use crate::score::Chosen;
use crate::stats::{ModelStats, RunOutcome};
use crate::trial::Limit;
use crate::{Cancel, Graph, InferError, LoadError, Metadata, RunError, Session, Tensor, batch, trial};

/// Where a model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunOn {
    /// On the thread that asks, if the model took no longer than this when it was tried out, else on threads of its own.
    InlineWithin(Duration),
    /// On the executor's threads.
    Threads,
}

/// How requests are put together for one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Batching {
    /// Most rows of one run.
    pub rows: usize,
    /// How long the first request waits for others; zero: only those that are there already are put together.
    pub wait: Duration,
}

/// How a model is run; whatever is equal here and in its bytes is one model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelOptions {
    /// Threads that one run may use.
    pub intra_op_threads: usize,
    /// Runs at once on the executor's threads.
    pub concurrency: usize,
    /// Requests that wait.
    pub queue: usize,
    /// The longest that one waits for its run.
    pub queue_timeout: Duration,
    /// Most rows of one request.
    pub batch_limit: usize,
    pub batching: Option<Batching>,
    pub run_on: RunOn,
    /// Sizes of named dimensions when the model is tried out; 1 for those that are not named. None: it is not tried out.
    pub warm_up: Option<Vec<(String, usize)>>,
    /// The longest that loading and trying out may take.
    pub load_timeout: Duration,
    /// Whether inputs are recorded, for comparing the next version.
    pub record: bool,
}

/// Of so many runs inline, so many over ten times the limit send a model to threads of its own. One of them alone says nothing:
/// the operating system takes the processor away from any thread now and then.
const OVERRUNS_OF: u32 = 64;
const OVERRUNS_LIMIT: u32 = 16;

/// Inputs recorded: one of so many requests, so many in all, and of so many elements at most.
const RECORD_EACH: u64 = 16;
const RECORDED_LIMIT: usize = 32;
const RECORDED_ELEMENTS: usize = 16 * 1024;

/// Shapes of several tensors.
type Shapes = Vec<Vec<usize>>;
/// Combinations of input shapes whose output shapes are kept: those of the stages that score with the model.
const SHAPES_LIMIT: usize = 64;

/// A loaded model.
pub struct Model {
    pub(crate) name: String,
    pub(crate) metadata: Arc<Metadata>,
    options: ModelOptions,
    graph: Arc<dyn Graph>,
    sessions: Mutex<Vec<Box<dyn Session>>>,
    queue: Mutex<Queue>,
    arrived: Condvar,
    crew: Arc<Crew>,
    stats: Arc<ModelStats>,
    /// Elements that all inputs together had when the model was tried out, if it runs inline with that many.
    inline_elements: usize,
    inline: AtomicBool,
    /// Time of a run when the model was tried out.
    trial: Option<Duration>,
    /// Time that loading and trying out took.
    loading: Duration,
    /// Shapes of all outputs, by those of the inputs that the model was asked for them with.
    output_shapes: Mutex<Vec<(Shapes, Shapes)>>,
    /// Scores of stages that were told of.
    told: Mutex<BTreeSet<(usize, usize)>>,
    runs_inline: AtomicU32,
    overruns: AtomicU32,
    batches: bool,
    asked: AtomicU64,
    recorded: Mutex<Vec<Vec<Tensor>>>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A request for a run: it has ended, or its answer is to come.
pub(crate) enum Begun {
    Ended(Answer),
    Waits(Waiting),
}

impl Model {
    /// Makes the first sessions and tries the model out. Blocks.
    ///
    /// # Errors
    /// No session can be made, the model fails on zeros, takes too long, or it cannot do what the options want.
    pub(crate) fn new(
        name: &str,
        metadata: Arc<Metadata>,
        graph: Arc<dyn Graph>,
        options: ModelOptions,
        (crew, stats, askers, begun): (Arc<Crew>, Arc<ModelStats>, usize, Instant),
    ) -> Result<Self, LoadError> {
        let limit = Limit { until: begun + options.load_timeout, whole: options.load_timeout };
        let mut session = Arc::clone(&graph).session()?;
        let tried = match &options.warm_up {
            Some(sizes) => Some(trial::try_out(&mut *session, &metadata, sizes, limit)?),
            None => None,
        };
        let batches = match (options.batching, &tried) {
            (None, _) => false,
            (Some(_), _) if !metadata.signature.has_batch_axis() => return Err(trial::no_batch_axis(&metadata)),
            (Some(_), Some(_)) => {
                let sizes = options.warm_up.as_deref().unwrap_or_default();
                trial::try_two_rows(&mut *session, &metadata, sizes, limit)?;
                true
            }
            (Some(_), None) => true,
        };
        let within = match options.run_on {
            RunOn::InlineWithin(within) => Some(within),
            RunOn::Threads => None,
        };
        let inline = tried.as_ref().zip(within).is_some_and(|(tried, within)| tried.run_time <= within);
        let mut sessions = vec![session];
        if inline {
            // One for each thread that may ask, so that none has to make one or wait.
            for _ in 1..askers {
                sessions.push(Arc::clone(&graph).session()?);
            }
        }
        Ok(Self {
            name: name.to_owned(),
            metadata,
            options,
            graph,
            sessions: Mutex::new(sessions),
            queue: Mutex::default(),
            arrived: Condvar::new(),
            crew,
            stats,
            inline_elements: tried.as_ref().map_or(0, |tried| tried.elements),
            inline: AtomicBool::new(inline),
            runs_inline: AtomicU32::new(0),
            overruns: AtomicU32::new(0),
            trial: tried.as_ref().map(|tried| tried.run_time),
            loading: begun.elapsed(),
            output_shapes: Mutex::default(),
            told: Mutex::default(),
            batches,
            asked: AtomicU64::new(0),
            recorded: Mutex::default(),
        })
    }

    pub fn options(&self) -> &ModelOptions {
        &self.options
    }

    pub fn stats(&self) -> &Arc<ModelStats> {
        &self.stats
    }

    /// Copies of its weights that there may be, roughly: one for each session.
    pub(crate) fn copies(&self) -> usize {
        self.sessions.lock().len().max(self.options.concurrency)
    }

    /// Whether small inputs are run on the thread that asks.
    pub fn is_inline(&self) -> bool {
        self.inline.load(Ordering::Relaxed)
    }

    /// Time of a run on zeros; none: it was not tried out.
    pub fn trial(&self) -> Option<Duration> {
        self.trial
    }

    /// Time that loading the model and trying it out took.
    pub fn loading(&self) -> Duration {
        self.loading
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.queue.lock().jobs.len()
    }

    /// Runs on inputs that were checked against the signature. Dropping the future takes the request back.
    ///
    /// # Errors
    /// No answer in time, or none at all.
    pub async fn infer(self: &Arc<Self>, inputs: Vec<Tensor>, outputs: &[usize], deadline: Option<Instant>) -> Answer {
        match self.begin(inputs, outputs, deadline) {
            Begun::Ended(answer) => answer,
            Begun::Waits(waiting) => waiting.answer().await,
        }
    }

    /// Runs at once, if the model is one that runs inline, or has the executor run it.
    pub(crate) fn begin(self: &Arc<Self>, inputs: Vec<Tensor>, outputs: &[usize], deadline: Option<Instant>) -> Begun {
        self.record(&inputs);
        match self.run_inline(&inputs, outputs) {
            Some(answer) => Begun::Ended(answer),
            None => self.submit(inputs, outputs.to_vec(), deadline),
        }
    }

    fn run_inline(&self, inputs: &[Tensor], outputs: &[usize]) -> Option<Answer> {
        if !self.is_inline() || elements(inputs) > self.inline_elements {
            return None;
        }
        let session = self.sessions.lock().pop()?;
        let (answer, took) = self.run(session, inputs, outputs, &Cancel::default());
        self.stats.waited(Duration::ZERO);
        self.stats.ran(batch::rows(inputs).unwrap_or(1), took, true);
        self.stats.ended(RunOutcome::of(&answer));
        self.judge_inline(took);
        Some(answer)
    }

    /// Moves the model to threads of its own once too many of its runs inline took too long.
    fn judge_inline(&self, took: Duration) {
        let RunOn::InlineWithin(limit) = self.options.run_on else { return };
        if self.runs_inline.fetch_add(1, Ordering::Relaxed).is_multiple_of(OVERRUNS_OF) {
            self.overruns.store(0, Ordering::Relaxed);
        }
        if took > limit * 10 && self.overruns.fetch_add(1, Ordering::Relaxed) + 1 == OVERRUNS_LIMIT {
            warn!(model = self.name, ?took, ?limit, "runs take too long for the proxy's threads: they move to others");
            self.inline.store(false, Ordering::Relaxed);
        }
    }

    fn submit(self: &Arc<Self>, inputs: Vec<Tensor>, outputs: Vec<usize>, deadline: Option<Instant>) -> Begun {
        let (reply, receiver) = oneshot::channel();
        let (run, queued_at) = (Arc::new(OnceLock::new()), Instant::now());
        let rows = batch::rows(&inputs).unwrap_or(1);
        let job = Job { inputs, outputs, rows, queued_at, reply, run: Arc::clone(&run) };
        let mut queue = self.queue.lock();
        if queue.jobs.len() >= self.options.queue && queue.turns >= self.options.concurrency {
            // Those who have left make room.
            queue.jobs.retain(|job| !job.reply.is_closed());
            if queue.jobs.len() >= self.options.queue {
                drop(queue);
                self.stats.ended(RunOutcome::Overloaded);
                return Begun::Ended(Err(InferError::Overloaded));
            }
        }
        queue.jobs.push_back(job);
        let wants_turn = queue.turns < self.options.concurrency && queue.turns_pending < queue.jobs.len();
        if wants_turn {
            queue.turns += 1;
            queue.turns_pending += 1;
        }
        drop(queue);
        if wants_turn {
            self.crew.push(Turn::Run(Arc::clone(self)));
        }
        self.arrived.notify_one();
        Begun::Waits(Waiting { model: Arc::clone(self), reply: receiver, run, queued_at, deadline, outcome: None })
    }

    /// One run for the requests at the head of the queue, on this thread.
    pub(crate) fn take_turn(self: Arc<Self>) {
        let jobs = self.gather();
        if !jobs.is_empty() {
            self.run_jobs(jobs);
        }
        let mut queue = self.queue.lock();
        if queue.jobs.is_empty() {
            queue.turns -= 1;
            return;
        }
        queue.turns_pending += 1;
        drop(queue);
        let crew = Arc::clone(&self.crew);
        crew.push(Turn::Run(self));
    }

    /// Takes what goes into one run: one request, or as many as fit.
    fn gather(&self) -> Vec<Job> {
        let batching = self.options.batching.filter(|_| self.batches);
        let mut jobs: Vec<Job> = Vec::new();
        let mut rows = 0;
        let mut queue = self.queue.lock();
        queue.turns_pending -= 1;
        loop {
            while let Some(next) = queue.jobs.front() {
                let room = batching.map_or(0, |batching| batching.rows);
                let fits = jobs.first().is_none_or(|first| {
                    rows + next.rows <= room
                        && first.outputs == next.outputs
                        && batch::fits(&first.inputs, &next.inputs)
                });
                if !fits {
                    return jobs;
                }
                let Some(job) = queue.jobs.pop_front() else { break };
                if !job.reply.is_closed() {
                    rows += job.rows;
                    jobs.push(job);
                }
            }
            let (Some(batching), Some(first)) = (batching, jobs.first()) else { return jobs };
            let until = first.queued_at + batching.wait;
            if rows >= batching.rows || self.arrived.wait_until(&mut queue, until).timed_out() && queue.jobs.is_empty()
            {
                return jobs;
            }
        }
    }

    fn run_jobs(&self, mut jobs: Vec<Job>) {
        let run = Run::new(jobs.len());
        for job in &jobs {
            let _ = job.run.set(Arc::clone(&run));
            self.stats.waited(job.queued_at.elapsed());
        }
        let session = match self.session() {
            Ok(session) => session,
            Err(error) => {
                let failed = InferError::Failed(format!("no session: {error}"));
                return jobs.into_iter().for_each(|job| drop(job.reply.send(Err(failed.clone()))));
            }
        };
        if let [job] = &jobs[..] {
            let (answer, took) = self.run(session, &job.inputs, &job.outputs, &run.cancel);
            self.stats.ran(job.rows, took, false);
            return jobs.into_iter().for_each(|job| drop(job.reply.send(answer.clone())));
        }
        let counts: Vec<usize> = jobs.iter().map(|job| job.rows).collect();
        let inputs = batch::join(jobs.iter().map(|job| &job.inputs[..]));
        let outputs = jobs.first().map(|job| job.outputs.clone()).unwrap_or_default();
        let (answer, took) = self.run(session, &inputs, &outputs, &run.cancel);
        self.stats.ran(counts.iter().sum(), took, false);
        match answer.map(|outputs| batch::split(&outputs, &counts)) {
            Ok(Some(answers)) => {
                for (job, answer) in jobs.into_iter().zip(answers) {
                    let _ = job.reply.send(Ok(answer));
                }
            }
            // One bad request must not fail those beside it.
            Ok(None) | Err(_) => {
                for job in jobs.drain(..).filter(|job| !job.reply.is_closed()) {
                    let answer = self.session().map_err(|error| InferError::Failed(error.to_string()));
                    let answer = answer.and_then(|session| self.run(session, &job.inputs, &job.outputs, &run.cancel).0);
                    let _ = job.reply.send(answer);
                }
            }
        }
    }

    fn session(&self) -> Result<Box<dyn Session>, LoadError> {
        let idle = self.sessions.lock().pop();
        idle.map_or_else(|| Arc::clone(&self.graph).session(), Ok)
    }

    /// One run; puts the session back.
    fn run(
        &self,
        mut session: Box<dyn Session>,
        inputs: &[Tensor],
        outputs: &[usize],
        cancel: &Cancel,
    ) -> (Answer, Duration) {
        let started = Instant::now();
        // Whatever goes wrong in a library must not take a thread with it. What it left behind is not used again.
        let result = catch_unwind(AssertUnwindSafe(|| session.run(inputs, outputs, cancel)));
        let took = started.elapsed();
        let answer = match result {
            Ok(result) => {
                self.sessions.lock().push(session);
                result.map_err(|error| match error {
                    RunError::Cancelled => InferError::Deadline,
                    RunError::Invalid(message) => InferError::Invalid(message),
                    RunError::Failed(message) => InferError::Failed(message),
                })
            }
            Err(_) => Err(InferError::Failed("the runtime panicked".to_owned())),
        };
        (answer, took)
    }

    fn record(&self, inputs: &[Tensor]) {
        if !self.options.record || elements(inputs) > RECORDED_ELEMENTS {
            return;
        }
        let nth = self.asked.fetch_add(1, Ordering::Relaxed);
        if nth.is_multiple_of(RECORD_EACH) {
            let at = usize::try_from(nth / RECORD_EACH).unwrap_or(0) % RECORDED_LIMIT;
            let mut recorded = self.recorded.lock();
            match recorded.get_mut(at) {
                Some(old) => *old = inputs.to_vec(),
                None => recorded.push(inputs.to_vec()),
            }
        }
    }

    /// Inputs of some of the requests so far.
    pub(crate) fn recorded(&self) -> Vec<Vec<Tensor>> {
        self.recorded.lock().clone()
    }

    /// Takes over what the version before has recorded.
    pub(crate) fn inherit(&self, inputs: Vec<Vec<Tensor>>) {
        *self.recorded.lock() = inputs;
    }

    /// Shapes of all outputs on these inputs: runs the model unless it was asked before. Blocks.
    ///
    /// # Errors
    /// It fails on them, or takes longer than loading may.
    pub(crate) fn output_shapes(&self, inputs: &[Tensor]) -> Result<Vec<Vec<usize>>, LoadError> {
        let of: Shapes = inputs.iter().map(|tensor| tensor.shape().to_vec()).collect();
        if let Some((_, known)) = self.output_shapes.lock().iter().find(|(inputs, _)| *inputs == of) {
            return Ok(known.clone());
        }
        let mut session = self.session()?;
        let limit = Limit::of(self.options.load_timeout);
        let outputs = trial::run(&mut *session, &self.metadata, inputs, limit)?;
        self.sessions.lock().push(session);
        let shapes: Shapes = outputs.iter().map(|tensor| tensor.shape().to_vec()).collect();
        let mut known = self.output_shapes.lock();
        if known.len() == SHAPES_LIMIT {
            known.remove(0);
        }
        known.push((of, shapes.clone()));
        Ok(shapes)
    }

    /// Whether it was not asked of this score before: so the log tells of each once, and not with every reload.
    pub fn is_new(&self, score: &Chosen) -> bool {
        self.told.lock().insert((score.output, score.column))
    }

    /// A run away from requests: blocks.
    pub(crate) fn run_now(&self, inputs: &[Tensor]) -> Answer {
        let outputs = self.metadata.signature.all_outputs();
        let session = self.session().map_err(|error| InferError::Failed(error.to_string()))?;
        self.run(session, inputs, &outputs, &Cancel::default()).0
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // Often on a thread of the proxy, with the last request that used it.
        let sessions = std::mem::take(self.sessions.get_mut());
        self.crew.push(Turn::Drop(Box::new((sessions, Arc::clone(&self.graph)))));
    }
}

/// Elements of all inputs together.
pub(crate) fn elements(inputs: &[Tensor]) -> usize {
    inputs.iter().map(|tensor| tensor.data().len()).sum()
}
