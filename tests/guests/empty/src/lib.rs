//! Has every hook and does nothing: what a call itself costs.

use witgate_sdk::{Action, ConfigError, Error, OnRequest, OnResponse, Plugin, Request, ResponseAction, ResponseHead};

#[derive(serde::Deserialize)]
struct Config {}

struct Empty;

impl Plugin for Empty {
    const NAME: &'static str = "empty";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Does nothing";
    type Config = Config;

    fn configure(_: Config) -> Result<Self, ConfigError> {
        Ok(Self)
    }
}

impl OnRequest for Empty {
    fn on_request(&self, _: &Request<'_>, _: bool) -> Result<Action, Error> {
        Ok(Action::Continue)
    }
}

impl OnResponse for Empty {
    fn on_response(&self, _: &Request<'_>, _: &ResponseHead<'_>, _: bool) -> Result<ResponseAction, Error> {
        Ok(ResponseAction::Continue)
    }
}

witgate_sdk::export!(Empty: request, response);
