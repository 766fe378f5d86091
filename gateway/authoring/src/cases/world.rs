//! What the cases of one file run in: the plugin or script, and all that it is granted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use toml::Spanned;
use witgate_plugin_host::{
    Bucket, BucketSpec, Grants, HmacKey, Isolation, KeySet, KvStore, LoadLimits, LoadScope, LoadedPlugin, MetricSink,
    OutboundTarget, PluginHost, PluginLimits, PluginSpec, PluginStage, ScoreTarget, Surroundings,
};
use witgate_stage::{
    BodyMode, Disposition, Exchange, FailureKind, FailurePolicy, Hook, Pipeline, Run, Stage, StageError, Step,
};

use super::file::{self, CaseFile, Source};
use super::metrics::Recorder;
use super::models::{self, Model};
#[cfg(feature = "lua")]
use super::script::ScriptWorld;
use super::surroundings::Simulated;
use super::upstreams::{Answers, Stub, Upstreams};
use crate::{CommandError, component, stand_in};

/// Keys of a bucket: more than any file of cases names.
const KEYS_LIMIT: usize = 100_000;
/// Length of the values that fill a namespace first. It halves down to nothing, so that in the end no key fits any more.
const FILL: usize = 32 * 1024;

/// What the cases are about.
pub(crate) enum Subject {
    Plugin(Arc<LoadedPlugin>),
    #[cfg(feature = "lua")]
    Script(ScriptWorld),
}

pub(crate) struct World {
    pub(crate) subject: Subject,
    pub(crate) pipeline: Pipeline,
    pub(crate) buckets: BTreeMap<String, Arc<Bucket>>,
    pub(crate) load: BTreeMap<String, Arc<LoadScope>>,
    pub(crate) simulated: Arc<Simulated>,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) metrics: Arc<Recorder>,
    faults: Arc<FaultyStage>,
}

impl World {
    /// `seed` is that of random bytes, and `metrics` what takes the plugin's in the gateway.
    pub(crate) fn new(
        (source, file): (&Source, &CaseFile),
        wasm_path: &Path,
        seed: u64,
        metrics: Arc<dyn MetricSink>,
    ) -> Result<Self, CommandError> {
        let folder = source.folder();
        let wasm = component::read(wasm_path)?;
        let host = component::host()?;
        let simulated = Arc::new(Simulated::new(file.now.map(|now| now.0), seed));
        let surroundings = Surroundings::simulated(Arc::clone(&simulated) as _);
        let (buckets, load) = (buckets(file, &surroundings), load_scopes(&host, file));
        let upstreams = Upstreams::new(Answers::new(&file.upstreams, source)?, Arc::clone(&simulated));
        let (upstreams, metrics) = (Arc::new(upstreams), Arc::new(Recorder::new(metrics)));
        let stub = |name: &String| {
            let stub = Stub { name: name.clone(), upstreams: Arc::clone(&upstreams) };
            (name.clone(), Arc::new(stub) as Arc<dyn OutboundTarget>)
        };
        let mut keys = BTreeMap::new();
        for (name, secret) in &file.keys {
            keys.insert(name.clone(), Arc::new(HmacKey::new(&secret.load(&folder)?)));
        }
        let key_sets = file.key_sets.iter().map(|(name, set)| {
            let pairs = set.iter().map(|(key, identity)| (key.as_bytes(), identity.as_str()));
            (name.clone(), Arc::new(KeySet::new(pairs)))
        });
        let offered = Grants {
            keys,
            key_sets: key_sets.collect(),
            buckets: buckets.clone(),
            load_scopes: load.clone(),
            metrics: Some(Arc::clone(&metrics) as _),
            outbound: file.upstreams.keys().map(stub).collect(),
            models: file.models.iter().map(|(name, model)| (name.clone(), stub_of(model))).collect(),
            ..Grants::default()
        };
        let mut grants = Grants { surroundings, ..Grants::default() };
        for grant in &file.grants {
            give(&mut grants, &offered, grant)
                .map_err(|(message, help)| source.problem(grant.span().start, &message, &help))?;
        }
        let limits = PluginLimits {
            memory: file.limits.memory.map_or(stand_in::LIMITS.memory, |size| size.0),
            hook_timeout: file.limits.hook_timeout.map_or(stand_in::LIMITS.hook_timeout, |time| time.0),
            ..stand_in::LIMITS
        };
        let name = wasm_path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let isolation = Isolation::Shared;
        let spec = PluginSpec { name, config_json: file.config.to_string(), limits, isolation, grants, wasm };
        let plugin = host.load(spec).map_err(|source| CommandError::Plugin { path: wasm_path.to_owned(), source })?;
        let stage = Box::new(PluginStage::new(Arc::clone(&plugin)));
        let (pipeline, faults) = pipeline(stage, file);
        let subject = Subject::Plugin(plugin);
        let world = Self { subject, pipeline, buckets, load, simulated, upstreams, metrics, faults };
        world.seed(source, file)?;
        Ok(world)
    }

    /// The same around a script.
    #[cfg(feature = "lua")]
    pub(crate) fn of_script(
        (source, file): (&Source, &CaseFile),
        seed: u64,
        metrics: Arc<dyn MetricSink>,
    ) -> Result<Self, CommandError> {
        let simulated = Arc::new(Simulated::new(file.now.map(|now| now.0), seed));
        let upstreams = Arc::new(Upstreams::new(Answers::new(&file.upstreams, source)?, Arc::clone(&simulated)));
        let (script, stage) = ScriptWorld::new((source, file), &simulated, &upstreams)?;
        let (pipeline, faults) = pipeline(stage, file);
        let (buckets, load, metrics) = (BTreeMap::new(), BTreeMap::new(), Arc::new(Recorder::new(metrics)));
        let subject = Subject::Script(script);
        Ok(Self { subject, pipeline, buckets, load, simulated, upstreams, metrics, faults })
    }

    /// Name and version.
    pub(crate) fn described(&self) -> String {
        match &self.subject {
            Subject::Plugin(plugin) => format!("{} {}", plugin.description().name, plugin.description().version),
            #[cfg(feature = "lua")]
            Subject::Script(script) => format!("the script `{}`", script.name),
        }
    }

    /// Bytes; none: the hooks tell.
    pub(crate) fn memory_peak(&self) -> Option<usize> {
        match &self.subject {
            Subject::Plugin(plugin) => Some(plugin.stats().memory_peak),
            #[cfg(feature = "lua")]
            Subject::Script(_) => None,
        }
    }

    /// # Errors
    /// It is a plugin that is tested.
    #[cfg(feature = "lua")]
    pub(crate) fn script(&self) -> Result<&ScriptWorld, CommandError> {
        match &self.subject {
            Subject::Script(script) => Ok(script),
            Subject::Plugin(_) => Err(CommandError::Usage("plugins have no shared dictionaries: use `kv`".to_owned())),
        }
    }

    fn seed(&self, source: &Source, file: &CaseFile) -> Result<(), CommandError> {
        if file.kv.is_empty() {
            return Ok(());
        }
        let kv = self.kv()?;
        for (key, value) in &file.kv {
            let value = value.load(&source.folder())?;
            kv.set(key, value.to_vec()).map_err(|error| CommandError::Usage(format!("kv.{key}: {error}")))?;
        }
        Ok(())
    }

    /// The plugin's namespace.
    ///
    /// # Errors
    /// The grant is missing.
    pub(crate) fn kv(&self) -> Result<KvStore, CommandError> {
        #[cfg_attr(
            not(feature = "lua"),
            expect(clippy::infallible_destructuring_match, reason = "with scripts there are two")
        )]
        let plugin = match &self.subject {
            Subject::Plugin(plugin) => plugin,
            #[cfg(feature = "lua")]
            Subject::Script(_) => return Err(CommandError::Usage("scripts have no `kv`: use `dicts`".to_owned())),
        };
        plugin.kv().ok_or_else(|| {
            CommandError::Usage("the cases ask for `kv`, which is not granted; add \"kv\" to `grants`".to_owned())
        })
    }

    /// Has the next hook fail.
    pub(crate) fn fail_next(&self, kind: Option<FailureKind>) {
        *self.faults.fault.lock().unwrap_or_else(PoisonError::into_inner) = kind;
    }

    /// Fills the namespace until nothing fits, for as long as the guard lives.
    pub(crate) fn fill_kv(&self) -> Result<FullKv, CommandError> {
        let kv = self.kv()?;
        let mut keys = Vec::new();
        let mut length = FILL;
        loop {
            // Short, for what is left must not hold a key; and unlike any that a plugin would choose.
            let key = format!("\u{1}{:x}", keys.len());
            match kv.set(&key, vec![b' '; length]) {
                Ok(()) => keys.push(key),
                Err(_) if length == 0 => break,
                Err(_) => length /= 2,
            }
        }
        Ok(FullKv { kv, keys })
    }
}

fn pipeline(stage: Box<dyn Stage>, file: &CaseFile) -> (Pipeline, Arc<FaultyStage>) {
    let faults = Arc::new(FaultyStage { stage, fault: Mutex::new(None) });
    let step = Step::new(Arc::clone(&faults) as Arc<dyn Stage>, policy(&file.failure));
    (Pipeline::new(vec![step]), faults)
}

/// A namespace that is full.
pub(crate) struct FullKv {
    kv: KvStore,
    keys: Vec<String>,
}

impl Drop for FullKv {
    fn drop(&mut self) {
        for key in &self.keys {
            self.kv.delete(key);
        }
    }
}

/// They fill by the time of the cases.
fn buckets(file: &CaseFile, surroundings: &Surroundings) -> BTreeMap<String, Arc<Bucket>> {
    let bucket = |(name, bucket): (&String, &file::Bucket)| {
        let (tokens, period) = bucket.rate.0;
        let spec = BucketSpec { tokens, period, burst: bucket.burst.unwrap_or(tokens), keys_limit: KEYS_LIMIT };
        (name.clone(), Arc::new(Bucket::within(&spec, surroundings.clone())))
    };
    file.buckets.iter().map(bucket).collect()
}

/// Of the processor time there is no limit: how busy the machine is must not decide a test.
fn load_scopes(host: &PluginHost, file: &CaseFile) -> BTreeMap<String, Arc<LoadScope>> {
    let scope = |(name, load): (&String, &file::Load)| {
        let limits = LoadLimits { in_flight: load.in_flight_limit, cpu_permille: u32::MAX };
        (name.clone(), host.load_scope(name, limits))
    };
    file.load.iter().map(scope).collect()
}

fn policy(policy: &file::Policy) -> FailurePolicy {
    let disposition = |wanted| match wanted {
        file::Disposition::Deny => Disposition::Deny,
        file::Disposition::Skip => Disposition::Skip,
    };
    FailurePolicy {
        on_trap: disposition(policy.on_trap),
        on_timeout: disposition(policy.on_timeout),
        on_overload: disposition(policy.on_overload),
    }
}

fn stub_of(model: &Model) -> Arc<dyn ScoreTarget> {
    Arc::new(models::Stub(model.clone()))
}

/// Adds one grant, as a stage's `grants` in `gateway.toml` has it. The error is what is wrong and what to do.
fn give(grants: &mut Grants, offered: &Grants, grant: &Spanned<String>) -> Result<(), (String, String)> {
    let text = grant.get_ref().as_str();
    let (capability, name) = text.split_once(':').map_or((text, None), |(capability, name)| (capability, Some(name)));
    let (found, table) = match (capability, name) {
        ("log", None) => return set(&mut grants.log),
        ("clock", None) => return set(&mut grants.clock),
        ("kv", None) => return set(&mut grants.kv),
        ("random", None) => return set(&mut grants.random),
        ("metrics", None) => {
            grants.metrics.clone_from(&offered.metrics);
            return Ok(());
        }
        ("crypto", None) => return set(&mut grants.digests),
        ("crypto", Some(name)) => {
            let key = copy(&mut grants.keys, &offered.keys, name);
            (copy(&mut grants.key_sets, &offered.key_sets, name) || key, "[keys.NAME]` or `[key_sets.NAME]")
        }
        ("limiter", Some(name)) => (copy(&mut grants.buckets, &offered.buckets, name), "[buckets.NAME]"),
        ("load", Some(name)) => (copy(&mut grants.load_scopes, &offered.load_scopes, name), "[load.NAME]"),
        ("outbound", Some(name)) => (copy(&mut grants.outbound, &offered.outbound, name), "[[upstreams.NAME]]"),
        ("inference", Some(name)) => (copy(&mut grants.models, &offered.models, name), "[models.NAME]"),
        _ => {
            let message = format!(
                "expected a grant, one of \"log\", \"clock\", \"random\", \"kv\", \"metrics\", \"crypto\", \
                 \"crypto:NAME\", \"limiter:NAME\", \"load:NAME\", \"outbound:NAME\", \"inference:NAME\", got {text:?}"
            );
            return Err((message, "`witgate plugin inspect` tells which grants a plugin needs".to_owned()));
        }
    };
    let name = name.unwrap_or_default();
    let missing = || {
        let message = format!("expected the name of a `{table}` of this file, got {name:?}");
        (message, format!("define `{}`", table.replace("NAME", name)))
    };
    if found { Ok(()) } else { Err(missing()) }
}

fn set(granted: &mut bool) -> Result<(), (String, String)> {
    *granted = true;
    Ok(())
}

fn copy<T: ?Sized>(to: &mut BTreeMap<String, Arc<T>>, from: &BTreeMap<String, Arc<T>>, name: &str) -> bool {
    let found = from.get(name);
    to.extend(found.map(|value| (name.to_owned(), Arc::clone(value))));
    found.is_some()
}

/// What is tested, or a failure in its place when a case asks for one.
struct FaultyStage {
    stage: Box<dyn Stage>,
    fault: Mutex<Option<FailureKind>>,
}

impl Stage for FaultyStage {
    fn name(&self) -> &str {
        self.stage.name()
    }

    fn has(&self, hook: Hook) -> bool {
        self.stage.has(hook)
    }

    fn body_mode(&self, hook: Hook) -> BodyMode {
        self.stage.body_mode(hook)
    }

    fn may_ask_for_body(&self) -> bool {
        self.stage.may_ask_for_body()
    }

    fn filters_own_answers(&self) -> bool {
        self.stage.filters_own_answers()
    }

    fn run(&self, hook: Hook, exchange: Box<Exchange>) -> Run<'_> {
        match self.fault.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(kind) => {
                let source = "the case asks for this failure".into();
                Run::Ended(exchange, Err(StageError { stage: self.name().to_owned(), kind, source }))
            }
            None => self.stage.run(hook, exchange),
        }
    }
}
