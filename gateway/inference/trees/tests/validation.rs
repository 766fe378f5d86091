//! What is no ensemble, what cannot be compiled, and which rows cannot be run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

use std::time::Duration;

mod support;

use support::{Random, Size, Style};
use witgate_trees::{
    Aggregate, BaseOrder, Child, Comparison, CompileError, CompileLimits, CompileOptions, Ensemble, LayoutKind, Leaf,
    Limits, Linear, Missing, Model, Node, Parts, Precision, PredictError, Selection, Test, Transform, Tree, Value,
    Vote,
};

fn leaf(value: f64) -> Leaf {
    Leaf { votes: vec![Vote { target: 0, value: Value::Constant(value) }] }
}

fn node(id: i64, yes: Child, no: Child) -> Node {
    let test = Test::Compare { comparison: Comparison::AtMost, threshold: 0.5 };
    Node { id, feature: 0, test, missing: Missing::Nothing, yes, no }
}

/// A tree with two nodes.
fn parts() -> Parts {
    let nodes = vec![node(10, Child::Node(1), Child::Leaf(2)), node(11, Child::Leaf(0), Child::Leaf(1))];
    let leaves = vec![leaf(1.0), leaf(2.0), leaf(3.0)];
    Parts {
        features: 2,
        targets: 1,
        trees: vec![Tree { id: 7, root: Child::Node(0), nodes, leaves, weight: 1.0 }],
        thresholds: Precision::F32,
        scores: Precision::F32,
        aggregate: Aggregate::Sum,
        base: vec![],
        base_order: BaseOrder::AfterTrees,
        transform: Transform::None,
    }
}

fn refused(change: fn(&mut Parts)) -> String {
    let mut parts = parts();
    change(&mut parts);
    Ensemble::new(parts, &Limits::default()).unwrap_err().to_string()
}

fn linear(feature: u32, coefficient: f64) -> Value {
    Value::Linear(Box::new(Linear { intercept: 0.0, terms: vec![(feature, coefficient)], otherwise: 0.0 }))
}

/// A change, and what is said about it.
type Case = (fn(&mut Parts), &'static str);

#[test]
fn parts_that_make_no_ensemble_are_refused_with_their_place() {
    let cases: [Case; 21] = [
        (|it| it.trees.clear(), "the ensemble has no trees: it needs at least one"),
        (|it| it.targets = 0, "the ensemble has no targets: it needs at least one"),
        (
            |it| it.trees[0].nodes[1].yes = Child::Node(0),
            "the node 10 of the tree 7 leads back to itself: trees have no cycles",
        ),
        (
            |it| it.trees[0].nodes[1].no = Child::Node(1),
            "the node 11 of the tree 7 leads back to itself: trees have no cycles",
        ),
        (
            |it| it.trees[0].nodes[0].no = Child::Node(1),
            "several nodes of the tree 7 lead to the node 11: in a tree each node has one parent",
        ),
        (|it| it.trees[0].root = Child::Node(1), "no way leads from the root of the tree 7 to its node 10"),
        (|it| it.trees[0].nodes[0].no = Child::Leaf(1), "no way leads from the root of the tree 7 to its leaf 2"),
        (
            |it| it.trees[0].nodes[1].no = Child::Node(9),
            "the node 11 of the tree 7 leads to the node at 9, and the tree has only 2 of them",
        ),
        (
            |it| it.trees[0].root = Child::Leaf(3),
            "the root of the tree 7 leads to the leaf at 3, and the tree has only 3 of them",
        ),
        (
            |it| it.trees[0].nodes[1].feature = 2,
            "the node 11 of the tree 7 tests the feature 2, and rows have 2 (0 to 1)",
        ),
        (
            |it| it.trees[0].leaves[1].votes[0].target = 1,
            "the leaf 1 of the tree 7 votes for the target 1, and there are 1 (0 to 0)",
        ),
        (
            |it| it.trees[0].nodes[0].test = Test::Compare { comparison: Comparison::Below, threshold: 0.1 },
            "the threshold of the node 10 of the tree 7 is 0.1, which is no number of the type f32",
        ),
        (
            |it| it.trees[0].nodes[0].test = Test::Member([1.0, 0.3].into()),
            "a member of the set of the node 10 of the tree 7 is 0.3, which is no number of the type f32",
        ),
        (
            |it| it.trees[0].leaves[2] = leaf(0.7),
            "a vote of the leaf 2 of the tree 7 is 0.7, which is no number of the type f32",
        ),
        (
            |it| it.trees[0].leaves[2] = leaf(f64::NAN),
            "a vote of the leaf 2 of the tree 7 is NaN: it has to be a number",
        ),
        (
            |it| it.trees[0].leaves[0].votes[0].value = linear(0, f64::NAN),
            "a vote of the leaf 0 of the tree 7 is NaN: it has to be a number",
        ),
        (
            |it| it.trees[0].leaves[0].votes[0].value = linear(5, 1.0),
            "the leaf 0 of the tree 7 is linear in the feature 5, and rows have 2",
        ),
        (|it| it.trees[0].weight = f64::INFINITY, "the weight of the tree 7 is inf: it has to be a finite number"),
        (|it| it.base = vec![1.0, 2.0], "base values: got 2, and there have to be none or 1, one for each target"),
        (|it| it.base = vec![f64::NAN], "the base value 0 is NaN: it has to be a finite number of the type f32"),
        (
            |it| (it.base, it.base_order, it.aggregate) = (vec![1.0], BaseOrder::BeforeTrees, Aggregate::Average),
            "base values can only come before the trees if votes are summed up",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(refused(change), expected);
    }
}

#[test]
fn everything_that_grows_has_a_limit() {
    let with = |limits: Limits| Ensemble::new(parts(), &limits).unwrap_err().to_string();
    let limits = Limits::default;
    assert_eq!(with(Limits { trees: 0, ..limits() }), "the ensemble has 1 trees, and at most 0 are taken");
    assert_eq!(with(Limits { nodes: 4, ..limits() }), "the ensemble has 5 nodes and leaves, and at most 4 are taken");
    assert_eq!(
        with(Limits { values: 2, ..limits() }),
        "the ensemble has 3 votes, set members and linear terms, and at most 2 are taken"
    );
    assert_eq!(with(Limits { features: 1, ..limits() }), "the ensemble has 2 features, and at most 1 are taken");
    assert_eq!(with(Limits { targets: 0, ..limits() }), "the ensemble has 1 targets, and at most 0 are taken");
    assert_eq!(with(Limits { depth: 1, ..limits() }), "the tree 7 is deeper than 1 nodes");
    assert!(Ensemble::new(parts(), &Limits { depth: 2, nodes: 5, values: 3, ..limits() }).is_ok());
}

#[test]
fn a_tree_that_is_one_long_chain_is_walked_without_recursion() {
    let count = 4096;
    let nodes = (0..count).map(|id| {
        let no = if id + 1 < count { Child::Node(id + 1) } else { Child::Leaf(count) };
        node(id.into(), Child::Leaf(id), no)
    });
    let leaves = (0..=count).map(|_| leaf(1.0)).collect();
    let tree = Tree { id: 0, root: Child::Node(0), nodes: nodes.collect(), leaves, weight: 1.0 };
    let ensemble = Ensemble::new(Parts { trees: vec![tree], ..parts() }, &Limits::default()).unwrap();
    let model = Model::compile(&ensemble, &CompileOptions::default()).unwrap();
    let mut score = [0.0f32];
    model.predict(&[9.0f32, 0.0], 2, &mut score).unwrap();
    assert_eq!(score, [1.0]);
}

fn compile(kind: LayoutKind, limits: CompileLimits) -> Result<Model, CompileError> {
    let mut random = Random(1);
    let ensemble = Ensemble::new(support::boosted(&mut random, 100, 31, 10), &Limits::default()).unwrap();
    Model::compile(&ensemble, &CompileOptions { rows: None, selection: Selection::Only(kind), limits })
}

#[test]
fn code_that_is_too_large_or_takes_too_long_is_an_error() {
    let error = compile(LayoutKind::Branches, CompileLimits { code: 9000, ..CompileLimits::default() }).unwrap_err();
    assert!(matches!(error, CompileError::CodeSize { total: 100, limit: 9000, .. }), "{error}");
    let time = Duration::ZERO;
    let error = compile(LayoutKind::Branches, CompileLimits { time, ..CompileLimits::default() }).unwrap_err();
    assert!(matches!(error, CompileError::CodeTime { total: 100, .. }), "{error}");
    let error = compile(LayoutKind::Walk, CompileLimits { tables: 1000, ..CompileLimits::default() }).unwrap_err();
    assert!(matches!(error, CompileError::Tables { limit: 1000, .. }), "{error}");
}

#[test]
fn what_does_not_fit_is_left_to_another_layout() {
    let limits = CompileLimits { code: 100, ..CompileLimits::default() };
    let mut random = Random(2);
    let ensemble = Ensemble::new(support::boosted(&mut random, 20, 90, 10), &Limits::default()).unwrap();
    for selection in [Selection::default(), Selection::Rules] {
        let options = CompileOptions { rows: None, selection, limits: limits.clone() };
        let model = Model::compile(&ensemble, &options).unwrap();
        for layout in [model.report().one, model.report().many] {
            assert!(matches!(layout, LayoutKind::Walk | LayoutKind::WalkBytes | LayoutKind::WalkAvx512), "{layout:?}");
        }
    }
    let options = CompileOptions { selection: Selection::Only(LayoutKind::MasksCompiled), ..CompileOptions::default() };
    assert_eq!(
        Model::compile(&ensemble, &options).unwrap_err().to_string(),
        "the ensemble does not go into the layout `masks (compiled)`: a tree has 90 leaves, and masks have 64 bits"
    );
}

#[test]
fn rules_choose_the_same_each_time_and_measuring_says_what_it_saw() {
    let mut random = Random(3);
    let ensemble = Ensemble::new(support::boosted(&mut random, 200, 31, 30), &Limits::default()).unwrap();
    let by = |selection| {
        let options = CompileOptions { selection, ..CompileOptions::default() };
        Model::compile(&ensemble, &options).unwrap().report().clone()
    };
    let rules = by(Selection::Rules);
    assert_eq!(rules, by(Selection::Rules));
    assert!(rules.candidates.is_empty() && rules.bytes > 50_000, "{rules:?}");
    let measured = by(Selection::default());
    assert_eq!(measured.candidates.len(), LayoutKind::ALL.len());
}

#[test]
fn rows_that_do_not_fit_are_refused_and_nothing_is_written() {
    let ensemble = Ensemble::new(parts(), &Limits::default()).unwrap();
    let model = Model::compile(&ensemble, &CompileOptions::default()).unwrap();
    let mut out = [7.0f32; 2];
    let cases = [
        (model.predict(&[0.0f32; 4], 1, &mut out), PredictError::Width { got: 1, expected: 2 }),
        (model.predict(&[0.0f32; 4], 0, &mut out), PredictError::Width { got: 0, expected: 2 }),
        (model.predict(&[0.0f32; 5], 2, &mut out), PredictError::Rows { got: 5, width: 2 }),
        (model.predict(&[0.0f32; 6], 2, &mut out), PredictError::Room { got: 2, rows: 3, targets: 1, expected: 3 }),
    ];
    for (got, expected) in cases {
        assert_eq!(got, Err(expected));
    }
    assert_eq!(out, [7.0; 2]);
    assert_eq!(model.predict::<f32, f32>(&[], 2, &mut []), Ok(()));

    let double = Ensemble::new(Parts { thresholds: Precision::F64, ..parts() }, &Limits::default()).unwrap();
    let options = CompileOptions { rows: Some(Precision::F32), ..CompileOptions::default() };
    let model = Model::compile(&double, &options).unwrap();
    assert_eq!(model.predict(&[0.0f64; 4], 2, &mut out), Err(PredictError::Wider));
    assert_eq!(model.predict(&[0.0f32; 4], 2, &mut out), Ok(()));
    let options = CompileOptions { rows: Some(Precision::F64), ..CompileOptions::default() };
    assert!(matches!(Model::compile(&ensemble, &options), Err(CompileError::Rows)));
}

#[test]
fn random_parts_are_ensembles() {
    let size = Size { trees: 9, leaves: 40, features: 5, targets: 3, thresholds: 9 };
    for seed in 0..200 {
        let parts = support::parts(&mut Random(seed), size, Style::Anything);
        Ensemble::new(parts, &Limits::default()).unwrap();
    }
}
