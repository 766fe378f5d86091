//! A first Witgate plugin in Rust. It lets requests with a known API key pass, tells the upstream who calls, and counts
//! the calls of each consumer:
//!
//! ```text
//! authorization: Bearer KEY   ->   x-consumer: NAME
//!                                  x-count: 1, 2, 3 …
//! ```
//!
//! docs/plugins/rust.md tells how to build it.

use std::collections::BTreeMap;

use serde::Deserialize;
use subtle::ConstantTimeEq;
use witgate_sdk::{Action, ConfigError, Edits, Error, ErrorCode, Field, OnRequest, Plugin, Refusal, Request, kv};

/// What the route's stage gives as `config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of each consumer and its key.
    keys: BTreeMap<String, String>,
}

/// Made once in each instance, which then serves many requests.
pub struct FirstPlugin {
    keys: BTreeMap<String, String>,
}

impl Plugin for FirstPlugin {
    const NAME: &'static str = "first-plugin-rust";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Lets known API keys pass and counts their requests";
    // The gateway checks it before `configure` runs. A key is what may follow `Bearer` (RFC 6750, section 2.1).
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("config.schema.json"));
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigError> {
        Ok(Self { keys: config.keys })
    }
}

impl OnRequest for FirstPlugin {
    fn on_request(&self, request: &Request<'_>, _end_of_stream: bool) -> Result<Action, Error> {
        let Some(consumer) = request.header("authorization").and_then(|value| self.authenticate(&value)) else {
            return Ok(Action::Refuse(unauthenticated()));
        };
        // Atomic: every instance of the plugin counts in the same place. If it fails, so does this hook: the client then
        // gets 500, unless the stage says `on_trap = "skip"`.
        let count = kv::incr(&format!("count:{consumer}"), 1, None)?;
        request.apply(
            Edits::new().remove("authorization").set("x-consumer", consumer).set("x-count", count.to_string()),
        )?;
        Ok(Action::Continue)
    }
}

impl FirstPlugin {
    /// The consumer that the value of an `authorization` header stands for.
    fn authenticate(&self, authorization: &[u8]) -> Option<&str> {
        const SCHEME: &[u8] = b"bearer ";
        let (scheme, credential) = authorization.split_at_checked(SCHEME.len())?;
        // Schemes are case-insensitive (RFC 9110, section 11.1).
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        // In constant time, and every key is compared: the time tells neither how much of a key was right nor which.
        let mut found = None;
        for (name, key) in &self.keys {
            if key.as_bytes().ct_eq(credential).into() {
                found = Some(name.as_str());
            }
        }
        found
    }
}

fn unauthenticated() -> Refusal {
    let mut refusal = Refusal::new(ErrorCode::Unauthenticated, "Send a known key: `authorization: Bearer KEY`.");
    refusal.fields.push(Field { name: "www-authenticate".into(), value: b"Bearer".to_vec() });
    refusal
}

witgate_sdk::export!(FirstPlugin: request);

#[cfg(test)]
mod tests {
    use super::*;
    use witgate_sdk::testing::{TestRequest, World, configure};

    fn plugin() -> FirstPlugin {
        World::new().kv().install();
        configure(r#"{"keys": {"alice": "alice-key-0001", "bob": "bob-key-00002"}}"#).unwrap()
    }

    #[test]
    fn a_known_key_becomes_a_name_and_a_number() {
        let plugin = plugin();
        for count in ["1", "2"] {
            let request = TestRequest::new("GET", "/").header("authorization", "Bearer alice-key-0001");
            assert!(matches!(plugin.on_request(&request.request(), true), Ok(Action::Continue)));
            assert_eq!(request.value("authorization"), None);
            assert_eq!(request.value("x-consumer").as_deref(), Some("alice"));
            assert_eq!(request.value("x-count").as_deref(), Some(count));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let plugin = plugin();
        for value in ["Bearer alice-key-0002", "Bearer", "Bearer ", "Basic alice-key-0001", "alice-key-0001"] {
            let request = TestRequest::new("GET", "/").header("authorization", value);
            assert!(matches!(plugin.on_request(&request.request(), true), Ok(Action::Refuse(_))), "{value}");
        }
    }
}
