//! A model as a stage of a route: it scores requests.

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderValue, Method};
use witgate_stage::{
    BodyMode, Edits, ErrorCode, Exchange, FailureKind, Hook, Refusal, Run, Score, Side, Stage, StageError, Verdict,
    is_forbidden,
};

use crate::features::{FeatureSet, JSON_BODY_LIMIT, Observation};
use crate::layout::Layout;
use crate::model::Begun;
use crate::queue::Answer;
use crate::score::{Chosen, Outputs, Wanted};
use crate::{Data, InferError, LoadError, Model, ModelVersion, Tensor};

/// How many requests of a client were counted lately.
pub trait ClientRates: Debug + Send + Sync {
    fn rate(&self, client: IpAddr) -> f64;
}

/// What a stage does.
#[derive(Debug, Clone)]
pub struct StageSpec {
    pub name: Arc<str>,
    pub version: Arc<ModelVersion>,
    /// One for each input of the model; or any number, if the model has an input for each of their numbers, by its name.
    pub inputs: Vec<Arc<FeatureSet>>,
    /// None: the only number that it can be.
    pub output: Option<Wanted>,
    pub when: When,
    /// From the hook's start to the score.
    pub deadline: Duration,
    /// The score of requests that get none; none: they fail.
    pub fallback: Option<f32>,
    /// Scores that are refused.
    pub refuse: Option<Threshold>,
    /// Request field with the score.
    pub tag: Option<HeaderName>,
    /// Each beyond the one before it, in one direction.
    pub levels: Vec<Level>,
    /// Counts scores, and does nothing else.
    pub shadow: bool,
    pub rates: Option<Arc<dyn ClientRates>>,
}

/// Which requests are scored: all that is named has to hold.
#[derive(Debug, Clone, Default)]
pub struct When {
    pub methods: Option<Vec<Method>>,
    pub header: Option<HeaderName>,
    /// Thousandths of requests.
    pub share_permille: Option<u32>,
}

/// Beyond what a score means something. Most models give more to what is worse; of isolation forests and the like, which say
/// how ordinary something is, low scores are the bad ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    Above(f32),
    Below(f32),
}

impl Threshold {
    /// Not for a score that is equal to it.
    pub fn is_passed(self, score: f32) -> bool {
        match self {
            Self::Above(limit) => score > limit,
            Self::Below(limit) => score < limit,
        }
    }
}

/// What a score beyond a threshold means.
#[derive(Debug, Clone)]
pub struct Level {
    pub threshold: Threshold,
    /// Attribute `priority`.
    pub priority: Option<u8>,
    /// Attribute `cost`.
    pub cost: Option<u32>,
    /// Name of another upstream than the route's.
    pub upstream: Option<Arc<str>>,
}

/// Attributes that later stages go by.
const PRIORITY: &str = "priority";
const COST: &str = "cost";
/// Followed by the stage's name: the score, as text.
const SCORE: &str = "score.";

/// A stage that cannot do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StageMistake {
    pub message: String,
    pub help: String,
}

/// Scores requests with a model.
#[derive(Debug)]
pub struct ScoreStage {
    spec: StageSpec,
    model: Arc<Model>,
    layout: Layout,
    score: Chosen,
    /// Index of the output with the score.
    outputs: [usize; 1],
    attribute: String,
    /// When all that features look at is there.
    at: Hook,
    /// Tells this stage's [`Beginning`]s from those of others.
    serial: u64,
    /// Draws the share of requests that are scored: by their id, so that every hook of a request draws the same, and with a
    /// key of its own, so that a client that chooses its id does not choose that.
    draw: RandomState,
}

/// Bytes of a body that a stage in shadow mode keeps to score: no feature looks at more. One more than a JSON body may have,
/// which a longer one is told by.
const BEGINNING_LIMIT: usize = JSON_BODY_LIMIT + 1;

/// The beginning of a body that passes through a stage in shadow mode; kept with the request.
struct Beginning {
    serial: u64,
    bytes: Vec<u8>,
    /// It has been scored.
    done: bool,
}

impl ScoreStage {
    /// # Errors
    /// Features, output and model do not go together.
    pub fn new(spec: StageSpec) -> Result<Self, StageMistake> {
        if let Some(tag) = spec.tag.as_ref().filter(|tag| is_forbidden(tag, Side::Request)) {
            return Err(StageMistake {
                message: format!("`tag` names the field `{tag}`, which only the gateway sets"),
                help: "choose another, such as \"x-abuse-score\"".to_owned(),
            });
        }
        let version = &spec.version;
        let model = version.model.clone().ok_or_else(|| StageMistake {
            message: format!("model `{}` is not loaded", version.name),
            help: "load it first".to_owned(),
        })?;
        let layout = Layout::new(&spec)?;
        let score = score(&spec, &model, &layout)?;
        let (body, response) = spec.inputs.iter().fold((false, false), |(body, response), features| {
            (body || features.needs_body(), response || features.needs_response())
        });
        if response && (spec.refuse.is_some() || spec.tag.is_some() || !spec.levels.is_empty()) {
            return Err(StageMistake {
                message: "features look at the response, when nothing can be decided about the request any more"
                    .to_owned(),
                help: "take `refuse_above`, `refuse_below`, `tag` and `levels` away, or the `status` features"
                    .to_owned(),
            });
        }
        if response && body {
            return Err(StageMistake {
                message: "features look at the request's body and at the response: both are not there at once"
                    .to_owned(),
                help: "use two models, one for each".to_owned(),
            });
        }
        if spec.inputs.iter().any(|features| features.needs_rate()) && spec.rates.is_none() {
            return Err(StageMistake {
                message: "features look at the client's rate, and nothing says which".to_owned(),
                help: "add `rate_bucket = \"NAME\"`, with the bucket that counts the clients".to_owned(),
            });
        }
        let at = if response {
            Hook::ResponseHeaders
        } else if body {
            Hook::RequestBody
        } else {
            Hook::RequestHeaders
        };
        let attribute = format!("{SCORE}{}", spec.name);
        static SERIALS: AtomicU64 = AtomicU64::new(0);
        let serial = SERIALS.fetch_add(1, Ordering::Relaxed);
        let outputs = [score.output];
        Ok(Self { spec, model, layout, score, outputs, attribute, at, serial, draw: RandomState::new() })
    }

    /// Which number is the score.
    pub fn score(&self) -> &Chosen {
        &self.score
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Of the model.
    pub fn version(&self) -> u64 {
        self.spec.version.version
    }

    /// The same for all hooks of a request, unless a stage between them changes its method or fields.
    fn is_wanted(&self, exchange: &Exchange) -> bool {
        let When { methods, header, share_permille } = &self.spec.when;
        methods.as_ref().is_none_or(|methods| methods.contains(&exchange.request.method))
            && header.as_ref().is_none_or(|name| exchange.request.headers.contains_key(name))
            && share_permille.is_none_or(|share| self.draw.hash_one(&*exchange.id) % 1000 < u64::from(share))
    }

    /// Adds a piece of a body that passes by to its beginning. Gives the beginning once no more of it is needed, once.
    fn observe(&self, exchange: &mut Exchange) -> Option<Vec<u8>> {
        let Exchange { holds, body, end_of_stream, .. } = exchange;
        let own = |hold: &&mut Beginning| hold.serial == self.serial;
        let present = holds.iter_mut().filter_map(|hold| hold.downcast_mut::<Beginning>()).find(own);
        let beginning = match present {
            Some(beginning) => beginning,
            None => {
                holds.push(Box::new(Beginning { serial: self.serial, bytes: Vec::new(), done: false }));
                holds.last_mut()?.downcast_mut::<Beginning>()?
            }
        };
        if beginning.done {
            return None;
        }
        let room = BEGINNING_LIMIT - beginning.bytes.len();
        beginning.bytes.extend(body.iter().take(room));
        beginning.done = *end_of_stream || beginning.bytes.len() == BEGINNING_LIMIT;
        beginning.done.then(|| std::mem::take(&mut beginning.bytes))
    }

    fn tensors(&self, exchange: &Exchange, body: &[u8]) -> Result<Vec<Tensor>, String> {
        let observation = Observation {
            method: exchange.request.method.as_str(),
            target: exchange.request.path.as_str().as_bytes(),
            headers: &exchange.request.headers,
            body,
            rate: self.spec.rates.as_ref().map(|rates| rates.rate(exchange.client.address.ip())),
            time: seconds_now(),
            status: exchange.response.as_ref().map(|head| head.status.as_u16()),
        };
        let mut numbers = Vec::new();
        for features in &self.spec.inputs {
            features.extract(&observation, &mut numbers);
        }
        self.layout.tensors(numbers).map_err(|error| error.to_string())
    }

    /// Begins a run, and ends it if the model runs inline.
    fn begin(&self, exchange: &Exchange, body: &[u8]) -> Result<Begun, String> {
        let deadline = Instant::now() + self.spec.deadline;
        Ok(self.model.begin(self.tensors(exchange, body)?, &self.outputs, Some(deadline)))
    }

    /// What a score, or the lack of one, means for the request.
    fn settle(
        &self,
        exchange: &mut Exchange,
        scored: Result<f32, (FailureKind, String)>,
    ) -> Result<Verdict, StageError> {
        let failed =
            |kind, reason: String| StageError { stage: self.spec.name.to_string(), kind, source: reason.into() };
        let score = match (scored, self.spec.fallback) {
            (Ok(score), _) => {
                exchange.scores.push(Score { stage: Arc::clone(&self.spec.name), value: score });
                score
            }
            (Err(_), Some(fallback)) => fallback,
            (Err((kind, reason)), None) => return Err(failed(kind, reason)),
        };
        if self.spec.shadow {
            return Ok(Verdict::Continue(Edits::default()));
        }
        let text = format!("{score:.4}");
        if let (Some(tag), Ok(value)) = (&self.spec.tag, HeaderValue::from_str(&text)) {
            exchange.request.headers.insert(tag.clone(), value);
        }
        let mut set = |name: &str, value: Vec<u8>| {
            let full = |_| failed(FailureKind::Limit, format!("no room for the attribute `{name}`"));
            exchange.attributes.set(name, value).map_err(full)
        };
        set(&self.attribute, text.into_bytes())?;
        // Of the outermost level that says something of a matter.
        let (mut priority, mut cost, mut upstream) = (None, None, None);
        for level in self.spec.levels.iter().rev().filter(|level| level.threshold.is_passed(score)) {
            priority = priority.or(level.priority);
            cost = cost.or(level.cost);
            upstream = upstream.or(level.upstream.as_ref());
        }
        if let Some(priority) = priority {
            set(PRIORITY, priority.to_string().into_bytes())?;
        }
        if let Some(cost) = cost {
            set(COST, cost.to_string().into_bytes())?;
        }
        if let Some(upstream) = upstream {
            exchange.upstream = Some(Arc::clone(upstream));
        }
        if self.spec.refuse.is_some_and(|threshold| threshold.is_passed(score)) {
            let refusal = Refusal::new(ErrorCode::Forbidden, "The request was refused.");
            return refusal
                .map(|refusal| Verdict::Refuse(Box::new(refusal)))
                .map_err(|error| failed(FailureKind::InvalidOutput, error.to_string()));
        }
        Ok(Verdict::Continue(Edits::default()))
    }
}

impl Stage for ScoreStage {
    fn name(&self) -> &str {
        &self.spec.name
    }

    fn has(&self, hook: Hook) -> bool {
        // The head comes first in any case: a request without a body has no other hook, and the tag is the gateway's alone.
        hook == self.at || (self.at == Hook::RequestBody && hook == Hook::RequestHeaders)
    }

    /// In shadow mode pieces are looked at as they pass: nobody waits for a score that decides nothing.
    fn body_mode(&self, _hook: Hook) -> BodyMode {
        if self.spec.shadow { BodyMode::Watched } else { BodyMode::Buffered }
    }

    fn body_need(&self, hook: Hook, exchange: &Exchange) -> BodyMode {
        if self.is_wanted(exchange) { self.body_mode(hook) } else { BodyMode::None }
    }

    fn run(&self, hook: Hook, mut exchange: Box<Exchange>) -> Run<'_> {
        let go_on = || Ok(Verdict::Continue(Edits::default()));
        if let (Hook::RequestHeaders, Some(tag)) = (hook, &self.spec.tag) {
            // Directly, and not by an edit: it has to be gone even if the stage fails and is skipped.
            exchange.request.headers.remove(tag);
        }
        let body_follows = hook == Hook::RequestHeaders && self.at == Hook::RequestBody && !exchange.end_of_stream;
        if body_follows || !self.is_wanted(&exchange) {
            return Run::Ended(exchange, go_on());
        }
        let observed = match hook {
            Hook::RequestBody if self.spec.shadow => match self.observe(&mut exchange) {
                Some(beginning) => Bytes::from(beginning),
                None => return Run::Ended(exchange, go_on()),
            },
            Hook::RequestBody => exchange.body.clone(),
            _ => Bytes::new(),
        };
        let begun = match self.begin(&exchange, &observed) {
            Ok(begun) => begun,
            Err(reason) => {
                let result = self.settle(&mut exchange, Err((FailureKind::InvalidOutput, reason)));
                return Run::Ended(exchange, result);
            }
        };
        match begun {
            Begun::Ended(answer) => {
                let scored = scored(&self.model, &self.score, answer);
                let result =
                    if self.spec.shadow && scored.is_err() { go_on() } else { self.settle(&mut exchange, scored) };
                Run::Ended(exchange, result)
            }
            Begun::Waits(waiting) if self.spec.shadow => {
                let (model, score) = (Arc::clone(&self.model), self.score.clone());
                // Counting is all that comes of it.
                tokio::spawn(async move { drop(scored(&model, &score, waiting.answer().await)) });
                Run::Ended(exchange, go_on())
            }
            Begun::Waits(waiting) => Run::Waits(Box::pin(async move {
                let scored = scored(&self.model, &self.score, waiting.answer().await);
                let result = self.settle(&mut exchange, scored);
                (exchange, result)
            })),
        }
    }
}

fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The score in what a model answered, counted.
fn scored(model: &Model, chosen: &Chosen, answer: Answer) -> Result<f32, (FailureKind, String)> {
    let outputs = answer.map_err(|error| {
        let kind = match error {
            InferError::Overloaded => FailureKind::Unavailable,
            InferError::Deadline => FailureKind::Deadline,
            InferError::Invalid(_) | InferError::Failed(_) => FailureKind::Trap,
        };
        (kind, error.to_string())
    })?;
    let invalid = |reason: String| (FailureKind::InvalidOutput, reason);
    let output = outputs.first().ok_or_else(|| invalid("the model gave too few outputs".to_owned()))?;
    if let Some(columns) = chosen.columns.filter(|columns| *columns != output.data().len()) {
        let got = output.data().len();
        return Err(invalid(format!("the model gave {got} numbers where {columns} were when it was tried out")));
    }
    let score = number_at(output.data(), chosen.column).filter(|score| score.is_finite());
    let score = score.ok_or_else(|| invalid("the model gave no finite number where the score should be".to_owned()))?;
    model.stats().scored(score);
    Ok(score)
}

/// An element of the only row.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "scores are single-precision")]
fn number_at(data: &Data, at: usize) -> Option<f32> {
    match data {
        Data::Float32(values) => values.get(at).copied(),
        Data::Float64(values) => values.get(at).map(|value| *value as f32),
        Data::Float16(values) => values.get(at).map(|value| value.to_f32()),
        Data::Bfloat16(values) => values.get(at).map(|value| value.to_f32()),
        Data::Int64(values) => values.get(at).map(|value| *value as f32),
        Data::Int32(values) => values.get(at).map(|value| *value as f32),
        Data::Bool(values) => values.get(at).map(|value| f32::from(u8::from(*value))),
        Data::Uint8(values) => values.get(at).map(|value| f32::from(*value)),
        Data::Int8(values) => values.get(at).map(|value| f32::from(*value)),
        Data::Uint16(values) => values.get(at).map(|value| f32::from(*value)),
        Data::Int16(values) => values.get(at).map(|value| f32::from(*value)),
        Data::Uint32(values) => values.get(at).map(|value| *value as f32),
        Data::Uint64(values) => values.get(at).map(|value| *value as f32),
        Data::String(_) => None,
    }
}

/// The number that is the score, by what the model gives for zeros if it may be run on them.
fn score(spec: &StageSpec, model: &Model, layout: &Layout) -> Result<Chosen, StageMistake> {
    let name = &spec.version.name;
    let shapes = if model.options().warm_up.is_some() {
        let zeros = layout.tensors(vec![0.0; spec.inputs.iter().map(|features| features.width()).sum()]);
        let zeros = zeros.map_err(|error| StageMistake { message: error.to_string(), help: String::new() })?;
        let tried = model.output_shapes(&zeros).map_err(|LoadError { message, help }| StageMistake {
            message: format!("model `{name}`: {message}"),
            help,
        })?;
        Some(tried)
    } else {
        None
    };
    Outputs::new(name, &spec.version.metadata, shapes.as_deref()).choose(spec.output.as_ref())
}
