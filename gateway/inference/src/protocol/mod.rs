//! The model server: GoServe's API, and the Open Inference Protocol in its version 2 over HTTP and gRPC. Requests come
//! with their whole bodies, and go to a [`ModelService`].

mod binary;
mod describe;
mod elements;
mod failure;
mod goserve;
mod grpc;
mod inflate;
mod json;
mod path;
mod v2;
mod whole;

pub use grpc::messages;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::Semaphore;

use crate::validate::{NonFinite, check, clip};
use crate::{FindError, InferError, ManageError, ModelService, ModelStatus, ModelVersion, Tensor};
use elements::Room;
use failure::{Failure, Kind};
use inflate::Coding;
use path::{Call, Target};

/// Bodies from this size on are read and written off the proxy's threads, which serve other connections as well: a MiB
/// of JSON takes milliseconds, and handing it over about 10 us.
const OFF_THREAD: usize = 128 * 1024;

/// What a model server route serves, and to what extent.
#[derive(Debug, Clone, Default)]
pub struct ServerSettings {
    pub models: Reach,
    /// Whether models can be loaded and unloaded over the route.
    pub manage: bool,
    pub non_finite: NonFinite,
    pub limits: Limits,
    /// Path of the route: the API's paths may stand behind it, or it may be a part of them.
    pub prefix: String,
}

/// The models that can be reached over a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reach {
    #[default]
    All,
    Named(BTreeSet<String>),
}

impl Reach {
    fn includes(&self, model: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(model),
        }
    }
}

/// What one request may hold. The size of its body is limited before it comes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Inputs, and outputs that are asked for.
    pub tensors: usize,
    /// Elements of all inputs together.
    pub elements: usize,
    /// Strings among them.
    pub strings: usize,
    /// Arrays and objects in each other.
    pub depth: usize,
    /// Bytes of a body that was compressed, once it no longer is.
    pub inflated: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // Models with more inputs than 256 are hardly made; the elements are 64 MiB in FP32, more than a hundred images
        // for a classifier; a string takes 24 bytes besides its text; ONNX has no tensors of more than a few
        // dimensions. A compressed body may hold as much as the elements take.
        Self { tensors: 256, elements: 16 << 20, strings: 1 << 18, depth: 32, inflated: 64 << 20 }
    }
}

/// A request to the model server.
#[derive(Debug)]
pub struct ServerRequest<'a> {
    pub method: &'a Method,
    /// In normal form, without query.
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    /// The whole of it.
    pub body: Bytes,
    pub deadline: Option<Instant>,
}

/// What the model server answers.
#[derive(Debug, Clone)]
pub struct ServerResponse {
    pub status: StatusCode,
    /// Without `content-length`.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Follow the body of what is asked over gRPC.
    pub trailers: Option<HeaderMap>,
}

/// Serves models by their protocols.
#[derive(Debug)]
pub struct ModelServer {
    core: Core,
    /// Bodies that are read or written off the proxy's threads at the same time.
    turns: Semaphore,
}

/// What all protocols need.
#[derive(Debug)]
struct Core {
    service: Arc<dyn ModelService>,
    settings: ServerSettings,
}

/// An inference request, decoded.
#[derive(Debug)]
struct Wanted {
    inputs: Vec<Tensor>,
    /// Indices in the signature, in the order in which they were asked for.
    outputs: Vec<usize>,
    /// Sooner than the request's own, if the client said so.
    deadline: Option<Instant>,
}

impl ModelServer {
    pub fn new(service: Arc<dyn ModelService>, settings: ServerSettings) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { core: Core { service, settings }, turns: Semaphore::new(threads) }
    }

    /// Answers a request. Whatever is wrong with it or its model is an answer as well. Dropping the future cancels the
    /// run.
    pub async fn answer(&self, request: ServerRequest<'_>) -> ServerResponse {
        let head = request.method == Method::HEAD;
        let mut response = match path::find(request.method, request.path, &self.core.settings.prefix) {
            // The futures are in boxes of their own, for the request's future holds this one whether it is used or not.
            _ if grpc::is_grpc(request.headers) => Box::pin(self.grpc(request)).await,
            Ok(Call::Grpc(_)) => {
                let failure = Failure::new(Kind::MediaType, "expected the content type application/grpc at this path");
                failed(&failure)
            }
            Ok(Call::Goserve(call)) => {
                Box::pin(self.goserve(call, request)).await.unwrap_or_else(|failure| failed(&failure))
            }
            Ok(Call::V2(call)) => Box::pin(self.v2(call, request)).await.unwrap_or_else(|failure| failed(&failure)),
            Err(failure) => failed(&failure),
        };
        if head {
            response.body = Bytes::new();
        }
        response
    }

    /// The body of a request as its client meant it, decompressed if need be.
    async fn body(&self, request: &ServerRequest<'_>) -> Result<Bytes, Failure> {
        let Some(coding) = Coding::of(request.headers, &CONTENT_ENCODING)? else { return Ok(request.body.clone()) };
        self.inflated(coding, request.body.clone(), request.deadline).await
    }

    async fn inflated(&self, coding: Coding, body: Bytes, deadline: Option<Instant>) -> Result<Bytes, Failure> {
        let limit = self.core.settings.limits.inflated;
        // Off this thread, for a few bytes may stand for many.
        let inflate = move || coding.inflate(&body, limit).map(Bytes::from);
        self.work(OFF_THREAD, deadline, inflate).await
    }

    /// Does work on `size` bytes, off this thread if they are many.
    async fn work<T: Send + 'static>(
        &self,
        size: usize,
        deadline: Option<Instant>,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        if size < OFF_THREAD {
            return work();
        }
        let turn = self.turns.acquire();
        let _turn = match deadline {
            Some(deadline) => {
                tokio::time::timeout_at(deadline.into(), turn).await.map_err(|_| Failure::from(InferError::Deadline))?
            }
            None => turn.await,
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "decoding or encoding tensors failed");
            Err(Failure::new(Kind::Failed, "the request could not be decoded or its answer encoded"))
        })
    }
}

impl Core {
    fn rules(&self, model: &Arc<ModelVersion>) -> Rules {
        let ServerSettings { non_finite, limits, .. } = self.settings;
        Rules { model: Arc::clone(model), non_finite, limits }
    }

    fn find(&self, target: &Target) -> Result<Arc<ModelVersion>, Failure> {
        if !self.settings.models.includes(&target.model) {
            return Err(FindError::NoModel(clip(&target.model)).into());
        }
        Ok(self.service.find(&target.model, target.version.as_deref())?)
    }

    fn list(&self) -> Vec<ModelStatus> {
        let mut models = self.service.list();
        models.retain(|model| self.settings.models.includes(&model.name));
        models
    }

    /// Whether all models that the route is for are there.
    fn is_ready(&self) -> bool {
        match &self.settings.models {
            Reach::All => true,
            Reach::Named(names) => names.iter().all(|name| self.service.find(name, None).is_ok()),
        }
    }

    fn may_manage(&self, model: &str) -> Result<(), Failure> {
        if !self.settings.manage {
            return Err(ManageError::NotAllowed.into());
        }
        if !self.settings.models.includes(model) {
            return Err(FindError::NoModel(clip(model)).into());
        }
        Ok(())
    }

    async fn load(&self, name: &str, path: &str) -> Result<Arc<ModelVersion>, Failure> {
        self.may_manage(name)?;
        Ok(self.service.load(name, path).await?)
    }

    async fn unload(&self, target: &Target) -> Result<(), Failure> {
        self.may_manage(&target.model)?;
        Ok(self.service.unload(&target.model, target.version.as_deref()).await?)
    }

    async fn infer(&self, model: &ModelVersion, wanted: Wanted) -> Result<(Vec<Tensor>, Vec<usize>), Failure> {
        let Wanted { inputs, outputs, deadline } = wanted;
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(InferError::Deadline.into());
        }
        let empty = inputs.iter().any(|input| input.data().is_empty());
        let tensors = match self.service.infer(model, inputs, &outputs, deadline).await {
            Err(error @ InferError::Failed(_)) if empty => return Err(Failure::on_nothing(error)),
            tensors => tensors?,
        };
        if tensors.len() != outputs.len() {
            let reason = format!("{} outputs were asked for, and {} came", outputs.len(), tensors.len());
            return Err(InferError::Failed(reason).into());
        }
        Ok((tensors, outputs))
    }
}

/// What decoding a request needs to know, apart from the request.
#[derive(Debug, Clone)]
struct Rules {
    model: Arc<ModelVersion>,
    non_finite: NonFinite,
    limits: Limits,
}

impl Rules {
    /// Holds inputs to the model.
    fn check(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<Tensor>, Failure> {
        let signature = &self.model.metadata.signature;
        Ok(check(signature, self.non_finite, self.model.batch_limit, inputs)?)
    }

    /// Room that is left after inputs that were read.
    fn room(&self, inputs: &[(String, Tensor)]) -> Room {
        let elements = inputs.iter().map(|(_, tensor)| tensor.data().len()).sum();
        let strings = inputs.iter().map(|(_, tensor)| match tensor.data() {
            crate::Data::String(strings) => strings.len(),
            _ => 0,
        });
        Room {
            elements: self.limits.elements.saturating_sub(elements),
            strings: self.limits.strings.saturating_sub(strings.sum()),
        }
    }

    fn too_many_tensors(&self, what: &str) -> Failure {
        Failure::new(
            Kind::TooLarge,
            format!("the request has more {what} than the {} that are taken here", self.limits.tensors),
        )
    }

    /// Indices of outputs by their names; all, without names.
    fn outputs<'a>(&self, names: impl ExactSizeIterator<Item = &'a str>) -> Result<Vec<usize>, Failure> {
        let outputs = &self.model.metadata.signature.outputs;
        if names.len() == 0 {
            return Ok(self.model.metadata.signature.all_outputs());
        }
        let mut wanted = Vec::with_capacity(names.len());
        for name in names {
            let Some(place) = outputs.iter().position(|output| output.name == name) else {
                let present = crate::validate::quoted(outputs.iter().map(|output| output.name.as_str()));
                return Err(Failure::invalid(format!("the model has no output `{}`; it has {present}", clip(name))));
            };
            if wanted.contains(&place) {
                return Err(Failure::invalid(format!("the output `{}` is asked for more than once", clip(name))));
            }
            wanted.push(place);
        }
        Ok(wanted)
    }

    fn output_name(&self, output: usize) -> &str {
        self.model.metadata.signature.outputs.get(output).map_or("", |output| &output.name)
    }
}

/// The earlier of two deadlines.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

fn json(status: StatusCode, body: Vec<u8>) -> ServerResponse {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    ServerResponse { status, headers, body: body.into(), trailers: None }
}

/// An answer of a few fields.
fn brief(status: StatusCode, body: &serde_json::Value) -> ServerResponse {
    json(status, body.to_string().into_bytes())
}

fn failed(failure: &Failure) -> ServerResponse {
    let mut response = brief(failure.kind.status(), &serde_json::json!({ "error": failure.message }));
    match failure.kind {
        Kind::Overloaded => {
            response.headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // RFC 9110, section 15.5.16.
        Kind::Encoding => {
            response.headers.insert(ACCEPT_ENCODING, inflate::accepted());
        }
        Kind::Method(allowed) => {
            response.headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        _ => {}
    }
    response
}

/// A key of an object, for a message about it.
fn unknown_key(key: &str, place: &str, known: &str) -> Failure {
    Failure::invalid(format!("{place} has no key `{}`; it can have {known}", clip(key)))
}

/// Sets what a key says, once.
fn once<T>(slot: &mut Option<T>, key: &str, value: T) -> Result<(), Failure> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Failure::invalid(format!("the key `{key}` is given more than once"))),
    }
}

/// A string that has to be there.
fn needed<T>(value: Option<T>, place: &str, key: &str) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::invalid(format!("{place} has no `{key}`")))
}

type Text<'a> = Cow<'a, str>;
