//! What a plugin is.

use serde::de::DeserializeOwned;

use crate::{Action, ConfigError, Error, Request, ResponseAction, ResponseHead};

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
