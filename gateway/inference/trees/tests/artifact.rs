//! Compiled models that were kept.
#![expect(unsafe_code, reason = "what was kept is machine code")]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use support::{Random, Size, Style};
use witgate_trees::{
    CodeStore, CompileError, CompileLimits, CompileOptions, Ensemble, LayoutKind, Limits, Model, Selection, key,
};

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

/// What was kept, and how often something was.
#[derive(Default)]
struct Store {
    kept: RefCell<HashMap<[u8; 32], Vec<u8>>>,
    count: Cell<usize>,
}

// SAFETY: it gives what it was given; where a test changes that, it is noticed before code is run.
unsafe impl CodeStore for Store {
    fn find(&self, key: &[u8; 32]) -> Option<Vec<u8>> {
        self.kept.borrow().get(key).cloned()
    }

    fn keep(&self, key: &[u8; 32], artifact: &[u8]) {
        self.kept.borrow_mut().insert(*key, artifact.to_vec());
        self.count.set(self.count.get() + 1);
    }
}

fn scores(model: &Model, width: usize) -> Vec<u64> {
    let rows = support::rows(&mut Random(9), 40, width, 9);
    let mut scores = vec![0.0f64; 40 * model.targets()];
    model.predict(&rows, width, &mut scores).unwrap();
    scores.into_iter().map(f64::to_bits).collect()
}

#[test]
fn what_is_kept_is_compiled_once() {
    let (store, options, ensemble) = (Store::default(), CompileOptions::default(), ensemble(1));
    let width = ensemble.parts().features;
    let compile = |options: &CompileOptions| Model::compile_kept(&ensemble, options, &store).unwrap();
    let first = compile(&options);
    // How long it may take has no part in what comes out.
    let limits = CompileLimits { time: Duration::from_secs(1), ..CompileLimits::default() };
    let second = compile(&CompileOptions { limits, ..options.clone() });
    assert_eq!(store.count.get(), 1, "the second was found");
    assert!(second.report().candidates.is_empty(), "nothing was measured");
    assert_eq!(scores(&first, width), scores(&second, width));
    for artifact in store.kept.borrow_mut().values_mut() {
        artifact.truncate(60);
    }
    let third = compile(&options);
    assert_eq!(store.count.get(), 2, "what is damaged was made anew");
    assert_eq!(scores(&first, width), scores(&third, width));
}
