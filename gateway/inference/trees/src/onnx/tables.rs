//! Versions 1 and 3: nodes and votes as tables whose rows name each other by tree and node id.

use std::collections::{BTreeMap, HashMap};

use super::{AttributeError, Floats, InputRows, aggregate, count_features, index, precision, same_length, transform};
use crate::{
    BaseOrder, Child, Comparison, Ensemble, EnsembleError, Leaf, Limits, Missing, Node, Parts, Test, Tree, Value, Vote,
};

/// The attributes `nodes_…`. Hit rates are of no use here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeAttributes {
    pub tree_ids: Vec<i64>,
    pub node_ids: Vec<i64>,
    pub feature_ids: Vec<i64>,
    /// `BRANCH_LEQ`, `BRANCH_LT`, `BRANCH_GTE`, `BRANCH_GT`, `BRANCH_EQ`, `BRANCH_NEQ` or `LEAF`.
    pub modes: Vec<String>,
    /// `nodes_values`, or `nodes_values_as_tensor`.
    pub values: Floats,
    pub true_node_ids: Vec<i64>,
    pub false_node_ids: Vec<i64>,
    /// Empty is 0 for all nodes.
    pub missing_value_tracks_true: Vec<i64>,
}

/// The attributes `target_…` or `class_…`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VoteAttributes {
    pub tree_ids: Vec<i64>,
    pub node_ids: Vec<i64>,
    /// `target_ids` or `class_ids`.
    pub ids: Vec<i64>,
    /// `…_weights`, or `…_weights_as_tensor`.
    pub weights: Floats,
}

/// Attributes of `TreeEnsembleRegressor`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegressorAttributes {
    pub nodes: NodeAttributes,
    pub votes: VoteAttributes,
    /// `n_targets`
    pub targets: i64,
    /// Empty is `SUM`.
    pub aggregate_function: String,
    /// Empty is `NONE`.
    pub post_transform: String,
    /// `base_values`, or `base_values_as_tensor`; empty is none.
    pub base_values: Floats,
}

impl RegressorAttributes {
    /// The ensemble.
    ///
    /// # Errors
    /// The attributes do not go together, or exceed a limit.
    pub fn ensemble(&self, rows: InputRows, limits: &Limits) -> Result<Ensemble, EnsembleError> {
        let targets = usize::try_from(self.targets).ok().filter(|targets| *targets > 0).ok_or_else(|| {
            let expected = "at least 1";
            AttributeError::Option { name: "n_targets", got: self.targets.to_string(), expected }
        })?;
        let trees = trees(&self.nodes, &self.votes, targets, limits)?;
        let double = rows.is_double() || self.votes.weights.is_double() || self.base_values.is_double();
        Ensemble::new(
            Parts {
                features: features(&trees, rows),
                targets,
                trees,
                thresholds: precision(rows.is_double() || self.nodes.values.is_double()),
                scores: precision(double),
                aggregate: aggregate(&self.aggregate_function)?,
                base: self.base_values.to_f64(),
                base_order: BaseOrder::AfterTrees,
                transform: transform(&self.post_transform)?,
            },
            limits,
        )
    }
}

/// How many features rows have.
pub(super) fn features(trees: &[Tree], rows: InputRows) -> usize {
    let used = trees.iter().flat_map(|tree| &tree.nodes).map(|node| node.feature);
    count_features(rows.features, used)
}

/// Where a row of the table has its place in the tree.
type Places = HashMap<i64, (usize, Child)>;

/// The trees, in the order of their ids. The root of each is what the table has first.
pub(super) fn trees(
    nodes: &NodeAttributes,
    votes: &VoteAttributes,
    targets: usize,
    limits: &Limits,
) -> Result<Vec<Tree>, EnsembleError> {
    check_lengths(nodes, votes)?;
    let count = nodes.tree_ids.len();
    if count > limits.nodes {
        return Err(EnsembleError::TooMany { what: "nodes and leaves", count, limit: limits.nodes });
    }
    let mut rows: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (row, tree) in nodes.tree_ids.iter().enumerate() {
        rows.entry(*tree).or_default().push(row);
    }
    let mut by_leaf: HashMap<(i64, i64), Vec<usize>> = HashMap::new();
    for (row, place) in votes.tree_ids.iter().zip(&votes.node_ids).enumerate() {
        by_leaf.entry((*place.0, *place.1)).or_default().push(row);
    }
    let mut trees = Vec::with_capacity(rows.len());
    for (id, rows) in rows {
        trees.push(tree(id, &rows, nodes, votes, &mut by_leaf, targets)?);
    }
    // What is left has no leaf.
    let mut orphans: Vec<(usize, i64, i64)> =
        by_leaf.into_iter().filter_map(|((tree, node), rows)| rows.first().map(|index| (*index, tree, node))).collect();
    orphans.sort_unstable();
    if let Some(&(index, tree, node)) = orphans.first() {
        let branch = nodes.tree_ids.iter().zip(&nodes.node_ids).any(|place| place == (&tree, &node));
        return Err(match branch {
            true => AttributeError::VoteBranch { index, tree, node },
            false => AttributeError::VoteNode { index, tree, node },
        }
        .into());
    }
    Ok(trees)
}

fn tree(
    id: i64,
    rows: &[usize],
    nodes: &NodeAttributes,
    votes: &VoteAttributes,
    by_leaf: &mut HashMap<(i64, i64), Vec<usize>>,
    targets: usize,
) -> Result<Tree, EnsembleError> {
    let (mut places, mut root) = (Places::with_capacity(rows.len()), None);
    let (mut node_count, mut leaf_count) = (0, 0);
    for &row in rows {
        let (mode, node) = (text(&nodes.modes, row), at(&nodes.node_ids, row));
        let (count, kind): (_, fn(u32) -> Child) =
            if mode == "LEAF" { (&mut leaf_count, Child::Leaf) } else { (&mut node_count, Child::Node) };
        let child = kind(*count);
        *count += 1;
        root = root.or(Some(child));
        if places.insert(node, (row, child)).is_some() {
            return Err(AttributeError::DuplicateNode { tree: id, node }.into());
        }
    }
    let mut tree = Tree {
        id,
        root: root.unwrap_or(Child::Leaf(0)),
        nodes: Vec::with_capacity(node_count as usize),
        leaves: Vec::with_capacity(leaf_count as usize),
        weight: 1.0,
    };
    for &row in rows {
        let node = at(&nodes.node_ids, row);
        if text(&nodes.modes, row) == "LEAF" {
            let rows = by_leaf.remove(&(id, node)).unwrap_or_default();
            let votes = rows.into_iter().map(|row| vote(row, votes, targets));
            tree.leaves.push(Leaf { votes: votes.collect::<Result<_, _>>()? });
            continue;
        }
        let child = |branch, child| match places.get(&child) {
            Some((_, child)) => Ok(*child),
            None => Err(AttributeError::ChildId { tree: id, node, branch, child }),
        };
        tree.nodes.push(Node {
            id: node,
            feature: index("nodes_featureids", row, at(&nodes.feature_ids, row))?,
            test: Test::Compare {
                comparison: comparison(row, text(&nodes.modes, row))?,
                threshold: nodes.values.get(row).unwrap_or_default(),
            },
            missing: missing(at(&nodes.missing_value_tracks_true, row)),
            yes: child("true", at(&nodes.true_node_ids, row))?,
            no: child("false", at(&nodes.false_node_ids, row))?,
        });
    }
    Ok(tree)
}

/// What `nodes_missing_value_tracks_true` says.
pub(super) fn missing(tracks_true: i64) -> Missing {
    if tracks_true == 0 { Missing::Nothing } else { Missing::Nan { yes: true } }
}

fn comparison(index: usize, mode: &str) -> Result<Comparison, AttributeError> {
    Ok(match mode {
        "BRANCH_LEQ" => Comparison::AtMost,
        "BRANCH_LT" => Comparison::Below,
        "BRANCH_GTE" => Comparison::AtLeast,
        "BRANCH_GT" => Comparison::Above,
        "BRANCH_EQ" => Comparison::Equal,
        "BRANCH_NEQ" => Comparison::Unequal,
        other => {
            let mode = format!("`{}`", other.chars().take(32).collect::<String>());
            let expected = "BRANCH_LEQ, BRANCH_LT, BRANCH_GTE, BRANCH_GT, BRANCH_EQ, BRANCH_NEQ and LEAF";
            return Err(AttributeError::Mode { index, mode, expected });
        }
    })
}

fn vote(row: usize, votes: &VoteAttributes, targets: usize) -> Result<Vote, EnsembleError> {
    let id = at(&votes.ids, row);
    let target = u32::try_from(id).ok().filter(|target| (*target as usize) < targets).ok_or_else(|| {
        let (tree, leaf) = (at(&votes.tree_ids, row), at(&votes.node_ids, row));
        EnsembleError::Target { tree, leaf, target: id, targets }
    })?;
    Ok(Vote { target, value: Value::Constant(votes.weights.get(row).unwrap_or_default()) })
}

/// 0 if there is none: lengths are checked, and what is optional is 0 by default.
fn at(numbers: &[i64], row: usize) -> i64 {
    numbers.get(row).copied().unwrap_or_default()
}

fn text(texts: &[String], row: usize) -> &str {
    texts.get(row).map(String::as_str).unwrap_or_default()
}

fn check_lengths(nodes: &NodeAttributes, votes: &VoteAttributes) -> Result<(), AttributeError> {
    let count = nodes.tree_ids.len();
    if count == 0 {
        return Err(AttributeError::Empty { name: "nodes_treeids" });
    }
    let tracks = &nodes.missing_value_tracks_true;
    let columns = [
        ("nodes_nodeids", nodes.node_ids.len()),
        ("nodes_featureids", nodes.feature_ids.len()),
        ("nodes_modes", nodes.modes.len()),
        ("nodes_values", nodes.values.len()),
        ("nodes_truenodeids", nodes.true_node_ids.len()),
        ("nodes_falsenodeids", nodes.false_node_ids.len()),
        ("nodes_missing_value_tracks_true", if tracks.is_empty() { count } else { tracks.len() }),
    ];
    columns.into_iter().try_for_each(|(name, length)| same_length(name, length, "nodes_treeids", count))?;
    let count = votes.tree_ids.len();
    let columns = [
        ("target_nodeids or class_nodeids", votes.node_ids.len()),
        ("target_ids or class_ids", votes.ids.len()),
        ("target_weights or class_weights", votes.weights.len()),
    ];
    let other = "target_treeids or class_treeids";
    columns.into_iter().try_for_each(|(name, length)| same_length(name, length, other, count))
}
