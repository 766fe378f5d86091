//! One generation: everything that a configuration means at run time, immutable.

mod binding;
mod build;
mod certificate;
mod features;
mod files;
mod listed;
mod lua_modules;
pub mod models;
mod score;
mod scoring;
#[cfg(feature = "lua")]
mod scripts;
#[cfg(not(feature = "lua"))]
#[path = "no_scripts.rs"]
mod scripts;
mod stages;
mod upstream;

pub use binding::Binding;
pub use build::Builder;
pub use files::{Sources, named, read, read_noting};
pub use listed::Listed;
pub use scripts::ScriptHost;
pub use upstream::{Attempt, Endpoint, Moved, Resolution, Upstream, moved, names, resolve};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use rustls::sign::CertifiedKey;
use tracing::warn;
use witgate_config::{Config, Diagnostic};
use witgate_inference::Catalogue;
use witgate_inference::protocol::ModelServer;
use witgate_plugin_host::LoadedPlugin;
use witgate_route::RouteTable;
use witgate_stage::{Hook, Observer, Pipeline, StageError, Usage, Verdict};

use crate::telemetry::{RouteMetrics, StageMetrics};
use crate::upstream::Answer;

/// SHA-256 over the configuration and every file that it names.
pub type Digest = [u8; 32];

/// What the requests of one generation use.
pub struct Snapshot {
    /// Counts from 1, by one for each swap.
    pub generation: u64,
    pub digest: Digest,
    pub config: Arc<Config>,
    pub routes: RouteTable<Arc<Route>>,
    /// Metrics of requests that no route matches.
    pub unmatched: Arc<RouteMetrics>,
    pub upstreams: BTreeMap<String, Arc<Upstream>>,
    /// For each listener, its certificate if it has one.
    pub certificates: Vec<Option<Arc<CertifiedKey>>>,
    /// Each distinct plugin once, those that are kept for failures included.
    pub plugins: Vec<Arc<LoadedPlugin>>,
    /// Each stage entry of each route.
    pub bindings: Vec<Binding>,
    /// Models of the configuration.
    pub models: Arc<Catalogue>,
    /// Names that do not resolve, with what is done without.
    unresolved: Vec<Diagnostic>,
    /// What somebody should mend although it serves: certificates that are not valid today, code that may fail.
    notes: Vec<Diagnostic>,
    _live: LiveGeneration,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// What does not run as it is configured, because it could not be loaded, and what somebody should mend besides.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.bindings.iter().filter_map(|binding| binding.load_problem.as_ref()).chain(&self.notes)
    }

    /// Writes the warnings to the log.
    pub fn warn(&self) {
        for Diagnostic { file, spot, message, .. } in self.warnings() {
            let line = spot.as_ref().map_or(0, |spot| spot.line);
            warn!(generation = self.generation, "{}:{line}: {message}", file.display());
        }
    }

    /// What the names of each upstream stand for.
    pub fn names(&self) -> impl Iterator<Item = (Arc<str>, &Answer)> {
        let groups = self.upstreams.values();
        groups.flat_map(|group| group.names.iter().map(|answer| (Arc::clone(&group.name), answer)))
    }

    /// Names of upstreams that did not resolve when this generation was built; which they are now, the registry knows.
    pub fn unresolved(&self) -> &[Diagnostic] {
        &self.unresolved
    }
}

/// Counts a generation for as long as anything holds it.
#[derive(Debug)]
struct LiveGeneration(IntGauge);

impl LiveGeneration {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for LiveGeneration {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A route, ready to serve.
pub struct Route {
    pub name: Arc<str>,
    pub target: Target,
    /// Upstreams that stages may choose instead.
    pub choices: BTreeMap<Arc<str>, Target>,
    pub pipeline: Pipeline,
    pub deadline: Option<Duration>,
    /// How long a tunnel may be silent; none: for ever.
    pub tunnel_idle_timeout: Option<Duration>,
    /// Bytes.
    pub body_limit: Option<u64>,
    /// Bytes of a body that are held back for stages that want it whole.
    pub buffer_limit: usize,
    pub metrics: Arc<RouteMetrics>,
    /// In the order of the pipeline's steps.
    pub stage_metrics: Vec<Arc<StageMetrics>>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Who answers the requests of a route.
pub enum Target {
    Upstream(Arc<Upstream>),
    Models(ModelServer),
    /// A script among the stages.
    Script,
}

impl Route {
    /// Who answers a request: the upstream that a stage chose, or the route's own target.
    pub fn target(&self, chosen: Option<&str>) -> &Target {
        chosen.and_then(|name| self.choices.get(name)).unwrap_or(&self.target)
    }

    /// Name of a step's stage, for logs.
    pub fn stage_name(&self, step: usize) -> Option<String> {
        self.pipeline.steps().get(step).map(|step| step.stage.name().to_owned())
    }

    /// Whether a step's stage answers in the upstream's place.
    pub fn stage_answers(&self, step: usize) -> bool {
        self.pipeline.steps().get(step).is_some_and(|step| step.stage.answers())
    }
}

impl Observer for Route {
    fn stage_ran(&self, step: usize, hook: Hook, took: (Duration, &Usage), result: &Result<Verdict, StageError>) {
        if let Some(metrics) = self.stage_metrics.get(step) {
            metrics.hook_ran(hook, took, result);
        }
    }
}
