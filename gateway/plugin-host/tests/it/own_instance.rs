//! `isolation = "request"`: what a call leaves in its instance is nobody's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use witgate_plugin_host::{Isolation, LoadedPlugin, PluginLimits, PluginSpec};
use witgate_stage::{FailureKind, Hook};

use crate::exchange::{failure, hook, response, run, stage, succeeds, told};
use crate::guest::{Guest, LIMITS, host, spec};

fn load(guest: &Guest, isolation: Isolation) -> Arc<LoadedPlugin> {
    let limits = PluginLimits { instances: 16, ..LIMITS };
    host().load(PluginSpec { limits, isolation, ..spec(guest.build()) }).unwrap()
}

/// Keeps a secret in a global and in memory when told, and traps if it finds one.
fn keeping() -> Guest {
    let trap_on_secret = "(if (i32.or (global.get $secret) (i32.load (i32.const 100000))) (then unreachable))";
    let body = format!(
        "{trap_on_secret} (if (local.get $end) (then
           (global.set $secret (i32.const 42)) (i32.store (i32.const 100000) (i32.const 42))))"
    );
    Guest { on_response: trap_on_secret.into(), ..Guest::on_request(&body) }
        .with_items("(global $secret (mut i32) (i32.const 0))")
}

#[tokio::test]
async fn a_secret_left_in_memory_is_there_for_others_if_instances_are_shared_and_only_then() {
    let shared = load(&keeping(), Isolation::Shared);
    run(&shared, told()).await.1.unwrap();
    assert_eq!(failure(&shared, crate::exchange::request(&[])).await, FailureKind::Trap, "what `shared` means");

    let apart = load(&keeping(), Isolation::Request);
    for _ in 0..100 {
        run(&apart, told()).await.1.unwrap();
        succeeds(&apart).await;
        hook(&stage(&apart), Hook::ResponseHeaders, response(&[])).await.1.unwrap();
    }
    assert_eq!(apart.stats().discarded, 0);
}

#[tokio::test]
async fn no_instance_serves_twice_and_none_is_left_over() {
    let once = Guest::on_request("(if (global.get $called) (then unreachable)) (global.set $called (i32.const 1))")
        .with_items("(global $called (mut i32) (i32.const 0))");
    let plugin = load(&once, Isolation::Request);
    for _ in 0..2_000 {
        succeeds(&plugin).await;
    }
    let stats = plugin.stats();
    assert!(stats.created >= 2_000, "{stats:?}");
    assert!(stats.instances <= 5, "those that stand by, and one that is being made: {stats:?}");
}

#[tokio::test]
async fn instances_stand_by_and_are_configured() {
    let guest = Guest {
        configure: "(global.set $configured (i32.add (global.get $configured) (local.get $length)))".into(),
        ..Guest::on_request("(if (i32.ne (global.get $configured) (i32.const 2)) (then unreachable))")
    }
    .with_items("(global $configured (mut i32) (i32.const 0))");
    let plugin = load(&guest, Isolation::Request);
    let until = Instant::now() + Duration::from_secs(20);
    while plugin.stats().idle < 4 {
        assert!(Instant::now() < until, "{:?}", plugin.stats());
        std::thread::yield_now();
    }
    let cold = plugin.stats().cold;
    succeeds(&plugin).await;
    assert_eq!(plugin.stats().cold, cold, "it was there already");
}

#[tokio::test]
async fn a_plugin_that_is_gone_leaves_no_instances() {
    let host = host();
    let plugin = host.load(PluginSpec { isolation: Isolation::Request, ..spec(Guest::default().build()) }).unwrap();
    succeeds(&plugin).await;
    drop(plugin);
    let until = Instant::now() + Duration::from_secs(20);
    while host.instances() > 0 {
        assert!(Instant::now() < until, "{} instances", host.instances());
        std::thread::yield_now();
    }
}
