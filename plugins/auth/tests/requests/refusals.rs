//! What clients are told.

use serde_json::{Value, json};

use crate::fixture::{NOW, bearer, challenges, get, plugin, refusal};

const API_KEY: &str = r#"ApiKey realm="witgate", header="x-api-key""#;
const BEARER: &str = r#"Bearer realm="witgate""#;

fn both() -> Value {
    json!({ "key_set": "customers", "jwt": { "key": "session", "issuer": "joe" } })
}

#[test]
fn a_client_without_credentials_hears_which_ones_there_are() {
    for (config, message, expected) in [
        (json!({ "key_set": "customers" }), "Send an API key in x-api-key.", vec![API_KEY]),
        (json!({ "jwt": { "key": "session" } }), "Send a token in authorization, as Bearer TOKEN.", vec![BEARER]),
        (both(), "Send an API key in x-api-key or a token in authorization, as Bearer TOKEN.", vec![API_KEY, BEARER]),
    ] {
        let refusal = refusal(&plugin(&config), &get());
        assert_eq!(refusal.message, message);
        assert_eq!(challenges(&refusal), expected);
    }
}

#[test]
fn another_scheme_is_no_token_and_so_no_invalid_one() {
    let refusal = refusal(&plugin(&both()), &get().header("authorization", "Basic YTpi"));
    assert_eq!(challenges(&refusal), [API_KEY, BEARER]);
}

#[test]
fn every_answer_says_how_to_authenticate() {
    let plugin = plugin(&both());
    let twice = get().header("x-api-key", "key-1").header("x-api-key", "key-1");
    assert_eq!(challenges(&refusal(&plugin, &twice)), [API_KEY, BEARER]);
    assert_eq!(refusal(&plugin, &twice).message, "Send x-api-key only once.");
    let unknown = get().header("x-api-key", "key-3");
    assert_eq!(challenges(&refusal(&plugin, &unknown)), [API_KEY, BEARER]);
    assert_eq!(refusal(&plugin, &unknown).message, "The API key is not accepted: send a valid one.");
}

#[test]
fn a_client_with_a_token_of_the_issuer_hears_what_is_wrong_with_it() {
    let plugin = plugin(&both());
    for (claims, description) in [
        (json!({ "exp": NOW - 100 }), "The token has expired"),
        (json!({ "exp": NOW + 10, "nbf": NOW + 100 }), "The token is not valid yet"),
        (json!({ "exp": NOW + 10 }), "The token is from another issuer"),
        (json!({ "exp": NOW + 10, "iss": "joe", "aud": "x" }), "The token is meant for another audience"),
        (json!({ "exp": NOW + 10, "iss": "joe" }), "The claim sub of the token is missing or cannot be used"),
    ] {
        let refusal = refusal(&plugin, &get().header("authorization", bearer(&claims)));
        let bearer = format!(r#"{BEARER}, error="invalid_token", error_description="{description}""#);
        assert_eq!(challenges(&refusal), [API_KEY, bearer.as_str()]);
        assert_eq!(refusal.message, format!("{description}: send a valid one."));
    }
}

#[test]
fn a_client_with_any_other_token_hears_nothing_that_helps_to_guess() {
    let plugin = plugin(&both());
    let good = bearer(&json!({ "sub": "alice", "exp": NOW + 10, "iss": "joe" }));
    let unsigned = &good[..=good.rfind('.').unwrap()];
    for value in
        ["Bearer", "Bearer x", "Bearer a.b.c", "Bearer e30.e30.", unsigned, &good.replace("Bearer ey", "Bearer eY")]
    {
        let refusal = refusal(&plugin, &get().header("authorization", value));
        assert_eq!(
            refusal.message, "The token is malformed or its signature does not fit: send a valid one.",
            "{value}"
        );
    }
}

#[test]
fn no_answer_repeats_a_credential() {
    let plugin = plugin(&both());
    for request in [
        get().header("x-api-key", "s3cr3t"),
        get().header("authorization", "Bearer s3cr3t"),
        get().header("authorization", "Basic s3cr3t"),
        get().header("x-api-key", "s3cr3t").header("x-api-key", "s3cr3t"),
    ] {
        let refusal = refusal(&plugin, &request);
        assert!(!format!("{} {:?}", refusal.message, challenges(&refusal)).contains("s3cr3t"));
    }
}
