//! What has to be true of ensembles of trees: all layouts have the scores of the definition.

#[path = "../../gateway/inference/trees/tests/support/mod.rs"]
mod support;

use support::{Bytes, Dice, Size, Style};
use witgate_trees::{CompileOptions, Ensemble, LayoutKind, Limits, Model, Selection, reference};

/// Rows for each ensemble: enough for the layouts that take many at a time.
const ROWS: usize = 20;

/// Makes an ensemble and rows from decisions, and runs them.
///
/// # Panics
/// The parts make no ensemble, or a layout has other scores than the definition.
pub fn scores(decisions: &[u8]) {
    let mut dice = Bytes(decisions);
    let size = Size {
        trees: dice.one_of(&[1, 3, 20, 70]),
        leaves: dice.one_of(&[2, 8, 20, 40, 70]),
        features: dice.one_of(&[1, 4, 70]),
        targets: dice.one_of(&[1, 3]),
        thresholds: dice.one_of(&[2, 10, 300]),
    };
    let style = dice.one_of(&[Style::Anything, Style::Plain]);
    let parts = support::parts(&mut dice, size, style);
    let (width, targets) = (parts.features, parts.targets);
    let ensemble = Ensemble::new(parts, &Limits::default()).expect("an ensemble");
    let rows = support::rows(&mut dice, ROWS, width, size.thresholds);
    let mut expected = vec![0.0f64; ROWS * targets];
    reference::predict(&ensemble, &rows, width, &mut expected).expect("sizes that fit");
    for kind in LayoutKind::ALL {
        let options = CompileOptions { selection: Selection::Only(kind), ..CompileOptions::default() };
        let Ok(model) = Model::compile(&ensemble, &options) else { continue };
        for size in [1, ROWS] {
            let mut got = vec![0.0f64; ROWS * targets];
            for (rows, got) in rows.chunks(size * width).zip(got.chunks_mut(size * targets)) {
                model.predict(rows, width, got).expect("sizes that fit");
            }
            for (got, expected) in got.iter().zip(&expected) {
                assert!(got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan()), "{kind:?}");
            }
        }
    }
}
