//! Instances are used again, and replaced in time.

use std::sync::Arc;

use witgate_plugin_host::{Grants, PluginSpec};

use crate::exchange::{edits, request, succeeds};
use crate::guest::{Guest, host, load, spec};

#[tokio::test]
async fn a_warm_instance_serves_call_after_call_until_it_is_replaced() {
    let plugin = load(&Guest::default());
    for _ in 0..7_000 {
        succeeds(&plugin).await;
    }
    // On a machine that is busy a hook may be held up, and is then begun again in another instance.
    let stats = plugin.stats();
    assert_eq!((stats.created, stats.recycled), (1 + stats.overran, 0), "nothing is replaced before 8000 calls");
    let mut calls = 7_000;
    while plugin.stats().recycled == 0 {
        succeeds(&plugin).await;
        calls += 1;
        assert!(calls <= 12_000 * (1 + plugin.stats().overran), "something is by 12000");
    }
    succeeds(&plugin).await;
    let stats = plugin.stats();
    assert_eq!((stats.created, stats.discarded, stats.instances), (2 + stats.overran, 0, 1));
}

#[tokio::test]
async fn a_guest_that_keeps_growing_is_replaced_before_it_fails() {
    let plugin =
        load(&Guest::on_request("(if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))"));
    for _ in 0..200 {
        succeeds(&plugin).await;
    }
    let stats = plugin.stats();
    assert!(stats.recycled >= 10, "{stats:?}");
    assert_eq!(stats.discarded, 0);
}

#[tokio::test]
async fn a_guest_that_needs_much_from_the_start_is_not_replaced_for_it() {
    let plugin = load(&Guest { pages: 15, ..Guest::default() });
    for _ in 0..100 {
        succeeds(&plugin).await;
    }
    assert_eq!(plugin.stats().created, 1);
}

#[test]
fn equal_specs_share_a_plugin_while_it_is_in_use() {
    let (host, wasm) = (host(), Guest::default().build());
    let first = host.load(spec(Arc::clone(&wasm))).unwrap();
    assert!(Arc::ptr_eq(&first, &host.load(spec(Arc::clone(&wasm))).unwrap()));
    let others = [
        PluginSpec { name: "other".into(), ..spec(Arc::clone(&wasm)) },
        PluginSpec { config_json: r#"{"a":1}"#.into(), ..spec(Arc::clone(&wasm)) },
        PluginSpec { grants: Grants { log: true, ..Grants::default() }, ..spec(Arc::clone(&wasm)) },
        spec(Guest::on_request("nop").build()),
    ];
    for other in others {
        assert!(!Arc::ptr_eq(&first, &host.load(other).unwrap()));
    }
    assert_eq!(host.instances(), 1, "plugins that nobody uses are gone");
    drop(first);
    assert_eq!(host.instances(), 0);
}

#[tokio::test]
async fn a_replacement_is_configured_like_the_first() {
    let guest = Guest {
        configure: "(global.set $configured (i32.add (global.get $configured) (local.get $length)))".into(),
        on_request: "(if (local.get $end) (then unreachable))
                     (if (i32.ne (global.get $configured) (i32.const 2)) (then unreachable))"
            .into(),
        ..Guest::default()
    }
    .with_items("(global $configured (mut i32) (i32.const 0))");
    let plugin = load(&guest);
    assert!(edits(&plugin, request(&[])).await.is_empty());
    crate::exchange::failure(&plugin, crate::exchange::told()).await;
    assert!(edits(&plugin, request(&[])).await.is_empty(), "configured once, with the two bytes of `{{}}`");
}
