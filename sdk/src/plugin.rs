//! What a plugin is.

use serde::de::DeserializeOwned;

use crate::{Action, BodyMode, ConfigError, Error, Outcome, Request, RequestBodyAction, ResponseAction};
use crate::{ResponseBodyAction, ResponseHead};

/// A plugin: made once in each instance from its configuration, and never changed by a request.
///
/// Instances are shared between requests and come and go; what must be remembered goes into [`crate::kv`], or for one
/// request into its attributes.
///
/// `Send` and `Sync`, because [`crate::export!`] keeps the plugin in a static.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// Lower-case letters, digits and hyphens.
    const NAME: &'static str;
    /// Semantic version; `env!("CARGO_PKG_VERSION")` is usual.
    const VERSION: &'static str;
    /// One line for people.
    const SUMMARY: &'static str;
    /// JSON Schema (2020-12) of the configuration; the host checks against it before `configure`.
    const CONFIG_SCHEMA: Option<&'static str> = None;

    /// The configuration, read from JSON. `#[serde(deny_unknown_fields)]` turns typing mistakes into errors.
    type Config: DeserializeOwned;

    /// Takes the configuration. Must be pure: no effect outside the instance.
    ///
    /// # Errors
    /// What is wrong, for the operator: name the key, what was expected and what to do.
    fn configure(config: Self::Config) -> Result<Self, ConfigError>;
}

/// Runs on the head of each request, before any upstream is contacted.
pub trait OnRequest: Plugin {
    /// `end_of_stream`: no body follows.
    ///
    /// # Errors
    /// The plugin failed and decided nothing: the route's `on_trap` policy applies, which refuses the request unless told
    /// otherwise, and the text goes to the gateway's log. To refuse a request on purpose, return [`Action::Refuse`].
    fn on_request(&self, request: &Request<'_>, end_of_stream: bool) -> Result<Action, Error>;
}

/// Runs on the head of each response of an upstream.
pub trait OnResponse: Plugin {
    /// The request is as it was sent to the upstream, and read-only. `end_of_stream`: no body follows.
    ///
    /// # Errors
    /// As for [`OnRequest::on_request`].
    fn on_response(
        &self,
        request: &Request<'_>,
        response: &ResponseHead<'_>,
        end_of_stream: bool,
    ) -> Result<ResponseAction, Error>;
}

/// Runs on the body of each request that has one, after the header hooks of all stages.
pub trait OnRequestBody: Plugin {
    /// How the hook gets the body: whole unless this says otherwise. [`BodyMode::None`] turns the hook off under this
    /// configuration, which then costs nothing.
    fn request_body_mode(&self) -> BodyMode {
        BodyMode::Buffered
    }

    /// `data` is the body, or with [`BodyMode::Chunks`] a piece of it, the last of which has `end_of_stream` and may be
    /// empty. Of a whole body the request's head has not been sent yet and can still be changed.
    ///
    /// # Errors
    /// As for [`OnRequest::on_request`].
    fn on_request_body(
        &self,
        request: &Request<'_>,
        data: Vec<u8>,
        end_of_stream: bool,
    ) -> Result<RequestBodyAction, Error>;
}

/// Runs on the body of each response of an upstream that has one.
pub trait OnResponseBody: Plugin {
    /// As [`OnRequestBody::request_body_mode`].
    fn response_body_mode(&self) -> BodyMode {
        BodyMode::Buffered
    }

    /// As [`OnRequestBody::on_request_body`], with the response's head.
    ///
    /// # Errors
    /// As for [`OnRequest::on_request`].
    fn on_response_body(
        &self,
        request: &Request<'_>,
        response: &ResponseHead<'_>,
        data: Vec<u8>,
        end_of_stream: bool,
    ) -> Result<ResponseBodyAction, Error>;
}

/// Runs once a request has ended, however it ended.
pub trait OnLog: Plugin {
    /// `response` is the upstream's response as the client got it, if there was one.
    ///
    /// # Errors
    /// As for [`OnRequest::on_request`], but the client has its answer.
    fn on_log(
        &self,
        request: &Request<'_>,
        response: Option<&ResponseHead<'_>>,
        outcome: &Outcome,
    ) -> Result<(), Error>;
}
