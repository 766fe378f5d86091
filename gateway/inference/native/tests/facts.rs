//! What a model file says beside its trees.

mod support;

use support::{model, models};
use witgate_native::{Categories, Category, Feature, FeatureKind, Format, Library, Meaning, Rounds, detect};

const NAMES: [&str; 5] = ["score", "hits", "count", "sparse", "time"];

#[test]
fn formats_are_told_apart_by_content() {
    for name in support::names(&models()) {
        let path = support::file(&models(), &name).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let expected = match (name.split('_').next().unwrap(), path.extension().unwrap().to_str().unwrap()) {
            ("lgb", _) => Format::LightGbmText,
            ("xgb", "json") => Format::XgBoostJson,
            ("xgb", _) => Format::XgBoostUbj,
            _ => Format::CatBoostJson,
        };
        assert_eq!(detect(&bytes), Some(expected), "{name}");
        assert_eq!(model(&models(), &name).format(), expected, "{name}");
    }
    for other in
        [&b""[..], b"{", b"{}", b"{\"a\": 1}", b"[1]", b"CBM1", b"\x80\x04", b"tree", b"treeless\n", b"\x08\x07"]
    {
        assert_eq!(detect(other), None, "{other:?}");
    }
    assert_eq!(detect(b" \n{\"version\": [1], \"learner\": 7"), Some(Format::XgBoostJson));
}

#[test]
fn versions_names_and_objectives_are_read() {
    let facts = |name: &str| {
        let model = model(&models(), name);
        let names: Vec<_> = model.features().iter().map(|feature| feature.name.clone().unwrap_or_default()).collect();
        (model.library(), model.version().unwrap_or_default().to_owned(), names, model.objective().to_owned())
    };
    let names = || NAMES.map(str::to_owned).to_vec();
    assert_eq!(facts("lgb_binary"), (Library::LightGbm, "v4".into(), names(), "binary".into()));
    assert_eq!(facts("lgb_custom").3, "");
    assert_eq!(facts("lgb_3_3_5_binary").1, "v3");
    assert_eq!(facts("xgb_softprob_ubj"), (Library::XgBoost, "3.2.0".into(), names(), "multi:softprob".into()));
    assert_eq!(facts("xgb_1_4_2_binary").1, "1.4.2");
    let (library, version, names, loss) = facts("cb_one_hot");
    assert_eq!((library, version.as_str(), loss.as_str()), (Library::CatBoost, "1.2.10", "Logloss"));
    assert_eq!(names, ["score", "hits", "count", "sparse", "time", "port"]);
}

#[test]
fn outputs_say_what_they_are() {
    let outputs = |name: &str| {
        let model = model(&models(), name);
        (model.outputs().meaning, model.outputs().count, model.outputs().labels.clone())
    };
    assert_eq!(outputs("lgb_binary"), (Meaning::Probability, 1, None));
    assert_eq!(outputs("lgb_multiclassova"), (Meaning::Labels, 3, None));
    assert_eq!(outputs("lgb_lambdarank"), (Meaning::Margin, 1, None));
    assert_eq!(outputs("xgb_logitraw"), (Meaning::Margin, 1, None));
    assert_eq!(outputs("xgb_softprob_json"), (Meaning::Classes, 3, None));
    assert_eq!(outputs("xgb_quantile"), (Meaning::Value, 2, None));
    let labels = |labels: &[&str]| Some(labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>());
    assert_eq!(outputs("cb_multiclass"), (Meaning::Classes, 3, labels(&["bad", "odd", "ok"])));
    assert_eq!(outputs("cb_logloss"), (Meaning::Probability, 1, labels(&["1"])));
    assert_eq!(outputs("cb_poisson"), (Meaning::Value, 1, None));
    assert_eq!(outputs("cb_multi_logloss").0, Meaning::Labels);
}

#[test]
fn rounds_after_the_best_one_are_not_run() {
    let early = model(&models(), "xgb_early_stopping");
    let Rounds { used, stored } = early.rounds();
    assert!(used < stored, "{used} of {stored}");
    assert_eq!(early.trees(), used);
    let forest = model(&models(), "xgb_early_stopping_forest");
    assert_eq!(forest.trees(), forest.rounds().used * 2);
    assert_eq!(model(&models(), "xgb_linear_binary").trees(), 0);
}

#[test]
fn categories_have_codes() {
    let kind = |name: &str, column: usize| model(&models(), name).features()[column].kind.clone();
    assert_eq!(kind("lgb_binary", 2), FeatureKind::Number);
    assert_eq!(kind("lgb_category", 2), FeatureKind::Code);
    assert_eq!(kind("xgb_category", 2), FeatureKind::Code);
    assert!(matches!(kind("cb_ctr", 5), FeatureKind::Category(Categories::Hashes)));
    for name in ["lgb_pandas", "xgb_pandas_json", "xgb_pandas_ubj"] {
        let model = model(&models(), name);
        assert!(
            matches!(&model.features()[2], Feature { kind: FeatureKind::Category(Categories::Texts(texts)), .. }
            if texts.len() == 12),
            "{name}: {:?}",
            model.features()
        );
        assert_eq!(model.code(2, Category::Text("k7")), Some(7.0));
        assert!(model.code(2, Category::Text("unseen")).unwrap().is_nan());
        assert!(model.code(2, Category::Integer(7)).unwrap().is_nan());
        assert_eq!((model.code(0, Category::Text("k7")), model.code(99, Category::Text("k7"))), (None, None));
    }
    // As CatBoost 1.2.10 wrote them down for a pool.
    let model = model(&models(), "cb_ctr");
    for (text, hash) in [("z", 476_319_382.0), ("u", 1_981_898_051.0), ("29", 3_940_690_768.0)] {
        assert_eq!(model.code(2, Category::Text(text)), Some(hash));
    }
    assert_eq!(model.code(5, Category::Integer(29)), Some(3_940_690_768.0));
}
