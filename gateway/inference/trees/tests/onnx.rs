//! Ensembles from attributes of ONNX's operators. Expected values are those of the `onnx` package 1.23: its cases for
//! backends (`test_ai_onnx_ml_tree_ensemble_…`), and what its reference implementation computes.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![allow(clippy::approx_constant, clippy::excessive_precision, reason = "numbers are as the package has them")]

use witgate_trees::onnx::{
    AttributeError, Classifier, ClassifierAttributes, Floats, Input, InputRows, Labels, NodeAttributes,
    RegressorAttributes, TreeEnsembleAttributes, VoteAttributes,
};
use witgate_trees::{
    CompileError, CompileOptions, Element, Ensemble, EnsembleError, LayoutKind, Limits, Model, Precision, Score,
    Selection, reference,
};

const NAN: f32 = f32::NAN;

fn rows(input: Input) -> InputRows {
    InputRows { input, features: None }
}

/// Runs rows by the definition and in each layout, one row at a time and together.
fn check<X: Element, Y: Score>(ensemble: &Ensemble, rows: &[X], expected: &[Y]) {
    let width = ensemble.parts().features;
    let mut got = vec![Y::default(); expected.len()];
    reference::predict(ensemble, rows, width, &mut got).unwrap();
    assert_eq!(got, expected, "definition");
    for kind in LayoutKind::ALL {
        let options = CompileOptions { selection: Selection::Only(kind), ..CompileOptions::default() };
        let model = match Model::compile(ensemble, &options) {
            Err(CompileError::Layout { .. }) => continue,
            model => model.unwrap(),
        };
        got.fill(Y::LARGEST);
        model.predict(rows, width, &mut got).unwrap();
        assert_eq!(got, expected, "{kind:?}");
    }
}

fn single_tree() -> TreeEnsembleAttributes {
    TreeEnsembleAttributes {
        aggregate_function: 1,
        post_transform: 0,
        targets: 2,
        tree_roots: vec![0],
        nodes_modes: vec![0, 0, 0],
        nodes_featureids: vec![0, 0, 0],
        nodes_splits: Floats::F64(vec![3.14, 1.2, 4.2]),
        nodes_truenodeids: vec![1, 0, 1],
        nodes_trueleafs: vec![0, 1, 1],
        nodes_falsenodeids: vec![2, 2, 3],
        nodes_falseleafs: vec![0, 1, 1],
        nodes_missing_value_tracks_true: vec![],
        leaf_targetids: vec![0, 1, 0, 1],
        leaf_weights: Floats::F64(vec![5.23, 12.12, -12.23, 7.21]),
        membership_values: Floats::default(),
    }
}

fn set_membership() -> TreeEnsembleAttributes {
    TreeEnsembleAttributes {
        targets: 4,
        nodes_modes: vec![0, 6, 6],
        nodes_splits: Floats::F32(vec![11.0, 232_344.0, NAN]),
        nodes_trueleafs: vec![0, 1, 1],
        nodes_truenodeids: vec![1, 0, 1],
        nodes_falseleafs: vec![1, 0, 1],
        nodes_falsenodeids: vec![2, 2, 3],
        leaf_targetids: vec![0, 1, 2, 3],
        leaf_weights: Floats::F32(vec![1.0, 10.0, 1000.0, 100.0]),
        membership_values: Floats::F32(vec![1.2, 3.7, 8.0, 9.0, NAN, 12.0, 7.0, NAN]),
        ..single_tree()
    }
}

#[test]
fn the_backend_case_of_a_single_tree_gives_its_output() {
    let input = InputRows { input: Input::F64, features: Some(2) };
    let ensemble = single_tree().ensemble(input, &Limits::default()).unwrap();
    assert_eq!(ensemble.parts().scores, Precision::F64);
    check(&ensemble, &[1.2, 3.4, -0.12, 1.66, 4.14, 1.77], &[5.23, 0.0, 5.23, 0.0, 0.0, 12.12]);
}

#[test]
fn the_backend_case_of_set_membership_gives_its_output() {
    let ensemble = set_membership().ensemble(rows(Input::F32), &Limits::default()).unwrap();
    let expected = [
        [1.0f32, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 100.0],
        [0.0, 0.0, 0.0, 100.0],
        [0.0, 0.0, 1000.0, 0.0],
        [0.0, 0.0, 1000.0, 0.0],
        [0.0, 10.0, 0.0, 0.0],
    ];
    check(&ensemble, &[1.2f32, 3.4, -0.12, NAN, 12.0, 7.0], expected.as_flattened());
}

#[test]
fn a_tree_of_version_5_may_be_a_leaf() {
    let attributes = TreeEnsembleAttributes {
        targets: 1,
        tree_roots: vec![0],
        nodes_modes: vec![0],
        nodes_featureids: vec![0],
        nodes_splits: Floats::F32(vec![0.0]),
        nodes_truenodeids: vec![0],
        nodes_trueleafs: vec![1],
        nodes_falsenodeids: vec![0],
        nodes_falseleafs: vec![1],
        leaf_targetids: vec![0],
        leaf_weights: Floats::F32(vec![2.5]),
        ..single_tree()
    };
    let ensemble = attributes.ensemble(rows(Input::F32), &Limits::default()).unwrap();
    check(&ensemble, &[1.0f32, NAN], &[2.5f32, 2.5]);
}

#[test]
fn zero_can_be_a_member() {
    let attributes =
        TreeEnsembleAttributes { membership_values: Floats::F32(vec![0.0, 3.0, NAN, NAN]), ..set_membership() };
    let ensemble = attributes.ensemble(rows(Input::F32), &Limits::default()).unwrap();
    check(&ensemble, &[-0.0f32, 1.0], &[1.0f32, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 100.0]);
}

/// Two trees with every mode.
fn nodes() -> NodeAttributes {
    let modes = |modes: [&str; 3]| modes.into_iter().chain(["LEAF"; 4]).map(str::to_owned).collect::<Vec<_>>();
    let first = modes(["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE"]);
    let second = modes(["BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]);
    NodeAttributes {
        tree_ids: [[0; 7], [1; 7]].concat(),
        node_ids: (0..7).chain(0..7).collect(),
        feature_ids: vec![0, 1, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0],
        modes: [first, second].concat(),
        values: Floats::F32(vec![0.5, -1.0, 2.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.25, 3.0, 0.0, 0.0, 0.0, 0.0]),
        true_node_ids: [1, 3, 5, 0, 0, 0, 0].repeat(2),
        false_node_ids: [2, 4, 6, 0, 0, 0, 0].repeat(2),
        missing_value_tracks_true: vec![1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
    }
}

fn votes(ids: [i64; 8]) -> VoteAttributes {
    VoteAttributes {
        tree_ids: [[0; 4], [1; 4]].concat(),
        node_ids: (3..7).chain(3..7).collect(),
        ids: ids.to_vec(),
        weights: Floats::F32(vec![0.1, -0.7, 1.3, 2.9, 0.3, 0.25, -1.1, 5.5]),
    }
}

const ROWS: [f32; 18] =
    [0.5, -2.0, 3.0, 0.6, -1.0, 2.0, NAN, 5.0, NAN, 3.0, 0.0, 0.25, -1e30, 1e30, -0.0, 2.0, -1.0, 1.999_999_9];

fn regressor(aggregate: &str) -> RegressorAttributes {
    RegressorAttributes {
        nodes: nodes(),
        votes: votes([0; 8]),
        targets: 1,
        aggregate_function: aggregate.to_owned(),
        post_transform: String::new(),
        base_values: Floats::F32(vec![0.3]),
    }
}

#[test]
fn regressors_give_the_scores_of_the_reference_implementation() {
    let expected = [
        ("SUM", [-0.699_999_99f32, 0.499_999_94, -0.099_999_964, 3.5, -0.149_999_98, 2.100_000_1]),
        ("AVERAGE", [-0.199_999_99, 0.399_999_98, 0.100_000_024, 1.900_000_1, 0.075_000_02, 1.200_000_05]),
        ("MIN", [-0.8, -0.8, -0.399_999_98, 0.6, -0.399_999_98, -0.8]),
        ("MAX", [0.4, 1.599_999_9, 0.6, 3.2, 0.55, 3.2]),
    ];
    for (aggregate, expected) in expected {
        let ensemble = regressor(aggregate).ensemble(rows(Input::F32), &Limits::default()).unwrap();
        check(&ensemble, &ROWS, &expected);
    }
    let attributes = RegressorAttributes {
        votes: votes([0, 1, 0, 1, 1, 0, 1, 0]),
        targets: 2,
        base_values: Floats::default(),
        ..regressor("")
    };
    let ensemble = attributes.ensemble(rows(Input::F32), &Limits::default()).unwrap();
    let expected = [[0.1f32, -1.1], [1.3, -1.1], [0.0, -0.399_999_98], [0.0, 3.2], [0.25, -0.7], [0.0, 1.800_000_1]];
    check(&ensemble, &ROWS, expected.as_flattened());
}

#[test]
fn integers_are_compared_as_floats_and_doubles_as_doubles() {
    let with = |threshold, values: fn(f64) -> Floats, input| {
        let nodes = NodeAttributes {
            tree_ids: vec![0; 3],
            node_ids: vec![0, 1, 2],
            feature_ids: vec![0; 3],
            modes: ["BRANCH_LEQ", "LEAF", "LEAF"].map(str::to_owned).to_vec(),
            values: match values(threshold) {
                Floats::F32(numbers) => Floats::F32([numbers, vec![0.0; 2]].concat()),
                Floats::F64(numbers) => Floats::F64([numbers, vec![0.0; 2]].concat()),
            },
            true_node_ids: vec![1, 0, 0],
            false_node_ids: vec![2, 0, 0],
            missing_value_tracks_true: vec![],
        };
        let votes = VoteAttributes {
            tree_ids: vec![0; 2],
            node_ids: vec![1, 2],
            ids: vec![0; 2],
            weights: Floats::F32(vec![1.0, 2.0]),
        };
        let attributes =
            RegressorAttributes { nodes, votes, base_values: Floats::default(), targets: 1, ..regressor("SUM") };
        attributes.ensemble(rows(input), &Limits::default()).unwrap()
    };
    let single = |number: f64| Floats::F32(vec![number as f32]);
    let double = |number: f64| Floats::F64(vec![number]);
    // 2^24 + 1 is no float, and becomes 2^24.
    check(&with(16_777_216.0, single, Input::I64), &[16_777_216i64, 16_777_217, 16_777_218], &[1.0f32, 1.0, 2.0]);
    check(&with(16_777_216.0, single, Input::I32), &[16_777_217i32, i32::MIN], &[1.0f32, 1.0]);
    check(&with(0.1, single, Input::F64), &[0.1f64, 0.100_000_001_5], &[1.0f64, 2.0]);
    check(&with(0.1, double, Input::F32), &[0.1f32, 0.099_999_994], &[2.0f32, 1.0]);
}

#[test]
fn nan_is_unequal_to_every_threshold() {
    let ensemble = regressor("SUM").ensemble(rows(Input::F32), &Limits::default()).unwrap();
    // The second tree comes to NEQ, whose true branch has -1.1.
    check(&ensemble, &[NAN, NAN, NAN], &[0.0 + -0.7 + -1.1f32 + 0.3]);
}

fn classifier(ids: [i64; 8], labels: Labels, transform: &str, base: &[f32]) -> Classifier {
    classifier_of(votes(ids), labels, transform, base)
}

fn classifier_of(votes: VoteAttributes, labels: Labels, transform: &str, base: &[f32]) -> Classifier {
    let attributes = classifier_attributes(votes, labels, transform, base);
    attributes.classifier(rows(Input::F32), &Limits::default()).unwrap()
}

fn classifier_attributes(votes: VoteAttributes, labels: Labels, transform: &str, base: &[f32]) -> ClassifierAttributes {
    ClassifierAttributes {
        nodes: nodes(),
        votes,
        labels,
        post_transform: transform.to_owned(),
        base_values: Floats::F32(base.to_vec()),
    }
}

/// Classes are those expected, and scores, too, but for the last bits of the exponential.
fn check_classes(classifier: &Classifier, classes: [u32; 6], expected: &[f32]) {
    let model = classifier.compile(&CompileOptions::default()).unwrap();
    let (mut got, mut scores) = ([9; 6], vec![NAN; expected.len()]);
    classifier.predict(&model, &ROWS, 3, &mut got, &mut scores).unwrap();
    assert_eq!(got, classes);
    for (score, expected) in scores.iter().zip(expected) {
        assert!((score - expected).abs() <= 2e-6 * expected.abs().max(1.0), "{scores:?} {expected}");
    }
    let (mut again, mut same) = ([9; 6], vec![NAN; expected.len()]);
    classifier.reference(&ROWS, 3, &mut again, &mut same).unwrap();
    assert_eq!((again, same), (got, scores));
}

#[test]
fn classifiers_give_the_classes_and_scores_of_the_reference_implementation() {
    let texts = || Labels::Texts(["a", "b", "c"].map(str::to_owned).to_vec());
    let softmax = [
        0.171_635_94,
        0.515_622_9,
        0.312_741_13,
        0.085_403_12,
        0.283_548_36,
        0.631_048_44,
        0.414_741_87,
        0.307_248_32,
        0.278_009_77,
        0.893_680_5,
        0.073_357_77,
        0.032_961_77,
        0.415_020_47,
        0.227_768_06,
        0.357_211_38,
        0.773_104_25,
        0.141_233_41,
        0.085_662_395,
    ];
    let none = [
        -0.900_000_04,
        0.2,
        -0.3,
        -1.0,
        0.2,
        0.999_999_94,
        0.1,
        -0.199_999_99,
        -0.3,
        3.0,
        0.5,
        -0.3,
        0.1,
        -0.5,
        -0.050_000_012,
        1.9,
        0.2,
        -0.3,
    ];
    let logistic = [
        0.289_050_5,
        0.549_834,
        0.425_557_5,
        0.268_941_43,
        0.549_834,
        0.731_058_54,
        0.524_979_2,
        0.450_166_02,
        0.425_557_5,
        0.952_574_13,
        0.622_459_35,
        0.425_557_5,
        0.524_979_2,
        0.377_540_68,
        0.487_502_6,
        0.869_891_5,
        0.549_834,
        0.425_557_5,
    ];
    let classes = [1, 2, 0, 0, 0, 0];
    for (transform, scores) in [("NONE", none), ("SOFTMAX", softmax), ("LOGISTIC", logistic), ("SOFTMAX_ZERO", softmax)]
    {
        let classifier = classifier([0, 1, 2, 0, 1, 2, 0, 1], texts(), transform, &[0.1, 0.2, -0.3]);
        assert_eq!(*classifier.labels(), texts());
        check_classes(&classifier, classes, &scores);
    }
}

#[test]
fn classifiers_that_vote_for_one_class_are_binary() {
    let labels = || Labels::Integers(vec![10, 20]);
    // Margins, as one of them is negative: 0 is where the classes are equal.
    let none = [
        1.0,
        -1.0,
        -0.199_999_93,
        0.199_999_93,
        0.4,
        -0.4,
        -3.2,
        3.2,
        0.449_999_99,
        -0.449_999_99,
        -1.800_000_1,
        1.800_000_1,
    ];
    check_classes(&classifier([0; 8], labels(), "", &[]), [0, 1, 0, 1, 0, 1], &none);
    // Shares, as none of them is.
    let weights = Floats::F32(vec![0.02, 0.14, 0.26, 0.58, 0.06, 0.05, 0.22, 1.1]);
    let shares = classifier_of(VoteAttributes { weights, ..votes([0; 8]) }, labels(), "", &[]);
    let both = [0.76, 0.24, 0.52, 0.48, 0.8, 0.2, 0.36, 0.64, 0.81, 0.19, 0.2, 0.8];
    check_classes(&shares, [0, 0, 0, 1, 0, 1], &both);
    let logistic = [
        0.731_058_6,
        0.268_941_43,
        0.450_166_02,
        0.549_833_95,
        0.598_687_65,
        0.401_312_35,
        0.039_165_72,
        0.960_834_26,
        0.610_639_2,
        0.389_360_76,
        0.141_851_05,
        0.858_148_93,
    ];
    check_classes(&classifier([0; 8], labels(), "LOGISTIC", &[]), [0, 1, 0, 1, 0, 1], &logistic);
    let softmax = [
        0.880_797,
        0.119_202_92,
        0.401_312_38,
        0.598_687_65,
        0.689_974_43,
        0.310_025_5,
        0.001_658_800_9,
        0.998_341_2,
        0.710_949_5,
        0.289_050_52,
        0.026_596_99,
        0.973_403,
    ];
    check_classes(&classifier([0; 8], labels(), "SOFTMAX", &[]), [0, 1, 0, 1, 0, 1], &softmax);
    // A single label is 1, and its opposite 0.
    let single = classifier([0; 8], Labels::Integers(vec![1]), "LOGISTIC", &[]);
    assert_eq!(*single.labels(), Labels::Integers(vec![0, 1]));
    check_classes(&single, [0, 1, 0, 1, 0, 1], &logistic);
}

/// Puts classes and scores of the rows to where there is room for them.
type Predict<'a> = dyn Fn(&Classifier, &mut [u32; 6], &mut [f32; 12]) + 'a;

#[test]
fn votes_for_doubles_are_added_in_double() {
    // In float their sum is 0.5.
    let weights = Floats::F32([[0.5; 4], [1e-9; 4]].concat());
    let votes = VoteAttributes { weights, ..votes([0; 8]) };
    let attributes = classifier_attributes(votes, Labels::Integers(vec![10, 20]), "", &[]);
    let classes = |input, predict: &Predict<'_>| {
        let classifier = attributes.classifier(rows(input), &Limits::default()).unwrap();
        let (mut classes, mut scores) = ([9; 6], [NAN; 12]);
        predict(&classifier, &mut classes, &mut scores);
        classes
    };
    let doubles = ROWS.map(f64::from);
    let compiled = |classifier: &Classifier| classifier.compile(&CompileOptions::default()).unwrap();
    let of_floats = classes(Input::F32, &|it, classes, scores| {
        it.predict(&compiled(it), &ROWS, 3, classes, scores).unwrap();
    });
    let of_doubles = classes(Input::F64, &|it, classes, scores| {
        it.predict(&compiled(it), &doubles, 3, classes, scores).unwrap();
    });
    assert_eq!((of_floats, of_doubles), ([0; 6], [1; 6]));
}

fn refused(change: impl FnOnce(&mut RegressorAttributes)) -> String {
    let mut attributes = regressor("SUM");
    change(&mut attributes);
    attributes.ensemble(rows(Input::F32), &Limits::default()).unwrap_err().to_string()
}

#[test]
fn attributes_that_do_not_go_together_are_named() {
    let cases = [
        (
            refused(|it| it.nodes.modes.truncate(3)),
            "`nodes_modes` has 3 elements, and `nodes_treeids` has 14: they belong together one by one",
        ),
        (refused(|it| it.nodes = NodeAttributes::default()), "`nodes_treeids` is missing or empty"),
        (
            refused(|it| it.nodes.modes[1] = "BRANCH_MEMBER".to_owned()),
            "`nodes_modes` has `BRANCH_MEMBER` at 1: expected one of BRANCH_LEQ, BRANCH_LT, BRANCH_GTE, BRANCH_GT, \
             BRANCH_EQ, BRANCH_NEQ and LEAF",
        ),
        (refused(|it| it.nodes.node_ids[4] = 3), "the node 3 of the tree 0 is there twice"),
        (
            refused(|it| it.nodes.true_node_ids[1] = 99),
            "the true branch of the node 1 of the tree 0 leads to the node 99, which is not there",
        ),
        (
            refused(|it| it.nodes.true_node_ids[1] = 0),
            "the node 0 of the tree 0 leads back to itself: trees have no cycles",
        ),
        (
            refused(|it| it.nodes.true_node_ids[1] = 2),
            "several nodes of the tree 0 lead to the node 2: in a tree each node has one parent",
        ),
        (refused(|it| it.nodes.true_node_ids[1] = 4), "no way leads from the root of the tree 0 to its leaf 0"),
        (
            refused(|it| it.nodes.feature_ids[2] = -1),
            "`nodes_featureids` has -1 at 2: expected a number from 0 to 4294967295",
        ),
        (
            refused(|it| it.votes.node_ids[5] = 70),
            "the vote 5 belongs to the node 70 of the tree 1, which is not there",
        ),
        (refused(|it| it.votes.node_ids[5] = 1), "the vote 5 belongs to the node 1 of the tree 1, which is no leaf"),
        (
            refused(|it| it.votes.ids[0] = 1),
            "the leaf 3 of the tree 0 votes for the target 1, and there are 1 (0 to 0)",
        ),
        (
            refused(|it| it.votes.ids[0] = -1),
            "the leaf 3 of the tree 0 votes for the target -1, and there are 1 (0 to 0)",
        ),
        (refused(|it| it.targets = 0), "`n_targets` is 0: expected at least 1"),
        (
            refused(|it| it.aggregate_function = "MEAN".to_owned()),
            "`aggregate_function` is MEAN: expected SUM, AVERAGE, MIN or MAX",
        ),
        (
            refused(|it| it.post_transform = "EXP".to_owned()),
            "`post_transform` is EXP: expected NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT",
        ),
        (
            refused(|it| it.base_values = Floats::F32(vec![1.0, 2.0])),
            "base values: got 2, and there have to be none or 1, one for each target",
        ),
    ];
    for (got, expected) in cases {
        assert_eq!(got, expected);
    }
    let few = InputRows { input: Input::F32, features: Some(2) };
    let error = regressor("SUM").ensemble(few, &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "the node 2 of the tree 0 tests the feature 2, and rows have 2 (0 to 1)");
}

/// A change, and what is said about it.
type Case = (fn(&mut TreeEnsembleAttributes), &'static str);

#[test]
fn attributes_of_version_5_that_do_not_go_together_are_named() {
    let refused = |change: fn(&mut TreeEnsembleAttributes)| {
        let mut attributes = set_membership();
        change(&mut attributes);
        attributes.ensemble(rows(Input::F32), &Limits::default()).unwrap_err()
    };
    let cases: [Case; 9] = [
        (|it| it.tree_roots = vec![3], "`tree_roots` has 3 at 0: expected the index of a node"),
        (|it| it.tree_roots = vec![], "`tree_roots` is missing or empty"),
        (
            |it| it.nodes_modes[1] = 7,
            "`membership_values` has 2 sets, each of which ends with NaN, and 1 nodes test for members",
        ),
        (
            |it| it.nodes_modes[0] = 9,
            "`nodes_modes` has 9 at 0: expected one of 0 (<=), 1 (<), 2 (>=), 3 (>), 4 (==), 5 (!=) and 6 (member)",
        ),
        (|it| it.nodes_truenodeids[1] = 4, "`nodes_truenodeids` has 4 at 1: expected the index of a leaf"),
        (|it| it.nodes_falsenodeids[1] = -2, "`nodes_falsenodeids` has -2 at 1: expected the index of a node"),
        (|it| it.tree_roots = vec![1, 0], "the node 1 is part of several trees: in trees each node has one parent"),
        (|it| it.tree_roots = vec![2], "no tree has the node 0"),
        (
            |it| it.aggregate_function = 4,
            "`aggregate_function` is 4: expected 0 (average), 1 (sum), 2 (minimum) or 3 (maximum)",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(refused(change).to_string(), expected);
    }
    assert!(matches!(
        refused(|it| (it.nodes_trueleafs[2], it.nodes_truenodeids[2]) = (0, 0)),
        EnsembleError::Cycle { tree: 0, node: 0 }
    ));
    assert!(matches!(
        refused(|it| it.leaf_weights = Floats::F32(vec![1.0])),
        EnsembleError::Attributes(AttributeError::Length { name: "leaf_weights", got: 1, .. })
    ));
}

#[test]
fn labels_that_name_no_classes_are_refused() {
    let refused = |labels| {
        let attributes = ClassifierAttributes {
            nodes: nodes(),
            votes: votes([0; 8]),
            labels,
            post_transform: String::new(),
            base_values: Floats::default(),
        };
        attributes.classifier(rows(Input::F32), &Limits::default()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(Labels::Integers(vec![5])),
        "the class labels are [5]: expected two or more, or the integer 1 alone"
    );
    assert_eq!(refused(Labels::Texts(vec![])), "`classlabels_…` is missing or empty");
}
