//! Compiled models that were kept.
#![expect(unsafe_code, reason = "what was kept is machine code")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use support::{Random, Size, Style};
use witgate_trees::{CompileError, CompileOptions, Ensemble, LayoutKind, Limits, Model, Selection, key};

fn ensemble(seed: u64) -> Ensemble {
    let size = Size { trees: 70, leaves: 12, features: 6, targets: 2, thresholds: 9 };
    Ensemble::new(support::parts(&mut Random(seed), size, Style::Anything), &Limits::default()).unwrap()
}

fn restore(ensemble: &Ensemble, options: &CompileOptions, artifact: &[u8]) -> Result<Model, CompileError> {
    let key = key(ensemble, options).unwrap();
    // SAFETY: what is changed by tests is changed where it is noticed before code is run.
    unsafe { Model::restore(ensemble, options, &key, artifact) }
}

#[test]
fn what_was_kept_is_the_same_model() {
    let ensemble = ensemble(1);
    let width = ensemble.parts().features;
    let rows = support::rows(&mut Random(9), 40, width, 9);
    let selections = LayoutKind::ALL.map(Selection::Only).into_iter().chain([Selection::default(), Selection::Rules]);
    for selection in selections {
        let options = CompileOptions { selection, ..CompileOptions::default() };
        let model = match Model::compile(&ensemble, &options) {
            Err(CompileError::Layout { .. }) => continue,
            model => model.unwrap(),
        };
        let artifact = model.artifact(&key(&ensemble, &options).unwrap());
        let again = restore(&ensemble, &options, &artifact).unwrap();
        assert_eq!((model.report().one, model.report().many), (again.report().one, again.report().many));
        let mut scores = [(); 2].map(|()| vec![0.0f64; 40 * model.targets()]);
        let [first, second] = &mut scores;
        model.predict(&rows, width, first).unwrap();
        again.predict(&rows, width, second).unwrap();
        let [first, second] = scores.map(|scores| scores.into_iter().map(f64::to_bits).collect::<Vec<_>>());
        assert_eq!(first, second, "{selection:?}");
    }
}

#[test]
fn keys_tell_ensembles_and_options_apart() {
    let options = CompileOptions::default();
    let other = CompileOptions { selection: Selection::Rules, ..options.clone() };
    let key = |seed, options| key(&ensemble(seed), options).unwrap();
    assert_eq!(key(1, &options), key(1, &options));
    assert_ne!(key(1, &options), key(2, &options));
    assert_ne!(key(1, &options), key(1, &other));
}

#[test]
fn damaged_artifacts_and_those_of_others_are_refused() {
    let options = CompileOptions { selection: Selection::Only(LayoutKind::Branches), ..CompileOptions::default() };
    let ensemble_1 = ensemble(1);
    let whole = Model::compile(&ensemble_1, &options).unwrap().artifact(&key(&ensemble_1, &options).unwrap());
    for length in [0, 10, 47, 48, 50, 60, whole.len() - 20] {
        let error = restore(&ensemble_1, &options, &whole[..length]).unwrap_err();
        assert!(matches!(error, CompileError::Artifact(_)), "{length}: {error}");
    }
    let error = restore(&ensemble(2), &options, &whole).unwrap_err().to_string();
    assert_eq!(error, "the compiled model cannot be used: it was made for something else");
    let mut other = whole.clone();
    other[0] ^= 1;
    let error = restore(&ensemble_1, &options, &other).unwrap_err().to_string();
    assert_eq!(error, "the compiled model cannot be used: it has another format");
}
