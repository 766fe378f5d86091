//! A Witgate plugin that settles which version of an API a request is for:
//!
//! ```text
//! no x-api-version       ->   x-api-version: the first of the configured versions
//! a configured version   ->   passes
//! anything else          ->   refused
//! ```

use serde::Deserialize;
use witgate_sdk::{Action, ConfigError, Error, ErrorCode, OnRequest, Plugin, Refusal, Request};

const HEADER: &str = "x-api-version";

/// What the route's stage gives as `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    versions: Vec<String>,
}

/// Made once in each instance, which then serves many requests.
pub struct Versions(Vec<String>);

impl Plugin for Versions {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Settles which version of the API a request is for";
    // The gateway checks it before `configure` runs.
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("config.schema.json"));
    type Config = Config;

    // What a schema cannot say is checked here: `Err(ConfigError::at("versions", "expected …"))`.
    fn configure(config: Config) -> Result<Self, ConfigError> {
        Ok(Self(config.versions))
    }
}

impl OnRequest for Versions {
    fn on_request(&self, request: &Request<'_>, _end_of_stream: bool) -> Result<Action, Error> {
        let Self(versions) = self;
        let version = match request.header(HEADER) {
            None => versions.first(),
            Some(asked) => versions.iter().find(|version| version.as_bytes() == asked),
        };
        let Some(version) = version else {
            return Ok(Action::Refuse(Refusal::new(
                ErrorCode::InvalidRequest,
                format!("Ask for a version that is served, or leave `{HEADER}` out."),
            )));
        };
        // In any case: of several fields the upstream gets the one that was checked.
        request.set(HEADER, version)?;
        Ok(Action::Continue)
    }
}

witgate_sdk::export!(Versions: request);

#[cfg(test)]
mod tests {
    use super::*;
    use witgate_sdk::testing::{TestRequest, configure};

    fn plugin() -> Versions {
        configure(r#"{"versions": ["v2", "v1"]}"#).unwrap()
    }

    #[test]
    fn a_request_that_names_no_version_gets_the_first() {
        let request = TestRequest::new("GET", "/");
        assert!(matches!(plugin().on_request(&request.request(), true), Ok(Action::Continue)));
        assert_eq!(request.value(HEADER).as_deref(), Some("v2"));
    }

    #[test]
    fn a_version_passes_if_it_is_served() {
        let served = TestRequest::new("GET", "/").header(HEADER, "v1");
        assert!(matches!(plugin().on_request(&served.request(), true), Ok(Action::Continue)));
        assert_eq!(served.value(HEADER).as_deref(), Some("v1"));

        let other = TestRequest::new("GET", "/").header(HEADER, "v9");
        assert!(matches!(plugin().on_request(&other.request(), true), Ok(Action::Refuse(_))));
    }
}
