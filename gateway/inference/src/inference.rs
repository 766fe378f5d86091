//! What the process has for models: a backend, threads, and every loaded model once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use witgate_code_cache::CodeCache;

use crate::backend::Native;
use crate::catalogue::Catalogue;
use crate::samples::{self, Samples, SamplesError};
use crate::stats::ModelStats;
use crate::{
    Backend, CarriedSamples, Executor, Graph, LoadError, Metadata, Model, ModelOptions, ModelVersion, SessionOptions,
};

/// Loads models and keeps track of them, for as long as the process runs.
#[derive(Debug)]
pub struct Inference {
    backend: Arc<dyn Backend>,
    executor: Executor,
    /// Threads that may run models inline.
    askers: usize,
    /// Where machine code of models is kept between runs.
    code: Option<Arc<CodeCache>>,
    /// By [`Identity`].
    models: Mutex<HashMap<Identity, Weak<Model>>>,
    stats: Mutex<BTreeMap<String, Weak<ModelStats>>>,
    /// Models that were loaded while the gateway runs.
    pub(crate) loaded: ArcSwap<Catalogue>,
    /// One change of those at a time.
    pub(crate) gate: tokio::sync::Mutex<()>,
}

/// Digest of everything that makes a model different from others.
type Identity = [u8; 32];

/// What to load.
#[derive(Debug, Clone)]
pub struct ModelSpec<'m> {
    pub name: &'m str,
    pub version: u64,
    /// For people.
    pub path: &'m str,
    /// The ONNX file.
    pub bytes: &'m [u8],
    pub options: ModelOptions,
}

impl Inference {
    /// `askers`: threads that ask for runs, each of which can run small models itself.
    pub fn new(backend: Arc<dyn Backend>, executor: Executor, askers: usize) -> Arc<Self> {
        Self::keeping(backend, executor, askers, None)
    }

    /// As [`new`](Self::new). `code`: where machine code of models is kept between runs.
    pub fn keeping(
        backend: Arc<dyn Backend>,
        executor: Executor,
        askers: usize,
        code: Option<Arc<CodeCache>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            backend,
            executor,
            askers,
            code,
            models: Mutex::default(),
            stats: Mutex::default(),
            loaded: ArcSwap::default(),
            gate: tokio::sync::Mutex::default(),
        })
    }

    /// Loads a model and tries it out, unless one with equal bytes and options serves already under the name. Blocks.
    ///
    /// # Errors
    /// It is no model, the backend cannot run it, or it fails.
    pub fn load(&self, spec: ModelSpec<'_>) -> Result<Arc<ModelVersion>, LoadError> {
        let ModelSpec { name, version, path, bytes, options } = spec;
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let identity =
            Sha256::new().chain_update(digest).chain_update(format!("{name}\0{options:?}")).finalize().into();
        let present = self.models.lock().get(&identity).and_then(Weak::upgrade);
        let model = match present {
            Some(model) => model,
            None => {
                let begun = Instant::now();
                let metadata = Arc::new(Metadata::read(bytes)?);
                let session_options = SessionOptions {
                    intra_op_threads: options.intra_op_threads,
                    load_timeout: options.load_timeout,
                    code: self.code.clone(),
                };
                let backend: &dyn Backend = if metadata.native.is_some() { &Native } else { self.backend.as_ref() };
                let graph = backend.load(bytes, &metadata, &session_options)?;
                meet_samples(&metadata, &graph)?;
                let around = (Arc::clone(self.executor.crew()), self.stats_of(name), self.askers, begun);
                let model = Arc::new(Model::new(name, metadata, graph, options, around)?);
                let mut models = self.models.lock();
                models.retain(|_, model| model.strong_count() > 0);
                models.insert(identity, Arc::downgrade(&model));
                model
            }
        };
        let memory = (bytes.len() as u64).saturating_mul(model.copies() as u64);
        Ok(Arc::new(ModelVersion {
            name: name.to_owned(),
            version,
            metadata: Arc::clone(&model.metadata),
            digest,
            path: path.to_owned(),
            loaded_at: SystemTime::now(),
            memory_estimate: memory,
            backend: if model.metadata.native.is_some() { Native.name() } else { self.backend.name() },
            batch_limit: model.options().batch_limit,
            model: Some(model),
        }))
    }

    /// Figures of a model by name: the same for all its versions.
    fn stats_of(&self, name: &str) -> Arc<ModelStats> {
        let mut stats = self.stats.lock();
        stats.retain(|_, stats| stats.strong_count() > 0);
        if let Some(present) = stats.get(name).and_then(Weak::upgrade) {
            return present;
        }
        let made = Arc::new(ModelStats::default());
        stats.insert(name.to_owned(), Arc::downgrade(&made));
        made
    }

    /// Figures of all models that are loaded, by name.
    pub fn stats(&self) -> Vec<(String, Arc<ModelStats>)> {
        let stats = self.stats.lock();
        stats.iter().filter_map(|(name, stats)| Some((name.clone(), stats.upgrade()?))).collect()
    }

    /// Models that live, those of older generations included.
    pub fn live_models(&self) -> usize {
        self.models.lock().values().filter(|model| model.strong_count() > 0).count()
    }
}

/// Holds a model to the samples that its file carries.
fn meet_samples(metadata: &Metadata, graph: &Arc<dyn Graph>) -> Result<(), LoadError> {
    let Some(CarriedSamples { text, tolerance }) = &metadata.samples else { return Ok(()) };
    let within = |error: SamplesError| LoadError::new(format!("the samples in it: {error}"), error.help);
    let samples = Samples::read(text.as_bytes(), metadata).map_err(within)?;
    let mut session = Arc::clone(graph).session()?;
    let compared = samples::compare(&samples, &mut *session, metadata, *tolerance).map_err(within)?;
    let Some(column) = compared.columns.iter().find(|column| column.beyond > 0) else { return Ok(()) };
    let worst = column
        .worst
        .first()
        .map(|worst| format!(": row {} should be {} and is {}", worst.row, worst.expected, worst.got));
    Err(LoadError::new(
        format!(
            "it does not give the scores that its file says it gives: {} of {} samples of {} differ by more than {tolerance}{}",
            column.beyond,
            compared.rows,
            column.of,
            worst.unwrap_or_default()
        ),
        "`witgate model verify FILE` shows the rows; export the model again, or run it with another runtime",
    ))
}
