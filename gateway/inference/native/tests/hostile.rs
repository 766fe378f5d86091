//! Files that are broken, on purpose or not: an error that says where, or a model that runs; in little time and memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use std::fmt::Write as _;
use std::sync::LazyLock;

use proptest::prelude::*;
use witgate_native::{CompileOptions, LayoutKind, Limits, NativeError, Selection, read};

fn error(bytes: &[u8]) -> String {
    read(bytes, &Limits::default()).expect_err("it is broken").to_string()
}

/// A file of a case as text.
fn text(name: &str) -> String {
    std::fs::read_to_string(support::file(&support::models(), name).unwrap()).unwrap()
}

#[test]
fn what_is_no_model_is_refused_with_advice() {
    let cases: [(&[u8], &str); 8] = [
        (b"", ""),
        (b"CBM1\0\0", ": it is CatBoost's binary format; save the model with save_model(path, format=\"json\")"),
        (b"\x80\x04\x95", ": it is a pickle of Python; save the model itself: booster_.save_model(path) for LightGBM"),
        (
            b"{\"name\":\"tree\",\"tree_info\":[]}",
            ": it is what LightGBM's dump_model writes; save the model with save_model",
        ),
        (b"[{\"nodeid\":0}]", ": it looks like what XGBoost's dump_model writes"),
        (b"booster[0]:\n0:[f0<1]", ": it looks like what XGBoost's dump_model writes"),
        (b"binf\0\0", ": it looks like XGBoost's old binary format"),
        (b"PK\x03\x04", ": it is a ZIP archive"),
    ];
    for (bytes, advice) in cases {
        let error = error(bytes);
        let begin = "this is no model file of LightGBM (text), XGBoost (JSON, UBJ) or CatBoost (JSON)";
        assert!(error.starts_with(&format!("{begin}{advice}")), "{error}");
    }
}

#[test]
fn lines_of_text_are_named() {
    let text = text("lgb_binary");
    let broken = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        error(text.replacen(from, to, 1).as_bytes())
    };
    assert_eq!(
        broken("num_leaves=6", "num_leaves=x"),
        "LightGBM's text, line 13, num_leaves: a number is expected, and there is 'x'"
    );
    assert_eq!(
        broken("num_leaves=6", "num_leaves=5"),
        "LightGBM's text, line 21, leaf_value: there are more than 5 numbers"
    );
    assert!(broken("num_leaves=6", "num_leaves=1000000000").contains("the file has 2000000000 nodes and leaves"));
    assert!(broken("left_child=", "left_child=7 ").contains("line 19, left_child: there are more than 5 numbers"));
    assert!(
        broken("leaf_value=", "leaf_value=nan\nx=").contains("leaf_value: there are 1 numbers, and 6 are expected")
    );
    assert!(
        broken("objective=binary", "objective=unheard").contains("the objective 'unheard' is not supported: train")
    );
    assert!(broken("sigmoid:1", "sigmoid:0").contains("a number above 0 is expected after 'sigmoid:'"));
    assert!(broken("sparse time", "sparse").contains("there are 4, and 'max_feature_idx' says 5"));
    assert!(broken("max_feature_idx=4", "max_feature_idx=99999999999").contains("the file has 100000000000 features"));
    assert!(broken("num_class=1", "num_class=0").contains("num_class"));
    assert!(broken("version=v4", "num_class=1\nversion=v4").contains("num_class: the line is there twice"));
    assert!(broken("end of trees", "Tree=9").contains("tree 5: the tree has no 'num_leaves'"));
}

#[test]
fn trees_that_are_none_are_refused() {
    let tree = |left: &str, right: &str, feature: &str| {
        let mut text = String::from("tree\nversion=v4\nnum_class=1\nmax_feature_idx=0\nobjective=regression\n");
        let _ =
            write!(text, "feature_names=a\nfeature_infos=[0:1]\n\nTree=0\nnum_leaves=3\nnum_cat=0\nthreshold=1 2\n");
        let _ = write!(
            text,
            "split_feature={feature}\nleft_child={left}\nright_child={right}\nleaf_value=1 2 3\n\n\nend of trees\n"
        );
        text
    };
    assert!(read(tree("1 -1", "-3 -2", "0 0").as_bytes(), &Limits::default()).is_ok());
    assert!(error(tree("0 -1", "-3 -2", "0 0").as_bytes()).contains("leads back to itself"));
    assert!(error(tree("1 1", "-3 -2", "0 0").as_bytes()).contains("leads back to itself"));
    assert!(error(tree("1 -1", "1 -2", "0 0").as_bytes()).contains("each node has one parent"));
    assert!(error(tree("1 -1", "-9 -2", "0 0").as_bytes()).contains("leaf at 8"));
    assert!(error(tree("1 -1", "-1 -2", "0 0").as_bytes()).contains("leaf 2"));
    assert!(error(tree("1 -1", "-3 -2", "0 1").as_bytes()).contains("node 1 looks at the feature 1, and there are 1"));
}

#[test]
fn places_in_json_are_named() {
    let text = text("xgb_binary_logistic_json");
    let broken = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        error(text.replacen(from, to, 1).as_bytes())
    };
    let at = |error: &str, path: &str, problem: &str| {
        assert!(error.starts_with("XGBoost's JSON, line 1, byte "), "{error}");
        assert!(error.contains(&format!(", {path}: {problem}")), "{error}");
    };
    let children = "learner.gradient_booster.model.trees[0].left_children";
    at(
        &broken("\"left_children\":[1", "\"left_children\":[true,{"),
        &format!("{children}[1]"),
        "a number, a text, true",
    );
    at(
        &broken("\"left_children\":[1", "\"left_children\":[1.5"),
        &format!("{children}[0]"),
        "a whole number is expected, and there is 1.5",
    );
    at(&broken("\"left_children\":[1", "\"left_children\":[1e99"), &format!("{children}[0]"), "a whole number");
    at(
        &broken("\"left_children\":[1", "\"left_children\":[0"),
        "learner.gradient_booster.model.trees[0]",
        "several ways lead to node 0",
    );
    at(
        &broken("\"left_children\":[1", "\"left_children\":[99"),
        "learner.gradient_booster.model.trees[0]",
        "node 0 leads to node 99",
    );
    at(
        &broken("\"left_children\":[1", "\"left_children\":[1,1"),
        "learner.gradient_booster.model.trees[0]",
        "the arrays of the tree are not",
    );
    at(&broken("\"name\":\"gbtree\"", "\"name\":\"other\""), "learner.gradient_booster", "the booster 'other' is none");
    at(
        &broken("\"num_feature\":\"5\",\"num_target\"", "\"num_feature\":\"-5\",\"num_target\""),
        "learner",
        "'feature_names' has 5 entries",
    );
    assert!(broken("\"tree_info\":[0", "\"tree_info\":[1").contains("'tree_info' gives tree 0 to output 1, of 1"));
    assert!(broken("[3,2,0]}", "[3,2,0]} {").contains("the model ends here"));
}

#[test]
fn objectives_and_boosters_that_are_not_known_are_refused_by_name() {
    let text = text("xgb_binary_logistic_json").replace("binary:logistic", "binary:magic");
    assert_eq!(
        error(text.as_bytes()),
        "XGBoost's JSON: the objective 'binary:magic' is not supported: train with one that version 3.2 has"
    );
    let text = self::text("cb_logloss").replace("float_features", "text_features");
    assert!(error(text.as_bytes()).contains("a model with features of text is not supported: make numbers of them"));
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    for name in ["lgb_binary", "xgb_binary_logistic_json", "xgb_binary_logistic_ubj", "cb_ctr"] {
        let bytes = std::fs::read(support::file(&support::models(), name).unwrap()).unwrap();
        // The tail of LightGBM's file is not needed.
        let end = if name.starts_with("lgb") { bytes.len() / 2 } else { bytes.len() - 1 };
        for length in (0..end).step_by(7) {
            assert!(read(&bytes[..length], &Limits::default()).is_err(), "{name}, {length} of {}", bytes.len());
        }
    }
}

#[test]
fn limits_hold() {
    let refused = |name: &str, limits: Limits| {
        let bytes = std::fs::read(support::file(&support::models(), name).unwrap()).unwrap();
        let error = read(&bytes, &limits).unwrap_err();
        assert!(matches!(error, NativeError::TooMany { .. } | NativeError::Malformed { .. }), "{error}");
    };
    let limits = Limits::default;
    for name in ["lgb_pandas", "xgb_pandas_json", "xgb_pandas_ubj", "cb_ctr_multiclass"] {
        refused(name, Limits { bytes: 1000, ..limits() });
        refused(name, Limits { features: 2, ..limits() });
        refused(name, Limits { trees: 1, ..limits() });
        refused(name, Limits { nodes: 8, ..limits() });
        refused(name, Limits { categories: 3, ..limits() });
        if !name.starts_with("lgb") {
            refused(name, Limits { depth: 2, ..limits() });
        }
    }
    refused("lgb_multiclass", Limits { outputs: 2, ..limits() });
    refused("xgb_softprob_json", Limits { outputs: 2, ..limits() });
}

#[test]
fn lengths_that_are_only_said_take_no_memory() {
    let begin = b"{L\0\0\0\0\0\0\0\x07learner{".to_vec();
    for tail in [
        &b"L\0\0\0\0\0\0\0\x0dfeature_names[#L\0\0\0\0\x3b\x9a\xca\0"[..],
        b"L\0\0\0\0\x3b\x9a\xca\0",
        b"L\xff\xff\xff\xff\xff\xff\xff\xff",
        b"L\0\0\0\0\0\0\0\x01x[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"L\0\0\0\0\0\0\0\x01x[$Z#L\0\0\0\0\x3b\x9a\xca\0",
        b"L\0\0\0\0\0\0\0\x01xSL\0\0\0\0\x3b\x9a\xca\0",
    ] {
        let error = error(&[&begin, tail].concat());
        assert!(error.starts_with("XGBoost's UBJ, byte "), "{error}");
    }
    let deep = [b"{\"learner\":".as_slice(), &[b'['; 100_000]].concat();
    assert!(error(&deep).contains("an object is expected"));
    let deep = [b"{\"learner\":{\"x\":".as_slice(), &[b'['; 100_000]].concat();
    assert!(error(&deep).contains("more than 128 deep"));
    assert!(error(b"{\"learner\":{\"x\":1,\"x\":2}}").contains("the key 'x' is there twice"));
}

#[test]
fn a_category_that_is_large_is_bounded() {
    let text = text("xgb_category");
    let begin = text.find("\"categories\":[").unwrap() + "\"categories\":[".len();
    let end = begin + text[begin..].find([',', ']']).unwrap();
    let with = |category: &str| [&text[..begin], category, &text[end..]].concat();
    assert!(read(with("16777215").as_bytes(), &Limits::default()).is_ok());
    assert!(error(with("16777216").as_bytes()).contains("the category 16777216 is not from 0 to 16777215"));
    assert!(read(with("16777215").as_bytes(), &Limits { categories: 100_000, ..Limits::default() }).is_err());
}

static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = support::models();
    support::names(&folder).iter().map(|name| std::fs::read(support::file(&folder, name).unwrap()).unwrap()).collect()
});

/// A change of a file.
#[derive(Debug, Clone)]
enum Change {
    Byte(usize, u8),
    Cut(usize, usize),
    Copy(usize, usize, usize),
    Insert(usize, &'static str),
}

const PIECES: [&str; 14] = [
    "NaN",
    "-1",
    "1e999",
    "99999999999",
    "null",
    "[",
    "{}",
    "\"",
    "\n",
    "0 0",
    "true",
    "2147483648",
    "4294967295",
    "=",
];

fn change() -> impl Strategy<Value = Change> {
    let place = 0..30_000usize;
    prop_oneof![
        (place.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (place.clone(), prop::sample::select(b"0123456789-,]}[{ \n".to_vec()))
            .prop_map(|(at, byte)| Change::Byte(at, byte)),
        (place.clone(), 1..40usize).prop_map(|(at, length)| Change::Cut(at, length)),
        (place.clone(), 1..40usize, place.clone()).prop_map(|(at, length, to)| Change::Copy(at, length, to)),
        (place, prop::sample::select(PIECES.to_vec())).prop_map(|(at, piece)| Change::Insert(at, piece)),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let length = bytes.len().max(1);
        match *change {
            Change::Byte(at, byte) => {
                if let Some(place) = bytes.get_mut(at % length) {
                    *place = byte;
                }
            }
            Change::Cut(at, count) => drop(bytes.drain(at % length..(at % length + count).min(bytes.len()))),
            Change::Copy(at, count, to) => {
                let piece = bytes[at % length..(at % length + count).min(bytes.len())].to_vec();
                let to = to % length;
                bytes.splice(to..to, piece);
            }
            Change::Insert(at, piece) => drop(bytes.splice(at % length..at % length, piece.bytes())),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1000),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_read_runs_however_a_file_was_changed(file in 0..1000usize, changes in prop::collection::vec(change(), 1..4)) {
        let bytes = changed(FILES[file % FILES.len()].clone(), &changes);
        let limits = Limits { nodes: 100_000, categories: 2_000_000, ..Limits::default() };
        match read(&bytes, &limits) {
            Err(error) => prop_assert!(!error.to_string().is_empty()),
            Ok(model) => {
                let width = model.features().len().max(1);
                let options = CompileOptions { selection: Selection::Only(LayoutKind::Walk), ..CompileOptions::default() };
                if let Ok(compiled) = model.compile(&options) {
                    let rows = vec![0.5f64; width * 2];
                    let mut scores = vec![0.0; compiled.outputs() * 2];
                    compiled.predict(&rows, width, &mut scores).expect("sizes that fit");
                }
            }
        }
    }
}
