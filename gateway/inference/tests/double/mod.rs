//! A model service whose models are a few lines each: for tests, benches, fuzzing and the example.

#![allow(dead_code, reason = "each user needs a part of it")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use witgate_inference::{
    BoxFuture, Data, DataType, Dimension, FindError, InferError, ManageError, Metadata, ModelService, ModelStatus,
    ModelVersion, Signature, Tensor, TensorInfo,
};

/// Most rows of a request to any of the models.
pub const BATCH_LIMIT: usize = 8;

/// Knows `identity_<type>` for all types, and models that do what their names say.
#[derive(Debug)]
pub struct Double {
    models: Mutex<BTreeMap<String, Vec<Arc<ModelVersion>>>>,
}

fn batch() -> Dimension {
    Dimension::Named("batch".to_owned())
}

pub fn info(name: &str, data_type: DataType, shape: &[Dimension]) -> TensorInfo {
    TensorInfo { name: name.to_owned(), data_type, shape: Some(shape.to_vec()) }
}

pub fn model(name: &str, version: u64, inputs: Vec<TensorInfo>, outputs: Vec<TensorInfo>) -> ModelVersion {
    ModelVersion {
        name: name.to_owned(),
        version,
        metadata: Arc::new(Metadata { signature: Signature { inputs, outputs }, ..Metadata::default() }),
        digest: [7; 32],
        path: format!("{name}.onnx"),
        loaded_at: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        memory_estimate: 1024,
        backend: "double",
        batch_limit: BATCH_LIMIT,
        model: None,
    }
}

fn identity(name: &str, version: u64, data_type: DataType) -> ModelVersion {
    let shape = [batch(), Dimension::Any];
    model(name, version, vec![info("input0", data_type, &shape)], vec![info("output0", data_type, &shape)])
}

impl Double {
    pub fn new() -> Self {
        let mut models: Vec<ModelVersion> = DataType::ALL
            .into_iter()
            .map(|data_type| identity(&format!("identity_{}", data_type.label().to_lowercase()), 1, data_type))
            .collect();
        let (three, one) = ([batch(), Dimension::Fixed(3)], [batch()]);
        models.push(model(
            "two_in_two_out",
            1,
            vec![info("a", DataType::Float32, &three), info("b", DataType::Int64, &one)],
            vec![info("sum", DataType::Float32, &three), info("label", DataType::Int64, &one)],
        ));
        for name in ["busy", "slow", "broken", "undefined", "versioned"] {
            models.push(identity(name, 1, DataType::Float32));
        }
        models.push(identity("versioned", 2, DataType::Float32));
        models.push(model(
            "scalar",
            1,
            vec![info("input0", DataType::Float32, &[])],
            vec![info("output0", DataType::Float32, &[])],
        ));
        let mut by_name: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for model in models {
            by_name.entry(model.name.clone()).or_default().push(Arc::new(model));
        }
        Self { models: Mutex::new(by_name) }
    }

    /// With one more model, which gives its inputs.
    pub fn with(self, added: ModelVersion) -> Self {
        self.add(added);
        self
    }

    fn add(&self, added: ModelVersion) -> Arc<ModelVersion> {
        let added = Arc::new(added);
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.entry(added.name.clone()).or_default().push(Arc::clone(&added));
        added
    }

    fn versions(&self, name: &str) -> Result<Vec<Arc<ModelVersion>>, FindError> {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.get(name).cloned().ok_or_else(|| FindError::NoModel(name.to_owned()))
    }
}

impl ModelService for Double {
    fn list(&self) -> Vec<ModelStatus> {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let status = |(name, versions): (&String, &Vec<Arc<ModelVersion>>)| ModelStatus {
            name: name.clone(),
            versions: versions.clone(),
            aliases: versions.last().map(|last| ("latest".to_owned(), last.version)).into_iter().collect(),
        };
        models.iter().map(status).collect()
    }

    fn find(&self, name: &str, version: Option<&str>) -> Result<Arc<ModelVersion>, FindError> {
        let versions = self.versions(name)?;
        let found = match version {
            None | Some("latest") => versions.last(),
            Some(version) => versions.iter().find(|known| known.version.to_string() == version),
        };
        found.cloned().ok_or_else(|| FindError::NoVersion {
            name: name.to_owned(),
            version: version.unwrap_or_default().to_owned(),
            present: versions.iter().map(|known| known.version.to_string()).collect::<Vec<_>>().join(", "),
        })
    }

    fn infer<'a>(
        &'a self,
        model: &'a ModelVersion,
        inputs: Vec<Tensor>,
        outputs: &'a [usize],
        _deadline: Option<Instant>,
    ) -> BoxFuture<'a, Result<Vec<Tensor>, InferError>> {
        Box::pin(async move {
            let all = match (model.name.as_str(), inputs.as_slice()) {
                ("busy", _) => return Err(InferError::Overloaded),
                ("slow", _) => return Err(InferError::Deadline),
                ("broken", _) => return Err(InferError::Failed("the secret of node 7".to_owned())),
                ("undefined", [input]) => {
                    let nan = Data::Float32(vec![f32::NAN; input.data().len()]);
                    vec![Tensor::new(input.shape(), nan).map_err(|error| InferError::Failed(error.to_string()))?]
                }
                ("two_in_two_out", [a, b]) => vec![sum(a, b)?, b.clone()],
                _ => inputs,
            };
            Ok(outputs.iter().filter_map(|output| all.get(*output).cloned()).collect())
        })
    }

    fn load<'a>(&'a self, name: &'a str, path: &'a str) -> BoxFuture<'a, Result<Arc<ModelVersion>, ManageError>> {
        Box::pin(async move {
            if path.contains("..") {
                return Err(ManageError::Refused(format!("the path `{path}` leads out of the model roots")));
            }
            let version = self.versions(name).ok().and_then(|known| known.last().map(|last| last.version)).unwrap_or(0);
            Ok(self.add(ModelVersion { path: path.to_owned(), ..identity(name, version + 1, DataType::Float32) }))
        })
    }

    fn unload<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> BoxFuture<'a, Result<(), ManageError>> {
        Box::pin(async move {
            let found = self.find(name, version)?;
            let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
            match (version, models.get_mut(name)) {
                (Some(_), Some(versions)) if versions.len() > 1 => {
                    versions.retain(|known| known.version != found.version);
                }
                _ => {
                    models.remove(name);
                }
            }
            Ok(())
        })
    }
}

fn sum(a: &Tensor, b: &Tensor) -> Result<Tensor, InferError> {
    let (Data::Float32(rows), Data::Int64(added)) = (a.data(), b.data()) else {
        return Err(InferError::Invalid("expected FP32 and INT64".to_owned()));
    };
    let sums =
        rows.chunks(3).zip(added).flat_map(|(row, added)| row.iter().map(|value| value + *added as f32)).collect();
    Tensor::new(a.shape(), Data::Float32(sums)).map_err(|error| InferError::Failed(error.to_string()))
}
