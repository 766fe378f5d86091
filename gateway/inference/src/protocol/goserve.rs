//! GoServe's API.

use std::time::Instant;

use http::StatusCode;
use serde_json::json;

use super::elements;
use super::failure::Failure;
use super::json::Reader;
use super::path::{Goserve, Target};
use super::v2::{SERVER_NAME, SERVER_VERSION};
use super::{
    ModelServer, Rules, ServerRequest, ServerResponse, Wanted, binary, brief, describe, json as json_response, needed,
    once, unknown_key,
};
use crate::validate::{clip, quoted, unknown};
use crate::{DataType, Dimension, Tensor};

/// Names of outputs that hold labels, in lower case: those that converters of scikit-learn, XGBoost and LightGBM give.
const LABELS: [&str; 8] =
    ["label", "labels", "output_label", "class", "classes", "class_label", "prediction", "predictions"];

impl ModelServer {
    pub(super) async fn goserve(&self, call: Goserve, request: ServerRequest<'_>) -> Result<ServerResponse, Failure> {
        let core = &self.core;
        let answer = match call {
            Goserve::Infer(target) => return self.goserve_infer(&target, request).await,
            Goserve::Server => {
                json!({ "name": SERVER_NAME, "version": SERVER_VERSION, "message": "models behind Witgate" })
            }
            Goserve::Health => json!({ "status": "ok" }),
            Goserve::Ready => {
                let (status, text) = match core.is_ready() {
                    true => (StatusCode::OK, "ready"),
                    false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
                };
                return Ok(brief(status, &json!({ "status": text })));
            }
            Goserve::List => {
                let latest = |status: &crate::ModelStatus| core.service.find(&status.name, None).ok();
                let models: Vec<_> =
                    core.list().iter().filter_map(latest).map(|model| describe::entry(&model)).collect();
                json!({ "models": models })
            }
            Goserve::Describe(target) => describe::whole(&*core.find(&target)?, &core.list()),
            Goserve::Load => {
                if !core.settings.manage {
                    return Err(crate::ManageError::NotAllowed.into());
                }
                let (name, path) = read_load(&self.body(&request).await?, core.settings.limits.depth)?;
                let model = core.load(&name, &path).await?;
                return Ok(brief(StatusCode::CREATED, &describe::whole(&model, &core.list())));
            }
            Goserve::Unload(target) => {
                core.unload(&target).await?;
                json!({ "name": target.model, "version": target.version, "status": "unloaded" })
            }
        };
        Ok(brief(StatusCode::OK, &answer))
    }

    async fn goserve_infer(&self, target: &Target, request: ServerRequest<'_>) -> Result<ServerResponse, Failure> {
        let model = self.core.find(target)?;
        let rules = self.core.rules(&model);
        let (body, deadline) = (self.body(&request).await?, request.deadline);
        let size = body.len();
        let decode = move || decode(&body, deadline, &rules).map(|decoded| (decoded, rules));
        let (wanted, rules) = self.work(size, deadline, decode).await?;
        let (tensors, _) = self.core.infer(&model, wanted).await?;
        let size = tensors.iter().map(|tensor| binary::size(tensor.data())).sum();
        let body = self.work(size, None, move || encode(&rules, &tensors)).await?;
        Ok(json_response(StatusCode::OK, body))
    }
}

fn read_load(body: &[u8], depth: usize) -> Result<(String, String), Failure> {
    let mut reader = Reader::new(body, depth)?;
    let (mut name, mut path) = (None, None);
    reader.object(|reader, key| match key {
        "name" | "path" if reader.null() => Ok(()),
        "name" => {
            let value = reader.string()?.into_owned();
            once(&mut name, key, value)
        }
        "path" => {
            let value = reader.string()?.into_owned();
            once(&mut path, key, value)
        }
        key => Err(unknown_key(key, "the request", "`name`, `path`")),
    })?;
    reader.end()?;
    Ok((needed(name, "the request", "name")?, needed(path, "the request", "path")?))
}

/// Reads an inference request: the types are the model's, the shapes those of the arrays.
fn decode(body: &[u8], deadline: Option<Instant>, rules: &Rules) -> Result<Wanted, Failure> {
    let signature = &rules.model.metadata.signature;
    let mut reader = Reader::new(body, rules.limits.depth)?;
    let (mut tensors, mut legacy) = (None, None);
    reader.object(|reader, key| match key {
        "tensors" | "inputs" if reader.null() => Ok(()),
        "tensors" => {
            let mut inputs = Vec::new();
            reader.object(|reader, name| {
                if inputs.len() == rules.limits.tensors {
                    return Err(rules.too_many_tensors("inputs"));
                }
                let info = signature.inputs.iter().find(|info| info.name == name);
                let info = info.ok_or_else(|| unknown(signature, name))?;
                let input = read_tensor(reader, &info.name, info.data_type, rules, &inputs)?;
                inputs.push(input);
                Ok(())
            })?;
            once(&mut tensors, key, inputs)
        }
        "inputs" => {
            let [info] = signature.inputs.as_slice() else {
                let present = quoted(signature.inputs.iter().map(|info| info.name.as_str()));
                return Err(Failure::invalid(format!(
                    "`inputs` is for models with one input, and this one has {present}: name them in `tensors`"
                )));
            };
            let input = read_tensor(reader, &info.name, info.data_type, rules, &[])?;
            once(&mut legacy, key, vec![input])
        }
        key => Err(unknown_key(key, "the request", "`tensors`, or `inputs` for a model with one input")),
    })?;
    reader.end()?;
    let inputs = match (tensors, legacy) {
        (Some(_), Some(_)) => {
            return Err(Failure::invalid("the request has both `tensors` and `inputs`: give one of them"));
        }
        (inputs, None) => needed(inputs, "the request", "tensors")?,
        (None, Some(inputs)) => inputs,
    };
    let inputs = rules.check(inputs)?;
    Ok(Wanted { inputs, outputs: (0..signature.outputs.len()).collect(), deadline })
}

fn read_tensor(
    reader: &mut Reader<'_>,
    name: &str,
    data_type: DataType,
    rules: &Rules,
    before: &[(String, Tensor)],
) -> Result<(String, Tensor), Failure> {
    let nested = elements::read(reader, name, data_type, None, rules.room(before))?;
    let info = rules.model.metadata.signature.inputs.iter().find(|info| info.name == name);
    let shape = with_inner_sizes(nested.shape, info.and_then(|info| info.shape.as_deref()));
    let tensor = Tensor::new(shape, nested.data)
        .map_err(|error| Failure::invalid(format!("the input `{}`: {error}", clip(name))))?;
    Ok((name.to_owned(), tensor))
}

/// Arrays cannot say how long those are that an empty one would have in it: that is for the model to say.
fn with_inner_sizes(mut shape: Vec<usize>, declared: Option<&[Dimension]>) -> Vec<usize> {
    if shape.last() == Some(&0) {
        let inner = declared.and_then(|declared| declared.get(shape.len()..)).unwrap_or_default();
        shape.extend(inner.iter().map(|dimension| match dimension {
            Dimension::Fixed(size) => *size,
            Dimension::Named(_) | Dimension::Any => 0,
        }));
    }
    shape
}

/// Writes an answer: all outputs, and the labels among them once more as `predictions`.
fn encode(rules: &Rules, tensors: &[Tensor]) -> Result<Vec<u8>, Failure> {
    let mut out = b"{\"model_name\":".to_vec();
    elements::write_string(&mut out, &rules.model.name);
    out.extend_from_slice(b",\"outputs\":{");
    let outputs = &rules.model.metadata.signature.outputs;
    for (place, (info, tensor)) in outputs.iter().zip(tensors).enumerate() {
        if place > 0 {
            out.push(b',');
        }
        elements::write_string(&mut out, &info.name);
        out.push(b':');
        write(&mut out, &info.name, tensor)?;
    }
    out.push(b'}');
    let mut labels = outputs.iter().zip(tensors).filter(|(info, _)| is_label(&info.name, info.data_type));
    if let (Some((info, labels)), None) = (labels.next(), labels.next()) {
        out.extend_from_slice(b",\"predictions\":");
        write(&mut out, &info.name, labels)?;
    }
    out.push(b'}');
    Ok(out)
}

fn write(out: &mut Vec<u8>, name: &str, tensor: &Tensor) -> Result<(), Failure> {
    elements::write(out, tensor.shape(), tensor.data()).map_err(|(element, what)| {
        Failure::invalid(format!(
            "element {element} of the output `{name}` is {what}, which JSON cannot say: ask over /v2 for binary data"
        ))
    })
}

/// Whether an output holds labels: it is called so, and its elements are no measures.
fn is_label(name: &str, data_type: DataType) -> bool {
    let measure = matches!(data_type, DataType::Float16 | DataType::Bfloat16 | DataType::Float32 | DataType::Float64);
    !measure && LABELS.contains(&name.to_ascii_lowercase().as_str())
}
