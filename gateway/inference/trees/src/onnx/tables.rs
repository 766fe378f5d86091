//! Versions 1 and 3: nodes and votes as tables whose rows name each other by tree and node id.

use std::collections::{BTreeMap, HashMap};

use super::{
    AttributeError, Floats, InputRows, aggregate, chains, count_features, index, precision, same_length, transform,
};
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
    let mut votes_of = by_tree(&votes.tree_ids);
    let trees = by_tree(&nodes.tree_ids).into_iter().map(|(id, rows)| {
        let voting = votes_of.remove(&id).unwrap_or_default();
        tree(id, &rows, nodes, &voting, votes, targets)
    });
    let trees = trees.collect::<Result<Vec<_>, _>>()?;
    if let Some((&tree, &index)) = votes_of.iter().find_map(|(tree, rows)| Some((tree, rows.first()?))) {
        return Err(AttributeError::VoteNode { index, tree, node: at(&votes.node_ids, index) }.into());
    }
    Ok(trees)
}

/// Rows of each tree, in their order.
fn by_tree(ids: &[i64]) -> BTreeMap<i64, Vec<usize>> {
    let mut rows: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    let mut row = 0;
    for run in ids.chunk_by(|a, b| a == b) {
        if let Some(id) = run.first() {
            rows.entry(*id).or_default().extend(row..row + run.len());
        }
        row += run.len();
    }
    rows
}

/// Finds the nodes of a tree by their ids.
struct Places<'a> {
    /// What each row of the tree is.
    children: Vec<Child>,
    ids: Ids<'a>,
}

enum Ids<'a> {
    /// Ids count the rows, as they nearly always do.
    Counting,
    Any(HashMap<&'a i64, usize>),
}

impl<'a> Places<'a> {
    fn new(tree: i64, rows: &[usize], nodes: &'a NodeAttributes) -> Result<Self, AttributeError> {
        let (mut node_count, mut leaf_count) = (0, 0);
        let children = rows.iter().map(|row| {
            let leaf = text(&nodes.modes, *row) == "LEAF";
            let (count, kind): (_, fn(u32) -> Child) =
                if leaf { (&mut leaf_count, Child::Leaf) } else { (&mut node_count, Child::Node) };
            *count += 1;
            kind(*count - 1)
        });
        let children = children.collect();
        let ids = || rows.iter().filter_map(|row| nodes.node_ids.get(*row));
        if ids().zip(0..).all(|(id, row)| *id == row) {
            return Ok(Self { children, ids: Ids::Counting });
        }
        let mut places = HashMap::with_capacity(rows.len());
        for (place, id) in ids().enumerate() {
            if places.insert(id, place).is_some() {
                return Err(AttributeError::DuplicateNode { tree, node: *id });
            }
        }
        Ok(Self { children, ids: Ids::Any(places) })
    }

    fn find(&self, id: i64) -> Option<Child> {
        let place = match &self.ids {
            Ids::Counting => usize::try_from(id).ok()?,
            Ids::Any(places) => *places.get(&id)?,
        };
        self.children.get(place).copied()
    }
}

/// `rows` and `voting` are those of the tree in the tables of nodes and of votes.
fn tree(
    id: i64,
    rows: &[usize],
    nodes: &NodeAttributes,
    voting: &[usize],
    votes: &VoteAttributes,
    targets: usize,
) -> Result<Tree, EnsembleError> {
    let places = Places::new(id, rows, nodes)?;
    let mut tree = Tree {
        id,
        root: places.children.first().copied().unwrap_or(Child::Leaf(0)),
        nodes: Vec::with_capacity(rows.len() / 2),
        leaves: Vec::with_capacity(rows.len() / 2 + 1),
        weight: 1.0,
    };
    for (&row, child) in rows.iter().zip(&places.children) {
        if let Child::Leaf(_) = child {
            tree.leaves.push(Leaf { votes: Vec::new() });
            continue;
        }
        let node = at(&nodes.node_ids, row);
        let child = |branch, child| places.find(child).ok_or(AttributeError::ChildId { tree: id, node, branch, child });
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
    for &index in voting {
        let node = at(&votes.node_ids, index);
        let leaf = match places.find(node) {
            Some(Child::Leaf(leaf)) => tree.leaves.get_mut(leaf as usize),
            Some(Child::Node(_)) => return Err(AttributeError::VoteBranch { index, tree: id, node }.into()),
            None => return Err(AttributeError::VoteNode { index, tree: id, node }.into()),
        };
        let vote = vote(index, votes, targets)?;
        if let Some(leaf) = leaf {
            leaf.votes.push(vote);
        }
    }
    chains::fold(&mut tree);
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
