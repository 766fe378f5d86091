//! What a hook took is told with its exchange.

use std::time::Duration;

use witgate_plugin_host::{PluginLimits, PluginSpec};
use witgate_stage::{Hook, Usage};

use crate::exchange::{hook, request, response, run, stage};
use crate::guest::{Guest, LIMITS, TEXT, host, load, spec};

/// Gets the field `x-field` and sets it as an attribute of that name.
fn copying() -> Guest {
    let imports = r#"(import "witgate:plugin/http@0.1.0" "[method]request.get" (func $get (param i32 i32 i32 i32)))
        (import "witgate:plugin/http@0.1.0" "[method]request.set-attr" (func $set-attr (param i32 i32 i32 i32 i32 i32)))
        "#;
    let name = format!("(i32.const {TEXT}) (i32.const 7)");
    Guest::on_request(&format!(
        "(call $get (local.get $request) {name} (i32.const 4096))
         (call $set-attr (local.get $request) {name} {name} (i32.const 4096))"
    ))
    .importing("witgate:plugin/http@0.1.0")
    .with_items(imports)
    .with_text("x-field")
}

#[tokio::test]
async fn bytes_are_counted_both_ways_and_time_on_both_sides() {
    let plugin = load(&copying());
    let (exchange, result) = run(&plugin, request(&[("x-field", "twelve bytes")])).await;
    result.unwrap();
    let Usage { guest, host, queued, bytes_in, bytes_out, memory, recycled } = exchange.usage;
    assert_eq!((bytes_in, bytes_out), (12, 7 + 7 + 7), "the value; the name, then key and value");
    assert!((2 * 65_536..3 * 65_536).contains(&memory), "two pages, and tables: {memory}");
    assert_eq!((recycled, queued), (false, Duration::ZERO));
    assert!(!guest.is_zero() && !host.is_zero(), "{guest:?} {host:?}");
    let (exchange, _) = run(&load(&Guest::default()), request(&[])).await;
    assert_eq!((exchange.usage.host, exchange.usage.bytes_in), (Duration::ZERO, 0), "no host call, no time in one");
}

#[tokio::test]
async fn the_time_of_a_guest_that_computes_is_its_own() {
    let body = "(loop $again (local.set $n (i32.add (local.get $n) (i32.const 1)))
                  (br_if $again (i32.lt_u (local.get $n) (i32.const 100000000))))";
    let limits = PluginLimits { hook_timeout: Duration::from_secs(60), ..LIMITS };
    let plugin = host().load(PluginSpec { limits, ..spec(Guest::on_request(body).build()) }).unwrap();
    let (exchange, result) = run(&plugin, request(&[])).await;
    result.unwrap();
    assert_eq!(plugin.stats().overran, 1, "it is on a fiber");
    assert!(exchange.usage.guest > Duration::from_millis(3), "{:?}", exchange.usage);
    assert_eq!(exchange.usage.host, Duration::ZERO);
}

#[tokio::test]
async fn a_body_is_copied_in_and_its_replacement_out() {
    // `replace`, with 5 bytes at 0.
    let guest = Guest {
        on_request_body:
            "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.store offset=8 (i32.const 2048) (i32.const 0))
                          (i32.store offset=12 (i32.const 2048) (i32.const 5))"
                .into(),
        ..Guest::in_every_hook("")
    };
    let mut exchange = response(&[]);
    exchange.body = bytes::Bytes::from_static(&[1; 1000]);
    let (exchange, result) = hook(&stage(&load(&guest)), Hook::RequestBody, exchange).await;
    result.unwrap();
    assert_eq!((exchange.usage.bytes_in, exchange.usage.bytes_out), (1000, 5));
}

#[tokio::test]
async fn the_hook_after_which_an_instance_goes_says_so() {
    let plugin = load(&Guest { pages: 2, ..Guest::on_request("(drop (memory.grow (i32.const 13)))") });
    let (exchange, _) = run(&plugin, request(&[])).await;
    assert!(exchange.usage.recycled);
    assert!(exchange.usage.memory >= 15 * 65_536);
    assert_eq!(plugin.stats().recycled, 1);
}
