//! What the upstream gets to see.

use serde_json::json;

use crate::fixture::{NOW, assert_passes, assert_refused, bearer, get, plugin};

#[test]
fn the_credential_does_not_reach_the_upstream() {
    let plugin = plugin(&json!({ "key_set": "customers", "jwt": { "key": "session" } }));
    let token = bearer(&json!({ "sub": "alice", "exp": NOW + 10 }));
    let request = get().header("X-API-Key", "key-1").header("Authorization", token).header("accept", "*/*");
    assert_passes(&plugin, &request);
    assert_eq!((request.value("x-api-key"), request.value("authorization")), (None, None));
    assert_eq!(request.values("accept"), ["*/*"]);
    assert_eq!(request.path_with_query(), "/orders?page=2");
}

#[test]
fn authorization_is_the_upstreams_affair_without_tokens() {
    let plugin = plugin(&json!({ "key_set": "customers" }));
    let request = get().header("x-api-key", "key-1").header("authorization", "Basic YTpi");
    assert_passes(&plugin, &request);
    assert_eq!(request.values("authorization"), ["Basic YTpi"]);
}

#[test]
fn an_identity_that_the_client_claims_is_replaced() {
    let plugin = plugin(&json!({ "key_set": "customers", "identity_header": "X-Caller" }));
    let request = get().header("x-caller", "root").header("X-CALLER", "admin").header("x-api-key", "key-1");
    assert_passes(&plugin, &request);
    assert_eq!(request.values("x-caller"), ["acme"]);
}

#[test]
fn claims_that_the_client_makes_up_are_replaced_or_removed() {
    let headers = json!({ "email": "x-email", "role": "x-role", "plan": "x-plan" });
    let config = json!({ "key_set": "customers", "jwt": { "key": "session", "claims_headers": headers } });
    let plugin = plugin(&config);
    let spoofed = || get().header("x-email", "root@example").header("X-Role", "admin").header("x-plan", "gold");

    let claims = json!({ "sub": "alice", "exp": NOW + 10, "email": "alice@example", "plan": null });
    let with_token = spoofed().header("authorization", bearer(&claims));
    assert_passes(&plugin, &with_token);
    assert_eq!(with_token.values("x-email"), ["alice@example"]);
    assert_eq!((with_token.value("x-role"), with_token.value("x-plan")), (None, None));

    let with_api_key = spoofed().header("x-api-key", "key-1");
    assert_passes(&plugin, &with_api_key);
    for header in ["x-email", "x-role", "x-plan"] {
        assert_eq!(with_api_key.value(header), None, "{header}");
    }
}

/// CGI and what descends from it make one variable of both.
#[test]
fn what_was_verified_cannot_be_claimed_with_underscores_for_hyphens() {
    let headers = json!({ "email": "x-user-email", "role": "x_role" });
    let config = json!({ "key_set": "customers", "jwt": { "key": "session", "claims_headers": headers } });
    let plugin = plugin(&config);
    let spoofs = ["X_Consumer", "x_user_email", "x-user_email", "x_user-email", "x-role", "x-role"];
    let request = spoofs.iter().fold(get(), |request, name| request.header(name, "root"));
    let request = request.header("x-api-key", "key-1").header("y_consumer", "theirs");
    assert_passes(&plugin, &request);
    assert_eq!(request.values("x-consumer"), ["acme"]);
    for name in spoofs {
        assert_eq!(request.value(name), None, "{name}");
    }
    assert_eq!(request.values("y_consumer"), ["theirs"]);
}

#[test]
fn claims_are_passed_on_as_text() {
    let plugin = plugin(&json!({ "jwt": { "key": "session", "claims_headers": { "claim": "x-claim" } } }));
    let with =
        |claim| get().header("authorization", bearer(&json!({ "sub": "alice", "exp": NOW + 10, "claim": claim })));
    for (claim, text) in [
        (json!("read write"), "read write"),
        (json!("j\u{fc}rgen"), "j\u{fc}rgen"),
        (json!(""), ""),
        (json!(42), "42"),
        (json!(-42), "-42"),
        (json!(true), "true"),
    ] {
        let request = with(claim);
        assert_passes(&plugin, &request);
        assert_eq!(request.values("x-claim"), [text]);
    }
    for claim in
        [json!("a\r\nx-role: admin"), json!("a\0"), json!(" a"), json!(1.5), json!(u64::MAX), json!(["a"]), json!({})]
    {
        assert_refused(&plugin, &with(claim));
    }
}
