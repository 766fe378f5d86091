//! Accepts no configuration.

use witgate_sdk::{Action, ConfigError, Error, OnRequest, Plugin, Request};

#[derive(serde::Deserialize)]
struct Config {}

struct ErrorConfigure;

impl Plugin for ErrorConfigure {
    const NAME: &'static str = "error-configure";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Accepts no configuration";
    type Config = Config;

    fn configure(_: Config) -> Result<Self, ConfigError> {
        Err("colour: expected one of red, green, blue".into())
    }
}

impl OnRequest for ErrorConfigure {
    fn on_request(&self, _: &Request<'_>, _: bool) -> Result<Action, Error> {
        Ok(Action::Continue)
    }
}

witgate_sdk::export!(ErrorConfigure: request);
