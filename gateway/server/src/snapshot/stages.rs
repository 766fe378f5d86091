//! Loads the plugins of all routes, each distinct one once.

use std::collections::BTreeMap;
use std::sync::Arc;

use witgate_config::{self as config, Diagnostic, Grant, Located, StageKind};
use witgate_plugin_host::{
    Bucket, BucketSpec, Concern, Grants, HmacKey, Isolation, KeySet, LoadLimits, LoadScope, LoadedPlugin, PluginHost,
    PluginLimits, PluginSpec, PluginStage,
};
use witgate_stage::{Disposition, FailurePolicy, Stage, Step};

use super::binding::{Binding, Past};
use super::score::ScoringModel;
use super::scoring::Material;
use super::scripts::Scripts;
use super::{Builder, Snapshot, Sources};
use crate::proxy::outbound::Target;
use crate::snapshot::Upstream;
use crate::telemetry::{Metrics, StageMetrics};

/// What plugins can be granted, resolved once for a generation.
pub struct Stages<'a> {
    host: &'a PluginHost,
    metrics: &'a Arc<Metrics>,
    sources: &'a Sources,
    keys: BTreeMap<&'a str, Arc<HmacKey>>,
    key_sets: BTreeMap<&'a str, Arc<KeySet>>,
    buckets: BTreeMap<&'a str, Arc<Bucket>>,
    load_scopes: BTreeMap<&'a str, Arc<LoadScope>>,
    upstreams: &'a BTreeMap<&'a str, Arc<Upstream>>,
    material: &'a Material<'a>,
    scripts: &'a Scripts,
    /// Of the generation before.
    past: &'a [Binding],
    plugins: Vec<Arc<LoadedPlugin>>,
    bindings: Vec<Binding>,
}

impl<'a> Stages<'a> {
    /// Makes keys, buckets and load scopes; what is wrong with them goes to `problems`.
    pub fn new(
        Builder { host, metrics, .. }: &'a Builder,
        sources: &'a Sources,
        previous: Option<&'a Snapshot>,
        (upstreams, material, scripts): (&'a BTreeMap<&'a str, Arc<Upstream>>, &'a Material<'a>, &'a Scripts),
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let config = &*sources.config;
        let buckets = config.buckets.iter().map(|(name, bucket)| {
            let config::Bucket { tokens, period, burst, keys_limit } = *bucket;
            (name.as_str(), host.bucket(name, &BucketSpec { tokens, period, burst, keys_limit }))
        });
        let load_scopes = config.load.iter().map(|(name, scope)| {
            let config::LoadScope { in_flight_limit, cpu_limit_permille } = *scope;
            let limits =
                LoadLimits { in_flight: in_flight_limit, cpu_permille: cpu_limit_permille.unwrap_or(u32::MAX) };
            (name.as_str(), host.load_scope(name, limits))
        });
        Self {
            host,
            metrics,
            sources,
            keys: keys(sources, problems),
            key_sets: key_sets(sources, problems),
            buckets: buckets.collect(),
            load_scopes: load_scopes.collect(),
            upstreams,
            material,
            scripts,
            past: previous.map_or(&[], |previous| &previous.bindings),
            plugins: Vec::new(),
            bindings: Vec::new(),
        }
    }

    /// The steps of a route's pipeline and their metrics, in order.
    pub fn steps(
        &mut self,
        route_name: &Arc<str>,
        route: &config::Route,
        problems: &mut Vec<Diagnostic>,
    ) -> (Vec<Step>, Vec<Arc<StageMetrics>>) {
        let mut steps = Vec::new();
        let first = self.bindings.len();
        let keeps = self.scripts.keeps(route);
        for stage in &route.stages {
            let (plugin, config, grants) = match &stage.kind {
                StageKind::Plugin { plugin, config, grants } => (plugin, config, grants),
                StageKind::Script { script } => {
                    let step = self.scripts.step(script, keeps, policy(stage.failure));
                    steps.extend(step.map(|step| (step, self.metrics.stage(route_name, &Arc::from(script.as_str())))));
                    continue;
                }
                StageKind::Inference(scoring) => {
                    match self.material.step(scoring, &self.buckets) {
                        Ok(step) => steps.extend(step.map(|step| {
                            let name = Arc::from(step.stage.name());
                            (step, self.metrics.stage(route_name, &name))
                        })),
                        Err(problem) => problems.push(problem),
                    }
                    continue;
                }
            };
            let nth = self.bindings.iter().skip(first).filter(|binding| binding.plugin == *plugin).count();
            let past = Past::find(self.past, route_name, plugin, nth);
            let loaded = self.load(plugin, config, grants, stage);
            match bind(Arc::clone(route_name), plugin, (stage.failure, past), loaded) {
                Ok(binding) => {
                    binding.loaded.iter().chain(&binding.last_good).for_each(|plugin| self.keep(plugin));
                    if let Some(step) = step(&binding) {
                        steps.push((step, self.metrics.stage(route_name, &Arc::from(plugin.as_str()))));
                    }
                    self.bindings.push(binding);
                }
                Err(problem) => problems.push(problem),
            }
        }
        steps.into_iter().unzip()
    }

    /// Each distinct plugin, and what every stage runs.
    pub fn into_parts(self) -> (Vec<Arc<LoadedPlugin>>, Vec<Binding>) {
        (self.plugins, self.bindings)
    }

    fn keep(&mut self, plugin: &Arc<LoadedPlugin>) {
        if !self.plugins.iter().any(|present| Arc::ptr_eq(present, plugin)) {
            self.plugins.push(Arc::clone(plugin));
        }
    }

    fn load(
        &self,
        name: &str,
        config: &Located<serde_json::Value>,
        grants: &[Located<Grant>],
        stage: &config::Stage,
    ) -> Result<Arc<LoadedPlugin>, Diagnostic> {
        let Some(plugin) = self.sources.config.plugins.get(name) else {
            return Err(self.sources.diagnostic(&stage.spot, format!("no plugin `{name}`"), "add it under [plugins]"));
        };
        if let Some(problem) = self.sources.missing(&plugin.path.value) {
            return Err(Diagnostic { message: format!("plugin `{name}`: {}", problem.message), ..problem.clone() });
        }
        let spec = PluginSpec {
            name: name.to_owned(),
            wasm: self.sources.file(&plugin.path.value),
            config_json: config.value.to_string(),
            limits: PluginLimits {
                memory: plugin.memory_limit,
                hook_timeout: plugin.hook_timeout,
                wall_timeout: plugin.wall_timeout,
                instances: plugin.instances_limit,
                concurrency: plugin.concurrency_limit.unwrap_or(plugin.instances_limit),
                queue: plugin.queue_limit,
                queue_timeout: plugin.queue_timeout,
            },
            isolation: match plugin.isolation {
                config::Isolation::Shared => Isolation::Shared,
                config::Isolation::Request => Isolation::Request,
            },
            grants: self.resolve(grants),
        };
        self.host.load(spec).map_err(|error| {
            let (spot, help) = match error.concerns() {
                Concern::Component => (&plugin.path.spot, "build the plugin for this version of the contract"),
                Concern::Config => (&config.spot, "correct the stage's `config`"),
                Concern::Grants => (&stage.spot, "correct the stage's `grants`"),
            };
            self.sources.diagnostic(spot, format!("plugin `{name}`: {error}"), help)
        })
    }

    /// Names that do not exist were reported when the configuration was read.
    fn resolve(&self, granted: &[Located<Grant>]) -> Grants {
        let mut grants = Grants::default();
        for grant in granted {
            match &grant.value {
                Grant::Log => grants.log = true,
                Grant::Clock => grants.clock = true,
                Grant::Kv => grants.kv = true,
                Grant::Crypto => grants.digests = true,
                Grant::Key(name) => {
                    grants.keys.extend(self.keys.get(name.as_str()).map(|key| (name.clone(), Arc::clone(key))));
                    grants.key_sets.extend(self.key_sets.get(name.as_str()).map(|set| (name.clone(), Arc::clone(set))));
                }
                Grant::Bucket(name) => grants.buckets.extend(entry(&self.buckets, name)),
                Grant::LoadScope(name) => grants.load_scopes.extend(entry(&self.load_scopes, name)),
                Grant::Metrics => grants.metrics = Some(Arc::clone(&self.metrics.custom) as _),
                Grant::Random => grants.random = true,
                Grant::Outbound(name) => {
                    let target =
                        self.upstreams.get(name.as_str()).map(|group| Arc::new(Target(Arc::clone(group))) as _);
                    grants.outbound.extend(target.map(|target| (name.clone(), target)));
                }
                Grant::Model(name) => {
                    let version = self.material.models.find(name, None).ok();
                    let target = version.map(|version| Arc::new(ScoringModel(version)) as _);
                    grants.models.extend(target.map(|target| (name.clone(), target)));
                }
            }
        }
        grants
    }
}

fn entry<T>(map: &BTreeMap<&str, Arc<T>>, name: &str) -> Option<(String, Arc<T>)> {
    map.get(name).map(|value| (name.to_owned(), Arc::clone(value)))
}

/// What a stage entry runs under its policy, or the problem that keeps the configuration from being served.
fn bind(
    route: Arc<str>,
    plugin: &str,
    (failure, past): (config::Failure, Past<'_>),
    loaded: Result<Arc<LoadedPlugin>, Diagnostic>,
) -> Result<Binding, Diagnostic> {
    let policy = policy(failure);
    let (loaded, load_problem) = match loaded {
        Ok(loaded) => (Some(loaded), None),
        Err(problem) => {
            let (serving, instead) = match failure.on_load {
                config::Disposition::Deny => return Err(problem),
                config::Disposition::Skip => (None, "serves without it"),
                config::Disposition::LastGood => match past.serving() {
                    Some(serving) => (Some(serving), "keeps running its last good version"),
                    None => return Err(problem),
                },
            };
            let message = format!("{}; route `{route}` {instead}", problem.message);
            (serving, Some(Diagnostic { message, ..problem }))
        }
    };
    let last_good = loaded.as_ref().filter(|_| policy.wants_last_good()).and_then(|current| past.last_good(current));
    Ok(Binding { route, plugin: plugin.to_owned(), policy, loaded, last_good, load_problem })
}

fn step(binding: &Binding) -> Option<Step> {
    let stage = |plugin: &Arc<LoadedPlugin>| Arc::new(PluginStage::new(Arc::clone(plugin)));
    let loaded = binding.loaded.as_ref()?;
    let last_good = binding.last_good.as_ref().map(|plugin| stage(plugin) as Arc<dyn Stage>);
    Some(Step { stage: stage(loaded), policy: binding.policy, last_good })
}

fn policy(failure: config::Failure) -> FailurePolicy {
    let config::Failure { on_load: _, on_trap, on_timeout, on_overload } = failure;
    let disposition = |configured| match configured {
        config::Disposition::Deny => Disposition::Deny,
        config::Disposition::Skip => Disposition::Skip,
        config::Disposition::LastGood => Disposition::LastGood,
    };
    FailurePolicy {
        on_trap: disposition(on_trap),
        on_timeout: disposition(on_timeout),
        on_overload: disposition(on_overload),
    }
}

/// Shortest HMAC key, in bytes: half of SHA-256's output, below which guessing comes into reach (RFC 2104, section 3,
/// wants the whole of it).
const KEY_LENGTH: usize = 16;

fn keys<'a>(sources: &'a Sources, problems: &mut Vec<Diagnostic>) -> BTreeMap<&'a str, Arc<HmacKey>> {
    let mut keys = BTreeMap::new();
    for (name, secret) in &sources.config.keys {
        let bytes = sources.secret(secret);
        if bytes.len() < KEY_LENGTH {
            let spot = match secret {
                config::Secret::Env(variable) => &variable.spot,
                config::Secret::File(path) => &path.spot,
            };
            let message = format!("the key has {} bytes; expected at least {KEY_LENGTH}", bytes.len());
            problems.push(sources.diagnostic(
                spot,
                message,
                "use a long random key, such as `openssl rand -hex 32` makes",
            ));
            continue;
        }
        keys.insert(name.as_str(), Arc::new(HmacKey::new(&bytes)));
    }
    keys
}

fn key_sets<'a>(sources: &'a Sources, problems: &mut Vec<Diagnostic>) -> BTreeMap<&'a str, Arc<KeySet>> {
    let mut sets = BTreeMap::new();
    for (name, set) in &sources.config.key_sets {
        match entries(&sources.file(&set.file.value)) {
            Ok(entries) => {
                let pairs = entries.iter().map(|(key, identity)| (key.as_slice(), identity.as_str()));
                sets.insert(name.as_str(), Arc::new(KeySet::new(pairs)));
            }
            Err(message) => {
                let message = format!("`{}`: {message}", set.file.value.display());
                problems.push(sources.diagnostic(&set.file.spot, message, "write one `KEY IDENTITY` per line"));
            }
        }
    }
    sets
}

/// Lines `KEY IDENTITY`; blank ones and those that begin with `#` are left out. A key never appears in the message.
fn entries(content: &[u8]) -> Result<Vec<(Vec<u8>, String)>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "not UTF-8".to_owned())?;
    let mut entries: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut parts = line.split_whitespace();
        let (Some(key), Some(identity), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("line {}: expected a key and an identity, separated by a space", at + 1));
        };
        if entries.insert(key.as_bytes().to_vec(), identity.to_owned()).is_some() {
            return Err(format!("line {}: this key is there already", at + 1));
        }
    }
    Ok(entries.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_sets_are_read_line_by_line() {
        let read = entries(b"# keys\n\nk1 alice\r\n  k2\tbob\n").unwrap();
        assert_eq!(read, [(b"k1".to_vec(), "alice".to_owned()), (b"k2".to_vec(), "bob".to_owned())]);
    }

    #[test]
    fn a_bad_line_is_named_without_its_key() {
        for (content, message) in [
            ("k1 alice\nsecret", "line 2: expected a key and an identity"),
            ("k1 a b", "line 1: expected"),
            ("k1 alice\nk1 bob", "line 2: this key is there already"),
        ] {
            let error = entries(content.as_bytes()).unwrap_err();
            assert!(error.starts_with(message) && !error.contains("secret"), "{error}");
        }
    }
}
