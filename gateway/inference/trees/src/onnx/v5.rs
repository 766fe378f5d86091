//! Version 5: nodes and leaves as arrays whose elements name each other by index.

use std::sync::Arc;

use super::{AttributeError, Floats, InputRows, index, precision, same_length, tables};
use crate::{
    Aggregate, BaseOrder, Child, Comparison, Ensemble, EnsembleError, Leaf, Limits, Node, Parts, Test, Transform, Tree,
    Value, Vote,
};

/// Attributes of `TreeEnsemble`. Hit rates are of no use here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TreeEnsembleAttributes {
    /// 0 average, 1 sum (the operator's default), 2 minimum, 3 maximum.
    pub aggregate_function: i64,
    /// 0 none (the operator's default), 1 softmax, 2 logistic, 3 softmax without zeros, 4 probit.
    pub post_transform: i64,
    /// `n_targets`
    pub targets: i64,
    pub tree_roots: Vec<i64>,
    /// 0 `<=`, 1 `<`, 2 `>=`, 3 `>`, 4 `==`, 5 `!=`, 6 member.
    pub nodes_modes: Vec<u8>,
    pub nodes_featureids: Vec<i64>,
    pub nodes_splits: Floats,
    pub nodes_truenodeids: Vec<i64>,
    pub nodes_trueleafs: Vec<i64>,
    pub nodes_falsenodeids: Vec<i64>,
    pub nodes_falseleafs: Vec<i64>,
    /// Empty is 0 for all nodes.
    pub nodes_missing_value_tracks_true: Vec<i64>,
    pub leaf_targetids: Vec<i64>,
    pub leaf_weights: Floats,
    /// Sets in the order of the nodes that test for members, each of which ends with NaN.
    pub membership_values: Floats,
}

/// The mode of a test for members.
const MEMBER: u8 = 6;

impl TreeEnsembleAttributes {
    /// The ensemble.
    ///
    /// # Errors
    /// The attributes do not go together, or exceed a limit.
    pub fn ensemble(&self, rows: InputRows, limits: &Limits) -> Result<Ensemble, EnsembleError> {
        self.check_lengths()?;
        let count = self.nodes_modes.len().saturating_add(self.leaf_targetids.len());
        if count > limits.nodes {
            return Err(EnsembleError::TooMany { what: "nodes and leaves", count, limit: limits.nodes });
        }
        let targets = usize::try_from(self.targets).ok().filter(|targets| *targets > 0).ok_or_else(|| {
            let expected = "at least 1";
            AttributeError::Option { name: "n_targets", got: self.targets.to_string(), expected }
        })?;
        let sets = self.sets()?;
        // Which tree a node has turned out to be part of, and where in it.
        let mut places: Vec<Option<(usize, u32)>> = vec![None; self.nodes_modes.len()];
        let trees: Result<Vec<Tree>, EnsembleError> =
            (0..self.tree_roots.len()).map(|tree| self.tree(tree, &sets, targets, &mut places)).collect();
        let trees = trees?;
        if let Some(node) = places.iter().position(Option::is_none) {
            return Err(AttributeError::UnusedNode { node: node as i64 }.into());
        }
        let wide = rows.is_double();
        Ensemble::new(
            Parts {
                features: tables::features(&trees, rows),
                targets,
                trees,
                thresholds: precision(wide || self.nodes_splits.is_double() || self.membership_values.is_double()),
                scores: precision(wide || self.leaf_weights.is_double()),
                aggregate: self.aggregate()?,
                base: Vec::new(),
                base_order: BaseOrder::AfterTrees,
                transform: self.transform()?,
            },
            limits,
        )
    }

    fn tree(
        &self,
        tree: usize,
        sets: &[Option<Arc<[f64]>>],
        targets: usize,
        places: &mut [Option<(usize, u32)>],
    ) -> Result<Tree, EnsembleError> {
        let begin = at(&self.tree_roots, tree);
        let mut built = Tree { id: tree as i64, root: Child::Node(0), nodes: vec![], leaves: vec![], weight: 1.0 };
        let root = usize::try_from(begin).ok().filter(|root| *root < places.len()).ok_or(AttributeError::Number {
            name: "tree_roots",
            index: tree,
            got: begin,
            expected: "the index of a node",
        })?;
        // A tree that is a leaf: both branches lead to the same.
        let both = at(&self.nodes_trueleafs, root) != 0 && at(&self.nodes_falseleafs, root) != 0;
        if both && at(&self.nodes_truenodeids, root) == at(&self.nodes_falsenodeids, root) {
            place(tree, root, 0, places)?;
            built.root = self.leaf(&mut built, "nodes_truenodeids", root, &self.nodes_truenodeids, targets)?;
            return Ok(built);
        }
        // Nodes in the order in which they are found.
        let mut found = vec![root];
        place(tree, root, 0, places)?;
        let mut next = 0;
        while let Some(&node) = found.get(next) {
            next += 1;
            let mut child = |name, leafs: &[i64], ids: &[i64]| -> Result<Child, EnsembleError> {
                if at(leafs, node) != 0 {
                    return self.leaf(&mut built, name, node, ids, targets);
                }
                let got = at(ids, node);
                let child = usize::try_from(got)
                    .ok()
                    .filter(|child| *child < places.len())
                    .ok_or(AttributeError::Number { name, index: node, got, expected: "the index of a node" })?;
                let number = found.len() as u32;
                Ok(Child::Node(if place(tree, child, number, places)? {
                    found.push(child);
                    number
                } else {
                    // A cycle, or two parents: the ensemble will tell which.
                    places.get(child).copied().flatten().unwrap_or_default().1
                }))
            };
            let yes = child("nodes_truenodeids", &self.nodes_trueleafs, &self.nodes_truenodeids)?;
            let no = child("nodes_falsenodeids", &self.nodes_falseleafs, &self.nodes_falsenodeids)?;
            built.nodes.push(Node {
                id: node as i64,
                feature: index("nodes_featureids", node, at(&self.nodes_featureids, node))?,
                test: self.test(node, sets)?,
                missing: tables::missing(at(&self.nodes_missing_value_tracks_true, node)),
                yes,
                no,
            });
        }
        Ok(built)
    }

    /// Adds a leaf to a tree.
    fn leaf(
        &self,
        tree: &mut Tree,
        name: &'static str,
        node: usize,
        ids: &[i64],
        targets: usize,
    ) -> Result<Child, EnsembleError> {
        let got = at(ids, node);
        let leaf = usize::try_from(got)
            .ok()
            .filter(|leaf| *leaf < self.leaf_targetids.len())
            .ok_or(AttributeError::Number { name, index: node, got, expected: "the index of a leaf" })?;
        let id = at(&self.leaf_targetids, leaf);
        let target = u32::try_from(id).ok().filter(|target| (*target as usize) < targets);
        let target = target.ok_or(EnsembleError::Target { tree: tree.id, leaf: got, target: id, targets })?;
        let value = Value::Constant(self.leaf_weights.get(leaf).unwrap_or_default());
        tree.leaves.push(Leaf { votes: vec![Vote { target, value }] });
        Ok(Child::Leaf(tree.leaves.len() as u32 - 1))
    }

    fn test(&self, node: usize, sets: &[Option<Arc<[f64]>>]) -> Result<Test, AttributeError> {
        let mode = self.nodes_modes.get(node).copied().unwrap_or_default();
        let comparison = match mode {
            0 => Comparison::AtMost,
            1 => Comparison::Below,
            2 => Comparison::AtLeast,
            3 => Comparison::Above,
            4 => Comparison::Equal,
            5 => Comparison::Unequal,
            MEMBER => return Ok(Test::Member(sets.get(node).cloned().flatten().unwrap_or_default())),
            _ => {
                let expected = "0 (<=), 1 (<), 2 (>=), 3 (>), 4 (==), 5 (!=) and 6 (member)";
                return Err(AttributeError::Mode { index: node, mode: mode.to_string(), expected });
            }
        };
        Ok(Test::Compare { comparison, threshold: self.nodes_splits.get(node).unwrap_or_default() })
    }

    /// The set of each node that tests for members.
    fn sets(&self) -> Result<Vec<Option<Arc<[f64]>>>, AttributeError> {
        let values = self.membership_values.to_f64();
        let mut sets: Vec<&[f64]> = values.split(|value| value.is_nan()).collect();
        let nodes = self.nodes_modes.iter().filter(|mode| **mode == MEMBER).count();
        // What comes after the last NaN is no set.
        let rest = sets.pop().unwrap_or_default();
        if sets.len() != nodes || !rest.is_empty() {
            let got = sets.len() + usize::from(!rest.is_empty());
            return Err(AttributeError::Members { got, expected: nodes });
        }
        let mut sets = sets.into_iter();
        Ok(self
            .nodes_modes
            .iter()
            .map(|mode| if *mode == MEMBER { sets.next().map(Arc::from) } else { None })
            .collect())
    }

    fn aggregate(&self) -> Result<Aggregate, AttributeError> {
        Ok(match self.aggregate_function {
            0 => Aggregate::Average,
            1 => Aggregate::Sum,
            2 => Aggregate::Min,
            3 => Aggregate::Max,
            other => {
                let expected = "0 (average), 1 (sum), 2 (minimum) or 3 (maximum)";
                return Err(AttributeError::Option { name: "aggregate_function", got: other.to_string(), expected });
            }
        })
    }

    fn transform(&self) -> Result<Transform, AttributeError> {
        Ok(match self.post_transform {
            0 => Transform::None,
            1 => Transform::Softmax,
            2 => Transform::Logistic,
            3 => Transform::SoftmaxZero,
            4 => Transform::Probit,
            other => {
                let expected = "0 (none), 1 (softmax), 2 (logistic), 3 (softmax_zero) or 4 (probit)";
                return Err(AttributeError::Option { name: "post_transform", got: other.to_string(), expected });
            }
        })
    }

    fn check_lengths(&self) -> Result<(), AttributeError> {
        let (nodes, leaves) = (self.nodes_modes.len(), self.leaf_targetids.len());
        if self.tree_roots.is_empty() {
            return Err(AttributeError::Empty { name: "tree_roots" });
        }
        let tracks = &self.nodes_missing_value_tracks_true;
        let columns = [
            ("nodes_featureids", self.nodes_featureids.len()),
            ("nodes_splits", self.nodes_splits.len()),
            ("nodes_truenodeids", self.nodes_truenodeids.len()),
            ("nodes_trueleafs", self.nodes_trueleafs.len()),
            ("nodes_falsenodeids", self.nodes_falsenodeids.len()),
            ("nodes_falseleafs", self.nodes_falseleafs.len()),
            ("nodes_missing_value_tracks_true", if tracks.is_empty() { nodes } else { tracks.len() }),
        ];
        columns.into_iter().try_for_each(|(name, length)| same_length(name, length, "nodes_modes", nodes))?;
        same_length("leaf_weights", self.leaf_weights.len(), "leaf_targetids", leaves)
    }
}

/// Notes that a node is the `number`th of a tree. False if it is part of this tree already.
fn place(tree: usize, node: usize, number: u32, places: &mut [Option<(usize, u32)>]) -> Result<bool, AttributeError> {
    match places.get_mut(node) {
        Some(Some((other, _))) if *other != tree => Err(AttributeError::SharedNode { node: node as i64 }),
        Some(Some(_)) | None => Ok(false),
        Some(free) => {
            *free = Some((tree, number));
            Ok(true)
        }
    }
}

/// 0 if there is none: lengths are checked, and what is optional is 0 by default.
fn at(numbers: &[i64], index: usize) -> i64 {
    numbers.get(index).copied().unwrap_or_default()
}
