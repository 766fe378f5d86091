//! What a row takes in each layout, and what loading does: boosted trees with 31 leaves and 30 features, as LightGBM makes
//! them by default, on rows that differ.

#![allow(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use support::{Dice, Random};
use witgate_trees::{CompileOptions, Ensemble, LayoutKind, Limits, Model, Selection, reference};

const FEATURES: usize = 30;
/// So many that no branch predictor learns them by heart.
const ROWS: usize = 4096;

fn ensemble(trees: usize, leaves: usize) -> Ensemble {
    let mut random = Random(42);
    Ensemble::new(support::boosted(&mut random, trees, leaves, FEATURES), &Limits::default()).unwrap()
}

fn rows() -> Vec<f32> {
    let mut random = Random(7);
    (0..ROWS * FEATURES).map(|_| random.roll(4001) as f32 / 1000.0 - 2.0).collect()
}

fn predict(criterion: &mut Criterion) {
    let rows = rows();
    for (trees, leaves) in [(10, 31), (100, 31), (300, 31), (1000, 31), (300, 8), (300, 64), (300, 255)] {
        let ensemble = ensemble(trees, leaves);
        let mut group = criterion.benchmark_group(format!("{trees} trees, {leaves} leaves"));
        for size in [1, 64] {
            let mut out = vec![0.0f32; size];
            let mut batches = rows.chunks_exact(size * FEATURES).cycle();
            group.bench_function(format!("{size} rows, definition"), |bencher| {
                bencher.iter(|| {
                    reference::predict(&ensemble, batches.next().unwrap(), FEATURES, &mut out).unwrap();
                    black_box(out.first().copied())
                });
            });
            for kind in LayoutKind::ALL {
                let options = CompileOptions { selection: Selection::Only(kind), ..CompileOptions::default() };
                let Ok(model) = Model::compile(&ensemble, &options) else { continue };
                group.bench_function(format!("{size} rows, {}", kind.label()), |bencher| {
                    bencher.iter(|| {
                        model.predict(batches.next().unwrap(), FEATURES, &mut out).unwrap();
                        black_box(out.first().copied())
                    });
                });
            }
        }
        group.finish();
    }
}

fn load(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load 1000 trees, 31 leaves");
    group.sample_size(10);
    let ensemble = ensemble(1000, 31);
    let kinds = LayoutKind::ALL.map(|kind| (kind.label(), Selection::Only(kind)));
    for (name, selection) in kinds.into_iter().chain([("measured", Selection::default())]) {
        let options = CompileOptions { selection, ..CompileOptions::default() };
        if Model::compile(&ensemble, &options).is_ok() {
            group.bench_function(name, |bencher| {
                bencher.iter(|| Model::compile(&ensemble, &options).unwrap().targets())
            });
        }
    }
    group.finish();
}

criterion_group!(benches, predict, load);
criterion_main!(benches);
