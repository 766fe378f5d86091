//! Random ensembles and rows against the definition, as many rows as `WITGATE_TREES_ROWS` says (20 000 if it is not set):
//!
//! ```console
//! $ WITGATE_TREES_ROWS=10000000 cargo test --release -p witgate-trees --test soak -- --nocapture
//! ```

mod support;

use std::time::Instant;

use support::{Dice, Random, Size, Style};
use witgate_trees::{CompileOptions, Ensemble, LayoutKind, Limits, Model, Precision, Selection, reference};

/// Rows for each ensemble.
const ROWS: usize = 4096;

#[test]
fn random_ensembles_have_the_scores_of_the_definition() {
    let wanted: usize = std::env::var("WITGATE_TREES_ROWS").map_or(20_000, |rows| rows.parse().expect("a number"));
    let seed = std::env::var("WITGATE_TREES_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let mut random = Random(seed);
    let (mut rows, mut ensembles, mut by_layout) = (0, 0, [0usize; LayoutKind::ALL.len()]);
    let began = Instant::now();
    while rows < wanted {
        let size = Size {
            trees: random.one_of(&[1, 5, 20, 70, 150]),
            leaves: random.one_of(&[2, 8, 16, 31, 33, 64, 120]),
            features: random.one_of(&[1, 5, 30, 90]),
            targets: random.one_of(&[1, 1, 2, 5]),
            thresholds: random.one_of(&[3, 40, 900]),
        };
        let style = random.one_of(&[Style::Plain, Style::Anything]);
        let parts = support::parts(&mut random, size, style);
        let (width, targets) = (parts.features, parts.targets);
        let ensemble = Ensemble::new(parts, &Limits::default()).unwrap();
        let numbers: Vec<f64> = support::rows(&mut random, ROWS, width, size.thresholds);
        let numbers: Vec<f32> = numbers.into_iter().map(|number| number as f32).collect();
        let mut expected = vec![0.0f64; ROWS * targets];
        reference::predict(&ensemble, &numbers, width, &mut expected).unwrap();
        for (index, kind) in LayoutKind::ALL.into_iter().enumerate() {
            let promise = random.one_of(&[None, Some(Precision::F32)]);
            let options = CompileOptions { rows: promise, selection: Selection::Only(kind), ..Default::default() };
            let Ok(model) = Model::compile(&ensemble, &options) else { continue };
            let mut got = vec![0.0f64; ROWS * targets];
            let size = random.one_of(&[1, 5, 64, 300, ROWS]);
            for (rows, got) in numbers.chunks(size * width).zip(got.chunks_mut(size * targets)) {
                model.predict(rows, width, got).unwrap();
            }
            let same = |(got, expected): (&f64, &f64)| {
                got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan())
            };
            assert!(got.iter().zip(&expected).all(same), "{kind:?}, seed {seed}, ensemble {ensembles}");
            by_layout[index] += ROWS;
        }
        rows += ROWS;
        ensembles += 1;
    }
    println!("{rows} rows, {ensembles} ensembles, {:.0?}", began.elapsed());
    for (kind, rows) in LayoutKind::ALL.iter().zip(by_layout) {
        println!("{:>18}: {rows} rows equal", kind.label());
    }
}
