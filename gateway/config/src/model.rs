//! A configuration that is known to be valid, except for what the files it names contain.

mod features;
mod scripts;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::Places;
use crate::change::StaticSpots;

pub use features::*;
pub use scripts::*;

/// Where in the configuration something stands, for problems that show only when a file is read or a plugin is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spot {
    /// 1-based; 0 for a default, which stands nowhere in the file.
    pub line: usize,
    /// 1-based, in characters; 0 for a default.
    pub column: usize,
    /// Dotted path, such as `routes.api.stages[1].config`.
    pub path: String,
}

impl Spot {
    /// False for a default.
    pub fn is_in_file(&self) -> bool {
        self.line > 0
    }
}

/// A value and where it stands. Two of them are equal if their values are: moving a line is no change.
#[derive(Debug, Clone)]
pub struct Located<T> {
    pub value: T,
    pub spot: Spot,
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// The whole of gateway.toml. Paths are resolved against the file. Only [`parse`](crate::parse) makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Static.
    pub listeners: Vec<Listener>,
    /// Static.
    pub admin: Admin,
    /// Static.
    pub runtime: Runtime,
    /// Static.
    pub inference: Inference,
    pub access_log: AccessLog,
    pub downstream: Downstream,
    pub upstreams: BTreeMap<String, Upstream>,
    pub keys: BTreeMap<String, Secret>,
    pub key_sets: BTreeMap<String, KeySet>,
    pub buckets: BTreeMap<String, Bucket>,
    pub load: BTreeMap<String, LoadScope>,
    pub plugins: BTreeMap<String, Plugin>,
    pub models: BTreeMap<String, Model>,
    pub features: BTreeMap<String, FeatureSet>,
    pub shared_dicts: BTreeMap<String, SharedDict>,
    pub lua: BTreeMap<String, LuaVm>,
    pub scripts: BTreeMap<String, Script>,
    /// In the order of the file, which does not decide who wins.
    pub routes: Vec<Route>,
    /// Where the static settings stand.
    pub(crate) static_spots: StaticSpots,
}

/// A bound address; process-wide.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    pub address: Located<SocketAddr>,
    pub tls: Option<Tls>,
}

/// Certificate of a listener. Without one it speaks HTTP/1.1 and h2c on one port, with one HTTP/1.1 and h2 by ALPN.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// PEM, leaf first.
    pub certificate: Located<PathBuf>,
    /// PEM.
    pub key: Located<PathBuf>,
}

/// Health, metrics and reload, on an address of their own; process-wide.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// None: there is no admin listener. Loopback by default.
    pub address: Option<Located<SocketAddr>>,
}

/// Threads and time; process-wide.
#[derive(Debug, Clone, PartialEq)]
pub struct Runtime {
    /// Proxy threads, at least 1; none: one for each processor.
    pub threads: Option<usize>,
    /// How long connections are accepted after SIGTERM.
    pub accept_timeout: Duration,
    /// How long requests in flight may take to end after that.
    pub drain_timeout: Duration,
    /// Where compiled plugins are kept between runs; none: in the user's cache directory.
    pub plugin_cache: Option<Located<PathBuf>>,
}

/// Where access records go: JSON, one line for each request; process-wide.
#[derive(Debug, Clone, PartialEq)]
pub enum AccessLog {
    Stdout,
    Off,
    /// Appended to.
    File(Located<PathBuf>),
}

/// Limits of the client's side.
#[derive(Debug, Clone, PartialEq)]
pub struct Downstream {
    /// Bytes of a request's head, request line included.
    pub header_limit: usize,
    /// From the first byte of a head to its last.
    pub header_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub idle_timeout: Duration,
    /// Bytes of a request's body, unless the route says otherwise; none: no limit.
    pub body_limit: Option<u64>,
    /// Longest pause of a client that sends or receives a body.
    pub body_timeout: Duration,
    /// How long a client that was answered early may go on sending.
    pub linger_timeout: Duration,
}

/// A named group of endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    pub spot: Spot,
    /// At least one. Host names are resolved when a generation is built.
    pub endpoints: Vec<Located<Endpoint>>,
    pub protocol: Protocol,
    pub tls: Option<UpstreamTls>,
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Longest silence of an endpoint that owes a response.
    pub read_timeout: ReadTimeout,
    /// Longest time for which an endpoint may take nothing of a request.
    pub write_timeout: Duration,
    /// How long looking up a host name may take.
    pub resolve_timeout: Duration,
    /// For how long an endpoint is passed over that could not be reached; doubled by each further failure.
    pub backoff: Duration,
    /// At most; not less than `backoff`.
    pub backoff_limit: Duration,
}

/// Longest silence of an endpoint that owes a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadTimeout {
    /// This, for requests that have no deadline; those that have one are ended by it.
    Default(Duration),
    /// This, for every request.
    After(Duration),
    /// None.
    Never,
}

impl ReadTimeout {
    /// What counts for a request with a deadline, or without one.
    pub fn for_request(self, has_deadline: bool) -> Option<Duration> {
        match self {
            Self::Default(time) => (!has_deadline).then_some(time),
            Self::After(time) => Some(time),
            Self::Never => None,
        }
    }
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// An IP address (IPv6 without brackets) or a host name.
    pub host: String,
    pub port: u16,
}

/// What is spoken to the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// TLS to the endpoints.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamTls {
    /// Name asked for and checked; none: the endpoint's host.
    pub server_name: Option<String>,
    /// PEM file of the authorities trusted instead of the system's.
    pub ca: Option<Located<PathBuf>>,
}

/// Something that must not stand in the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Secret {
    /// Value of an environment variable.
    Env(Located<String>),
    /// Content of a file, less one trailing newline.
    File(Located<PathBuf>),
}

/// API keys and the identities they stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySet {
    /// One `KEY IDENTITY` per line; `#` starts a comment line.
    pub file: Located<PathBuf>,
}

/// Token bucket, one for each key that a plugin names.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Tokens added per `period`; at least 1.
    pub tokens: u32,
    pub period: Duration,
    /// Capacity; at least 1. `tokens` by default.
    pub burst: u32,
    /// Most keys kept; beyond it the fullest buckets are forgotten first.
    pub keys_limit: usize,
}

/// When requests are shed.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadScope {
    /// At least 1.
    pub in_flight_limit: u32,
    /// Thousandths of the processor time that the process may use, 1 to 1000; none: processor time does not matter.
    pub cpu_limit_permille: Option<u32>,
}

/// A component and the defaults of its bindings.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    pub path: Located<PathBuf>,
    /// Bytes of linear memory and tables of one instance.
    pub memory_limit: usize,
    /// Run time of one hook.
    pub hook_timeout: Duration,
    /// Time of one hook in all, with host calls and waiting.
    pub wall_timeout: Duration,
    pub isolation: Isolation,
    /// Instances at once, over all threads, for each distinct configuration.
    pub instances_limit: usize,
    /// Hooks that run at once, at most `instances_limit`; none: as many.
    pub concurrency_limit: Option<usize>,
    /// Hooks that wait while as many run as may.
    pub queue_limit: usize,
    /// The longest that one waits.
    pub queue_timeout: Duration,
}

/// What the calls of a plugin share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Instances serve one call after another.
    Shared,
    /// Every call has an instance of its own.
    Request,
}

/// What runs models; process-wide.
#[derive(Debug, Clone, PartialEq)]
pub struct Inference {
    pub runtime: ModelRuntime,
    /// Threads that run models; none: one for each processor.
    pub threads: Option<usize>,
    /// How far they stand back, 0 to 19 (nice(2)).
    pub niceness: u32,
    /// Below which models may be loaded on request.
    pub model_roots: Vec<Located<PathBuf>>,
    /// Models loaded on request at once.
    pub loaded_limit: usize,
}

/// What runs models.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelRuntime {
    /// The one in pure Rust.
    Embedded,
    /// ONNX Runtime where it was installed, or else the embedded one.
    Auto,
    /// This library of ONNX Runtime.
    Path(Located<PathBuf>),
}

/// A model and how it is run.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub spot: Spot,
    /// At least one; several have numbers.
    pub files: Vec<ModelFile>,
    /// Threads of one run.
    pub intra_op_threads: usize,
    /// Runs at once; none: as many as there are threads.
    pub concurrency_limit: Option<usize>,
    pub queue_limit: usize,
    pub queue_timeout: Duration,
    /// Rows of one request.
    pub batch_limit: usize,
    pub batching: Option<Batching>,
    /// Run time up to which it runs on the proxy's threads; none: never.
    pub inline_within: Option<Duration>,
    /// Sizes of named dimensions for the warm-up; none: no warm-up.
    pub warm_up: Option<Vec<(String, usize)>>,
    /// The longest that loading and trying out may take.
    pub load_timeout: Duration,
    pub parity: Option<Parity>,
    /// Counts or shares of twenty bins of scores, not all of them zero.
    pub score_reference: Option<Vec<f64>>,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// None: it counts up from 1 whenever the file changes.
    pub version: Option<u64>,
    pub path: Located<PathBuf>,
    pub aliases: Vec<String>,
}

/// How requests are put together for one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batching {
    /// Most rows of one run.
    pub rows: usize,
    /// How long the first one waits for others.
    pub wait: Duration,
}

/// How a new version of a model is compared with the old one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parity {
    pub tolerance: f64,
    pub beyond: Beyond,
}

/// What a difference beyond the tolerance means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    Refuse,
    Warn,
}

/// A model, or one version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// Of a model that exists.
    pub name: String,
    /// Number or alias; none: the latest.
    pub version: Option<String>,
}

/// An output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputElement {
    pub name: String,
    /// Which number of its row; none: the only one, or the last of a classifier that says yes or no.
    pub element: Option<Element>,
}

/// A number of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// Counted from 0.
    Column(usize),
    /// The column of a class.
    Class(String),
}

/// Beyond what a score means something; it means nothing if it is equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    Above(f64),
    Below(f64),
}

/// What a stage does with the score of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Scoring {
    pub model: Located<ModelName>,
    /// Names of feature sets that exist: one for each input of the model, or any number for a model with an input for each of
    /// their numbers.
    pub inputs: Vec<String>,
    /// None: the only number that can be the score.
    pub output: Option<Located<OutputElement>>,
    pub when: When,
    /// From the hook's start to the score.
    pub deadline: Duration,
    pub on_error: OnError,
    /// Scores beyond this refuse the request; none: no score does.
    pub refuse: Option<Threshold>,
    /// Request field that tells the upstream the score.
    pub tag: Option<String>,
    /// All above or all below their thresholds, each beyond the one before.
    pub levels: Vec<Level>,
    pub mode: ScoringMode,
    /// Name of the bucket that tells the client's rate; exists.
    pub rate_bucket: Option<String>,
}

/// Which requests are scored. All that is named has to hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct When {
    /// None: all.
    pub methods: Option<Vec<String>>,
    /// A request field that has to be there.
    pub header: Option<String>,
    /// Share of requests in thousandths; none: all.
    pub share_permille: Option<u32>,
}

/// What happens without a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OnError {
    /// The request is refused.
    Deny,
    /// It goes on as if the stage were not there.
    Skip,
    /// It goes on as if this were the score.
    Score(f64),
}

/// What a score beyond a threshold means.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    pub threshold: Threshold,
    /// Attribute `priority`, which shedding goes by.
    pub priority: Option<u8>,
    /// Attribute `cost`, which limiting goes by.
    pub cost: Option<u32>,
    /// Another upstream than the route's; exists.
    pub upstream: Option<String>,
}

/// Whether a score has effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoringMode {
    Enforce,
    /// Metrics and log only, and the request does not wait for it.
    Shadow,
}

/// Where a route's requests go.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Name of an upstream that exists.
    Upstream(String),
    /// The gateway's own model server.
    Models(ModelRoute),
    /// A script among the stages answers.
    Script,
}

/// What a route serves of the models.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRoute {
    /// Names of models that exist; none: all, those loaded on request too.
    pub models: Option<Vec<String>>,
    /// Whether models can be loaded and unloaded over it.
    pub control: bool,
    /// Whether inputs may hold what is not a finite number.
    pub any_values: bool,
}

/// A rule: which requests, through which stages, to where.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Unique.
    pub name: String,
    pub spot: Spot,
    pub host: Option<HostPattern>,
    pub path: PathPattern,
    pub target: Target,
    /// From the end of the request's head to the end of the response; none: no deadline.
    pub deadline: Option<Duration>,
    /// How long a tunnel may be silent; none: for ever.
    pub tunnel_idle_timeout: Option<Duration>,
    /// Bytes of a request's body; none: no limit.
    pub body_limit: Option<u64>,
    /// Bytes of a body that are held back for stages that want it whole.
    pub buffer_limit: usize,
    pub stages: Vec<Stage>,
}

/// Which hosts a route is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// Lower case, without port; an IPv6 address without brackets.
    Exact(String),
    /// `*.example.com`, kept as `example.com`: any number of labels before it, at least one.
    Wildcard(String),
}

/// Which paths a route is for, in normal form (RFC 3986, section 6.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathPattern {
    Exact(String),
    /// On segment boundaries: `/a` matches `/a` and `/a/b`, not `/ab`. `/` matches all.
    Prefix(String),
}

/// One entry of a route's stages.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    pub spot: Spot,
    pub kind: StageKind,
    pub failure: Failure,
}

/// What a stage runs.
#[derive(Debug, Clone, PartialEq)]
pub enum StageKind {
    Plugin {
        /// Name of a plugin that exists.
        plugin: String,
        /// The plugin's own configuration, as JSON; an object.
        config: Located<serde_json::Value>,
        /// Where the parts of it stand.
        places: Places,
        grants: Vec<Located<Grant>>,
    },
    /// A model scores the request.
    Inference(Box<Scoring>),
    Script {
        /// Name of a script that exists.
        script: String,
    },
}

/// What one failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The request, or the reload, is refused.
    Deny,
    /// The request goes on as if the stage were not there.
    Skip,
    /// The previous version of the plugin takes over.
    LastGood,
}

/// What a stage's failures mean: that of loading for the reload, the others for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub on_load: Disposition,
    pub on_trap: Disposition,
    pub on_timeout: Disposition,
    pub on_overload: Disposition,
}

/// Something a plugin may reach; names exist.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grant {
    /// `log`
    Log,
    /// `clock`
    Clock,
    /// `kv`
    Kv,
    /// `crypto`: digests
    Crypto,
    /// `crypto:NAME`: a key or key set (and the digests)
    Key(String),
    /// `limiter:NAME`
    Bucket(String),
    /// `load:NAME`
    LoadScope(String),
    /// `metrics`
    Metrics,
    /// `random`
    Random,
    /// `outbound:NAME`: an upstream
    Outbound(String),
    /// `inference:NAME`: a model
    Model(String),
}
