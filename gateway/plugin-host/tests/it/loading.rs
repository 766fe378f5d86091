//! What is found out when a plugin is loaded.

use std::sync::Arc;

use witgate_plugin_host::{Concern, Grants, HostSettings, LoadError, PluginHost, PluginSpec};
use witgate_stage::{FailureKind, Hook};

use crate::guest::{ANSWER, Guest, LIMITS, TEXT, host, load, load_error, spec};

#[test]
fn a_plugin_says_what_it_is_and_which_hooks_it_has() {
    let plugin = load(&Guest::default());
    assert_eq!((plugin.name(), plugin.description().name.as_str()), ("test", "test"));
    assert_eq!(plugin.description().version, "1.0.0");
    let has: Vec<_> = Hook::ALL.into_iter().filter(|hook| plugin.has(*hook)).collect();
    assert_eq!(has, [Hook::RequestHeaders, Hook::ResponseHeaders]);

    let exports = "export witgate:plugin/lifecycle@0.1.0; export witgate:plugin/on-response-headers@0.1.0;";
    let plugin = load(&Guest { world_exports: exports.into(), ..Guest::default() });
    assert!(!plugin.has(Hook::RequestHeaders));
    assert!(plugin.has(Hook::ResponseHeaders));
}

/// Calls that make a component really import an interface.
const CAPABILITIES: [(&str, &str, &str, &str); 6] = [
    ("log", "write", "(param i32 i32 i32)", "log"),
    ("clock", "now", "(result i64)", "clock"),
    ("kv", "delete", "(param i32 i32) (result i32)", "kv"),
    ("limiter", "buckets", "(param i32)", "limiter:NAME"),
    ("load", "scopes", "(param i32)", "load:NAME"),
    ("crypto", "names", "(param i32)", "crypto"),
];

fn importing(interface: &str, function: &str, signature: &str) -> Guest {
    Guest::default()
        .importing(&format!("witgate:plugin/{interface}@0.1.0"))
        .with_items(&format!("(import \"witgate:plugin/{interface}@0.1.0\" \"{function}\" (func {signature}))\n"))
}

#[test]
fn a_missing_grant_is_named() {
    for (interface, function, signature, grant) in CAPABILITIES {
        let error = load_error(&importing(interface, function, signature));
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("plugin imports witgate:plugin/{interface}, which needs the grant \"{grant}\"")),
            "{text}"
        );
        assert_eq!(error.concerns(), Concern::Grants);
    }
}

#[test]
fn a_grant_links_its_interface() {
    let all = || Grants { log: true, clock: true, kv: true, digests: true, ..Grants::default() };
    for (interface, function, signature, _) in &CAPABILITIES[..3] {
        let wasm = importing(interface, function, signature).build();
        assert!(host().load(PluginSpec { grants: all(), ..spec(wasm) }).is_ok(), "{interface}");
    }
}

#[test]
fn an_import_that_nobody_serves_is_named() {
    let package = "package other:things@1.0.0; interface thing { call: func(); }";
    let guest = Guest::default()
        .importing("other:things/thing@1.0.0")
        .with_items("(import \"other:things/thing@1.0.0\" \"call\" (func))\n");
    let error = host().load(spec(guest.build_against(&[package]))).err().unwrap();
    assert!(matches!(&error, LoadError::UnknownImport { import } if import == "other:things/thing@1.0.0"), "{error}");
    assert_eq!(error.concerns(), Concern::Component);
}

#[test]
fn an_import_of_a_later_contract_is_named_with_what_is_served() {
    let package = "package witgate:plugin@0.2.0; interface kv { call: func(); }";
    let guest = Guest::default()
        .importing("witgate:plugin/kv@0.2.0")
        .with_items("(import \"witgate:plugin/kv@0.2.0\" \"call\" (func))\n");
    let error = host().load(spec(guest.build_against(&[package]))).err().unwrap().to_string();
    assert!(error.contains("witgate:plugin/kv@0.2.0") && error.contains("serves witgate:plugin@0.1"), "{error}");
}

#[test]
fn a_component_without_lifecycle_or_hook_is_refused() {
    let exports = "export witgate:plugin/on-request-headers@0.1.0;";
    let error = load_error(&Guest { world_exports: exports.into(), ..Guest::default() });
    assert!(matches!(error, LoadError::NoLifecycle), "{error}");
    let exports = "export witgate:plugin/lifecycle@0.1.0;";
    let error = load_error(&Guest { world_exports: exports.into(), ..Guest::default() });
    assert!(matches!(error, LoadError::NoHook), "{error}");
}

#[test]
fn a_guest_that_fails_in_describe_is_refused_with_the_kind() {
    for (body, expected) in [("unreachable", FailureKind::Trap), ("(loop $l (br $l))", FailureKind::Deadline)] {
        match load_error(&Guest { describe: body.into(), ..Guest::default() }) {
            LoadError::Describe { fault } => assert_eq!(fault.kind, expected),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_description_that_is_unusable_is_refused() {
    let error =
        load_error(&Guest { describe: "(i32.store8 (i32.const 16) (i32.const 84))".into(), ..Guest::default() });
    assert!(error.to_string().contains("\"Test\""), "{error}");
}

#[test]
fn a_guest_that_fails_in_configure_is_refused_with_the_kind() {
    let grow = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
    for (body, expected) in
        [("unreachable", FailureKind::Trap), ("(loop $l (br $l))", FailureKind::Deadline), (grow, FailureKind::Limit)]
    {
        match load_error(&Guest { configure: body.into(), ..Guest::default() }) {
            LoadError::Configure { fault } => assert_eq!(fault.kind, expected),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_refused_configuration_carries_the_guests_words() {
    let message = "key `cost`: expected a number";
    let store = format!(
        "(i32.store (i32.const {ANSWER}) (i32.const 1))
         (i32.store (i32.const {}) (i32.const {TEXT})) (i32.store (i32.const {}) (i32.const {}))",
        ANSWER + 4,
        ANSWER + 8,
        message.len()
    );
    let error = load_error(&Guest { configure: store, ..Guest::default() }.with_text(message));
    assert_eq!(error.to_string(), format!("plugin refuses its configuration: {message}"));
    assert_eq!(error.concerns(), Concern::Config);
}

#[test]
fn a_configuration_is_checked_against_the_plugins_schema() {
    let schema = r#"{"type":"object","properties":{"cost":{"type":"integer"}},"additionalProperties":false}"#;
    let describe = format!(
        "(i32.store8 (i32.const 280) (i32.const 1))
         (i32.store (i32.const 284) (i32.const {TEXT})) (i32.store (i32.const 288) (i32.const {}))",
        schema.len()
    );
    let wasm = Guest { describe, ..Guest::default() }.with_text(schema).build();
    let load = |config: &str| host().load(PluginSpec { config_json: config.into(), ..spec(Arc::clone(&wasm)) });
    assert!(load(r#"{"cost":1}"#).is_ok());
    let error = load(r#"{"cost":"one","cots":1}"#).err().unwrap();
    assert_eq!(error.concerns(), Concern::Config);
    let text = error.to_string();
    assert!(text.contains("`cost`") && text.contains("whole number") && text.contains("cots"), "{text}");
    assert!(matches!(load("{"), Err(LoadError::ConfigSyntax(_))));
}

#[test]
fn a_plugin_that_wants_bodies_is_refused() {
    let configure = format!("(i32.store8 (i32.const {}) (i32.const 1))", ANSWER + 4);
    assert!(matches!(
        load_error(&Guest { configure, ..Guest::default() }),
        LoadError::BodyInterest { hook: "on-request-body" }
    ));
}

#[test]
fn a_guest_that_starts_over_its_memory_limit_is_refused() {
    match load_error(&Guest { pages: LIMITS.memory / 65_536 + 1, ..Guest::default() }) {
        LoadError::Start { fault } => assert_eq!(fault.kind, FailureKind::Limit),
        other => panic!("{other}"),
    }
}

#[test]
fn configure_may_not_touch_what_is_shared() {
    let guest = Guest { configure: "(drop (call $delete (i32.const 0) (i32.const 1)))".into(), ..Guest::default() }
        .importing("witgate:plugin/kv@0.1.0")
        .with_items("(import \"witgate:plugin/kv@0.1.0\" \"delete\" (func $delete (param i32 i32) (result i32)))\n");
    let grants = Grants { kv: true, ..Grants::default() };
    let error = host().load(PluginSpec { grants, ..spec(guest.build()) }).err().unwrap().to_string();
    assert!(error.contains("only allowed while a hook runs"), "{error}");
}

#[test]
fn compiled_code_is_kept_and_a_damaged_file_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let wasm = Guest::default().build();
    let load = || {
        let settings = HostSettings { cache_dir: Some(cache.clone()), instances_limit: 1, ..HostSettings::default() };
        PluginHost::new(settings).unwrap().load(spec(Arc::clone(&wasm))).unwrap();
        let entries: Vec<_> = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(entries.len(), 1);
        (entries[0].clone(), std::fs::metadata(&entries[0]).unwrap().modified().unwrap())
    };
    let (path, written) = load();
    assert_eq!(load(), (path.clone(), written), "the second host uses the file");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    load();
    assert_eq!(std::fs::read(&path).unwrap().len(), whole.len(), "the file is whole again");
}

const WASI: &str = "package wasi:clocks@0.2.6; interface monotonic-clock { now: func() -> u64; }";

fn reading_the_clock() -> Arc<[u8]> {
    Guest::when_told("(drop (call $now))")
        .importing("wasi:clocks/monotonic-clock@0.2.6")
        .with_items("(import \"wasi:clocks/monotonic-clock@0.2.6\" \"now\" (func $now (result i64)))\n")
        .build_against(&[WASI])
}

#[tokio::test]
async fn the_clock_of_wasi_needs_the_grant_when_it_is_read() {
    let plugin = host().load(spec(reading_the_clock())).unwrap();
    crate::exchange::succeeds(&plugin).await;
    let (_, result) = crate::exchange::run(&plugin, crate::exchange::told()).await;
    let reason = result.unwrap_err().source.to_string();
    assert!(reason.contains("wasi:clocks/monotonic-clock.now"), "{reason}");

    let grants = Grants { clock: true, ..Grants::default() };
    let plugin = host().load(PluginSpec { grants, ..spec(reading_the_clock()) }).unwrap();
    assert!(crate::exchange::edits(&plugin, crate::exchange::told()).await.is_empty());
}

const POLL: &str = "package wasi:io@0.2.6; interface poll { resource pollable { block: func(); } }";
const TIMER: &str = "package wasi:clocks@0.2.6; interface monotonic-clock { use wasi:io/poll@0.2.6.{pollable}; \
                     subscribe-duration: func(when: u64) -> pollable; }";

/// Waits for an hour when told.
fn sleeping() -> Arc<[u8]> {
    let (clock, poll) = ("wasi:clocks/monotonic-clock@0.2.6", "wasi:io/poll@0.2.6");
    Guest::when_told(
        "(local.set $n (call $subscribe (i64.const 3600000000000))) (call $block (local.get $n)) (call $drop (local.get $n))",
    )
    .importing(poll)
    .importing(clock)
    .with_items(&format!(
        r#"(import "{clock}" "subscribe-duration" (func $subscribe (param i64) (result i32)))
           (import "{poll}" "[method]pollable.block" (func $block (param i32)))
           (import "{poll}" "[resource-drop]pollable" (func $drop (param i32)))
        "#
    ))
    .build_against(&[POLL, TIMER])
}

#[tokio::test]
async fn a_guest_cannot_sleep() {
    let grants = Grants { clock: true, ..Grants::default() };
    let plugin = host().load(PluginSpec { grants, ..spec(sleeping()) }).unwrap();
    let started = std::time::Instant::now();
    assert!(crate::exchange::edits(&plugin, crate::exchange::told()).await.is_empty(), "it is told that it is time");
    assert!(started.elapsed() < std::time::Duration::from_secs(60));
    let plugin = host().load(spec(sleeping())).unwrap();
    let (_, result) = crate::exchange::run(&plugin, crate::exchange::told()).await;
    assert!(
        result.unwrap_err().source.to_string().contains("subscribe-duration"),
        "without the grant there is no clock"
    );
}
