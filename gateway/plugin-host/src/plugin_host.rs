//! The process's engine and what plugins share.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::Engine;
use witgate_stage::Store;

use crate::cache::Cache;
use crate::compile::{self, Compiled};
use crate::service::{Bucket, BucketSpec, CpuMeter, InFlight, LoadLimits, LoadScope, Namespace, Registry};
use crate::standby::Maker;
use crate::stats::Slots;
use crate::{HostError, LoadError, LoadedPlugin, PluginSpec, engine, load};

/// How the host is set up: once for a process.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// Where machine code is kept between runs: a directory of the host's own, which it makes if need be. None: compile
    /// at every start.
    pub cache_dir: Option<PathBuf>,
    /// Instances of all plugins at once. Each takes 8 GiB of address space, and memory only as it uses it.
    pub instances_limit: u32,
    /// Threads that the gateway may keep busy: what 100 % processor time means for load scopes.
    pub threads: usize,
}

impl Default for HostSettings {
    /// No cache, 1000 instances, and all processors.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cache_dir: None, instances_limit: 1000, threads }
    }
}

/// Loads plugins, and owns what outlives a generation. Clones are the same host.
#[derive(Clone)]
pub struct PluginHost {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    cache: Option<Cache>,
    slots: Arc<Slots>,
    maker: Maker,
    cpu: Arc<CpuMeter>,
    plugins: Registry<[u8; 32], LoadedPlugin>,
    compiled: Registry<[u8; 32], Compiled>,
    namespaces: Registry<String, Namespace>,
    buckets: Registry<(String, BucketSpec), Bucket>,
    in_flight: Registry<String, InFlight>,
}

impl PluginHost {
    /// Reserves address space and starts the thread that keeps the engine's time; it ends with the last user of the
    /// engine.
    ///
    /// # Errors
    /// [`HostError`] if the address space or the cache directory cannot be had.
    pub fn new(settings: HostSettings) -> Result<Self, HostError> {
        let HostSettings { cache_dir, instances_limit, threads } = settings;
        let cpu = Arc::new(CpuMeter::default());
        let engine = engine::start(instances_limit, threads, &cpu)?;
        let cache = cache_dir.map(|directory| Cache::open(&directory, &engine)).transpose()?;
        let shared = Shared {
            engine,
            cache,
            slots: Slots::new(instances_limit as usize),
            maker: Maker::start()?,
            cpu,
            plugins: Registry::default(),
            compiled: Registry::default(),
            namespaces: Registry::default(),
            buckets: Registry::default(),
            in_flight: Registry::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes a plugin ready to serve, or finds it if one with an equal spec is in use. Blocking, and busy for as long as
    /// compiling takes: tens to hundreds of milliseconds, or a fraction of one with a cache.
    ///
    /// # Errors
    /// [`LoadError`]: what an operator has to mend.
    pub fn load(&self, spec: PluginSpec) -> Result<Arc<LoadedPlugin>, LoadError> {
        let shared = &*self.shared;
        let digest = spec.digest();
        if let Some(plugin) = shared.plugins.find(&digest) {
            return Ok(plugin);
        }
        let compiled = self.compiled(&spec.wasm)?;
        let namespace = spec.grants.kv.then(|| shared.namespaces.share(spec.name.clone(), Arc::default));
        let plugin = load::load(&spec, compiled, namespace, (&shared.slots, &shared.maker))?;
        Ok(shared.plugins.share(digest, || plugin))
    }

    /// What components are compiled with, and where the result is kept.
    pub(crate) fn compiler(&self) -> (&Engine, Option<&Cache>) {
        (&self.shared.engine, self.shared.cache.as_ref())
    }

    fn compiled(&self, wasm: &[u8]) -> Result<Arc<Compiled>, LoadError> {
        let shared = &*self.shared;
        let digest = compile::digest(wasm);
        if let Some(compiled) = shared.compiled.find(&digest) {
            return Ok(compiled);
        }
        let compiled = compile::compile(&shared.engine, shared.cache.as_ref(), &digest, wasm)?;
        Ok(shared.compiled.share(digest, || Arc::new(compiled)))
    }

    /// What the plugin of this name keeps under the grant `kv`, for others that may see it. It lives for as long as one of
    /// both is in use.
    pub fn store(&self, plugin: &str) -> Arc<dyn Store> {
        self.shared.namespaces.share(plugin.to_owned(), Arc::default)
    }

    /// The bucket of this name and spec: the one in use, with what its keys have taken, or a full one.
    pub fn bucket(&self, name: &str, spec: &BucketSpec) -> Arc<Bucket> {
        self.shared.buckets.share((name.to_owned(), spec.clone()), || Arc::new(Bucket::new(spec)))
    }

    /// The load scope of this name. Requests in flight are counted together over generations, whatever their limits.
    pub fn load_scope(&self, name: &str, limits: LoadLimits) -> Arc<LoadScope> {
        let in_flight = self.shared.in_flight.share(name.to_owned(), Arc::default);
        Arc::new(LoadScope::new(limits, in_flight, Arc::clone(&self.shared.cpu)))
    }

    /// Instances of all plugins that exist now.
    pub fn instances(&self) -> usize {
        self.shared.slots.taken()
    }

    /// Processor time used by the process, smoothed over about a second, in thousandths of what it may use.
    pub fn cpu_permille(&self) -> u32 {
        self.shared.cpu.permille()
    }
}
