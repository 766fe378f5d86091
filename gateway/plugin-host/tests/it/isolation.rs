//! What a hostile guest can do to others: nothing.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use witgate_plugin_host::{
    Bucket, BucketSpec, Grants, HostSettings, LoadedPlugin, PluginHost, PluginLimits, PluginSpec,
};
use witgate_stage::{FailureKind, Hook};

use crate::exchange::{edits, failure, hook, request, run, stage, succeeds, told};
use crate::guest::{Guest, LIMITS, TEXT, host, load, spec};
use crate::guests::logged;

const SPIN: &str = "(loop $again (br $again))";

#[tokio::test]
async fn a_trap_costs_one_instance_and_no_later_call() {
    let plugin = load(&Guest::when_told("unreachable"));
    succeeds(&plugin).await;
    assert_eq!(failure(&plugin, told()).await, FailureKind::Trap);
    let stats = plugin.stats();
    assert_eq!((stats.instances, stats.idle, stats.discarded, stats.created), (0, 0, 1, 1));
    succeeds(&plugin).await;
    let stats = plugin.stats();
    assert_eq!((stats.instances, stats.idle, stats.discarded, stats.created), (1, 1, 1, 2));
}

#[tokio::test]
async fn a_failed_call_changes_nothing_and_gives_the_exchange_back() {
    let set_attr = r#"(import "witgate:plugin/http@0.1.0" "[method]request.set-attr" (func $set-attr (param i32 i32 i32 i32 i32 i32)))
        (import "witgate:plugin/http@0.1.0" "[method]request.set" (func $set (param i32 i32 i32 i32 i32 i32)))
        "#;
    let change = |then: &str| {
        let args = format!(
            "(local.get $request) (i32.const {TEXT}) (i32.const 3) (i32.const {TEXT}) (i32.const 3) (i32.const 4096)"
        );
        Guest::on_request(&format!("(call $set-attr {args}) (call $set {args}) {then}"))
            .importing("witgate:plugin/http@0.1.0")
            .with_items(set_attr)
            .with_text("key")
    };
    let (exchange, result) = run(&load(&change("")), request(&[])).await;
    assert!(result.is_ok());
    assert_eq!(exchange.attributes.get("key"), Some(&b"key"[..]));

    let mut before = request(&[("x-there", "yes")]);
    before.attributes.set("key", b"before".to_vec()).unwrap();
    let (exchange, result) = run(&load(&change("unreachable")), before).await;
    assert!(result.is_err());
    assert_eq!(exchange.attributes.get("key"), Some(&b"before"[..]));
    assert_eq!(exchange.request.headers.get("x-there").unwrap(), "yes");
    assert_eq!(exchange.request.headers.get("key"), None);
}

#[tokio::test(flavor = "current_thread")]
async fn an_endless_loop_is_stopped_at_its_timeout_while_other_tasks_of_the_thread_go_on() {
    let plugin = load(&Guest::when_told(SPIN));
    let turns = Rc::new(Cell::new(0));
    let local = tokio::task::LocalSet::new();
    let (kind, turns) = local
        .run_until(async {
            let counted = Rc::clone(&turns);
            let other = tokio::task::spawn_local(async move {
                loop {
                    counted.set(counted.get() + 1);
                    tokio::task::yield_now().await;
                }
            });
            let kind = failure(&plugin, told()).await;
            other.abort();
            (kind, turns.get())
        })
        .await;
    assert_eq!(kind, FailureKind::Deadline);
    assert!(turns >= 10, "the other task had {turns} turns in 30 ms");
    assert_eq!(plugin.stats().discarded, 1);
    succeeds(&plugin).await;
}

#[tokio::test]
async fn memory_over_the_limit_is_refused_and_a_guest_that_dies_of_it_is_reported_so() {
    let grow = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))";
    let plugin = load(&Guest::when_told(grow));
    assert!(edits(&plugin, told()).await.is_empty(), "a guest may carry on without the memory");
    assert!(plugin.stats().memory_peak <= LIMITS.memory);
    let plugin = load(&Guest::when_told(&format!("{grow} unreachable")));
    assert_eq!(failure(&plugin, told()).await, FailureKind::Limit);
    succeeds(&plugin).await;
}

#[tokio::test]
async fn tables_count_against_the_limit() {
    let grow =
        "(if (i32.ne (table.grow (ref.null func) (i32.const 10000)) (i32.const -1)) (then (return (i32.const 2048))))";
    let small = PluginLimits { memory: 3 * 65_536, ..LIMITS };
    let guest = Guest::when_told(&format!("{grow} {grow} unreachable")).with_items("(table 1 funcref)");
    let plugin = host().load(PluginSpec { limits: small, ..spec(guest.build()) }).unwrap();
    assert_eq!(failure(&plugin, told()).await, FailureKind::Limit);
}

#[tokio::test]
async fn unbounded_recursion_is_a_trap() {
    let guest = Guest::when_told("(call $again)").with_items("(func $again (call $again) (call $again))");
    let plugin = load(&guest);
    assert_eq!(failure(&plugin, told()).await, FailureKind::Trap);
    succeeds(&plugin).await;
}

/// Takes tokens one by one, leaves an attribute, writes a line, and then, when told to, computes for many epochs.
fn taking(tokens: usize) -> Guest {
    let imports = r#"(import "witgate:plugin/limiter@0.1.0" "take" (func $take (param i32 i32 i32 i32 i32 i32)))
        (import "witgate:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32)))
        (import "witgate:plugin/http@0.1.0" "[method]request.set-attr" (func $set-attr (param i32 i32 i32 i32 i32 i32)))
        "#;
    let text = format!("(i32.const {TEXT}) (i32.const 3)");
    let body = format!(
        "{} (call $set-attr (local.get $request) {text} {text} (i32.const 4096))
         (call $write (i32.const 2) {text})
         (if (local.get $end) (then
           (loop $again
             (local.set $n (i32.add (local.get $n) (i32.const 1)))
             (br_if $again (i32.lt_u (local.get $n) (i32.const 100000000))))))",
        format!("(call $take {text} {text} (i32.const 1) (i32.const 4096))").repeat(tokens)
    );
    Guest::on_request(&body)
        .importing("witgate:plugin/http@0.1.0")
        .importing("witgate:plugin/limiter@0.1.0")
        .importing("witgate:plugin/log@0.1.0")
        .with_items(imports)
        .with_text("key")
}

/// The plugin, with one place, and a bucket of 100 tokens.
fn with_bucket(guest: &Guest) -> (Arc<LoadedPlugin>, Arc<Bucket>) {
    let host = host();
    let slow = BucketSpec { tokens: 1, period: Duration::from_secs(3600), burst: 100, keys_limit: 10 };
    let bucket = host.bucket("key", &slow);
    let grants = Grants { buckets: [("key".to_owned(), Arc::clone(&bucket))].into(), log: true, ..Grants::default() };
    let limits = PluginLimits { hook_timeout: Duration::from_secs(60), instances: 1, ..LIMITS };
    (host.load(PluginSpec { limits, grants, ..spec(guest.build()) }).unwrap(), bucket)
}

#[tokio::test]
async fn a_hook_that_takes_tokens_again_and_again_gets_each_once() {
    let (plugin, bucket) = with_bucket(&taking(20));
    run(&plugin, request(&[])).await.1.unwrap();
    assert_eq!(plugin.stats().overran, 1, "more than are kept for a hook on its thread's stack");
    assert_eq!(bucket.take(b"key", 1).remaining, 79);
}

#[tokio::test]
async fn a_hook_that_is_begun_again_has_its_effects_once_and_its_place_still() {
    let (plugin, bucket) = with_bucket(&taking(1));
    let mut ended = None;
    let log = logged(async { ended = Some(run(&plugin, told()).await) }).await;
    let (exchange, result) = ended.unwrap();
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(exchange.attributes.get("key"), Some(&b"key"[..]));
    assert_eq!(log.lines().count(), 1, "{log}");
    let stats = plugin.stats();
    assert_eq!(
        (stats.overran, stats.created, stats.discarded, stats.instances),
        (1, 2, 0, 1),
        "begun again in its place"
    );
    assert_eq!(bucket.take(b"key", 1).remaining, 98, "one token of the hook, one of this line");
    run(&plugin, request(&[])).await.1.unwrap();
    assert_eq!(plugin.stats().overran, 1, "the plugin is on fibers for a while");
    assert_eq!(bucket.take(b"key", 1).remaining, 96, "another call takes another token");
}

/// A hook in the middle of its run: it has given way once.
fn suspended(hook: &mut Pin<Box<impl Future>>) {
    let polled = hook.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending), "the guest gives way");
}

fn patient(plugin: &PluginHost, instances: usize) -> Arc<LoadedPlugin> {
    let limits = PluginLimits { instances, hook_timeout: Duration::from_secs(60), ..LIMITS };
    let spec = spec(Guest::when_told(SPIN).build());
    plugin.load(PluginSpec { limits, ..spec }).unwrap()
}

#[tokio::test]
async fn a_hook_that_is_dropped_takes_its_instance_along() {
    let plugin = patient(&host(), 2);
    let stage = stage(&plugin);
    let mut hook = Box::pin(hook(&stage, Hook::RequestHeaders, told()));
    suspended(&mut hook);
    assert_eq!((plugin.stats().instances, plugin.stats().idle), (1, 0));
    drop(hook);
    let stats = plugin.stats();
    assert_eq!((stats.instances, stats.discarded), (0, 1));
    succeeds(&plugin).await;
}

#[tokio::test]
async fn a_plugin_at_its_limit_of_instances_fails_at_once() {
    let plugin = patient(&host(), 1);
    let stage = stage(&plugin);
    let mut hook = Box::pin(hook(&stage, Hook::RequestHeaders, told()));
    suspended(&mut hook);
    assert_eq!(failure(&plugin, request(&[])).await, FailureKind::Unavailable);
    assert_eq!(plugin.stats().exhausted, 1);
    drop(hook);
    succeeds(&plugin).await;
}

#[tokio::test]
async fn the_hosts_limit_of_instances_holds_over_all_plugins() {
    let host = PluginHost::new(HostSettings { instances_limit: 2, ..HostSettings::default() }).unwrap();
    let busy = patient(&host, 10);
    let other = host.load(spec(Guest::default().build())).unwrap();
    assert_eq!(host.instances(), 2);
    let stage = stage(&busy);
    let mut hook = Box::pin(hook(&stage, Hook::RequestHeaders, told()));
    suspended(&mut hook);
    assert_eq!(failure(&busy, request(&[])).await, FailureKind::Unavailable);
    succeeds(&other).await;
    assert!(host.load(spec(Guest::on_request("nop").build())).is_err(), "there is no place for a third");
    drop(hook);
    drop(other);
    succeeds(&busy).await;
    assert_eq!(host.instances(), 1);
}

/// A guest that calls the host with a list of names, all of which are the same piece of its memory.
fn asking(names: usize, length: usize) -> Guest {
    let import = r#"(import "witgate:plugin/http@0.1.0" "[method]request.get-many" (func $get-many (param i32 i32 i32 i32)))
        "#;
    let body = format!(
        "(local.set $n (i32.const 65536))
         (loop $again
           (i32.store (local.get $n) (i32.const 16)) (i32.store offset=4 (local.get $n) (i32.const {length}))
           (local.set $n (i32.add (local.get $n) (i32.const 8)))
           (br_if $again (i32.lt_u (local.get $n) (i32.const {}))))
         (call $get-many (local.get $request) (i32.const 65536) (i32.const {names}) (i32.const 4096))",
        65_536 + 8 * names
    );
    Guest { pages: 12, ..Guest::on_request(&body) }.importing("witgate:plugin/http@0.1.0").with_items(import)
}

#[tokio::test]
async fn a_host_call_cannot_make_the_host_copy_or_work_without_bound() {
    succeeds(&load(&asking(1024, 4))).await;
    assert_eq!(failure(&load(&asking(1025, 4)), request(&[])).await, FailureKind::Trap);
    let (_, result) = run(&load(&asking(1000, 65_536)), request(&[])).await;
    let reason = result.unwrap_err().source.to_string();
    assert!(reason.contains("fuel"), "64 MiB of names in 64 KiB of memory: {reason}");
}
