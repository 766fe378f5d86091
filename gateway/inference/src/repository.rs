//! The models of a generation and those that were loaded on request, as one service.

use std::sync::Arc;
use std::time::Instant;

use crate::catalogue::{Catalogue, split_name};
use crate::inference::{Inference, ModelSpec};
use crate::roots::Roots;
use crate::{
    BoxFuture, FindError, InferError, ManageError, ModelOptions, ModelService, ModelStatus, ModelVersion, Tensor,
};

/// Longest name of a model that is loaded on request.
const NAME_LIMIT: usize = 64;

/// What may be loaded and unloaded on request.
#[derive(Debug, Clone)]
pub struct Control {
    pub roots: Roots,
    /// How models are run that are loaded on request.
    pub options: ModelOptions,
    /// Versions of models at once that were loaded on request.
    pub limit: usize,
}

/// Models of a generation, with those that were loaded since.
#[derive(Debug, Clone)]
pub struct Repository {
    pub inference: Arc<Inference>,
    /// Those of the configuration.
    pub configured: Arc<Catalogue>,
    /// None: nothing can be loaded or unloaded here.
    pub control: Option<Control>,
}

impl Repository {
    async fn load_below_roots(&self, name: &str, path: &str) -> Result<Arc<ModelVersion>, ManageError> {
        let (name, version) = split_name(name);
        let control = self.may_change(name)?.clone();
        let valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(valid) {
            let message = format!("expected a name of letters, digits, `-`, `_` and `.`, at most {NAME_LIMIT} of them");
            return Err(ManageError::Refused(message));
        }
        let version = version.map(str::parse::<u64>).transpose().ok().filter(|version| *version != Some(0));
        let Some(version) = version else {
            return Err(ManageError::Refused("expected a number from 1 on behind the `@`".to_owned()));
        };
        let _gate = self.inference.gate.lock().await;
        let loaded = self.inference.loaded.load_full();
        // A number puts a version beside the others; without one, it takes the place of the latest.
        let replaced = if version.is_some() { None } else { loaded.find(name, None).ok().map(|latest| latest.version) };
        let number = version.or(replaced.map(|replaced| replaced + 1)).unwrap_or(1);
        let grows = replaced.is_none() && loaded.find(name, Some(&number.to_string())).is_err();
        if grows && loaded.versions().count() >= control.limit {
            let message = format!("{} models are loaded already, as many as may be; unload one first", control.limit);
            return Err(ManageError::Refused(message));
        }
        let (inference, owned, at) = (Arc::clone(&self.inference), name.to_owned(), path.to_owned());
        let read = move || {
            let bytes = control.roots.read(&at)?;
            let spec =
                ModelSpec { name: &owned, version: number, path: &at, bytes: &bytes, options: control.options.clone() };
            inference.load(spec).map_err(|error| format!("{}: {}", error.message, error.help))
        };
        let version = tokio::task::spawn_blocking(read).await;
        let version =
            version.unwrap_or_else(|_| Err("the loader panicked".to_owned())).map_err(ManageError::Refused)?;
        if let Some(model) = &version.model {
            let (version, loading) = (version.version, model.loading());
            tracing::info!(model = name, version, ?loading, took = ?model.trial(), "model was loaded on request");
        }
        let mut next = Catalogue::clone(&loaded);
        next.add(Arc::clone(&version));
        if let Some(replaced) = replaced {
            next.remove(name, Some(replaced));
        }
        self.inference.loaded.store(Arc::new(next));
        Ok(version)
    }

    async fn unload_loaded(&self, name: &str, version: Option<&str>) -> Result<(), ManageError> {
        self.may_change(name)?;
        let _gate = self.inference.gate.lock().await;
        let loaded = self.inference.loaded.load_full();
        let number = match version {
            Some(version) => Some(loaded.find(name, Some(version))?.version),
            None => loaded.find(name, None).map(|_| None)?,
        };
        let mut next = Catalogue::clone(&loaded);
        next.remove(name, number);
        self.inference.loaded.store(Arc::new(next));
        Ok(())
    }

    fn may_change(&self, name: &str) -> Result<&Control, ManageError> {
        let control = self.control.as_ref().ok_or(ManageError::NotAllowed)?;
        if self.configured.contains(name) {
            let message = format!("model `{name}` is one of the configuration: change it there");
            return Err(ManageError::Refused(message));
        }
        Ok(control)
    }
}

impl ModelService for Repository {
    fn list(&self) -> Vec<ModelStatus> {
        let loaded = self.inference.loaded.load();
        let mut all = self.configured.list();
        all.extend(loaded.list().into_iter().filter(|model| !self.configured.contains(&model.name)));
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<ModelVersion>, FindError> {
        if self.configured.contains(name) {
            return self.configured.find(name, version);
        }
        self.inference.loaded.load().find(name, version)
    }

    fn infer<'a>(
        &'a self,
        version: &'a ModelVersion,
        inputs: Vec<Tensor>,
        outputs: &'a [usize],
        deadline: Option<Instant>,
    ) -> BoxFuture<'a, Result<Vec<Tensor>, InferError>> {
        match &version.model {
            Some(model) => Box::pin(model.infer(inputs, outputs, deadline)),
            None => Box::pin(async { Err(InferError::Failed("the model is not loaded".to_owned())) }),
        }
    }

    fn load<'a>(&'a self, name: &'a str, path: &'a str) -> BoxFuture<'a, Result<Arc<ModelVersion>, ManageError>> {
        Box::pin(self.load_below_roots(name, path))
    }

    fn unload<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> BoxFuture<'a, Result<(), ManageError>> {
        Box::pin(self.unload_loaded(name, version))
    }
}
