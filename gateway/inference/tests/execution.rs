//! How runs are queued, put together, given up and survived: with a backend of which the tests know what it does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use witgate_inference::{
    Backend, Batching, Cancel, Data, Executor, Graph, InferError, Inference, LoadError, Metadata, Model, ModelOptions,
    ModelSpec, RunError, RunOn, RunOutcome, ScoreStage, Session, SessionOptions, StageSpec, Tensor, When,
};

/// `x` FP32 [batch, 8] to `score` FP32 [batch, 1]; here only its signature counts.
const MLP: &[u8] = include_bytes!("../../../tests/models/mlp.onnx");
/// Long enough for any machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Gives the first element of each row, and does as the element says.
#[derive(Debug, Default)]
struct Double {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Rows of each run.
    runs: Mutex<Vec<usize>>,
    sessions: AtomicUsize,
    cancelled: AtomicUsize,
    /// Runs that begin tell it here, and wait until they may go on.
    gate: Mutex<Option<Gate>>,
}

/// Tells of a beginning, and waits.
type Gate = (Sender<()>, Arc<Mutex<Receiver<()>>>);

/// Elements with a meaning.
const PANIC: f32 = -1.0;
const FAIL: f32 = -2.0;
const UNTIL_CANCELLED: f32 = -3.0;
const SLOW: f32 = -4.0;

/// Of runs on the thread that asks.
const INLINE_LIMIT: Duration = Duration::from_millis(1);

impl Backend for Double {
    fn name(&self) -> &'static str {
        "double"
    }
    fn version(&self) -> String {
        "1".to_owned()
    }
    fn load(&self, _: &[u8], _: &Metadata, _: &SessionOptions) -> Result<Arc<dyn Graph>, LoadError> {
        Ok(Arc::new(DoubleGraph(Arc::clone(&self.shared))))
    }
}

#[derive(Debug)]
struct DoubleGraph(Arc<Shared>);

impl Graph for DoubleGraph {
    fn session(self: Arc<Self>) -> Result<Box<dyn Session>, LoadError> {
        self.0.sessions.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(DoubleSession(Arc::clone(&self.0))))
    }
}

struct DoubleSession(Arc<Shared>);

impl Session for DoubleSession {
    fn run(&mut self, inputs: &[Tensor], outputs: &[usize], cancel: &Cancel) -> Result<Vec<Tensor>, RunError> {
        assert_eq!(outputs, [0]);
        let Data::Float32(values) = inputs[0].data() else { panic!("floats were declared") };
        let rows = inputs[0].shape()[0];
        let firsts: Vec<f32> = values.chunks(8).map(|row| row[0]).collect();
        self.0.runs.lock().unwrap().push(rows);
        let gate = self.0.gate.lock().unwrap().clone();
        if let Some((begun, go_on)) = gate.filter(|_| firsts[0] >= 0.0) {
            begun.send(()).unwrap();
            go_on.lock().unwrap().recv().unwrap();
        }
        if firsts.contains(&FAIL) {
            return Err(RunError::Failed("told to".to_owned()));
        }
        match firsts[0] {
            PANIC => panic!("told to"),
            // Busy, as a model is. Ten times the limit is what counts as too long.
            SLOW => {
                let begun = Instant::now();
                while begun.elapsed() < 11 * INLINE_LIMIT {
                    std::hint::spin_loop();
                }
            }
            UNTIL_CANCELLED => {
                let (sender, receiver) = channel();
                cancel.stop_with(Some(Box::new(move || sender.send(()).unwrap())));
                receiver.recv_timeout(PATIENCE).expect("cancelled before long");
                self.0.cancelled.fetch_add(1, Ordering::SeqCst);
                return Err(RunError::Cancelled);
            }
            _ => {}
        }
        let echo = firsts;
        Ok(vec![Tensor::new([rows, 1], Data::Float32(echo)).unwrap()])
    }
}

fn options() -> ModelOptions {
    ModelOptions {
        intra_op_threads: 1,
        concurrency: 1,
        queue: 100,
        queue_timeout: PATIENCE,
        batch_limit: 64,
        batching: None,
        run_on: RunOn::Threads,
        warm_up: None,
        load_timeout: PATIENCE,
        record: false,
    }
}

fn row(first: f32) -> Vec<Tensor> {
    let mut values = vec![0.0; 8];
    values[0] = first;
    vec![Tensor::new([1, 8], Data::Float32(values)).unwrap()]
}

fn first(answer: &Result<Vec<Tensor>, InferError>) -> f32 {
    let Data::Float32(values) = answer.as_ref().unwrap()[0].data() else { panic!("floats") };
    values[0]
}

struct Setup {
    inference: Arc<Inference>,
    shared: Arc<Shared>,
}

impl Setup {
    fn new(threads: usize) -> Self {
        let double = Double::default();
        let shared = Arc::clone(&double.shared);
        Self { inference: Inference::new(Arc::new(double), Executor::start(threads, 0).unwrap(), 2), shared }
    }

    fn load(&self, name: &str, options: ModelOptions) -> Arc<Model> {
        let spec = ModelSpec { name, version: 1, path: "mlp.onnx", bytes: MLP, options };
        self.inference.load(spec).unwrap().model.clone().unwrap()
    }

    /// Has runs wait: gives what tells of their beginning, and what lets one go on.
    fn hold_runs(&self) -> (Receiver<()>, Sender<()>) {
        let ((begun, beginning), (release, go_on)) = (channel(), channel());
        *self.shared.gate.lock().unwrap() = Some((begun, Arc::new(Mutex::new(go_on))));
        (beginning, release)
    }

    fn runs(&self) -> Vec<usize> {
        self.shared.runs.lock().unwrap().clone()
    }
}

fn ask(model: &Arc<Model>, value: f32) -> tokio::task::JoinHandle<Result<Vec<Tensor>, InferError>> {
    let model = Arc::clone(model);
    tokio::spawn(async move { model.infer(row(value), &[0], None).await })
}

/// Waits until this is so.
async fn until(mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "it never came to pass");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_run_gives_what_the_model_says() {
    let setup = Setup::new(2);
    let model = setup.load("m", options());
    assert_eq!(first(&model.infer(row(7.0), &[0], None).await), 7.0);
    assert_eq!(model.stats().outcome(RunOutcome::Ok), 1);
    assert_eq!(model.stats().rows.read().sum, 1);
}

#[tokio::test]
async fn requests_beyond_the_queue_are_refused_at_once() {
    let setup = Setup::new(1);
    let (beginning, release) = setup.hold_runs();
    let model = setup.load("m", ModelOptions { queue: 2, ..options() });
    let running = ask(&model, 1.0);
    until(|| beginning.try_recv().is_ok()).await;
    let waiting = [ask(&model, 2.0), ask(&model, 3.0)];
    until(|| model.waiting() == 2).await;
    assert_eq!(model.infer(row(4.0), &[0], None).await, Err(InferError::Overloaded));
    (0..3).for_each(|_| release.send(()).unwrap());
    assert_eq!(first(&running.await.unwrap()), 1.0);
    for (value, waiting) in [2.0, 3.0].into_iter().zip(waiting) {
        assert_eq!(first(&waiting.await.unwrap()), value, "first come, first served");
    }
    assert_eq!(model.stats().outcome(RunOutcome::Overloaded), 1);
}

#[tokio::test]
async fn without_a_queue_only_those_run_that_have_a_turn() {
    let setup = Setup::new(2);
    let (beginning, release) = setup.hold_runs();
    let model = setup.load("m", ModelOptions { queue: 0, concurrency: 1, ..options() });
    let running = ask(&model, 1.0);
    until(|| beginning.try_recv().is_ok()).await;
    assert_eq!(model.infer(row(2.0), &[0], None).await, Err(InferError::Overloaded));
    release.send(()).unwrap();
    assert_eq!(first(&running.await.unwrap()), 1.0);
}

#[tokio::test]
async fn a_request_waits_for_its_run_no_longer_than_the_queue_allows() {
    let setup = Setup::new(1);
    let (beginning, release) = setup.hold_runs();
    let model = setup.load("m", ModelOptions { queue_timeout: Duration::from_millis(20), ..options() });
    let running = ask(&model, 1.0);
    until(|| beginning.try_recv().is_ok()).await;
    assert_eq!(model.infer(row(2.0), &[0], None).await, Err(InferError::Overloaded));
    release.send(()).unwrap();
    assert_eq!(first(&running.await.unwrap()), 1.0, "one that runs may take longer");
    assert_eq!(setup.runs(), [1], "the other was never run");
}

#[tokio::test]
async fn a_run_is_cancelled_at_the_deadline_and_when_nobody_waits() {
    let setup = Setup::new(1);
    let model = setup.load("m", options());
    let cancelled = || setup.shared.cancelled.load(Ordering::SeqCst);
    let mut time = Duration::from_millis(20);
    // On a machine that is busy it may not have begun by then, and never does.
    while setup.runs().is_empty() {
        let answer = model.infer(row(UNTIL_CANCELLED), &[0], Some(Instant::now() + time)).await;
        assert_eq!(answer, Err(InferError::Deadline));
        time *= 2;
    }
    until(|| cancelled() == setup.runs().len()).await;
    let before = cancelled();
    let asked = ask(&model, UNTIL_CANCELLED);
    until(|| setup.runs().len() == before + 1).await;
    asked.abort();
    until(|| cancelled() == before + 1).await;
    until(|| model.stats().outcome(RunOutcome::Cancelled) == 1).await;
    assert_eq!(first(&model.infer(row(1.0), &[0], None).await), 1.0, "the thread is free again");
}

#[tokio::test]
async fn requests_that_wait_are_put_together() {
    let setup = Setup::new(1);
    let (beginning, release) = setup.hold_runs();
    let batching = Some(Batching { rows: 4, wait: Duration::ZERO });
    let model = setup.load("m", ModelOptions { batching, ..options() });
    let running = ask(&model, 1.0);
    until(|| beginning.try_recv().is_ok()).await;
    let mut waiting = Vec::new();
    for value in 2..8_u8 {
        waiting.push(ask(&model, f32::from(value)));
        until(|| model.waiting() == waiting.len()).await;
    }
    (0..3).for_each(|_| release.send(()).unwrap());
    assert_eq!(first(&running.await.unwrap()), 1.0);
    for (value, waiting) in (2..8_u8).zip(waiting) {
        assert_eq!(first(&waiting.await.unwrap()), f32::from(value), "each gets its own row");
    }
    assert_eq!(setup.runs(), [1, 4, 2]);
}

#[tokio::test]
async fn the_first_request_waits_for_others_if_it_should() {
    let setup = Setup::new(1);
    let batching = Some(Batching { rows: 2, wait: PATIENCE });
    let model = setup.load("m", ModelOptions { batching, ..options() });
    let asked = [ask(&model, 1.0), ask(&model, 2.0)];
    for asked in asked {
        assert!(asked.await.unwrap().is_ok());
    }
    assert_eq!(setup.runs(), [2], "the run began once it was full");
}

#[tokio::test]
async fn one_bad_request_does_not_fail_those_beside_it() {
    let setup = Setup::new(1);
    let batching = Some(Batching { rows: 3, wait: PATIENCE });
    let model = setup.load("m", ModelOptions { batching, ..options() });
    let asked = [ask(&model, 1.0), ask(&model, FAIL), ask(&model, 2.0)];
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.unwrap());
    }
    assert_eq!((first(&answers[0]), first(&answers[2])), (1.0, 2.0));
    assert_eq!(answers[1], Err(InferError::Failed("told to".to_owned())));
}

#[tokio::test]
async fn a_panic_costs_a_session_and_nothing_else() {
    let setup = Setup::new(1);
    let model = setup.load("m", options());
    let answer = model.infer(row(PANIC), &[0], None).await;
    assert!(matches!(answer, Err(InferError::Failed(_))), "{answer:?}");
    assert_eq!(first(&model.infer(row(1.0), &[0], None).await), 1.0);
    assert_eq!(setup.shared.sessions.load(Ordering::SeqCst), 2, "the one that panicked is not used again");
}

#[tokio::test]
async fn a_small_model_runs_on_the_thread_that_asks() {
    let setup = Setup::new(1);
    let within =
        ModelOptions { run_on: RunOn::InlineWithin(Duration::from_secs(1)), warm_up: Some(vec![]), ..options() };
    let model = setup.load("m", within);
    assert!(model.is_inline());
    assert_eq!(first(&model.infer(row(1.0), &[0], None).await), 1.0);
    assert_eq!(model.stats().runs_inline(), 1);
    let two = vec![Tensor::new([2, 8], Data::Float32(vec![1.0; 16])).unwrap()];
    assert!(model.infer(two, &[0], None).await.is_ok());
    assert_eq!(model.stats().runs_inline(), 1, "what is larger than the trial goes to other threads");
    let without = ModelOptions { run_on: RunOn::InlineWithin(Duration::from_secs(1)), ..options() };
    assert!(!setup.load("m", without).is_inline(), "nobody knows how long it takes");
}

#[tokio::test]
async fn a_model_that_takes_too_long_does_not_run_inline_any_more() {
    let setup = Setup::new(1);
    let limit = RunOn::InlineWithin(INLINE_LIMIT);
    let model = setup.load("m", ModelOptions { run_on: limit, warm_up: Some(vec![]), ..options() });
    assert!(model.is_inline());
    for run in 0..16 {
        assert!(model.is_inline(), "after {run} runs");
        assert!(model.infer(row(SLOW), &[0], None).await.is_ok());
    }
    assert!(!model.is_inline());
    assert!(model.infer(row(1.0), &[0], None).await.is_ok());
}

#[test]
fn a_stage_does_not_tag_requests_with_fields_of_the_gateway() {
    let setup = Setup::new(1);
    let spec = ModelSpec { name: "m", version: 1, path: "mlp.onnx", bytes: MLP, options: options() };
    let version = setup.inference.load(spec).unwrap();
    let stage = |tag: &str| {
        ScoreStage::new(StageSpec {
            name: "m".into(),
            version: Arc::clone(&version),
            inputs: Vec::new(),
            output: None,
            when: When::default(),
            deadline: PATIENCE,
            fallback: None,
            refuse: None,
            tag: Some(tag.parse().unwrap()),
            levels: Vec::new(),
            shadow: false,
            rates: None,
        })
        .unwrap_err()
        .message
    };
    for owned in ["via", "host", "x-forwarded-for", "transfer-encoding"] {
        assert_eq!(stage(owned), format!("`tag` names the field `{owned}`, which only the gateway sets"));
    }
    assert!(!stage("x-abuse").contains("tag"), "{}", stage("x-abuse"));
}

#[tokio::test]
async fn a_slow_model_leaves_a_thread_to_others() {
    let setup = Setup::new(2);
    let (beginning, release) = setup.hold_runs();
    let slow = setup.load("slow", options());
    let asked: Vec<_> = (0..4).map(|_| ask(&slow, 1.0)).collect();
    until(|| beginning.try_recv().is_ok()).await;
    *setup.shared.gate.lock().unwrap() = None;
    let quick = setup.load("quick", options());
    assert_eq!(first(&quick.infer(row(2.0), &[0], None).await), 2.0, "the other thread took it");
    release.send(()).unwrap();
    for asked in asked {
        assert!(asked.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn equal_files_with_equal_options_are_one_model_and_gone_with_the_last_user() {
    let setup = Setup::new(1);
    let (one, same) = (setup.load("m", options()), setup.load("m", options()));
    assert!(Arc::ptr_eq(&one, &same));
    let other = setup.load("m", ModelOptions { queue: 7, ..options() });
    assert!(!Arc::ptr_eq(&one, &other));
    assert!(Arc::ptr_eq(one.stats(), other.stats()), "figures are kept by name");
    assert_eq!(setup.inference.live_models(), 2);
    drop((one, same));
    assert_eq!(setup.inference.live_models(), 1);
    drop(other);
    assert_eq!(setup.inference.live_models(), 0);
    assert!(setup.inference.stats().is_empty());
}

#[tokio::test]
async fn a_model_ends_what_it_runs_after_it_was_unloaded() {
    let setup = Setup::new(1);
    let (beginning, release) = setup.hold_runs();
    let model = setup.load("m", options());
    let running = ask(&model, 1.0);
    until(|| beginning.try_recv().is_ok()).await;
    drop(model);
    release.send(()).unwrap();
    assert_eq!(first(&running.await.unwrap()), 1.0);
    until(|| setup.inference.live_models() == 0).await;
}
