//! What a plugin costs: a whole pipeline, one call on a warm and on a fresh instance, and one call from guest to host.
//!
//! The guests of `pipeline` and `call` are written in the text format, so that the figures are the host's and not a language
//! runtime's; `shipped` runs the real ones, in the order of the sample configuration.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on ends"
)]

#[path = "../tests/it/exchange.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod exchange;
#[path = "../tests/it/guest.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod guest;

use std::hint::black_box;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use exchange::{hook, request, stage};
use guest::{Guest, LIMITS, TEXT, host, spec};
use tokio::runtime::{Builder, Runtime};
use witgate_plugin_host::{
    BucketSpec, Grants, HostSettings, KeySet, LoadLimits, LoadedPlugin, PluginHost, PluginLimits, PluginSpec,
};
use witgate_stage::{Exchange, FailurePolicy, Hook, Observer, Outcome, Pipeline, StageError, Step, Usage, Verdict};

/// Sees nothing: what metrics cost is the server's affair.
struct Blind;

impl Observer for Blind {
    fn stage_ran(&self, _: usize, _: Hook, _: (Duration, &Usage), _: &Result<Verdict, StageError>) {}
}

/// Has the timers that hooks on fibers need.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// Runs a future that ends without waiting, apart from giving way at an epoch.
fn run<F: Future>(future: F) -> F::Output {
    let _entered = RUNTIME.enter();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

fn load(host: &PluginHost, guest: &Guest) -> Arc<LoadedPlugin> {
    host.load(spec(guest.build())).unwrap()
}

/// `get` of one header, `times` times over.
fn host_calls(times: usize) -> Guest {
    let imports = r#"(import "witgate:plugin/http@0.1.0" "[method]request.get" (func $get (param i32 i32 i32 i32)))
        "#;
    let call = format!("(call $get (local.get $request) (i32.const {TEXT}) (i32.const 6) (i32.const 4096))");
    Guest::on_request(&call.repeat(times))
        .importing("witgate:plugin/http@0.1.0")
        .with_items(imports)
        .with_text("accept")
}

fn head() -> Box<Exchange> {
    request(&[
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("accept-encoding", "gzip, deflate, br"),
        ("x-api-key", "3f0c1c7a9b5d4e6f8a7b6c5d4e3f2a1b"),
    ])
}

fn pipelines(criterion: &mut Criterion) {
    let host = host();
    let mut group = criterion.benchmark_group("pipeline");
    for stages in [0, 1, 3] {
        let step = |n: usize| {
            let plugin =
                host.load(PluginSpec { name: format!("empty-{n}"), ..spec(Guest::default().build()) }).unwrap();
            Step::new(Arc::new(stage(&plugin)), FailurePolicy::default())
        };
        let pipeline = Pipeline::new((0..stages).map(step).collect());
        let mut exchange = Some(head());
        group.bench_function(format!("{stages} empty plugins"), |bencher| {
            bencher.iter(|| {
                let (returned, outcome) =
                    run(pipeline.run(Hook::RequestHeaders, exchange.take().expect("it comes back"), &Blind));
                black_box(outcome);
                exchange = Some(returned);
            });
        });
    }
}

fn calls(criterion: &mut Criterion) {
    let host = host();
    let mut group = criterion.benchmark_group("call");
    for (name, guest) in
        [("reused, empty", Guest::default()), ("reused, 1 get", host_calls(1)), ("reused, 11 gets", host_calls(11))]
    {
        let stage = stage(&load(&host, &guest));
        let mut exchange = Some(head());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (returned, result) =
                    run(hook(&stage, Hook::RequestHeaders, exchange.take().expect("it comes back")));
                black_box(result).expect("the guest continues");
                exchange = Some(returned);
            });
        });
    }
    // All that a plugin with an instance for each call costs, whoever makes the instances.
    for (name, spec) in
        [("fresh, empty", spec(Guest::default().build())), ("fresh, empty, Rust", built("tests/guests", "empty"))]
    {
        let plugin = host.load(spec).expect("it loads");
        let mut exchange = Some(head());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (returned, result) =
                    run(plugin.run_fresh(Hook::RequestHeaders, exchange.take().expect("it comes back")));
                black_box(result).expect("the guest continues");
                exchange = Some(returned);
            });
        });
    }
}

fn loading(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("there is a place for temporary files");
    let settings =
        HostSettings { cache_dir: Some(directory.path().join("cache")), instances_limit: 4, ..HostSettings::default() };
    let host = PluginHost::new(settings).expect("the host starts");
    let wasm = Guest::default().build();
    criterion.bench_function("load/cached, empty", |bencher| {
        bencher.iter(|| host.load(PluginSpec { limits: LIMITS, ..spec(Arc::clone(&wasm)) }).expect("it loads"));
    });
}

fn built(workspace: &str, name: &str) -> PluginSpec {
    let path = format!("{}/../../{workspace}/target/wasm32-wasip2/release/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
    let wasm = std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{path}: {error}: run `cargo xtask bench`, which builds the guests first");
    });
    let limits = PluginLimits { memory: 16 << 20, ..LIMITS };
    PluginSpec { name: name.into(), limits, ..spec(wasm.into()) }
}

fn shipped_plugins(host: &PluginHost) -> [PluginSpec; 3] {
    let rate = BucketSpec { tokens: 1 << 30, period: Duration::from_secs(1), burst: 1 << 30, keys_limit: 1000 };
    // Criterion drops the exchanges of a batch together: until then all of them are in flight.
    let limits = LoadLimits { in_flight: u32::MAX, cpu_permille: 1000 };
    let scope = [("all".to_owned(), host.load_scope("all", limits))].into();
    let bucket = [("api".to_owned(), host.bucket("api", &rate))].into();
    let keys = KeySet::new([(&b"3f0c1c7a9b5d4e6f8a7b6c5d4e3f2a1b"[..], "alice")]);
    let keys = [("customers".to_owned(), Arc::new(keys))].into();
    [
        PluginSpec {
            config_json: r#"{"scope":"all","default_priority":255}"#.into(),
            grants: Grants { load_scopes: scope, ..Grants::default() },
            ..built("plugins", "shed")
        },
        PluginSpec {
            config_json: r#"{"bucket":"api"}"#.into(),
            grants: Grants { buckets: bucket, ..Grants::default() },
            ..built("plugins", "rate_limit")
        },
        PluginSpec {
            config_json: r#"{"key_set":"customers"}"#.into(),
            grants: Grants { key_sets: keys, clock: true, ..Grants::default() },
            ..built("plugins", "auth")
        },
    ]
}

/// Each shipped plugin, then all of them. Every request gets an exchange of its own, for they leave marks on it.
fn shipped(criterion: &mut Criterion) {
    // So many threads that a busy benchmark is no load worth shedding.
    let settings = HostSettings { threads: 1024, ..HostSettings::default() };
    let host = PluginHost::new(settings).expect("the host starts");
    let step = |spec: PluginSpec| {
        let plugin = host.load(spec).unwrap_or_else(|error| panic!("{error}"));
        Step::new(Arc::new(stage(&plugin)), FailurePolicy::default())
    };
    let mut cases = vec![("empty".to_owned(), vec![step(built("tests/guests", "empty"))])];
    for spec in shipped_plugins(&host) {
        cases.push((spec.name.clone(), vec![step(spec)]));
    }
    cases.push(("all three".to_owned(), shipped_plugins(&host).into_iter().map(step).collect()));
    let mut group = criterion.benchmark_group("shipped");
    for (name, steps) in cases {
        let pipeline = Pipeline::new(steps);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                head,
                |exchange| {
                    let (exchange, outcome) = run(pipeline.run(Hook::RequestHeaders, exchange, &Blind));
                    assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
                    exchange
                },
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, pipelines, calls, loading, shipped);
criterion_main!(benches);
