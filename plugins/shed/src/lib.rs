//! `shed`: refuses requests while the gateway is overloaded, unimportant ones first.
//!
//! It asks the host's load signal (requests in flight, processor time) whether a request of this priority may pass, and
//! refuses it with `OVERLOADED` if not. Put it first in a route's stages: what is refused should not have cost anything.
//!
//! The priority comes from a header field, if one is configured. Clients can write what they like into it, so it is
//! capped by `priority_limit`; set the field upstream of the gateway, or leave `priority_header` out, if clients are not
//! to be trusted with it.
//!
//! Grant: `load:SCOPE`.

use serde::Deserialize;
use witgate_sdk::{Action, ConfigError, Error, ErrorCode, HeaderName, OnRequest, Plugin, Refusal, Request, load};

/// Priority of requests that name none: in the middle of the lower half, so that marked traffic can stand out both ways.
const DEFAULT_PRIORITY: u8 = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Load scope (`[load.NAME]`).
    scope: String,
    /// Header field with the priority, 0 to 255.
    priority_header: Option<HeaderName>,
    /// Attribute with the priority, 0 to 255, that an earlier stage has set, such as one with a model. It comes before the
    /// field, and is not capped: clients cannot write it.
    priority_attribute: Option<String>,
    /// Priority without the field, or with one that is not a number.
    #[serde(default = "default_priority")]
    default_priority: u8,
    /// Highest priority that the field can claim.
    #[serde(default = "priority_limit")]
    priority_limit: u8,
}

fn default_priority() -> u8 {
    DEFAULT_PRIORITY
}

fn priority_limit() -> u8 {
    u8::MAX
}

/// The plugin.
#[derive(Debug)]
pub struct Shed(Config);

impl Plugin for Shed {
    const NAME: &'static str = "shed";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Refuses requests while the gateway is overloaded, unimportant ones first";
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("../config.schema.json"));
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigError> {
        let scope = &config.scope;
        if !load::scopes().contains(scope) {
            return Err(format!(
                "scope: `{scope}` is not granted; define [load.{scope}] and add \"load:{scope}\" to the stage's grants"
            )
            .into());
        }
        Ok(Self(config))
    }
}

impl OnRequest for Shed {
    fn on_request(&self, request: &Request<'_>, _end_of_stream: bool) -> Result<Action, Error> {
        let Config { scope, priority_header, priority_attribute, default_priority, priority_limit } = &self.0;
        let set = priority_attribute.as_ref().and_then(|name| number(&request.attr(name)?));
        let claimed =
            priority_header.as_ref().and_then(|name| request.header_str(name.as_str())?.trim().parse::<u8>().ok());
        let claimed = claimed.map(|claimed| claimed.min(*priority_limit));
        let priority = set.or(claimed).unwrap_or(*default_priority);
        let admission = load::admit(scope, priority)?;
        if admission.admitted {
            return Ok(Action::Continue);
        }
        let refusal = Refusal::new(ErrorCode::Overloaded, "The service is overloaded; try again later.");
        Ok(Action::Refuse(refusal.retry_after_ms(admission.retry_after_ms)))
    }
}

fn number(text: &[u8]) -> Option<u8> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

witgate_sdk::export!(Shed: request);

#[cfg(test)]
mod tests {
    use super::*;
    use witgate_sdk::testing::{TestRequest, World};

    fn shed(config: &str, lowest_admitted: u8) -> Shed {
        World::new().load_scope("edge", lowest_admitted).install();
        Shed::configure(serde_json::from_str(config).unwrap()).unwrap()
    }

    fn admitted(shed: &Shed, request: &TestRequest) -> bool {
        match shed.on_request(&request.request(), true).unwrap() {
            Action::Continue => true,
            Action::Refuse(refusal) => {
                assert!(matches!(refusal.code, ErrorCode::Overloaded) && refusal.retry_after_ms.is_some());
                false
            }
            Action::Respond(_) => panic!("responded"),
        }
    }

    #[test]
    fn the_priority_comes_from_the_field_or_from_the_default() {
        let shed = shed(r#"{"scope": "edge", "priority_header": "x-priority", "default_priority": 50}"#, 100);
        let with = |value: &str| TestRequest::new("GET", "/").header("x-priority", value);
        assert!(admitted(&shed, &with("100")) && admitted(&shed, &with(" 255 ")));
        assert!(!admitted(&shed, &with("99")));
        for none in ["", "256", "-1", "high"] {
            assert!(!admitted(&shed, &with(none)), "{none:?} counts as the default, 50");
        }
        assert!(!admitted(&shed, &TestRequest::new("GET", "/")));
    }

    #[test]
    fn a_claim_is_capped() {
        let shed = shed(r#"{"scope": "edge", "priority_header": "x-priority", "priority_limit": 99}"#, 100);
        assert!(!admitted(&shed, &TestRequest::new("GET", "/").header("x-priority", "255")));
        assert!(admitted(&shed, &TestRequest::new("GET", "/")), "the default is the operator's own word");
    }

    #[test]
    fn what_an_earlier_stage_says_comes_before_the_claim() {
        let shed = shed(
            r#"{"scope": "edge", "priority_header": "x-priority", "priority_attribute": "priority", "priority_limit": 99}"#,
            100,
        );
        let request = TestRequest::new("GET", "/").header("x-priority", "255");
        request.request().set_attr("priority", "200").unwrap();
        assert!(admitted(&shed, &request), "what the gateway says is not capped");
        request.request().set_attr("priority", "0").unwrap();
        assert!(!admitted(&shed, &request));
        request.request().set_attr("priority", "high").unwrap();
        assert!(!admitted(&shed, &request), "no number: the claim counts, capped");
    }

    #[test]
    fn a_scope_that_is_not_granted_is_named() {
        World::new().install();
        let error = Shed::configure(serde_json::from_str(r#"{"scope": "edge"}"#).unwrap()).unwrap_err().to_string();
        assert!(error.contains("load:edge") && error.contains("[load.edge]"), "{error}");
    }

    #[test]
    fn a_priority_header_must_be_a_header_name() {
        for name in ["bad name", "", "x:y"] {
            let config = format!(r#"{{"scope": "edge", "priority_header": "{name}"}}"#);
            let error = serde_json::from_str::<Config>(&config).unwrap_err().to_string();
            assert!(error.contains("expected a header name") && error.contains(name), "{error}");
        }
    }

    #[test]
    fn the_schema_and_the_fields_agree() {
        let schema: serde_json::Value = serde_json::from_str(Shed::CONFIG_SCHEMA.unwrap()).unwrap();
        let mut fields: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        fields.sort();
        assert_eq!(fields, ["default_priority", "priority_attribute", "priority_header", "priority_limit", "scope"]);
    }
}
