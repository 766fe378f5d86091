//! A configuration that is known to be valid, except for what the files it names contain.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::change::StaticSpots;

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
    pub access_log: AccessLog,
    pub downstream: Downstream,
    pub upstreams: BTreeMap<String, Upstream>,
    pub keys: BTreeMap<String, Secret>,
    pub key_sets: BTreeMap<String, KeySet>,
    pub buckets: BTreeMap<String, Bucket>,
    pub load: BTreeMap<String, LoadScope>,
    pub plugins: BTreeMap<String, Plugin>,
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
    /// How long requests in flight may take to end after SIGTERM.
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

/// A rule: which requests, through which stages, to where.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Unique.
    pub name: String,
    pub spot: Spot,
    pub host: Option<HostPattern>,
    pub path: PathPattern,
    /// Name of an upstream that exists.
    pub upstream: String,
    /// From the end of the request's head to the end of the response; none: no deadline.
    pub deadline: Option<Duration>,
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
        grants: Vec<Located<Grant>>,
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
}
