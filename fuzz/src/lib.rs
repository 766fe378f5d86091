//! What the fuzz targets have in common: what has to be true of messages of HTTP ([`http`]), of ensembles of trees
//! ([`trees`]), of operators ([`operators`]) and of model files ([`model`]); a model server in front of a double of the models, and what has to be true of its answers.

#[path = "../../gateway/inference/tests/double/mod.rs"]
mod double;
#[path = "../../gateway/http/tests/oracle/mod.rs"]
pub mod http;
pub mod model;
pub mod operators;
pub mod trees;

use std::sync::{Arc, LazyLock};

use ::http::{HeaderMap, HeaderValue, Method};
use bytes::Bytes;
use double::Double;
use tokio::runtime::{Builder, Runtime};
use witgate_inference::protocol::{ModelServer, ServerRequest, ServerResponse, ServerSettings};

/// Models that a body is sent to in turn: of numbers, of strings, of booleans, with several inputs, without dimensions.
pub const MODELS: [&str; 6] =
    ["identity_fp32", "identity_uint8", "identity_bytes", "identity_bool", "two_in_two_out", "scalar"];

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

static SERVER: LazyLock<ModelServer> =
    LazyLock::new(|| ModelServer::new(Arc::new(Double::new()), ServerSettings::default()));

fn ask(path: &str, headers: &HeaderMap, body: Bytes) -> ServerResponse {
    let request = ServerRequest { method: &Method::POST, path, headers, body, deadline: None };
    RUNTIME.block_on(SERVER.answer(request))
}

/// Sends a body over HTTP. `json_length`: where its JSON ends.
///
/// # Panics
/// The answer is neither a success nor an error of the client's that says something.
pub fn post(path: &str, json_length: Option<usize>, body: &[u8]) {
    let mut headers = HeaderMap::new();
    if let Some(length) = json_length {
        headers.insert("inference-header-content-length", HeaderValue::from(length));
    }
    let response = ask(path, &headers, Bytes::copy_from_slice(body));
    let status = response.status.as_u16();
    // 504: the client's own time limit was tiny.
    assert!(matches!(status, 200 | 400..=499 | 501 | 504), "{status}");
    let length = response.headers.get("inference-header-content-length");
    let length = length.map_or(response.body.len(), |length| length.to_str().expect("digits").parse().expect("digits"));
    let json: serde_json::Value = serde_json::from_slice(&response.body[..length]).expect("JSON");
    assert!(status == 200 || json["error"].as_str().is_some_and(|error| !error.is_empty()));
    assert!(status == 200 || response.body.len() < 4096, "an error repeats what was sent");
}

/// Sends a message over gRPC.
///
/// # Panics
/// The answer is neither a success nor an error of the client's.
pub fn call(method: &str, message: &[u8]) {
    let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
    let body = [&[0][..], &length, message].concat();
    let headers = HeaderMap::from_iter([(::http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))]);
    let response = ask(&format!("/inference.GRPCInferenceService/{method}"), &headers, body.into());
    let status = response.trailers.as_ref().expect("trailers")["grpc-status"].to_str().expect("digits").to_owned();
    assert!(["0", "3", "4", "5", "7", "8", "12"].contains(&status.as_str()), "{status}");
}
