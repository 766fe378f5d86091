//! Cost of finding a route, by number of routes and kind of match.

#![allow(clippy::expect_used, reason = "a bench may end at once")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use witgate_route::{BuildError, Host, Matcher, Path, RouteTable};

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

criterion_group!(benches, find);
criterion_main!(benches);
