//! The configuration as the route writes it. `config.schema.json` says the same to the gateway; a test holds them together.

use std::collections::BTreeMap;

use serde::Deserialize;
use witgate_sdk::crypto::Hash;

/// See `config.schema.json` for what each key means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub key_set: Option<String>,
    #[serde(default = "default_api_key_header")]
    pub api_key_header: String,
    #[serde(default = "default_identity_header")]
    pub identity_header: String,
    pub jwt: Option<JwtConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    pub key: String,
    #[serde(default = "default_token_header")]
    pub header: String,
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Algorithm>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    #[serde(default = "default_leeway_seconds")]
    pub leeway_seconds: u32,
    #[serde(default)]
    pub claims_headers: BTreeMap<String, String>,
}

/// How a token may be signed (RFC 7518, section 3.2). There is no `none`, and no algorithm with public keys: an attacker
/// could otherwise sign with a key that everybody knows (RFC 8725, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    #[serde(rename = "HS256")]
    Hs256,
    #[serde(rename = "HS384")]
    Hs384,
    #[serde(rename = "HS512")]
    Hs512,
}

impl Algorithm {
    /// The value of `alg`, which is case-sensitive.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    pub(crate) fn hash(self) -> Hash {
        match self {
            Self::Hs256 => Hash::Sha256,
            Self::Hs384 => Hash::Sha384,
            Self::Hs512 => Hash::Sha512,
        }
    }
}

fn default_api_key_header() -> String {
    "x-api-key".to_owned()
}

fn default_identity_header() -> String {
    "x-consumer".to_owned()
}

/// RFC 6750, section 2.1.
fn default_token_header() -> String {
    "authorization".to_owned()
}

/// The one that RFC 7518, section 3.1 requires of everybody.
fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::Hs256]
}

/// "No more than a few minutes" (RFC 7519, section 4.1.4); clocks that are kept by NTP need far less.
fn default_leeway_seconds() -> u32 {
    60
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(config: &Value) -> Result<Config, String> {
        serde_json::from_str(&config.to_string()).map_err(|error| error.to_string())
    }

    fn schema() -> Value {
        serde_json::from_str(include_str!("config.schema.json")).unwrap()
    }

    fn keys(value: &Value) -> Vec<&String> {
        value.as_object().unwrap().keys().collect()
    }

    /// Every key, and each with a value that is not its default.
    fn complete() -> Value {
        json!({
            "key_set": "customers",
            "api_key_header": "x-key",
            "identity_header": "x-caller",
            "jwt": {
                "key": "session",
                "header": "x-token",
                "algorithms": ["HS384", "HS512"],
                "issuer": "https://issuer.example",
                "audience": "api",
                "leeway_seconds": 5,
                "claims_headers": { "email": "x-email" },
            },
        })
    }

    #[test]
    fn every_key_is_read() {
        let Config { key_set, api_key_header, identity_header, jwt } = read(&complete()).unwrap();
        assert_eq!(key_set.as_deref(), Some("customers"));
        assert_eq!((api_key_header.as_str(), identity_header.as_str()), ("x-key", "x-caller"));
        let JwtConfig { key, header, algorithms, issuer, audience, leeway_seconds, claims_headers } = jwt.unwrap();
        assert_eq!((key.as_str(), header.as_str()), ("session", "x-token"));
        assert_eq!(algorithms, [Algorithm::Hs384, Algorithm::Hs512]);
        assert_eq!(issuer.as_deref(), Some("https://issuer.example"));
        assert_eq!(audience.as_deref(), Some("api"));
        assert_eq!(leeway_seconds, 5);
        assert_eq!(claims_headers, BTreeMap::from([("email".to_owned(), "x-email".to_owned())]));
    }

    #[test]
    fn unknown_keys_and_algorithms_are_refused() {
        for (config, part) in [
            (json!({ "keyset": "x" }), "keyset"),
            (json!({ "jwt": { "key": "x", "leeway": 1 } }), "leeway"),
            (json!({ "jwt": { "key": "x", "algorithms": ["none"] } }), "none"),
            (json!({ "jwt": { "key": "x", "algorithms": ["RS256"] } }), "RS256"),
            (json!({ "jwt": { "key": "x", "algorithms": ["hs256"] } }), "hs256"),
            (json!({ "jwt": {} }), "key"),
        ] {
            let error = read(&config).unwrap_err();
            assert!(error.contains(part), "{config}: {error}");
        }
    }

    #[test]
    fn the_schema_has_the_keys_that_are_read_and_no_others() {
        let (schema, complete) = (schema(), complete());
        let jwt = &schema["properties"]["jwt"];
        assert_eq!(keys(&schema["properties"]), keys(&complete));
        assert_eq!(keys(&jwt["properties"]), keys(&complete["jwt"]));
        assert_eq!(jwt["required"], json!(["key"]));
        for object in [&schema, jwt] {
            assert_eq!(object["additionalProperties"], json!(false));
            for (key, property) in object["properties"].as_object().unwrap() {
                assert!(property["description"].is_string(), "{key} has no description");
            }
        }
    }

    #[test]
    fn the_schema_tells_the_defaults_and_algorithms_that_count() {
        let schema = schema();
        let config = read(&json!({ "jwt": { "key": "session" } })).unwrap();
        let jwt = config.jwt.unwrap();
        let (top, nested) = (&schema["properties"], &schema["properties"]["jwt"]["properties"]);
        assert_eq!(top["api_key_header"]["default"], json!(config.api_key_header));
        assert_eq!(top["identity_header"]["default"], json!(config.identity_header));
        assert_eq!(nested["header"]["default"], json!(jwt.header));
        assert_eq!(nested["leeway_seconds"]["default"], json!(jwt.leeway_seconds));
        assert_eq!(nested["leeway_seconds"]["maximum"], json!(crate::bearer::LEEWAY_LIMIT_SECONDS));
        assert_eq!(nested["claims_headers"]["default"], json!(jwt.claims_headers));
        let names: Vec<_> = jwt.algorithms.iter().map(|algorithm| algorithm.name()).collect();
        assert_eq!(nested["algorithms"]["default"], json!(names));
        for name in nested["algorithms"]["items"]["enum"].as_array().unwrap() {
            let read: Algorithm = serde_json::from_str(&name.to_string()).unwrap();
            assert_eq!(json!(read.name()), *name);
        }
    }
}
