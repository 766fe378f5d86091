//! A gateway with a key set and a key, and what clients send to it.

use auth::Auth;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use witgate_sdk::crypto::{self, Hash};
use witgate_sdk::testing::{TestRequest, World};
use witgate_sdk::{Action, ErrorCode, OnRequest, Plugin, Refusal};

/// Seconds since 1970.
pub const NOW: u64 = 1_800_000_000;

/// What the tests of this thread find: two customers, one operator's slip, and a key for tokens.
pub fn world() -> World {
    World::new()
        .now_ms(NOW * 1000)
        .key_set("customers", &[("key-1", "acme"), ("key-2", "umbrella"), ("key-bad", "a\r\nb"), ("key-none", "")])
        .hmac_key("session", b"a secret of the issuer")
}

/// A plugin with this configuration in that world, or what is wrong with it.
pub fn configure(config: &Value) -> Result<Auth, String> {
    world().install();
    let config = serde_json::from_str(&config.to_string()).map_err(|error| error.to_string())?;
    Auth::configure(config).map_err(|error| error.to_string())
}

pub fn plugin(config: &Value) -> Auth {
    configure(config).unwrap()
}

pub fn get() -> TestRequest {
    TestRequest::new("GET", "/orders?page=2")
}

/// The value of `authorization` for a token with these claims.
pub fn bearer(claims: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mac = crypto::hmac(Hash::Sha256, "session", input.as_bytes()).unwrap();
    format!("Bearer {input}.{}", URL_SAFE_NO_PAD.encode(mac))
}

#[track_caller]
pub fn assert_passes(plugin: &Auth, request: &TestRequest) {
    let action = plugin.on_request(&request.request(), true).unwrap();
    assert!(matches!(action, Action::Continue), "{action:?}");
}

#[track_caller]
pub fn refusal(plugin: &Auth, request: &TestRequest) -> Refusal {
    match plugin.on_request(&request.request(), true).unwrap() {
        Action::Refuse(refusal) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[track_caller]
pub fn assert_refused(plugin: &Auth, request: &TestRequest) {
    assert_eq!(refusal(plugin, request).code, ErrorCode::Unauthenticated);
}

/// Values of `www-authenticate`, in order.
pub fn challenges(refusal: &Refusal) -> Vec<String> {
    let values = refusal.fields.iter().filter(|field| field.name == "www-authenticate");
    values.map(|field| String::from_utf8(field.value.clone()).unwrap()).collect()
}
