//! Marks requests and responses with the tag of its configuration: shows which configuration served them.

use witgate_sdk::{Action, ConfigError, Error, OnRequest, OnResponse, Plugin, Request, ResponseAction, ResponseHead};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Tagger {
    tag: String,
}

impl Plugin for Tagger {
    const NAME: &'static str = "tagger";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Marks requests and responses";
    const CONFIG_SCHEMA: Option<&'static str> = Some(
        r#"{"type": "object", "additionalProperties": false, "required": ["tag"], "properties": {"tag": {"type": "string"}}}"#,
    );
    type Config = Self;

    fn configure(config: Self) -> Result<Self, ConfigError> {
        Ok(config)
    }
}

impl OnRequest for Tagger {
    fn on_request(&self, request: &Request<'_>, _: bool) -> Result<Action, Error> {
        request.set("x-tag", &self.tag)?;
        request.set_attr("tagger.path", request.path())?;
        Ok(Action::Continue)
    }
}

impl OnResponse for Tagger {
    fn on_response(
        &self,
        request: &Request<'_>,
        response: &ResponseHead<'_>,
        _: bool,
    ) -> Result<ResponseAction, Error> {
        response.set("x-tag", &self.tag)?;
        response.set("x-tagged-path", request.attr("tagger.path").unwrap_or_default())?;
        Ok(ResponseAction::Continue)
    }
}

witgate_sdk::export!(Tagger: request, response);
