//! Whatever is compiled gives the scores of the definition, bit by bit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod support;

use proptest::prelude::*;
use support::{Dice, Random, Size, Style};
use witgate_trees::{
    CompileError, CompileOptions, Element, Ensemble, LayoutKind, Limits, Model, Precision, Score, Selection, reference,
};

/// Bits of a score; all NaN are one.
fn bits<Y: Score>(score: Y) -> u64 {
    let score = score.to_f64();
    if score.is_nan() { f64::NAN.to_bits() } else { score.to_bits() }
}

/// Runs rows in all the numbers that a caller may send at once.
fn check<X: Element, Y: Score>(ensemble: &Ensemble, models: &[(LayoutKind, Model)], rows: &[X], width: usize) {
    let (count, targets) = (rows.len() / width, ensemble.parts().targets);
    let mut expected = vec![Y::default(); count * targets];
    reference::predict(ensemble, rows, width, &mut expected).unwrap();
    let expected: Vec<u64> = expected.into_iter().map(bits).collect();
    for (kind, model) in models {
        for size in [1, 7, 16, 64, count] {
            let mut got = vec![Y::default(); count * targets];
            for (rows, got) in rows.chunks(size * width).zip(got.chunks_mut(size * targets)) {
                model.predict(rows, width, got).unwrap();
            }
            let got: Vec<u64> = got.into_iter().map(bits).collect();
            let first = got.iter().zip(&expected).position(|(got, expected)| got != expected);
            assert_eq!(first, None, "the first score that differs; {kind:?}, {size} rows at a time, {targets} targets");
        }
    }
}

fn compiled(ensemble: &Ensemble, rows: Option<Precision>) -> Vec<(LayoutKind, Model)> {
    let mut models = Vec::new();
    for kind in LayoutKind::ALL {
        let selection = Selection::Only(kind);
        match Model::compile(ensemble, &CompileOptions { rows, selection, ..CompileOptions::default() }) {
            Ok(model) => {
                assert_eq!((model.report().one, model.report().many), (kind, kind));
                models.push((kind, model));
            }
            Err(CompileError::Layout { .. }) => assert!(!matches!(kind, LayoutKind::Walk | LayoutKind::Branches)),
            Err(error) => panic!("{kind:?}: {error}"),
        }
    }
    models
}

fn check_all(seed: u64, size: Size, style: Style, extra: usize) {
    let mut random = Random(seed);
    let parts = support::parts(&mut random, size, style);
    let width = parts.features + extra;
    let ensemble = Ensemble::new(parts, &Limits::default()).unwrap();
    let rows = support::rows(&mut random, 130, width, size.thresholds);
    let models = compiled(&ensemble, None);
    let singles: Vec<f32> = rows.iter().map(|number| *number as f32).collect();
    check::<f64, f64>(&ensemble, &models, &rows, width);
    check::<f32, f32>(&ensemble, &models, &singles, width);
    let long: Vec<i64> = rows.iter().map(|number| *number as i64).collect();
    let short: Vec<i32> = rows.iter().map(|number| *number as i32).collect();
    check::<i64, f32>(&ensemble, &models, &long, width);
    check::<i32, f64>(&ensemble, &models, &short, width);
    check::<f32, f32>(&ensemble, &compiled(&ensemble, Some(Precision::F32)), &singles, width);
}

#[test]
fn trees_whose_leaves_just_fit_a_mask_are_equal() {
    for leaves in [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65] {
        let mut random = Random(leaves as u64);
        let ensemble = Ensemble::new(support::boosted(&mut random, 70, leaves, 9), &Limits::default()).unwrap();
        let rows: Vec<f32> = (0..300 * 9).map(|_| random.roll(4001) as f32 / 1000.0 - 2.0).collect();
        check::<f32, f32>(&ensemble, &compiled(&ensemble, None), &rows, 9);
    }
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(count) }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn small_ensembles_of_any_kind_are_equal(seed: u64, leaves in 1usize..18, extra in 0usize..3) {
        let size = Size { trees: 12, leaves, features: 6, targets: 4, thresholds: 7 };
        check_all(seed, size, Style::Anything, extra);
    }

    #[test]
    fn plain_ensembles_are_equal(seed: u64, leaves in 1usize..66) {
        let size = Size { trees: 80, leaves, features: 20, targets: 3, thresholds: 40 };
        check_all(seed, size, Style::Plain, 0);
    }
}

proptest! {
    #![proptest_config(cases(25))]

    #[test]
    fn ensembles_with_several_strips_are_equal(seed: u64, leaves in 1usize..34) {
        let size = Size { trees: 200, leaves, features: 40, targets: 2, thresholds: 25 };
        check_all(seed, size, Style::Anything, 1);
    }

    #[test]
    fn large_trees_are_equal(seed: u64) {
        let size = Size { trees: 5, leaves: 1500, features: 9, targets: 2, thresholds: 900 };
        check_all(seed, size, Style::Plain, 0);
    }

    #[test]
    fn columns_with_more_cuts_than_a_byte_counts_are_equal(seed: u64) {
        let size = Size { trees: 150, leaves: 31, features: 3, targets: 1, thresholds: 2000 };
        check_all(seed, size, Style::Plain, 0);
    }

    #[test]
    fn rows_of_many_bytes_are_equal(seed: u64, features in 60usize..250) {
        let size = Size { trees: 90, leaves: 20, features, targets: 1, thresholds: 4 };
        check_all(seed, size, Style::Plain, 0);
    }
}
