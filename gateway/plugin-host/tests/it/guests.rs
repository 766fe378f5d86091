//! Guests built from Rust: what they reach through each interface of the contract, and what harm they can do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use witgate_plugin_host::{
    BucketSpec, Concern, Grants, HmacKey, Isolation, KeySet, LoadLimits, LoadedPlugin, PluginHost, PluginLimits,
    PluginSpec,
};
use witgate_stage::{FailureKind, Hook, Verdict};

use crate::exchange::{failure, hook, request, response, run, stage};
use crate::guest::{LIMITS, host};

const ROOMY: PluginLimits = PluginLimits { memory: 16 << 20, hook_timeout: Duration::from_millis(200), ..LIMITS };

fn spec(name: &str) -> PluginSpec {
    let path = format!("{}/../../tests/guests/target/wasm32-wasip2/release/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
    let wasm = std::fs::read(Path::new(&path)).unwrap_or_else(|error| {
        panic!("{path}: {error}: run `cargo xtask test`, which builds the guests first");
    });
    PluginSpec {
        isolation: Isolation::Shared,
        name: name.into(),
        wasm: wasm.into(),
        config_json: "{}".into(),
        limits: ROOMY,
        grants: Grants::default(),
    }
}

/// Everything that can be granted.
fn grants(host: &PluginHost) -> Grants {
    let rate = BucketSpec { tokens: 1, period: Duration::from_secs(3600), burst: 3, keys_limit: 10 };
    let limits = LoadLimits { in_flight: 2, cpu_permille: 1000 };
    Grants {
        log: true,
        clock: true,
        kv: true,
        digests: true,
        keys: [("session".into(), Arc::new(HmacKey::new(b"Jefe")))].into(),
        key_sets: [("customers".into(), Arc::new(KeySet::new([(&b"k1"[..], "alice")])))].into(),
        buckets: [("api".into(), host.bucket("api", &rate))].into(),
        load_scopes: [("all".into(), host.load_scope("all", limits))].into(),
        ..Grants::default()
    }
}

fn probe() -> Arc<LoadedPlugin> {
    let host = host();
    host.load(PluginSpec { grants: grants(&host), ..spec("probe") }).unwrap()
}

async fn ask(plugin: &Arc<LoadedPlugin>, question: &str) -> String {
    match run(plugin, request(&[("x-probe", question)])).await.1 {
        Ok(Verdict::Respond(answer)) => String::from_utf8(answer.body.to_vec()).unwrap(),
        other => panic!("{question}: {other:?}"),
    }
}

#[tokio::test]
async fn a_guest_sees_the_request_as_it_is() {
    let answer = ask(&probe(), "request").await;
    for part in ["GET", "/path?query", "http", "example.com", "route-1", "192.0.2.1"] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
}

#[tokio::test]
async fn the_clock_tells_the_time() {
    let now: u64 = ask(&probe(), "now").await.parse().unwrap();
    assert!(now > 1_700_000_000_000, "milliseconds since 1970: {now}");
    assert_eq!(ask(&probe(), "monotonic").await, "true");
}

#[tokio::test]
async fn shared_state_is_kept_over_calls_and_apart_for_each_plugin() {
    let host = host();
    let load =
        |name: &str| host.load(PluginSpec { name: name.into(), grants: grants(&host), ..spec("probe") }).unwrap();
    let (one, other) = (load("one"), load("other"));
    assert_eq!(ask(&one, "kv-incr hits 2").await, "Ok(2)");
    assert_eq!(ask(&one, "kv-incr hits 3").await, "Ok(5)");
    assert_eq!(ask(&other, "kv-get hits").await, "None");
    assert_eq!(ask(&one, "kv-cas hits 5 x").await, "Ok(true)");
    assert_eq!(ask(&one, "kv-cas hits 5 y").await, "Ok(false)");
    assert_eq!(ask(&one, "kv-get hits").await, r#"Some("x")"#);
    assert!(ask(&one, "kv-incr hits 1").await.contains("not-a-number"));
    assert_eq!(ask(&one, "kv-delete hits").await, "true");
    assert_eq!(ask(&one, "kv-delete hits").await, "false");
}

#[tokio::test]
async fn shared_state_survives_a_change_of_the_component_and_of_its_configuration() {
    let host = host();
    let grants = || Grants { log: false, ..grants(&host) };
    let old = host.load(PluginSpec { grants: Grants { log: true, ..grants() }, ..spec("probe") }).unwrap();
    ask(&old, "kv-set k v").await;
    let limits = PluginLimits { instances: 2, ..ROOMY };
    let new = host.load(PluginSpec { grants: Grants { log: true, ..grants() }, limits, ..spec("probe") }).unwrap();
    drop(old);
    assert_eq!(ask(&new, "kv-get k").await, r#"Some("v")"#);
}

#[tokio::test]
async fn a_full_namespace_is_an_error_and_not_a_growth() {
    let answer = ask(&probe(), "kv-fill").await;
    assert!(answer.contains("quota"), "{answer}");
}

#[tokio::test]
async fn buckets_are_reached_by_the_granted_name_only() {
    let plugin = probe();
    assert_eq!(ask(&plugin, "buckets").await, "api");
    assert!(ask(&plugin, "take api 3").await.contains("allowed: true"));
    assert!(ask(&plugin, "take api 1").await.contains("allowed: false"));
    assert!(ask(&plugin, "take other 1").await.starts_with("Err"));
}

#[tokio::test]
async fn an_admitted_request_is_in_flight_until_it_ends() {
    let plugin = probe();
    assert_eq!(ask(&plugin, "scopes").await, "all");
    let (first, _) = run(&plugin, request(&[("x-probe", "admit all 255")])).await;
    let (second, _) = run(&plugin, request(&[("x-probe", "admit all 255")])).await;
    assert!(ask(&plugin, "signal all").await.contains("in-flight: 2"));
    assert!(ask(&plugin, "admit all 255").await.contains("admitted: false"));
    drop(first);
    assert!(ask(&plugin, "signal all").await.contains("in-flight: 1"));
    drop(second);
    assert!(ask(&plugin, "admit all 0").await.contains("admitted: true"));
    assert!(ask(&plugin, "admit other 255").await.starts_with("Err"));
}

#[tokio::test]
async fn keys_are_used_by_name_and_never_seen() {
    let plugin = probe();
    assert_eq!(ask(&plugin, "names").await, "session,customers");
    assert_eq!(ask(&plugin, "sha256 abc").await, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert!(ask(&plugin, "hmac session message").await.starts_with("Ok("));
    assert!(ask(&plugin, "hmac other message").await.starts_with("Err"));
    assert_eq!(ask(&plugin, "identify customers k1").await, r#"Ok(Some("alice"))"#);
    assert_eq!(ask(&plugin, "identify customers k2").await, "Ok(None)");
    assert!(ask(&plugin, "identify other k1").await.starts_with("Err"));
}

#[tokio::test]
async fn lines_beyond_the_allowance_of_a_call_are_dropped_and_counted() {
    let plugin = probe();
    ask(&plugin, "log line 32").await;
    assert_eq!(plugin.stats().log_lines_dropped, 0);
    ask(&plugin, "log line 40").await;
    assert_eq!(plugin.stats().log_lines_dropped, 8);
}

#[tokio::test]
async fn nothing_outside_is_reachable() {
    let plugin = probe();
    assert_eq!(ask(&plugin, "environment").await, "0");
    assert_eq!(ask(&plugin, "arguments").await, "0");
    assert!(ask(&plugin, "file").await.starts_with("Err"), "there is no directory to open anything in");
    assert!(ask(&plugin, "write").await.starts_with("Err"));
    assert_eq!(failure(&plugin, request(&[("x-probe", "network")])).await, FailureKind::Trap);
}

#[test]
fn a_real_guest_names_the_grant_it_lacks() {
    let host = host();
    let lacking = [
        (Grants { clock: false, ..grants(&host) }, "clock"),
        (Grants { kv: false, ..grants(&host) }, "kv"),
        (Grants { buckets: Default::default(), ..grants(&host) }, "limiter:NAME"),
        (Grants { load_scopes: Default::default(), ..grants(&host) }, "load:NAME"),
    ];
    for (grants, grant) in lacking {
        let error = host.load(PluginSpec { grants, ..spec("probe") }).err().unwrap();
        assert!(error.to_string().contains(&format!("needs the grant \"{grant}\"")), "{error}");
        assert_eq!(error.concerns(), Concern::Grants);
    }
}

#[test]
fn a_configuration_that_is_refused_or_kills_the_guest_is_told_apart() {
    let refused = host().load(spec("error_configure")).err().unwrap();
    assert_eq!(refused.concerns(), Concern::Config, "{refused}");
    let trapped = host().load(spec("trap_configure")).err().unwrap();
    assert_eq!(trapped.concerns(), Concern::Component, "{trapped}");
    assert!(trapped.to_string().contains("trap"), "{trapped}");
}

fn hostile() -> Arc<LoadedPlugin> {
    host().load(spec("hostile")).unwrap()
}

#[tokio::test]
async fn every_harm_has_its_kind_and_costs_one_instance() {
    let plugin = hostile();
    for (n, (deed, kind)) in [
        ("trap", FailureKind::Trap),
        ("panic", FailureKind::Trap),
        ("recurse", FailureKind::Trap),
        ("spin", FailureKind::Deadline),
        ("grow", FailureKind::Limit),
        ("edit-then-trap", FailureKind::Trap),
        ("error", FailureKind::Trap),
        ("forbidden-respond", FailureKind::InvalidOutput),
        ("split-respond", FailureKind::InvalidOutput),
        ("status-99", FailureKind::InvalidOutput),
        ("status-101", FailureKind::InvalidOutput),
        ("status-999", FailureKind::InvalidOutput),
        ("big-body", FailureKind::InvalidOutput),
        ("forbidden-refuse", FailureKind::InvalidOutput),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(failure(&plugin, request(&[("x-do", deed)])).await, kind, "{deed}");
        let stats = plugin.stats();
        assert_eq!((stats.discarded, stats.instances), (n as u64 + 1, 0), "{deed}");
        assert!(run(&plugin, request(&[])).await.1.is_ok(), "the next call after {deed}");
    }
}

async fn result_of(deed: &str) -> String {
    let (mut exchange, verdict) = run(&hostile(), request(&[("x-do", deed)])).await;
    let Ok(Verdict::Continue(edits)) = verdict else { panic!("{deed}: {verdict:?}") };
    assert_eq!(exchange.request.headers.get("x-result"), None, "edits are made by the pipeline alone");
    exchange.request.apply(edits);
    exchange.request.headers["x-result"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn changes_that_must_not_be_are_refused_to_the_guests_face() {
    assert_eq!(result_of("big-header").await, "too-large");
    assert_eq!(result_of("forbidden-set").await, "forbidden,forbidden,forbidden,forbidden,forbidden,invalid-name");
    assert_eq!(result_of("line-break").await, "invalid-value");
}

#[tokio::test]
async fn a_request_is_read_only_when_its_response_has_arrived() {
    let plugin = hostile();
    let mut exchange = response(&[]);
    let mut edits = witgate_stage::Edits::default();
    edits.set("x-do-response", b"set-request", witgate_stage::Side::Request).unwrap();
    exchange.request.apply(edits);
    let (_, verdict) = hook(&stage(&plugin), Hook::ResponseHeaders, exchange).await;
    let Ok(Verdict::Continue(edits)) = verdict else { panic!("{verdict:?}") };
    let (mut base, name) = (http::HeaderMap::new(), http::HeaderName::from_static("x-result"));
    assert_eq!(edits.values(&base, &name).next().unwrap(), "read-only");
    edits.apply_to(&mut base);
    assert_eq!(base.len(), 1);
}

#[test]
fn the_shipped_contract_holds_for_every_test_guest() {
    let host = host();
    for name in ["empty", "hostile"] {
        let plugin = host.load(spec(name)).unwrap();
        assert_eq!(plugin.description().name, name);
    }
}

/// Lines that went to the log while a future ran.
pub async fn logged<T>(future: impl Future<Output = T>) -> String {
    use tracing::instrument::WithSubscriber;

    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let kept = Lines::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    future.with_subscriber(subscriber).await;
    let bytes = kept.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_guests_line_carries_plugin_route_and_request_id() {
    let plugin = probe();
    let log = logged(ask(&plugin, "log hello 1")).await;
    for part in
        ["WARN", "witgate::plugin", "hello", "plugin=\"probe\"", "route=\"route-1\"", "request_id=\"request-1\""]
    {
        assert!(log.contains(part), "{part} in {log}");
    }
}

#[tokio::test]
async fn a_panic_message_is_in_the_debug_log() {
    let plugin = hostile();
    let log = logged(failure(&plugin, request(&[("x-do", "panic")]))).await;
    assert!(log.contains("DEBUG") && log.contains("told to"), "{log}");
}
