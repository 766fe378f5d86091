//! What guests answer, and what becomes of it.

use std::time::Duration;

use witgate_plugin_host::LoadedPlugin;
use witgate_stage::{ErrorCode, FailureKind, Hook, Response, Verdict};

use crate::exchange::{failure, hook, request, response, run, stage};
use crate::guest::{ANSWER, Guest, TEXT, load};

/// Builds an answer at [`ANSWER`]: `stores` are (offset, value) pairs.
fn answer(stores: &[(usize, usize)]) -> String {
    stores.iter().map(|(at, value)| format!("(i32.store (i32.const {}) (i32.const {value}))", ANSWER + at)).collect()
}

/// `respond` with one field, whose name and value stand in the text, and a body.
fn respond(status: usize, text: &str, (name, value): (usize, usize), body: usize) -> Guest {
    // The case (0), then at 8: status, fields (pointer, count), body (pointer, length).
    let fields = 1024;
    let field = [(fields, TEXT), (fields + 4, name), (fields + 8, TEXT + name), (fields + 12, value)];
    let field: String =
        field.iter().map(|(at, value)| format!("(i32.store (i32.const {at}) (i32.const {value}))")).collect();
    let count = usize::from(name > 0);
    let answer = answer(&[(0, 1), (8, status), (12, fields), (16, count), (20, TEXT), (24, body)]);
    Guest::on_request(&format!("{field}{answer}")).with_text(text)
}

async fn verdict(plugin: &std::sync::Arc<LoadedPlugin>) -> Verdict {
    run(plugin, request(&[])).await.1.unwrap()
}

#[tokio::test]
async fn a_response_is_passed_on() {
    let plugin = load(&respond(418, "short and stout", (0, 0), 5));
    let Verdict::Respond(response) = verdict(&plugin).await else { panic!("not a response") };
    assert_eq!(response.status, 418);
    assert!(response.headers.is_empty());
    assert_eq!(&response.body[..], b"short");
}

#[tokio::test]
async fn fields_of_a_response_are_passed_on() {
    let plugin = load(&respond(200, "x-teapot", (5, 3), 0));
    let Verdict::Respond(response) = verdict(&plugin).await else { panic!("not a response") };
    assert_eq!(response.headers.get("x-tea").unwrap(), "pot");
}

#[tokio::test]
async fn a_response_that_cannot_be_sent_is_a_failure() {
    for (status, text, field, body) in [
        (99, "", (0, 0), 0),
        (101, "", (0, 0), 0),
        (600, "", (0, 0), 0),
        (200, "content-length5", (14, 1), 0),
        (200, "transfer-encodingchunked", (17, 7), 0),
        (200, "bad name1", (8, 1), 0),
        (200, "x-split\r\n", (7, 2), 0),
    ] {
        let plugin = load(&respond(status, text, field, body));
        assert_eq!(failure(&plugin, request(&[])).await, FailureKind::InvalidOutput, "{status} {text:?}");
        assert_eq!(plugin.stats().discarded, 1);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_failure() {
    let guest = respond(200, "", (0, 0), Response::BODY_LIMIT + 1);
    let guest = Guest { pages: 18, ..guest };
    let spec = crate::guest::spec(guest.build());
    let limits = witgate_plugin_host::PluginLimits { memory: 4 << 20, ..spec.limits };
    let plugin = crate::guest::host().load(witgate_plugin_host::PluginSpec { limits, ..spec }).unwrap();
    assert_eq!(failure(&plugin, request(&[])).await, FailureKind::InvalidOutput);
}

#[tokio::test]
async fn a_refusal_is_passed_on() {
    // The case (0), then at 8: code, message (12, 16), fields (20, 24), retry-after (32: case, 40: value).
    let store = answer(&[(0, 2), (8, 5), (12, TEXT), (16, 9), (32, 1), (40, 1500)]);
    let plugin = load(&Guest::on_request(&store).with_text("too often"));
    let Verdict::Refuse(refusal) = verdict(&plugin).await else { panic!("not a refusal") };
    assert_eq!((refusal.code, refusal.message.as_str()), (ErrorCode::RateLimitExceeded, "too often"));
    assert_eq!(refusal.retry_after, Some(Duration::from_millis(1500)));
    assert!(refusal.headers.is_empty());
}

#[tokio::test]
async fn an_answer_outside_the_contract_is_a_trap() {
    let plugin = load(&Guest::on_request(&answer(&[(0, 7)])));
    assert_eq!(failure(&plugin, request(&[])).await, FailureKind::Trap);
}

#[tokio::test]
async fn a_response_hook_can_replace_the_response() {
    let store = answer(&[(0, 1), (4, 503), (8, 0), (12, 0), (16, TEXT), (20, 4)]);
    let guest = Guest { on_response: store, ..Guest::default() }.with_text("gone");
    let plugin = load(&guest);
    let (exchange, result) = hook(&stage(&plugin), Hook::ResponseHeaders, response(&[])).await;
    let Ok(Verdict::Respond(replacement)) = result else { panic!("{result:?}") };
    assert_eq!((replacement.status.as_u16(), &replacement.body[..]), (503, &b"gone"[..]));
    assert!(exchange.response.is_some(), "the exchange comes back whole");
}

#[tokio::test]
async fn handles_outlive_no_call() {
    // Keeps the handle of the first call instead of dropping it.
    let guest = Guest::on_request(&format!("(return (i32.const {ANSWER}))"));
    let plugin = load(&guest);
    assert_eq!(failure(&plugin, request(&[])).await, FailureKind::Trap);
}
