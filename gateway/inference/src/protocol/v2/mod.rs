//! The Open Inference Protocol, version 2, over HTTP: with binary tensor data and Triton's model repository.

mod repository;
mod request;
mod response;

pub use repository::parameter;
pub use request::{data_type, is_left_out, left_out, sized, timeout};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::failure::Failure;
use super::path::{Target, V2};
use super::{Core, ModelServer, ServerRequest, ServerResponse, binary, brief, describe, json as json_response};

/// Name of the server in both forms of the protocol.
pub const SERVER_NAME: &str = "witgate";

pub const SERVER_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Extensions of the protocol that are served, by Triton's names.
pub const EXTENSIONS: [&str; 3] = ["binary_tensor_data", "model_repository", "parameters"];

/// Length of the JSON before binary data.
pub const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

impl ModelServer {
    pub(super) async fn v2(&self, call: V2, request: ServerRequest<'_>) -> Result<ServerResponse, Failure> {
        let core = &self.core;
        let answer = match call {
            V2::Infer(target) => return self.v2_infer(&target, request).await,
            V2::Server => json!({ "name": SERVER_NAME, "version": SERVER_VERSION, "extensions": EXTENSIONS }),
            V2::Live => json!({ "live": true }),
            V2::Ready => {
                let ready = core.is_ready();
                let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                return Ok(brief(status, &json!({ "ready": ready })));
            }
            V2::Describe(target) => core.v2_describe(&target)?,
            V2::ModelReady(target) => json!({ "name": core.find(&target)?.name, "ready": true }),
            V2::Index => core.v2_index(&self.body(&request).await?)?,
            V2::Load(name) => core.v2_load(&name, &self.body(&request).await?).await?,
            V2::Unload(name) => core.v2_unload(&name, &self.body(&request).await?).await?,
        };
        Ok(brief(StatusCode::OK, &answer))
    }

    async fn v2_infer(&self, target: &Target, request: ServerRequest<'_>) -> Result<ServerResponse, Failure> {
        let json_length = json_length(request.headers)?;
        let model = self.core.find(target)?;
        let rules = self.core.rules(&model);
        let (body, deadline) = (self.body(&request).await?, request.deadline);
        let size = body.len();
        let decode = move || request::decode(&body, json_length, deadline, &rules).map(|decoded| (decoded, rules));
        let ((wanted, reply), rules) = self.work(size, deadline, decode).await?;
        let (tensors, outputs) = self.core.infer(&model, wanted).await?;
        let size = tensors.iter().map(|tensor| binary::size(tensor.data())).sum();
        let encode = move || response::encode(&rules, &outputs, &tensors, &reply);
        let (body, json_length) = self.work(size, None, encode).await?;
        let mut response = json_response(StatusCode::OK, body);
        if let Some(length) = json_length {
            response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            response.headers.insert(JSON_LENGTH, HeaderValue::from(length));
        }
        Ok(response)
    }
}

impl Core {
    fn v2_describe(&self, target: &Target) -> Result<Value, Failure> {
        let model = self.find(target)?;
        let signature = &model.metadata.signature;
        Ok(json!({
            "name": model.name,
            "versions": describe::versions(&self.list(), &model.name),
            "platform": describe::platform(&model),
            "inputs": describe::tensors(&signature.inputs),
            "outputs": describe::tensors(&signature.outputs),
        }))
    }
}

fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Failure> {
    let Some(length) = headers.get(JSON_LENGTH) else { return Ok(None) };
    match length.to_str().ok().and_then(|length| length.parse().ok()) {
        Some(length) => Ok(Some(length)),
        None => Err(Failure::invalid(format!("expected a number of bytes in the header {JSON_LENGTH}"))),
    }
}
