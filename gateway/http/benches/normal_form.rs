//! Cost of bringing host and path into normal form.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use witgate_http::host::host_of;
use witgate_http::path::normalise;

fn normal_form(c: &mut Criterion) {
    let mut group = c.benchmark_group("normal_form");
    for (case, path) in [("normal", "/api/v1/resource-7/items/12"), ("escapes", "/api/%76%31/../v2/caf%c3%a9")] {
        group.bench_function(BenchmarkId::new("path", case), |b| b.iter(|| normalise(black_box(path))));
    }
    for (case, authority) in [("lower", "www.example.com:8080"), ("mixed", "WWW.Example.com:8080")] {
        group.bench_function(BenchmarkId::new("host", case), |b| b.iter(|| host_of(black_box(authority))));
    }
    group.finish();
}

criterion_group!(benches, normal_form);
criterion_main!(benches);
