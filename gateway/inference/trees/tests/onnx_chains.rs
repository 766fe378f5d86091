//! Categorical splits of LightGBM as OnnxMLTools 1.16 writes them for `TreeEnsembleClassifier` and `TreeEnsembleRegressor`:
//! a node for each category, all of which lead to the same one.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use witgate_trees::onnx::{Floats, Input, InputRows, NodeAttributes, RegressorAttributes, VoteAttributes};
use witgate_trees::{
    CompileError, CompileOptions, Ensemble, EnsembleError, LayoutKind, Limits, Model, Selection, Test, reference,
};

const NAN: f32 = f32::NAN;

/// A row of the table: mode, feature, number, yes, no.
type Row = (&'static str, i64, f32, i64, i64);

const LEAF: Row = ("LEAF", 0, 0.0, 0, 0);

/// Is the first number 2, 5 or 7, the second decides between 10 and 20; otherwise it is 30.
const CHAIN: [Row; 7] = [
    ("BRANCH_EQ", 0, 2.0, 3, 1),
    ("BRANCH_EQ", 0, 5.0, 3, 2),
    ("BRANCH_EQ", 0, 7.0, 3, 6),
    ("BRANCH_LEQ", 1, 0.5, 4, 5),
    LEAF,
    LEAF,
    LEAF,
];

/// The same below another node, and its head last.
const HEAD_LAST: [Row; 9] = [
    ("BRANCH_LEQ", 1, 1e9, 8, 7),
    ("BRANCH_EQ", 0, 5.0, 3, 2),
    ("BRANCH_EQ", 0, 7.0, 3, 6),
    ("BRANCH_LEQ", 1, 0.5, 4, 5),
    LEAF,
    LEAF,
    LEAF,
    LEAF,
    ("BRANCH_EQ", 0, 2.0, 3, 1),
];

/// Leaves vote for ten, twenty and so on, in their order.
fn ensemble(table: &[Row], tracks_true: &[i64]) -> Result<Ensemble, EnsembleError> {
    let leaves: Vec<_> = (0..).zip(table).filter(|(_, row)| row.0 == "LEAF").map(|(at, _)| at).collect();
    let attributes = RegressorAttributes {
        nodes: NodeAttributes {
            tree_ids: vec![0; table.len()],
            node_ids: (0..).take(table.len()).collect(),
            feature_ids: table.iter().map(|row| row.1).collect(),
            modes: table.iter().map(|row| row.0.to_owned()).collect(),
            values: Floats::F32(table.iter().map(|row| row.2).collect()),
            true_node_ids: table.iter().map(|row| row.3).collect(),
            false_node_ids: table.iter().map(|row| row.4).collect(),
            missing_value_tracks_true: tracks_true.to_vec(),
        },
        votes: VoteAttributes {
            tree_ids: vec![0; leaves.len()],
            ids: vec![0; leaves.len()],
            weights: Floats::F32((1_u8..).take(leaves.len()).map(|at| 10.0 * f32::from(at)).collect()),
            node_ids: leaves,
        },
        targets: 1,
        ..RegressorAttributes::default()
    };
    attributes.ensemble(InputRows { input: Input::F32, features: None }, &Limits::default())
}

/// By the definition, and in each layout.
fn check(ensemble: &Ensemble, rows: &[[f32; 2]], expected: &[f32]) {
    let rows = rows.as_flattened();
    let mut got = vec![0.0; expected.len()];
    reference::predict(ensemble, rows, 2, &mut got).unwrap();
    assert_eq!(got, expected, "definition");
    for kind in LayoutKind::ALL {
        let options = CompileOptions { selection: Selection::Only(kind), ..CompileOptions::default() };
        let model = match Model::compile(ensemble, &options) {
            Err(CompileError::Layout { .. }) => continue,
            model => model.unwrap(),
        };
        got.fill(0.0);
        model.predict(rows, 2, &mut got).unwrap();
        assert_eq!(got, expected, "{kind:?}");
    }
}

const ROWS: [[f32; 2]; 8] =
    [[2.0, 0.0], [5.0, 0.5], [7.0, 0.6], [7.0, NAN], [2.5, 0.0], [0.0, 0.0], [NAN, 0.0], [-0.0, 9.0]];

#[test]
fn a_chain_of_equal_tests_is_one_test_for_a_member() {
    let ensemble = ensemble(&CHAIN, &[]).unwrap();
    let nodes = &ensemble.parts().trees[0].nodes;
    assert_eq!(nodes.len(), 2, "the chain's first node, and the one that it leads to");
    assert!(matches!(&nodes[0].test, Test::Member(members) if members[..] == [2.0, 5.0, 7.0]), "{:?}", nodes[0].test);
    check(&ensemble, &ROWS, &[10.0, 10.0, 20.0, 20.0, 30.0, 30.0, 30.0, 30.0]);
}

#[test]
fn a_chain_is_found_wherever_it_stands_in_the_table() {
    check(&ensemble(&HEAD_LAST, &[]).unwrap(), &ROWS, &[10.0, 10.0, 20.0, 40.0, 30.0, 30.0, 30.0, 30.0]);
}

#[test]
fn what_is_missing_goes_where_all_of_a_chain_send_it() {
    let of = |tracks_true: [i64; 7]| ensemble(&CHAIN, &tracks_true);
    check(&of([1, 1, 1, 0, 0, 0, 0]).unwrap(), &[[NAN, 0.0], [3.0, 0.0]], &[10.0, 30.0]);
    assert!(matches!(of([1, 0, 0, 0, 0, 0, 0]), Err(EnsembleError::Shared { .. })), "they do not agree");
}

#[test]
fn zero_has_no_sign_in_a_chain() {
    let mut table = CHAIN;
    table[1].2 = -0.0;
    check(&ensemble(&table, &[]).unwrap(), &[[0.0, 0.0], [-0.0, 0.0], [2.0, 1.0]], &[10.0, 10.0, 20.0]);
}

#[test]
fn other_nodes_with_several_parents_are_refused() {
    let mut features = CHAIN;
    features[1].1 = 1;
    let mut modes = CHAIN;
    modes[1].0 = "BRANCH_LEQ";
    let mut thresholds = CHAIN;
    thresholds[1].2 = NAN;
    for table in [features, modes, thresholds] {
        assert!(matches!(ensemble(&table, &[]), Err(EnsembleError::Shared { node: 3, .. })), "{table:?}");
    }
}

#[test]
fn chains_that_lead_back_to_themselves_are_refused() {
    let mut inside = CHAIN;
    inside[2].4 = 1;
    assert!(ensemble(&inside, &[]).is_err());
    let mut whole = CHAIN;
    whole[2].4 = 0;
    assert!(ensemble(&whole, &[]).is_err());
    // Nothing leads to this one.
    let mut apart = HEAD_LAST;
    apart[0].3 = 7;
    apart[2].4 = 8;
    assert!(ensemble(&apart, &[]).is_err());
}
