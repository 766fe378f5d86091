//! Scores are those of the libraries, which `make.py` and `make_old.py` wrote down.

mod support;

use support::{Rows, difference, models, names};
use witgate_native::{CompileOptions, NativeError, Precision, PredictNativeError};

/// Scores that are not equal in every bit, and by how much they may differ: CatBoost has an exponential of its own for several
/// outputs and for `Exponent`, and SciPy makes the probabilities of `multi:softmax`.
const DIFFERENT: [(&str, f64); 7] = [
    ("cb_ctr_multiclass", 1e-15),
    ("cb_lossguide_multiclass", 1e-15),
    ("cb_multiclass", 1e-15),
    ("cb_poisson", 1e-15),
    ("cb_rmsewithuncertainty", 1e-15),
    ("cb_tweedie", 1e-15),
    ("xgb_softmax", 2e-7),
];

#[test]
fn scores_are_those_of_the_library() {
    let folder = models();
    let names = names(&folder);
    assert!(names.len() >= 105, "only {} cases are there", names.len());
    let mut wrong = Vec::new();
    for name in names {
        let model = support::model(&folder, &name);
        let mut rows = Rows::read(&folder, &name);
        rows.encode(&model);
        let (scores, raw) = rows.computed(&model);
        let allowed = DIFFERENT.iter().find(|(different, _)| *different == name).map_or(0.0, |(_, allowed)| *allowed);
        for (what, got, expected, allowed) in
            [("scores", &scores, &rows.scores, allowed), ("raw scores", &raw, &rows.raw, 0.0)]
        {
            let (count, largest) = difference(got, expected);
            if largest > allowed {
                wrong.push(format!("{name}: {count} of {} {what} differ, by up to {largest:e}", expected.len()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn rows_of_float_have_the_same_scores_as_their_numbers_in_double() {
    let folder = models();
    for name in ["lgb_binary", "lgb_category", "lgb_linear", "xgb_binary_logistic_ubj", "xgb_category", "cb_logloss"] {
        let model = support::model(&folder, name);
        let rows = Rows::read(&folder, name);
        let single: Vec<f32> = rows.numbers.iter().map(|number| *number as f32).collect();
        let double: Vec<f64> = single.iter().map(|number| f64::from(*number)).collect();
        let narrow = CompileOptions { rows: Some(Precision::F32), ..CompileOptions::default() };
        let (narrow, wide) = (model.compile(&narrow).unwrap(), model.compile(&CompileOptions::default()).unwrap());
        let [mut narrow_scores, mut wide_scores] = [(); 2].map(|()| vec![0.0; rows.scores.len()]);
        narrow.predict(&single, rows.width, &mut narrow_scores).unwrap();
        wide.predict(&double, rows.width, &mut wide_scores).unwrap();
        assert_eq!(difference(&narrow_scores, &wide_scores), (0, 0.0), "{name}");
    }
}

#[test]
fn hashes_do_not_go_into_rows_of_float() {
    let model = support::model(&models(), "cb_ctr").compile(&CompileOptions::default()).unwrap();
    let error = model.predict(&[0.0f32; 6], 6, &mut [0.0]).unwrap_err();
    assert!(matches!(error, PredictNativeError::Hashes), "{error}");
}

#[test]
fn sizes_that_do_not_go_together_are_refused() {
    let model = support::model(&models(), "lgb_multiclass").compile(&CompileOptions::default()).unwrap();
    let refused = |numbers: usize, width: usize, room: usize| {
        model.predict(&vec![0.0; numbers], width, &mut vec![0.0; room]).unwrap_err().to_string()
    };
    assert_eq!(refused(4, 4, 3), "a row has 4 numbers, and the ensemble looks at 5");
    assert_eq!(refused(0, 0, 0), "a row has 0 numbers, and the ensemble looks at 5");
    assert_eq!(refused(7, 5, 3), "7 numbers do not make whole rows of 5");
    assert!(refused(10, 5, 3).contains("there is room for 3 scores"), "{}", refused(10, 5, 3));
    let mut scores = [0.0; 3];
    model.predict(&[0.0; 9], 9, &mut scores).unwrap();
    assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn trees_with_several_targets_are_refused_with_a_remedy() {
    let bytes = std::fs::read(models().join("refused_xgb_multi_output.json")).unwrap();
    let error = witgate_native::read(&bytes, &witgate_native::Limits::default()).unwrap_err();
    assert!(matches!(error, NativeError::Unsupported { .. }));
    assert_eq!(
        error.to_string(),
        "XGBoost's JSON: a tree with several targets (multi_strategy=\"multi_output_tree\") is not supported: train with \
         multi_strategy=\"one_output_per_tree\""
    );
}
