//! Crashes when it is configured.

use witgate_sdk::{Action, ConfigError, Error, OnRequest, Plugin, Request};

#[derive(serde::Deserialize)]
struct Config {}

struct TrapConfigure;

impl Plugin for TrapConfigure {
    const NAME: &'static str = "trap-configure";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Crashes when it is configured";
    type Config = Config;

    fn configure(_: Config) -> Result<Self, ConfigError> {
        std::process::abort()
    }
}

impl OnRequest for TrapConfigure {
    fn on_request(&self, _: &Request<'_>, _: bool) -> Result<Action, Error> {
        Ok(Action::Continue)
    }
}

witgate_sdk::export!(TrapConfigure: request);
