//! Cost of finding a route, by number of routes and kind of match, and of bringing host and path into normal form.

#![allow(clippy::expect_used, reason = "a bench may end at once")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use witgate_route::{BuildError, Host, Matcher, Path, RouteTable, host_of, normalise};

/// A tenth of the routes on hosts of their own, half of the paths exact, as in a gateway before a few dozen services.
fn table(routes: usize) -> Result<RouteTable<usize>, BuildError> {
    RouteTable::build((0..routes).map(|number| {
        let host = (number % 10 == 0).then(|| Host::Exact(format!("service-{number}.example.com")));
        let path = format!("/api/v1/resource-{number}");
        let path = if number % 2 == 0 { Path::Exact(path) } else { Path::Prefix(path) };
        (Matcher { host, path }, number)
    }))
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("find");
    for routes in [10, 1000] {
        let table = table(routes).expect("the routes differ");
        for (case, host, path) in [
            ("exact", "www.example.com", "/api/v1/resource-4"),
            ("prefix", "www.example.com", "/api/v1/resource-7/items/12"),
            ("host", "service-0.example.com", "/api/v1/resource-0"),
            ("miss", "www.example.com", "/favicon.ico"),
        ] {
            group.bench_with_input(BenchmarkId::new(case, routes), &table, |b, table| {
                b.iter(|| table.find(black_box(Some(host)), black_box(path)));
            });
        }
    }
    group.finish();
}

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

criterion_group!(benches, find, normal_form);
criterion_main!(benches);
