use serde_json::json;
use witgate_sdk::testing::World;
use witgate_sdk::{ErrorCode, OnRequest};

use crate::fixture::{assert_passes, assert_refused, get, plugin, refusal};

#[test]
fn a_known_key_passes_and_names_the_caller() {
    let plugin = plugin(&json!({ "key_set": "customers" }));
    for (key, identity) in [("key-1", "acme"), ("key-2", "umbrella")] {
        let request = get().header("x-api-key", key);
        assert_passes(&plugin, &request);
        assert_eq!(request.values("x-consumer"), [identity]);
    }
}

#[test]
fn keys_that_are_not_known_are_refused() {
    let plugin = plugin(&json!({ "key_set": "customers" }));
    for key in ["", "key", "key-3", "KEY-1", "key-1,key-2", "key-11", &"k".repeat(100_000)] {
        assert_refused(&plugin, &get().header("x-api-key", key));
    }
    assert_refused(&plugin, &get().header("x-api-key", b"\xff\xfe"));
    assert_refused(&plugin, &get());
}

#[test]
fn a_key_that_comes_twice_is_refused_even_if_both_are_the_same() {
    let plugin = plugin(&json!({ "key_set": "customers" }));
    for second in ["key-1", "key-2", ""] {
        let request = get().header("x-api-key", "key-1").header("X-Api-Key", second);
        assert_eq!(refusal(&plugin, &request).code, ErrorCode::InvalidRequest, "{second:?}");
    }
}

#[test]
fn a_key_is_read_from_the_header_that_is_configured_and_from_no_other() {
    let plugin = plugin(&json!({ "key_set": "customers", "api_key_header": "X-Partner-Key" }));
    assert_passes(&plugin, &get().header("x-partner-key", "key-1"));
    assert_refused(&plugin, &get().header("x-api-key", "key-1"));
}

#[test]
fn an_identity_that_no_header_can_carry_is_refused() {
    let plugin = plugin(&json!({ "key_set": "customers" }));
    for key in ["key-bad", "key-none"] {
        assert_refused(&plugin, &get().header("x-api-key", key));
    }
}

#[test]
fn a_key_set_that_cannot_be_asked_any_more_is_a_failure_and_lets_nobody_pass() {
    let plugin = plugin(&json!({ "key_set": "customers" }));
    World::new().install();
    assert!(plugin.on_request(&get().header("x-api-key", "key-1").request(), true).is_err());
}
