//! Every kind of harm, in every hook: it costs that call and its instance.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use witgate_plugin_host::{
    Grants, HostSettings, Isolation, OutboundCall, OutboundFuture, OutboundTarget, PluginHost, PluginLimits, PluginSpec,
};
use witgate_stage::{Ended, Exchange, FailureKind, Hook, Verdict};

use crate::exchange::{hook, response, stage};
use crate::guest::{ANSWER, Guest, LIMITS, TEXT, spec};
use crate::guests::logged;

/// What a guest does, what that is called, and items that it needs.
const DEEDS: [(&str, FailureKind, &str); 5] = [
    ("unreachable", FailureKind::Trap, ""),
    ("(loop $again (br $again))", FailureKind::Deadline, ""),
    (
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
        FailureKind::Limit,
        "",
    ),
    ("(call $again)", FailureKind::Trap, "(func $again (call $again) (call $again))"),
    // An answer that the host cannot read: it points out of the memory.
    ("(call $lose)", FailureKind::Trap, "(func $lose (drop (i32.load8_u (i32.const -1))))"),
];

/// An exchange that any hook can have.
fn exchange() -> Box<Exchange> {
    let mut exchange = response(&[("x-field", "value")]);
    exchange.body = bytes::Bytes::from_static(b"some bytes");
    exchange.ended = Some(Ended::default());
    exchange
}

/// With places for a plugin of every hook and mode, and their instances that stand by.
fn host() -> PluginHost {
    PluginHost::new(HostSettings { instances_limit: 64, ..HostSettings::default() }).unwrap()
}

/// Each hook in both modes of isolation.
fn everywhere() -> impl Iterator<Item = (Hook, Isolation)> {
    Hook::ALL.into_iter().flat_map(|hook| [Isolation::Shared, Isolation::Request].map(|mode| (hook, mode)))
}

#[tokio::test]
async fn harm_in_any_hook_costs_that_call_and_its_instance() {
    let host = host();
    let bystander = stage(&host.load(spec(Guest::in_every_hook("").build())).unwrap());
    for (deed, kind, items) in DEEDS {
        let wasm = Guest::in_every_hook(deed).with_items(items).build();
        for (called, isolation) in everywhere() {
            let name = format!("{} {isolation:?} {deed}", called.label());
            let plugin = host.load(PluginSpec { name: name.clone(), isolation, ..spec(wasm.clone()) }).unwrap();
            let (returned, result) = hook(&stage(&plugin), called, exchange()).await;
            assert_eq!(result.expect_err(&name).kind, kind, "{name}");
            assert_eq!((&returned.request.headers, &returned.body), (&exchange().request.headers, &exchange().body));
            let stats = plugin.stats();
            assert_eq!(stats.discarded, 1, "{name}");
            let stands_by = if isolation == Isolation::Request { 1 } else { 0 };
            assert!(stats.instances <= stands_by && stats.idle <= stands_by, "{name}: {stats:?}");
            hook(&bystander, called, exchange()).await.1.expect(&name);
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_any_hook_takes_its_instance_along() {
    let host = host();
    let limits = PluginLimits { hook_timeout: Duration::from_secs(60), ..LIMITS };
    let wasm = Guest::in_every_hook("(loop $again (br $again))").build();
    for (called, isolation) in everywhere() {
        let spec = PluginSpec { name: format!("{called:?} {isolation:?}"), limits, isolation, ..spec(wasm.clone()) };
        let plugin = host.load(spec).unwrap();
        let stage = stage(&plugin);
        let mut running = Box::pin(hook(&stage, called, exchange()));
        let polled = running.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "{called:?} gives way");
        drop(running);
        assert_eq!(plugin.stats().discarded, 1, "{called:?} {isolation:?}");
    }
}

#[tokio::test]
async fn ten_thousand_lines_of_log_from_any_hook_are_dropped_but_for_a_few() {
    let write = r#"(import "witgate:plugin/log@0.1.0" "write" (func $write (param i32 i32 i32)))
        "#;
    let body = format!(
        "(global.set $line (i32.const 0))
         (loop $again
           (call $write (i32.const 1) (i32.const {TEXT}) (i32.const 3))
           (global.set $line (i32.add (global.get $line) (i32.const 1)))
           (br_if $again (i32.lt_u (global.get $line) (i32.const 10000))))"
    );
    let guest = Guest::in_every_hook(&body).importing("witgate:plugin/log@0.1.0").with_items(write).with_text("all");
    let wasm = guest.with_items("(global $line (mut i32) (i32.const 0))").build();
    let (host, grants) = (host(), Grants { log: true, ..Grants::default() });
    for (called, isolation) in everywhere() {
        let name = format!("{called:?} {isolation:?}");
        let spec = PluginSpec { name: name.clone(), isolation, grants: grants.clone(), ..spec(wasm.clone()) };
        let plugin = host.load(spec).unwrap();
        let log = logged(async { hook(&stage(&plugin), called, exchange()).await.1.map(drop).expect(&name) }).await;
        assert_eq!(log.lines().count(), 32, "{name}");
        assert_eq!(plugin.stats().log_lines_dropped, 10_000 - 32, "{name}");
    }
}

#[tokio::test]
async fn a_guest_that_calls_back_while_the_host_copies_is_stopped() {
    let import = r#"(import "witgate:plugin/http@0.1.0" "[method]request.method" (func $method (param i32 i32)))
        "#;
    let again = "(call $method (global.get $mine) (i32.const 4096))";
    let body = format!("(global.set $mine (local.get $request)) {again}");
    let guest = Guest {
        // Not for the configuration, which is copied before there is a request.
        realloc: format!("(if (global.get $mine) (then {again}))"),
        ..Guest::in_every_hook(&body)
    };
    let guest = guest.importing("witgate:plugin/http@0.1.0").with_items(import);
    let wasm = guest.with_items("(global $mine (mut i32) (i32.const 0))").build();
    let host = host();
    for (called, isolation) in everywhere() {
        let name = format!("{called:?} {isolation:?}");
        let plugin = host.load(PluginSpec { name: name.clone(), isolation, ..spec(wasm.clone()) }).unwrap();
        let failed = hook(&stage(&plugin), called, exchange()).await.1.expect_err(&name);
        assert_eq!(failed.kind, FailureKind::Trap, "{name}");
        assert!(failed.source.to_string().contains("cannot leave component instance"), "{name}: {}", failed.source);
    }
}

#[tokio::test]
async fn an_answer_that_is_longer_than_the_memory_is_no_answer() {
    let host = host();
    let (first, second) = (ANSWER + 8, ANSWER + 12);
    // `replace` with a list of 2 GiB; `respond` with as many fields.
    let body = format!(
        "(i32.store8 (i32.const {ANSWER}) (i32.const 1)) (i32.store (i32.const {first}) (i32.const 0))
                        (i32.store (i32.const {second}) (i32.const 0x7fffffff))
                        (i32.store (i32.const {}) (i32.const 0x7fffffff))",
        second + 4
    );
    let wasm = Guest::in_every_hook(&body).build();
    for (called, isolation) in everywhere().filter(|(hook, _)| *hook != Hook::Log) {
        let name = format!("{called:?} {isolation:?}");
        let plugin = host.load(PluginSpec { name: name.clone(), isolation, ..spec(wasm.clone()) }).unwrap();
        let (_, result) = hook(&stage(&plugin), called, exchange()).await;
        assert_eq!(result.expect_err(&name).kind, FailureKind::Trap, "{name}");
    }
}

/// An upstream that never answers, and knows how many wait for it.
#[derive(Debug, Clone, Default)]
struct Silent(Arc<AtomicUsize>);

struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl OutboundTarget for Silent {
    fn identity(&self) -> u64 {
        1
    }

    fn fetch(&self, _: OutboundCall) -> OutboundFuture {
        self.0.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(Arc::clone(&self.0));
        Box::pin(async move {
            let _waiting = waiting;
            std::future::pending().await
        })
    }
}

#[tokio::test]
async fn a_call_to_an_upstream_that_never_answers_ends_with_its_hook() {
    let fetch = r#"(import "witgate:plugin/outbound@0.1.0" "fetch" (func $fetch (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
        "#;
    // `GET /` to `u`, without fields and body, for a minute.
    let body = format!(
        "(call $fetch (i32.const {}) (i32.const 1) (i32.const {TEXT}) (i32.const 3) (i32.const {}) (i32.const 1)
           (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 60000) (i32.const 4096))",
        TEXT + 4,
        TEXT + 3
    );
    let guest = Guest::in_every_hook(&body).importing("witgate:plugin/outbound@0.1.0").with_items(fetch);
    let wasm = guest.with_text("GET/u").build();
    let (host, silent) = (host(), Silent::default());
    let outbound = [("u".to_owned(), Arc::new(silent.clone()) as Arc<dyn OutboundTarget>)].into();
    let grants = Grants { outbound, ..Grants::default() };
    for (called, isolation) in everywhere() {
        let name = format!("{called:?} {isolation:?}");
        let load = |wall_timeout| {
            let limits = PluginLimits { wall_timeout, ..LIMITS };
            let grants = grants.clone();
            host.load(PluginSpec { name: name.clone(), limits, isolation, grants, ..spec(wasm.clone()) }).unwrap()
        };
        let short = Duration::from_millis(100);
        let plugin = load(short);
        // A machine that is busy may hold the hook up in the middle of its work, but not each time.
        let mut tries = 0;
        loop {
            let (returned, result) = hook(&stage(&plugin), called, exchange()).await;
            assert_eq!(result.expect_err(&name).kind, FailureKind::Deadline, "{name}");
            assert_eq!(silent.0.load(Ordering::Relaxed), 0, "{name}: given up");
            tries += 1;
            if returned.usage.guest + returned.usage.host < short {
                break;
            }
            assert!(tries < BREAKER_OPENS, "{name}: waiting is nobody's work, and was counted {tries} times");
        }

        let plugin = load(Duration::from_secs(60));
        let stage = stage(&plugin);
        let mut running = Box::pin(hook(&stage, called, exchange()));
        // On a busy machine a hook may have its turn in several parts.
        poll_fn(|context| {
            assert!(running.as_mut().poll(context).is_pending(), "{name}");
            if silent.0.load(Ordering::Relaxed) == 1 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        // The client leaves.
        drop(running);
        assert_eq!(silent.0.load(Ordering::Relaxed), 0, "{name}: given up");
        assert_eq!(plugin.stats().discarded, 1, "{name}");
    }
}

/// Failures one after the other that keep a plugin from being called.
const BREAKER_OPENS: usize = 5;

#[tokio::test]
async fn fields_that_could_smuggle_a_request_are_refused_in_any_hook() {
    let imports = r#"(import "witgate:plugin/http@0.1.0" "[method]request.set" (func $set (param i32 i32 i32 i32 i32 i32)))
        (import "witgate:plugin/http@0.1.0" "[method]request.remove" (func $remove (param i32 i32 i32 i32)))
        "#;
    // Traps if the host takes any of it: the first byte of an answer is 0 for `ok`.
    let took = |call: String| format!("{call} (if (i32.eqz (i32.load8_u (i32.const 4096))) (then unreachable))");
    let name = |at: usize, length: usize| format!("(i32.const {}) (i32.const {length})", TEXT + at);
    let text = "transfer-encodinghostx y\r\n";
    let set =
        |name: String, value: String| took(format!("(call $set (local.get $request) {name} {value} (i32.const 4096))"));
    let body = [
        set(name(0, 17), name(22, 1)),
        set(name(17, 4), name(22, 1)),
        set(name(21, 3), name(22, 1)),
        set(name(21, 1), name(24, 2)),
        took(format!("(call $remove (local.get $request) {} (i32.const 4096))", name(0, 17))),
    ];
    let guest = Guest::in_every_hook(&body.concat()).importing("witgate:plugin/http@0.1.0").with_items(imports);
    let wasm = guest.with_text(text).build();
    let host = host();
    for (called, isolation) in everywhere() {
        let name = format!("{called:?} {isolation:?}");
        let plugin = host.load(PluginSpec { name: name.clone(), isolation, ..spec(wasm.clone()) }).unwrap();
        let (returned, result) = hook(&stage(&plugin), called, exchange()).await;
        assert!(matches!(result.expect(&name), Verdict::Continue(edits) if edits.is_empty()), "{name}");
        assert_eq!(returned.request.headers, exchange().request.headers, "{name}");
    }
}

#[tokio::test]
async fn a_plugin_whose_turns_are_all_taken_says_so_in_any_hook() {
    let host = host();
    let limits = PluginLimits { hook_timeout: Duration::from_secs(60), concurrency: 1, ..LIMITS };
    let wasm = Guest::in_every_hook("(loop $again (br $again))").build();
    for (called, isolation) in everywhere() {
        let name = format!("{called:?} {isolation:?}");
        let spec = PluginSpec { name: name.clone(), limits, isolation, ..spec(wasm.clone()) };
        let plugin = host.load(spec).unwrap();
        let stage = stage(&plugin);
        let mut running = Box::pin(hook(&stage, called, exchange()));
        assert!(running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let (_, result) = hook(&stage, called, exchange()).await;
        assert_eq!(result.expect_err(&name).kind, FailureKind::Unavailable, "{name}");
    }
}
