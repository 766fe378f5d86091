//! Models in the words of the protocols.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{Dimension, ModelStatus, ModelVersion, TensorInfo, hex};

/// A declared shape in the Open Inference Protocol: -1 where the size can differ. Empty as well if the rank can differ,
/// for which the protocol has no word.
pub fn shape(info: &TensorInfo) -> Vec<i64> {
    let size = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => i64::try_from(*size).unwrap_or(i64::MAX),
        Dimension::Named(_) | Dimension::Any => -1,
    };
    info.shape.iter().flatten().map(size).collect()
}

/// Framework and format, as the Open Inference Protocol wants them.
pub fn platform(model: &ModelVersion) -> String {
    format!("{}_onnx", model.backend)
}

pub fn tensors(infos: &[TensorInfo]) -> Value {
    let tensor =
        |info: &TensorInfo| json!({ "name": info.name, "datatype": info.data_type.label(), "shape": shape(info) });
    infos.iter().map(tensor).collect()
}

/// Numbers of a model's versions, oldest first.
pub fn versions(models: &[ModelStatus], name: &str) -> Vec<String> {
    let status = models.iter().find(|status| status.name == name);
    status.map_or_else(Vec::new, |status| status.versions.iter().map(|version| version.version.to_string()).collect())
}

/// What GoServe's list says of a model, and what can be known besides.
pub fn entry(model: &ModelVersion) -> Value {
    let names = |infos: &[TensorInfo]| infos.iter().map(|info| info.name.clone()).collect::<Vec<_>>();
    let signature = &model.metadata.signature;
    json!({
        "name": model.name,
        "version": model.version,
        "path": model.path,
        "input_nodes": names(&signature.inputs),
        "output_nodes": names(&signature.outputs),
    })
}

/// Everything that is known of a model.
pub fn whole(model: &ModelVersion, models: &[ModelStatus]) -> Value {
    let metadata = &model.metadata;
    let status = models.iter().find(|status| status.name == model.name);
    let aliases: serde_json::Map<String, Value> = status
        .iter()
        .flat_map(|status| &status.aliases)
        .map(|(alias, version)| (alias.clone(), (*version).into()))
        .collect();
    let versions: Vec<u64> = status.iter().flat_map(|status| &status.versions).map(|version| version.version).collect();
    let more = json!({
        "versions": versions,
        "aliases": aliases,
        "inputs": tensors(&metadata.signature.inputs),
        "outputs": tensors(&metadata.signature.outputs),
        "opsets": metadata.opsets,
        "producer": metadata.producer,
        "producer_version": metadata.producer_version,
        "description": metadata.description,
        "digest": format!("sha256:{}", hex(&model.digest)),
        "loaded_at": rfc3339(model.loaded_at),
        "memory_estimate": model.memory_estimate,
        "backend": model.backend,
        "batch_limit": model.batch_limit,
    });
    let mut whole = entry(model);
    if let (Value::Object(whole), Value::Object(more)) = (&mut whole, more) {
        whole.extend(more);
    }
    whole
}

/// A moment to the second, in UTC.
fn rfc3339(moment: SystemTime) -> String {
    let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years are counted from March on, so that a leap day ends one; 400 of them are an era of 146 097 days.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month < 3);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_written_as_dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
