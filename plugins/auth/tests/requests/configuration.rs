use serde_json::{Value, json};

use crate::fixture::configure;

#[track_caller]
fn assert_error(config: &Value, expected: &str) {
    let error = configure(config).err().unwrap_or_default();
    assert_eq!(error, expected, "{config}");
}

#[test]
fn some_kind_of_credential_has_to_be_accepted() {
    assert_error(&json!({}), "expected `key_set`, `jwt` or both: with neither nobody could pass");
}

#[test]
fn names_have_to_be_granted_and_of_the_right_kind() {
    assert_error(
        &json!({ "key_set": "partners" }),
        "key_set = \"partners\" is not granted: add \"crypto:partners\" to the stage's grants and \
         [key_sets.partners] to the configuration",
    );
    assert_error(
        &json!({ "key_set": "session" }),
        "key_set = \"session\" is a key: expected a key set, `[key_sets.session]` in the configuration",
    );
    assert_error(
        &json!({ "jwt": { "key": "other" } }),
        "jwt.key = \"other\" is not granted: add \"crypto:other\" to the stage's grants and [keys.other] to the \
         configuration",
    );
    assert_error(
        &json!({ "jwt": { "key": "customers" } }),
        "jwt.key = \"customers\" is a key set: expected a key, `[keys.customers]` in the configuration",
    );
}

#[test]
fn headers_have_to_be_valid_and_free() {
    assert_error(
        &json!({ "key_set": "customers", "identity_header": "x consumer" }),
        "identity_header: expected a header name such as `x-name`, not \"x consumer\"",
    );
    assert_error(
        &json!({ "key_set": "customers", "api_key_header": "X-Forwarded-For" }),
        "api_key_header: `x-forwarded-for` belongs to the gateway: choose another header",
    );
    assert_error(
        &json!({ "jwt": { "key": "session", "claims_headers": { "host": "Host" } } }),
        "jwt.claims_headers.host: `host` belongs to the gateway: choose another header",
    );
}

#[test]
fn no_two_values_go_into_one_header() {
    let jwt = |header: &str, claims: Value| json!({ "key": "session", "header": header, "claims_headers": claims });
    for (config, key, other, header) in [
        (
            json!({ "key_set": "customers", "identity_header": "X-Api-Key" }),
            "api_key_header",
            "identity_header",
            "x-api-key",
        ),
        (
            json!({ "key_set": "customers", "jwt": jwt("x-api-key", json!({})) }),
            "jwt.header",
            "api_key_header",
            "x-api-key",
        ),
        (
            json!({ "jwt": jwt("authorization", json!({ "sub": "x-consumer" })) }),
            "jwt.claims_headers.sub",
            "identity_header",
            "x-consumer",
        ),
        (
            json!({ "jwt": jwt("authorization", json!({ "a": "x-a", "b": "X-A" })) }),
            "jwt.claims_headers.b",
            "jwt.claims_headers.a",
            "x-a",
        ),
        (
            json!({ "jwt": jwt("authorization", json!({ "a": "Authorization" })) }),
            "jwt.claims_headers.a",
            "jwt.header",
            "authorization",
        ),
    ] {
        assert_error(&config, &format!("{key}: `{header}` is already the header of `{other}`: choose another one"));
    }
}

#[test]
fn headers_that_an_upstream_may_take_for_each_other_are_refused() {
    for (config, key, header, other, as_spelled) in [
        (
            json!({ "key_set": "customers", "identity_header": "x_api_key" }),
            "api_key_header",
            "x-api-key",
            "identity_header",
            "x_api_key",
        ),
        (
            json!({ "jwt": { "key": "session", "claims_headers": { "sub": "X_Consumer" } } }),
            "jwt.claims_headers.sub",
            "x_consumer",
            "identity_header",
            "x-consumer",
        ),
    ] {
        let expected =
            format!("{key}: `{header}` is already the header of `{other}`, as `{as_spelled}`: choose another one");
        assert_error(&config, &expected);
    }
}

#[test]
fn limits_of_tokens_have_to_make_sense() {
    assert_error(
        &json!({ "jwt": { "key": "session", "algorithms": [] } }),
        "jwt.algorithms: expected at least one of \"HS256\", \"HS384\" and \"HS512\"",
    );
    assert_error(
        &json!({ "jwt": { "key": "session", "leeway_seconds": 3601 } }),
        "jwt.leeway_seconds: expected at most 3600",
    );
    for key in ["issuer", "audience"] {
        assert_error(
            &json!({ "jwt": { "key": "session", (key): "" } }),
            &format!("jwt.{key}: expected a text that is not empty"),
        );
    }
}
