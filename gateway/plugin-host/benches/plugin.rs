//! What a plugin costs: a whole pipeline, one call on a warm and on a fresh instance, and one call from guest to host.
//!
//! The guests are written in the text format, so that the figures are the host's and not a language runtime's.

#[path = "../tests/it/exchange.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod exchange;
#[path = "../tests/it/guest.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod guest;

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use exchange::{request, stage};
use guest::{Guest, LIMITS, TEXT, host, spec};
use witgate_plugin_host::{HostSettings, LoadedPlugin, PluginHost, PluginSpec};
use witgate_stage::{Exchange, FailurePolicy, Hook, Observer, Pipeline, Stage, StageError, Step, Verdict};

/// Sees nothing: what metrics cost is the server's affair.
struct Blind;

impl Observer for Blind {
    fn stage_ran(&self, _: usize, _: Hook, _: Duration, _: &Result<Verdict, StageError>) {}
}

/// Runs a future that ends without waiting, apart from giving way at an epoch.
fn run<F: Future>(future: F) -> F::Output {
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

/// `get` of one header and `set` of another, `times` times over.
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
            Step { stage: Arc::new(stage(&plugin)), policy: FailurePolicy::default() }
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
                let (returned, result) = run(stage.on_request(exchange.take().expect("it comes back")));
                black_box(result).expect("the guest continues");
                exchange = Some(returned);
            });
        });
    }
    // The first call traps, so the second one finds no instance and starts one.
    let plugin = load(&host, &Guest::when_told("unreachable"));
    let stage = stage(&plugin);
    group.bench_function("fresh, empty", |bencher| {
        bencher.iter_batched(
            || drop(run(stage.on_request(exchange::told()))),
            |()| run(stage.on_request(request(&[]))).1.expect("the guest continues"),
            BatchSize::PerIteration,
        );
    });
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

criterion_group!(benches, pipelines, calls, loading);
criterion_main!(benches);
