//! Loads the models of the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{info, warn};
use witgate_config::{self as config, Diagnostic};
use witgate_inference::{
    Batching, Catalogue, FindError, Inference, ModelOptions, ModelSpec, ModelVersion, Parity, RunOn,
};

use super::{Snapshot, Sources};
use crate::telemetry::Metrics;

/// How a model is run; `threads`: those that run models.
pub fn options(model: &config::Model, threads: usize) -> ModelOptions {
    ModelOptions {
        intra_op_threads: model.intra_op_threads,
        concurrency: model.concurrency_limit.unwrap_or(threads).max(1),
        queue: model.queue_limit,
        queue_timeout: model.queue_timeout,
        batch_limit: model.batch_limit,
        batching: model.batching.map(|config::Batching { rows, wait }| Batching { rows, wait }),
        run_on: model.inline_within.map_or(RunOn::Threads, RunOn::InlineWithin),
        warm_up: model.warm_up.clone(),
        load_timeout: model.load_timeout,
        record: model.parity.is_some(),
    }
}

/// Loads every model of the configuration; what is wrong goes to `problems`.
pub fn load(
    (inference, threads): (&Inference, usize),
    metrics: &Metrics,
    sources: &Sources,
    previous: Option<&Snapshot>,
    problems: &mut Vec<Diagnostic>,
) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for (name, model) in &sources.config.models {
        let before = previous.and_then(|previous| previous.models.find(name, None).ok());
        for file in &model.files {
            let path = &file.path;
            let bytes = sources.file(&path.value);
            let spec = ModelSpec {
                name,
                // Not yet known for one that counts: that depends on the digest.
                version: file.version.unwrap_or(1),
                path: &path.value.display().to_string(),
                bytes: &bytes,
                options: options(model, threads),
            };
            let loaded = inference.load(spec).map_err(|error| {
                sources.diagnostic(&path.spot, format!("model `{name}`: {}", error.message), error.help)
            });
            match loaded {
                Ok(version) => {
                    let same = file.version.and_then(|number| known(previous, name, number));
                    let before = if file.version.is_none() { before.as_ref() } else { same.as_ref() };
                    let version = continued(version, before, file.version);
                    for alias in &file.aliases {
                        catalogue.alias(name, alias, version.version);
                    }
                    catalogue.add(version);
                }
                Err(problem) => problems.push(problem),
            }
        }
        let after = catalogue.find(name, None).ok();
        if let (Some(parity), Some(before), Some(after)) = (model.parity, before, after) {
            problems.extend(compare(parity, &before, &after, metrics).map(|message| {
                let help = "put the old file back, raise `parity.tolerance`, or set `parity.beyond = \"warn\"`";
                sources.diagnostic(&model.spot, message, help)
            }));
        }
    }
    catalogue
}

fn known(previous: Option<&Snapshot>, name: &str, number: u64) -> Option<Arc<ModelVersion>> {
    previous?.models.find(name, Some(&number.to_string())).ok()
}

/// A version as the next generation has it: what has not changed since `before` stays what it was. One without a number of its
/// own counts: the same as before for the same file, the next for another.
fn continued(version: Arc<ModelVersion>, before: Option<&Arc<ModelVersion>>, number: Option<u64>) -> Arc<ModelVersion> {
    let Some(before) = before else { return version };
    let is_same = version.model.as_ref().zip(before.model.as_ref()).is_some_and(|(one, other)| Arc::ptr_eq(one, other));
    if is_same {
        return Arc::clone(before);
    }
    let next = if before.digest == version.digest { before.version } else { before.version + 1 };
    Arc::new(ModelVersion { version: number.unwrap_or(next), ..ModelVersion::clone(&version) })
}

/// Compares a new version with the one before; gives what is to be said if the reload has to be refused.
fn compare(parity: config::Parity, before: &ModelVersion, after: &ModelVersion, metrics: &Metrics) -> Option<String> {
    if before.digest == after.digest {
        return None;
    }
    let (old, new) = (before.model.as_ref()?, after.model.as_ref()?);
    let name = &after.name;
    let Some(Parity { inputs, difference }) = Parity::probe(old, new) else {
        info!(model = name, "no inputs were recorded that the new version could be compared on");
        return None;
    };
    metrics.set_parity(name, difference);
    let config::Parity { tolerance, beyond } = parity;
    if difference <= tolerance {
        info!(model = name, inputs, difference, "the new version says what the old one says");
        return None;
    }
    let message = format!(
        "model `{name}`: outputs of the new version differ by up to {difference} from those of the old one on {inputs} \
         recorded inputs; expected at most {tolerance}"
    );
    match beyond {
        config::Beyond::Refuse => Some(message),
        config::Beyond::Warn => {
            warn!("{message}");
            None
        }
    }
}

/// Says in the log which models are new, and how they will run.
pub fn announce(snapshot: &Snapshot, previous: Option<&Snapshot>) {
    for version in snapshot.models.versions() {
        let Some(model) = &version.model else { continue };
        let is_same = |other: &Arc<ModelVersion>| other.model.as_ref().is_some_and(|other| Arc::ptr_eq(other, model));
        if previous.is_some_and(|previous| previous.models.versions().any(is_same)) {
            continue;
        }
        let runs_on = if model.is_inline() { "the proxy's threads" } else { "threads of models" };
        let (name, number, runtime) = (&version.name, version.version, version.backend);
        let loading = model.loading();
        match model.trial() {
            Some(took) => info!(model = name, version = number, runtime, ?loading, ?took, "model runs on {runs_on}"),
            None => {
                info!(
                    model = name,
                    version = number,
                    runtime,
                    ?loading,
                    "model runs on {runs_on}; it was not tried out"
                );
            }
        }
    }
}

/// The version that a stage or a grant names.
pub fn find(catalogue: &Catalogue, name: &config::ModelName) -> Result<Arc<ModelVersion>, FindError> {
    catalogue.find(&name.name, name.version.as_deref())
}

/// Reference distributions of scores, by model.
pub fn score_references(config: &config::Config) -> BTreeMap<&str, &[f64]> {
    let models = config.models.iter();
    models.filter_map(|(name, model)| Some((name.as_str(), model.score_reference.as_deref()?))).collect()
}
