//! Loads the plugins of all routes, each distinct one once.

use std::collections::BTreeMap;
use std::sync::Arc;

use witgate_config::{self as config, Diagnostic, Grant, Located, Places, Spot, StageKind, did_you_mean};
use witgate_plugin_host::{
    Bucket, BucketSpec, Concern, ConfigProblem, Grants, HmacKey, Isolation, KeySet, LoadError, LoadLimits, LoadScope,
    LoadedPlugin, PluginHost, PluginLimits, PluginSpec, PluginStage,
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
            let (plugin, config, places, grants) = match &stage.kind {
                StageKind::Plugin { plugin, config, places, grants } => (plugin, config, places, grants),
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
            let loaded = self.load(plugin, (config, places), grants, stage);
            match bind(Arc::clone(route_name), plugin, (stage.failure, past), loaded) {
                Ok(binding) => {
                    binding.loaded.iter().chain(&binding.last_good).for_each(|plugin| self.keep(plugin));
                    if let Some(step) = step(&binding) {
                        steps.push((step, self.metrics.stage(route_name, &Arc::from(plugin.as_str()))));
                    }
                    self.bindings.push(binding);
                }
                Err(found) => problems.extend(found),
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

    /// # Errors
    /// Why not; nothing, if it is granted something that has a problem of its own, which is reported already.
    fn load(
        &self,
        name: &str,
        (config, places): (&Located<serde_json::Value>, &Places),
        granted: &[Located<Grant>],
        stage: &config::Stage,
    ) -> Result<Arc<LoadedPlugin>, Vec<Diagnostic>> {
        let Some(plugin) = self.sources.config.plugins.get(name) else {
            let message = format!("no plugin `{name}`");
            return Err(vec![self.sources.diagnostic(&stage.spot, message, "add it under [plugins]")]);
        };
        if let Some(problem) = self.sources.missing(&plugin.path.value) {
            let message = format!("plugin `{name}`: {}", problem.message);
            return Err(vec![Diagnostic { message, ..problem.clone() }]);
        }
        let Some(grants) = self.resolve(granted) else { return Err(Vec::new()) };
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
            grants,
        };
        self.host.load(spec).map_err(|error| {
            let tell = |spot: &Spot, message: String, help: &str| {
                self.sources.diagnostic(spot, format!("plugin `{name}`: {message}"), help)
            };
            match &error {
                LoadError::ConfigSchema { problems } => {
                    // A key that is missing because it is mistyped is one mistake.
                    let is_mistyped = |missing: &ConfigProblem| {
                        let missed = missing.missing.as_deref();
                        let others = problems.iter().filter(|other| other.pointer == missing.pointer);
                        let mut wrong = others.filter_map(|other| other.key.as_deref());
                        missed.is_some_and(|missed| wrong.any(|wrong| is_meant(wrong, missed)))
                    };
                    let told = problems.iter().filter(|problem| !is_mistyped(problem));
                    told.map(|problem| config_problem(problem, (config, places), tell)).collect()
                }
                LoadError::ConfigRefused { message } => vec![refused(message, (config, places), tell)],
                LoadError::MissingGrant { grant, .. } => {
                    let spot = granted.first().map_or(&stage.spot, |first| &first.spot);
                    let grant = self.example(grant);
                    let help = match granted {
                        [] => format!("add `grants = [\"{grant}\"]` to the stage"),
                        _ => format!("add \"{grant}\" to the stage's `grants`"),
                    };
                    vec![tell(spot, error.to_string(), &help)]
                }
                _ => {
                    let (spot, help) = match error.concerns() {
                        Concern::Component => (&plugin.path.spot, "build the plugin for this version of the contract"),
                        Concern::Config => (&config.spot, "correct the stage's `config`"),
                        Concern::Grants => (&stage.spot, "correct the stage's `grants`"),
                    };
                    vec![tell(spot, error.to_string(), help)]
                }
            }
        })
    }

    /// A grant of that form, with a name that there is in the place of `NAME`.
    fn example(&self, grant: &str) -> String {
        let config = &self.sources.config;
        let name = match grant.split_once(':').map_or("", |(capability, _)| capability) {
            "limiter" => config.buckets.keys().next(),
            "load" => config.load.keys().next(),
            "outbound" => config.upstreams.keys().next(),
            "inference" => config.models.keys().next(),
            _ => None,
        };
        name.map_or_else(|| grant.to_owned(), |name| grant.replace("NAME", name))
    }

    /// What is granted; none: something of it could not be made, which is reported already. Names that do not exist were when
    /// the configuration was read.
    fn resolve(&self, granted: &[Located<Grant>]) -> Option<Grants> {
        let mut grants = Grants::default();
        for grant in granted {
            match &grant.value {
                Grant::Log => grants.log = true,
                Grant::Clock => grants.clock = true,
                Grant::Kv => grants.kv = true,
                Grant::Crypto => grants.digests = true,
                Grant::Key(name) => match (self.keys.get(name.as_str()), self.key_sets.get(name.as_str())) {
                    (Some(key), _) => drop(grants.keys.insert(name.clone(), Arc::clone(key))),
                    (None, Some(set)) => drop(grants.key_sets.insert(name.clone(), Arc::clone(set))),
                    (None, None) => return None,
                },
                Grant::Bucket(name) => drop(grants.buckets.insert(name.clone(), entry(&self.buckets, name)?)),
                Grant::LoadScope(name) => {
                    drop(grants.load_scopes.insert(name.clone(), entry(&self.load_scopes, name)?))
                }
                Grant::Metrics => grants.metrics = Some(Arc::clone(&self.metrics.custom) as _),
                Grant::Random => grants.random = true,
                Grant::Outbound(name) => {
                    let group = self.upstreams.get(name.as_str())?;
                    grants.outbound.insert(name.clone(), Arc::new(Target(Arc::clone(group))));
                }
                Grant::Model(name) => {
                    let version = self.material.models.find(name, None).ok()?;
                    grants.models.insert(name.clone(), Arc::new(ScoringModel(version)));
                }
            }
        }
        Some(grants)
    }
}

/// One disagreement of a stage's `config` with the plugin's schema, at the key or value that it is about.
fn config_problem(
    problem: &ConfigProblem,
    (config, places): (&Located<serde_json::Value>, &Places),
    tell: impl Fn(&Spot, String, &str) -> Diagnostic,
) -> Diagnostic {
    let ConfigProblem { pointer, key, known, missing, message, .. } = problem;
    let key_at = key.as_ref().map(|key| format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")));
    let spot = match key_at.as_deref().and_then(|key| places.find(key)) {
        Some(place) => &place.key,
        None => places.find(pointer).map_or(&config.spot, |place| &place.value),
    };
    let help = match (key, missing) {
        (Some(key), _) => did_you_mean(key, known.iter().map(String::as_str), || "remove it".to_owned()),
        (None, Some(missing)) => format!("add `{missing} = …` there"),
        (None, None) => "correct the value; `witgate plugin inspect` shows the plugin's schema".to_owned(),
    };
    tell(spot, message.clone(), &help)
}

/// Whether somebody who wrote `wrong` may have meant that key.
fn is_meant(wrong: &str, key: &str) -> bool {
    !did_you_mean(wrong, [key], String::new).is_empty()
}

/// A plugin's own words about its `config`. They begin with the path if they are about one key: `jwt.header: expected …`.
fn refused(
    message: &str,
    (config, places): (&Located<serde_json::Value>, &Places),
    tell: impl Fn(&Spot, String, &str) -> Diagnostic,
) -> Diagnostic {
    let path = message.split_once(": ").map(|(path, _)| path.trim_matches('`'));
    let is_path =
        |path: &&str| !path.is_empty() && path.chars().all(|c| c.is_ascii_alphanumeric() || "_-.[]".contains(c));
    let pointer =
        path.filter(is_path).map(|path| format!("/{}", path.replace('[', "/").replace(']', "").replace('.', "/")));
    let spot = pointer.and_then(|pointer| places.find(&pointer)).map_or(&config.spot, |place| &place.value);
    tell(spot, format!("it refuses its configuration: {message}"), "correct the stage's `config`")
}

fn entry<T>(map: &BTreeMap<&str, Arc<T>>, name: &str) -> Option<Arc<T>> {
    map.get(name).cloned()
}

/// What a stage entry runs under its policy, or the problem that keeps the configuration from being served.
fn bind(
    route: Arc<str>,
    plugin: &str,
    (failure, past): (config::Failure, Past<'_>),
    loaded: Result<Arc<LoadedPlugin>, Vec<Diagnostic>>,
) -> Result<Binding, Vec<Diagnostic>> {
    let policy = policy(failure);
    let (loaded, load_problem) = match loaded {
        Ok(loaded) => (Some(loaded), None),
        Err(problems) => {
            let Some(problem) = problems.first().cloned() else { return Err(problems) };
            let (serving, instead) = match failure.on_load {
                config::Disposition::Deny => return Err(problems),
                config::Disposition::Skip => (None, "serves without it"),
                config::Disposition::LastGood => match past.serving() {
                    Some(serving) => (Some(serving), "keeps running its last good version"),
                    None => return Err(problems),
                },
            };
            let told: Vec<_> = problems.into_iter().map(|problem| problem.message).collect();
            let message = format!("{}; route `{route}` {instead}", told.join("; "));
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
            let message = format!("expected a key of at least {KEY_LENGTH} bytes, got one of {}", bytes.len());
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
            return Err(format!("line {}: expected each key once, got one that is there already", at + 1));
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
            ("k1 alice\nk1 bob", "line 2: expected each key once"),
        ] {
            let error = entries(content.as_bytes()).unwrap_err();
            assert!(error.starts_with(message) && !error.contains("secret"), "{error}");
        }
    }
}
