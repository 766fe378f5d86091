//! `rate-limit`: limits the rate of requests by client, header field or route.
//!
//! Each request takes tokens from a bucket of the host (`[buckets.NAME]`), whose rate the operator sets. A request that
//! finds too few is refused with `RATE_LIMIT_EXCEEDED`. Every answer says where the client stands:
//!
//! * `X-RateLimit-Limit`: tokens that the bucket holds;
//! * `X-RateLimit-Remaining`: whole tokens left;
//! * `X-RateLimit-Reset`: seconds until the bucket is full again, rounded up;
//! * `Retry-After`, on refusals: seconds until enough tokens are there, rounded up.
//!
//! A route may have several of these stages. The response then shows the tightest standing, the one with the fewest
//! tokens left, and a refusal that of the stage that refused.
//!
//! What is counted apart, `key`:
//!
//! * `client`: the client's address; IPv6 addresses by their first 64 bits, because a single subscriber has that many;
//! * `header:NAME`: the first value of a header field; requests without it are counted by client;
//! * `route`: all requests of the route together.
//!
//! Grant: `limiter:BUCKET`.

mod key;
mod standing;

use serde::Deserialize;
use witgate_sdk::{Action, ConfigError, Error, ErrorCode, OnRequest, Plugin, Refusal, Request, limiter};

use key::Key;
use standing::Standing;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Token bucket (`[buckets.NAME]`).
    bucket: String,
    /// `client`, `route` or `header:NAME`.
    #[serde(default = "client")]
    key: String,
    /// Tokens that one request takes.
    #[serde(default = "one")]
    cost: u32,
    /// Attribute with the tokens that a request takes instead, if an earlier stage has set it, such as one with a model.
    cost_attribute: Option<String>,
}

fn client() -> String {
    "client".to_owned()
}

fn one() -> u32 {
    1
}

/// The plugin.
#[derive(Debug)]
pub struct RateLimit {
    bucket: String,
    key: Key,
    cost: u32,
    cost_attribute: Option<String>,
}

impl Plugin for RateLimit {
    const NAME: &'static str = "rate-limit";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Limits the rate of requests by client, header field or route";
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("../config.schema.json"));
    type Config = Config;

    fn configure(config: Config) -> Result<Self, ConfigError> {
        let Config { bucket, key, cost, cost_attribute } = config;
        if !limiter::buckets().contains(&bucket) {
            return Err(format!(
                "bucket: `{bucket}` is not granted; define [buckets.{bucket}] and add \"limiter:{bucket}\" to the stage's grants"
            )
            .into());
        }
        if cost == 0 {
            return Err("cost: expected at least 1".into());
        }
        let key = key.parse().map_err(|problem| format!("key: {problem}"))?;
        Ok(Self { bucket, key, cost, cost_attribute })
    }
}

impl OnRequest for RateLimit {
    fn on_request(&self, request: &Request<'_>, _end_of_stream: bool) -> Result<Action, Error> {
        let set = self.cost_attribute.as_ref().and_then(|name| number(&request.attr(name)?));
        let decision = limiter::take(&self.bucket, &self.key.of(request), set.unwrap_or(self.cost))?;
        let standing = Standing::from(&decision);
        if decision.allowed {
            standing.show(request)?;
            return Ok(Action::Continue);
        }
        let refusal = Refusal::new(ErrorCode::RateLimitExceeded, "Too many requests; try again later.");
        let refusal = standing.refuse(refusal).retry_after_ms(decision.retry_after_ms);
        Ok(Action::Refuse(refusal))
    }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

witgate_sdk::export!(RateLimit: request);

#[cfg(test)]
mod tests {
    use super::standing::{LIMIT, REMAINING, RESET};
    use super::*;
    use witgate_sdk::Edits;
    use witgate_sdk::testing::{TestRequest, World};

    fn plugin(config: &str) -> RateLimit {
        World::new().bucket("b", 2).install();
        RateLimit::configure(serde_json::from_str(config).unwrap()).unwrap()
    }

    fn passes(plugin: &RateLimit, request: &TestRequest) -> bool {
        matches!(plugin.on_request(&request.request(), true).unwrap(), Action::Continue)
    }

    #[test]
    fn a_refusal_says_where_the_client_stands_and_when_to_come_back() {
        let plugin = plugin(r#"{"bucket": "b"}"#);
        let request = TestRequest::new("GET", "/");
        assert!(passes(&plugin, &request) && passes(&plugin, &request));
        let Action::Refuse(refusal) = plugin.on_request(&request.request(), true).unwrap() else { panic!("passed") };
        assert!(matches!(refusal.code, ErrorCode::RateLimitExceeded));
        assert_eq!(refusal.retry_after_ms, Some(1500));
        let fields: Vec<_> =
            refusal.fields.iter().map(|f| (f.name.as_str(), String::from_utf8_lossy(&f.value))).collect();
        assert_eq!(fields, [(LIMIT, "2".into()), (REMAINING, "0".into()), (RESET, "3".into())]);
    }

    #[test]
    fn an_earlier_stage_can_say_what_a_request_costs() {
        let plugin = plugin(r#"{"bucket": "b", "cost_attribute": "cost"}"#);
        let dear = TestRequest::new("GET", "/");
        dear.request().set_attr("cost", "2").unwrap();
        assert!(passes(&plugin, &dear), "two of two tokens");
        assert!(!passes(&plugin, &TestRequest::new("GET", "/")), "none is left for one that costs one");
    }

    #[test]
    fn an_allowed_request_gets_its_standing_on_the_response() {
        let plugin = plugin(r#"{"bucket": "b"}"#);
        let request = TestRequest::new("GET", "/");
        assert!(passes(&plugin, &request));
        assert_eq!(
            [LIMIT, REMAINING, RESET].map(|name| request.response_value(name)),
            ["2", "1", "3"].map(|value| Some(value.to_owned()))
        );
    }

    #[test]
    fn what_another_plugin_says_of_rates_in_words_is_replaced() {
        let plugin = plugin(r#"{"bucket": "b"}"#);
        let request = TestRequest::new("GET", "/");
        request.request().apply_to_response(Edits::new().set(REMAINING, "few")).unwrap();
        assert!(passes(&plugin, &request));
        assert_eq!(request.response_value(REMAINING).as_deref(), Some("1"));
    }

    /// What the response shows after these stages, in the order of the route.
    fn shown(stages: &[RateLimit]) -> Option<(String, String)> {
        let request = TestRequest::new("GET", "/");
        assert!(stages.iter().all(|stage| passes(stage, &request)));
        request.response_value(LIMIT).zip(request.response_value(REMAINING))
    }

    fn stages(configs: [&str; 2]) -> [RateLimit; 2] {
        World::new().bucket("strict", 5).bucket("loose", 100).install();
        configs.map(|config| RateLimit::configure(serde_json::from_str(config).unwrap()).unwrap())
    }

    #[test]
    fn of_several_stages_the_tightest_is_shown_in_either_order() {
        let (strict, loose) = (r#"{"bucket": "strict"}"#, r#"{"bucket": "loose"}"#);
        for order in [[strict, loose], [loose, strict]] {
            assert_eq!(shown(&stages(order)), Some(("5".into(), "4".into())), "{order:?}");
        }
    }

    #[test]
    fn the_tightest_is_the_one_with_the_fewest_tokens_left_and_not_the_smallest_bucket() {
        let stages = stages([r#"{"bucket": "strict"}"#, r#"{"bucket": "loose", "cost": 98}"#]);
        assert_eq!(shown(&stages), Some(("100".into(), "2".into())));
    }

    #[test]
    fn two_keys_of_one_bucket_do_not_hide_each_other() {
        let stages = stages([r#"{"bucket": "loose", "cost": 90}"#, r#"{"bucket": "loose", "key": "route"}"#]);
        assert_eq!(shown(&stages), Some(("100".into(), "10".into())));
    }

    #[test]
    fn a_request_takes_as_many_tokens_as_it_costs() {
        let plugin = plugin(r#"{"bucket": "b", "cost": 2}"#);
        let request = TestRequest::new("GET", "/");
        assert!(passes(&plugin, &request) && !passes(&plugin, &request));
    }

    #[test]
    fn bad_configurations_say_what_to_do() {
        World::new().bucket("b", 2).install();
        for (config, part) in [
            (r#"{"bucket": "c"}"#, "limiter:c"),
            (r#"{"bucket": "b", "key": "ip"}"#, "key: expected `client`, `route` or `header:NAME`, not \"ip\""),
            (r#"{"bucket": "b", "key": "header:"}"#, "key: `header:NAME`: expected a header name"),
            (r#"{"bucket": "b", "key": "header:bad name"}"#, "such as `x-name`, not \"bad name\""),
            (r#"{"bucket": "b", "cost": 0}"#, "cost"),
        ] {
            let error = RateLimit::configure(serde_json::from_str(config).unwrap()).unwrap_err().to_string();
            assert!(error.contains(part), "{config}: {error}");
        }
    }

    #[test]
    fn the_schema_and_the_fields_agree() {
        let schema: serde_json::Value = serde_json::from_str(RateLimit::CONFIG_SCHEMA.unwrap()).unwrap();
        let mut fields: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        fields.sort();
        assert_eq!(fields, ["bucket", "cost", "cost_attribute", "key"]);
    }
}
