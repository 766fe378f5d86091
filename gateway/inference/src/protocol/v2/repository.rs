//! Triton's model repository: what there is, loading, unloading.

use serde_json::{Value, json};

use crate::protocol::failure::{Failure, Kind};
use crate::protocol::json::Reader;
use crate::protocol::path::Target;
use crate::protocol::{Core, once, unknown_key};

/// Parameters of Triton that ask for what is not served.
const LEFT_OUT: [&str; 1] = ["config"];

impl Core {
    pub(super) fn v2_index(&self, body: &[u8]) -> Result<Value, Failure> {
        // All versions that are listed are ready, so it makes no difference whether the others are asked for.
        object(body, self.settings.limits.depth, |reader, key| match key {
            "ready" if reader.null() => Ok(()),
            "ready" => match reader.boolean() {
                Some(_) => Ok(()),
                None => Err(reader.error("expected true or false as `ready`").into()),
            },
            key => Err(unknown_key(key, "the request", "`ready`")),
        })?;
        Ok(self
            .index()
            .map(|(name, version)| json!({ "name": name, "version": version, "state": "READY", "reason": "" }))
            .collect())
    }

    /// Names and versions of all models.
    pub fn index(&self) -> impl Iterator<Item = (String, String)> {
        self.list().into_iter().flat_map(|status| {
            let names = status.versions.into_iter();
            names.map(|version| (version.name.clone(), version.version.to_string()))
        })
    }

    pub(super) async fn v2_load(&self, name: &str, body: &[u8]) -> Result<Value, Failure> {
        self.may_manage(name)?;
        let path = self.path_parameter(body)?;
        let model = self.load_or_reload(name, path).await?;
        Ok(json!({ "name": model.name, "version": model.version.to_string() }))
    }

    pub(super) async fn v2_unload(&self, name: &str, body: &[u8]) -> Result<Value, Failure> {
        let target = Target::parse(name);
        self.may_manage(&target.model)?;
        self.path_parameter(body)?;
        self.unload(&target).await?;
        Ok(json!({}))
    }

    /// Loads a model from a path; without one, from where its latest version came from.
    pub async fn load_or_reload(
        &self,
        name: &str,
        path: Option<String>,
    ) -> Result<std::sync::Arc<crate::ModelVersion>, Failure> {
        let path = match path {
            Some(path) => path,
            None => match self.service.find(name, None) {
                Ok(model) => model.path.clone(),
                Err(_) => {
                    return Err(Failure::invalid(format!(
                        "the model `{}` is not loaded, and the request does not say where its file is: give \
                         `parameters.path`, a path below the model roots",
                        crate::validate::clip(name)
                    )));
                }
            },
        };
        self.load(name, &path).await
    }

    /// Reads the request to load or unload a model, of which only the path counts.
    fn path_parameter(&self, body: &[u8]) -> Result<Option<String>, Failure> {
        let mut path = None;
        object(body, self.settings.limits.depth, |reader, key| match key {
            "parameters" if reader.null() => Ok(()),
            "parameters" => reader.object(|reader, key| match key {
                "path" if reader.null() => Ok(()),
                "path" => {
                    let value = reader.string()?.into_owned();
                    once(&mut path, key, value)
                }
                // Models here have none: the answer would be the same.
                "unload_dependents" => Ok(reader.skip()?),
                key => Err(parameter(key)),
            }),
            key => Err(unknown_key(key, "the request", "`parameters`")),
        })?;
        Ok(path)
    }
}

/// The error for a parameter of a request to load or unload that has no effect here.
pub fn parameter(key: &str) -> Failure {
    if LEFT_OUT.contains(&key) || key.starts_with("file:") {
        return Failure::new(
            Kind::NotServed,
            format!("the parameter `{}` is not served here", crate::validate::clip(key)),
        );
    }
    unknown_key(key, "`parameters`", "`path`, `unload_dependents`")
}

/// Reads an object that may be left out.
fn object(
    body: &[u8],
    depth: usize,
    field: impl FnMut(&mut Reader<'_>, &str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut reader = Reader::new(body, depth)?;
    if reader.peek().is_some() && !reader.null() {
        reader.object(field)?;
    }
    Ok(reader.end()?)
}
