//! The Open Inference Protocol, version 2, over gRPC: unary calls, of which each has one message in its body.

mod infer;
pub mod messages;
mod scan;

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use prost::Message;

use super::failure::{Failure, Kind};
use super::inflate::{self, Coding};
use super::path::{self, Call, Target};
use super::v2::{EXTENSIONS, SERVER_NAME, SERVER_VERSION, parameter};
use super::{ModelServer, ServerRequest, ServerResponse, binary, describe, earlier};
use crate::{ModelVersion, TensorInfo};
use messages::{
    Choice, Empty, ModelIndex, ModelInferRequest, ModelMetadataResponse, ModelRequest, ReadyResponse,
    RepositoryIndexResponse, RepositoryModelRequest, ServerLiveResponse, ServerMetadataResponse, TensorMetadata,
};

/// Bytes before a message: whether it is compressed, and its length.
const FRAME: usize = 5;

/// Most bytes of an error's message, before encoding: clients limit the size of all trailers, commonly to 8 KiB.
const MESSAGE_LIMIT: usize = 1024;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Whether a request is gRPC with messages of Protocol Buffers.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return false };
    let content_type = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    content_type.eq_ignore_ascii_case(b"application/grpc")
        || content_type.eq_ignore_ascii_case(b"application/grpc+proto")
}

impl ModelServer {
    pub(super) async fn grpc(&self, request: ServerRequest<'_>) -> ServerResponse {
        let (body, failure) = match self.grpc_call(request).await {
            Ok(body) => (body, None),
            Err(failure) => (Bytes::new(), Some(failure)),
        };
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))]);
        if failure.as_ref().is_some_and(|failure| failure.kind == Kind::Encoding) {
            headers.insert(ACCEPT_ENCODING, inflate::accepted());
        }
        let status = failure.as_ref().map_or(0, |failure| failure.kind.grpc_status());
        let mut trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from(u16::from(status)))]);
        // What is left of a message after encoding it is printable ASCII.
        if let Some(message) = failure.and_then(|failure| HeaderValue::from_str(&encoded(&failure.message)).ok()) {
            trailers.insert(MESSAGE, message);
        }
        ServerResponse { status: StatusCode::OK, headers, body, trailers: Some(trailers) }
    }

    async fn grpc_call(&self, request: ServerRequest<'_>) -> Result<Bytes, Failure> {
        let core = &self.core;
        let method = match path::find(request.method, request.path, &core.settings.prefix) {
            Ok(Call::Grpc(method)) => method,
            _ => return Err(Failure::new(Kind::NotServed, "there is no such gRPC service here")),
        };
        let deadline = earlier(request.deadline, timeout(request.headers)?);
        let message = match message(request.body)? {
            (false, message) => message,
            (true, message) => {
                let coding = Coding::of(request.headers, &ENCODING)?.ok_or_else(|| {
                    let message = format!("the message is compressed, and the header {ENCODING} does not say how");
                    Failure::new(Kind::Encoding, message)
                })?;
                self.inflated(coding, message, deadline).await?
            }
        };
        match method.as_str() {
            "ModelInfer" => self.grpc_infer(message, deadline).await,
            "ServerLive" => Ok(framed(&ServerLiveResponse { live: true })),
            "ServerReady" => Ok(framed(&ReadyResponse { ready: core.is_ready() })),
            "ModelReady" => {
                let ModelRequest { name, version } = decoded(message)?;
                Ok(framed(&ReadyResponse { ready: core.find(&Target::with(&name, &version)).is_ok() }))
            }
            "ServerMetadata" => Ok(framed(&ServerMetadataResponse {
                name: SERVER_NAME.to_owned(),
                version: SERVER_VERSION.to_owned(),
                extensions: EXTENSIONS.map(str::to_owned).to_vec(),
            })),
            "ModelMetadata" => {
                let ModelRequest { name, version } = decoded(message)?;
                let model = core.find(&Target::with(&name, &version))?;
                Ok(framed(&metadata(&model, describe::versions(&core.list(), &model.name))))
            }
            "RepositoryIndex" => {
                let entry =
                    |(name, version)| ModelIndex { name, version, state: "READY".to_owned(), reason: String::new() };
                Ok(framed(&RepositoryIndexResponse { models: core.index().map(entry).collect() }))
            }
            "RepositoryModelLoad" => {
                let (name, path) = managed(message)?;
                core.may_manage(&name)?;
                core.load_or_reload(&name, path).await?;
                Ok(framed(&Empty {}))
            }
            "RepositoryModelUnload" => {
                let (name, _) = managed(message)?;
                core.unload(&Target::parse(&name)).await?;
                Ok(framed(&Empty {}))
            }
            method => {
                let method = crate::validate::clip(method);
                Err(Failure::new(Kind::NotServed, format!("the method `{method}` is not served here")))
            }
        }
    }

    async fn grpc_infer(&self, message: Bytes, deadline: Option<Instant>) -> Result<Bytes, Failure> {
        scan::check(&message, &self.core.settings.limits)?;
        let size = message.len();
        let request: ModelInferRequest = self.work(size, deadline, move || decoded(message)).await?;
        let model = self.core.find(&Target::with(&request.model_name, &request.model_version))?;
        let (rules, id) = (self.core.rules(&model), request.id.clone());
        let decode = move || infer::decode(request, deadline, &rules).map(|wanted| (wanted, rules));
        let (wanted, rules) = self.work(size, deadline, decode).await?;
        let (tensors, outputs) = self.core.infer(&model, wanted).await?;
        let size = tensors.iter().map(|tensor| binary::size(tensor.data())).sum();
        self.work(size, None, move || Ok(framed(&infer::encode(&rules, id, &outputs, &tensors)))).await
    }
}

/// Reads a request to load or unload a model.
fn managed(message: Bytes) -> Result<(String, Option<String>), Failure> {
    scan::check_parameters(&message, 3)?;
    let RepositoryModelRequest { model_name, parameters, .. } = decoded(message)?;
    let mut path = None;
    for (key, value) in parameters {
        match (key.as_str(), value.choice) {
            ("path", Some(Choice::String(value))) => path = Some(value),
            ("path", _) => return Err(Failure::invalid("the parameter `path` has to be a string")),
            ("unload_dependents", _) => {}
            (key, _) => return Err(parameter(key)),
        }
    }
    Ok((model_name, path))
}

fn metadata(model: &ModelVersion, versions: Vec<String>) -> ModelMetadataResponse {
    let tensor = |info: &TensorInfo| TensorMetadata {
        name: info.name.clone(),
        datatype: info.data_type.label().to_owned(),
        shape: describe::shape(info),
    };
    let signature = &model.metadata.signature;
    ModelMetadataResponse {
        name: model.name.clone(),
        versions,
        platform: describe::platform(model),
        inputs: signature.inputs.iter().map(tensor).collect(),
        outputs: signature.outputs.iter().map(tensor).collect(),
    }
}

/// The one message of a body, and whether it is compressed.
fn message(mut body: Bytes) -> Result<(bool, Bytes), Failure> {
    let Some(([compressed, length @ ..], rest)) = body.split_first_chunk::<FRAME>() else {
        return Err(Failure::invalid(format!("expected a message after {FRAME} bytes, got {} bytes", body.len())));
    };
    let compressed = *compressed != 0;
    let (length, got) = (u32::from_be_bytes(*length), rest.len());
    if usize::try_from(length).ok() != Some(got) {
        return Err(Failure::invalid(format!("expected one message of {length} bytes, got {got} bytes")));
    }
    Ok((compressed, body.split_off(FRAME)))
}

fn decoded<M: Message + Default>(message: Bytes) -> Result<M, Failure> {
    M::decode(message)
        .map_err(|error| Failure::invalid(format!("the body is not the message that was expected: {error}")))
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut body = BytesMut::with_capacity(FRAME + length);
    body.put_u8(0);
    body.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // There is room for it: it cannot fail.
    let _ = message.encode(&mut body);
    body.freeze()
}

/// When the client stops waiting, by its own word: digits and a unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Instant>, Failure> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(None) };
    let parse = |value: &str| {
        let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
        // More digits than 8 are not allowed.
        let number: u64 = Some(digits).filter(|digits| digits.len() <= 8).and_then(|digits| digits.parse().ok())?;
        match unit {
            "H" => Some(Duration::from_secs(number * 3600)),
            "M" => Some(Duration::from_secs(number * 60)),
            "S" => Some(Duration::from_secs(number)),
            "m" => Some(Duration::from_millis(number)),
            "u" => Some(Duration::from_micros(number)),
            "n" => Some(Duration::from_nanos(number)),
            _ => None,
        }
    };
    match value.to_str().ok().and_then(parse) {
        Some(timeout) => Ok(Instant::now().checked_add(timeout)),
        None => Err(Failure::invalid(format!("expected digits and one of H, M, S, m, u, n in the header {TIMEOUT}"))),
    }
}

/// A message for a header: percent encoding for what is no printable ASCII.
fn encoded(message: &str) -> String {
    message.bytes().take(MESSAGE_LIMIT).fold(
        String::with_capacity(message.len().min(MESSAGE_LIMIT)),
        |mut out, byte| {
            match byte {
                b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
            out
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_digits_and_a_unit() {
        let given = |value: &'static str| timeout(&HeaderMap::from_iter([(TIMEOUT, HeaderValue::from_static(value))]));
        for value in ["1H", "2M", "3S", "4m", "5u", "99999999n", "0S"] {
            assert!(given(value).unwrap().is_some(), "{value}");
        }
        for value in ["", "S", "1", "1s", "-1S", "999999999S", "1.5S"] {
            assert!(given(value).is_err(), "{value}");
        }
    }

    #[test]
    fn messages_of_errors_fit_into_a_header() {
        assert_eq!(encoded("100 % ü\n"), "100 %25 %C3%BC%0A");
    }

    #[test]
    fn content_types_are_told_apart() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto; charset=utf-8", true),
            ("application/grpc+json", false),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(
                is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])),
                expected
            );
        }
    }
}
