use serde_json::json;
use witgate_sdk::testing::World;
use witgate_sdk::{ErrorCode, OnRequest};

use crate::fixture::{NOW, assert_passes, assert_refused, bearer, get, plugin, refusal, world};

#[test]
fn a_valid_token_passes_and_its_subject_is_the_caller() {
    let plugin = plugin(&json!({ "jwt": { "key": "session" } }));
    let request = get().header("authorization", bearer(&json!({ "sub": "alice", "exp": NOW + 10 })));
    assert_passes(&plugin, &request);
    assert_eq!(request.values("x-consumer"), ["alice"]);
}

#[test]
fn the_scheme_has_no_case_and_may_be_followed_by_several_spaces() {
    let plugin = plugin(&json!({ "jwt": { "key": "session" } }));
    let value = bearer(&json!({ "sub": "alice", "exp": NOW + 10 }));
    let token = value.strip_prefix("Bearer ").unwrap();
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer   "] {
        assert_passes(&plugin, &get().header("authorization", format!("{scheme}{token}")));
    }
    for wrong in ["", " ", "Bearer", "Bearer:", "Bearer\t", "Bearer \t", "Bear ", "Bearers ", "JWT ", "Basic "] {
        assert_refused(&plugin, &get().header("authorization", format!("{wrong}{token}")));
    }
    assert_refused(&plugin, &get().header("authorization", format!("{value} ")));
    assert_refused(&plugin, &get().header("authorization", format!("{value}, {value}")));
}

#[test]
fn time_goes_by_the_clock_of_the_gateway() {
    let plugin = plugin(&json!({ "jwt": { "key": "session", "leeway_seconds": 5 } }));
    let request = || get().header("authorization", bearer(&json!({ "sub": "alice", "nbf": NOW, "exp": NOW + 10 })));
    for (now, valid) in [(NOW - 6, false), (NOW - 5, true), (NOW + 14, true), (NOW + 15, false)] {
        world().now_ms(now * 1000).install();
        if valid { assert_passes(&plugin, &request()) } else { assert_refused(&plugin, &request()) }
    }
}

#[test]
fn issuer_audience_and_algorithms_are_those_of_the_configuration() {
    let plugin = plugin(&json!({ "jwt": { "key": "session", "issuer": "joe", "audience": "api" } }));
    let good = json!({ "sub": "alice", "exp": NOW + 10, "iss": "joe", "aud": ["api", "other"] });
    assert_passes(&plugin, &get().header("authorization", bearer(&good)));
    for claim in ["iss", "aud", "sub", "exp"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(claim);
        assert_refused(&plugin, &get().header("authorization", bearer(&claims)));
    }
    let other = crate::fixture::plugin(&json!({ "jwt": { "key": "session", "algorithms": ["HS512"] } }));
    assert_refused(&other, &get().header("authorization", bearer(&json!({ "sub": "alice", "exp": NOW + 10 }))));
}

#[test]
fn a_token_of_another_key_is_refused() {
    let plugin = plugin(&json!({ "jwt": { "key": "session" } }));
    World::new().hmac_key("session", b"a secret of somebody else").install();
    let forged = bearer(&json!({ "sub": "alice", "exp": NOW + 10 }));
    world().install();
    assert_refused(&plugin, &get().header("authorization", forged));
}

#[test]
fn a_token_of_more_than_eight_kibibytes_is_refused() {
    let plugin = plugin(&json!({ "jwt": { "key": "session" } }));
    let token = |padding| bearer(&json!({ "sub": "alice", "exp": NOW + 10, "x": "a".repeat(padding) }));
    assert_passes(&plugin, &get().header("authorization", token(5_900)));
    assert_refused(&plugin, &get().header("authorization", token(6_200)));
}

#[test]
fn a_token_that_comes_twice_is_refused_even_if_both_are_the_same() {
    let plugin = plugin(&json!({ "jwt": { "key": "session" } }));
    let token = bearer(&json!({ "sub": "alice", "exp": NOW + 10 }));
    for second in [token.as_str(), "Basic YTpi", ""] {
        let request = get().header("authorization", &token).header("Authorization", second);
        assert_eq!(refusal(&plugin, &request).code, ErrorCode::InvalidRequest, "{second:?}");
    }
}

#[test]
fn a_token_is_read_from_the_header_that_is_configured_and_from_no_other() {
    let plugin = plugin(&json!({ "jwt": { "key": "session", "header": "X-Session" } }));
    let token = bearer(&json!({ "sub": "alice", "exp": NOW + 10 }));
    assert_passes(&plugin, &get().header("x-session", &token));
    assert_refused(&plugin, &get().header("authorization", &token));
}

#[test]
fn a_key_that_cannot_be_asked_any_more_is_a_failure_and_lets_nobody_pass() {
    let plugin = plugin(&json!({ "jwt": { "key": "session" } }));
    let request = get().header("authorization", bearer(&json!({ "sub": "alice", "exp": NOW + 10 })));
    World::new().install();
    assert!(plugin.on_request(&request.request(), true).is_err());
}

#[test]
fn both_credentials_have_to_be_good_if_both_are_sent_and_the_api_key_names_the_caller() {
    let plugin =
        plugin(&json!({ "key_set": "customers", "jwt": { "key": "session", "claims_headers": { "sub": "x-user" } } }));
    let token = bearer(&json!({ "sub": "alice", "exp": NOW + 10 }));
    let expired = bearer(&json!({ "sub": "alice", "exp": NOW - 100 }));

    let both = get().header("x-api-key", "key-1").header("authorization", &token);
    assert_passes(&plugin, &both);
    assert_eq!((both.values("x-consumer"), both.values("x-user")), (vec!["acme".into()], vec!["alice".into()]));

    assert_passes(&plugin, &get().header("x-api-key", "key-1"));
    assert_passes(&plugin, &get().header("authorization", &token));
    assert_refused(&plugin, &get());
    assert_refused(&plugin, &get().header("x-api-key", "nope").header("authorization", &token));
    assert_refused(&plugin, &get().header("x-api-key", "key-1").header("authorization", &expired));
    assert_refused(&plugin, &get().header("x-api-key", "key-1").header("authorization", "Basic YTpi"));
}
