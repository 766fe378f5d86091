//! Holds the parts of an ensemble to what is promised of them.

use crate::ensemble::{Aggregate, BaseOrder, Child, Leaf, Node, Parts, Precision, Test, Tree, Value};
use crate::error::Place;
use crate::{EnsembleError, Limits};

/// # Errors
/// The first trouble.
pub(crate) fn check(parts: &Parts, limits: &Limits) -> Result<(), EnsembleError> {
    check_sizes(parts, limits)?;
    if parts.base_order == BaseOrder::BeforeTrees && !parts.base.is_empty() && parts.aggregate != Aggregate::Sum {
        return Err(EnsembleError::BaseOrder);
    }
    if !parts.base.is_empty() && parts.base.len() != parts.targets {
        return Err(EnsembleError::BaseLength { got: parts.base.len(), expected: parts.targets });
    }
    for (index, &value) in parts.base.iter().enumerate() {
        if !value.is_finite() || !fits(value, parts.scores) {
            return Err(EnsembleError::BaseValue { index, value, precision: label(parts.scores) });
        }
    }
    parts.trees.iter().try_for_each(|tree| {
        if !tree.weight.is_finite() || !fits(tree.weight, parts.scores) {
            return Err(EnsembleError::TreeWeight { tree: tree.id, value: tree.weight });
        }
        tree.nodes.iter().try_for_each(|node| check_node(parts, tree, node))?;
        tree.leaves.iter().enumerate().try_for_each(|(index, leaf)| check_leaf(parts, tree, index, leaf))?;
        check_shape(tree, limits)
    })
}

fn check_sizes(parts: &Parts, limits: &Limits) -> Result<(), EnsembleError> {
    if parts.trees.is_empty() {
        return Err(EnsembleError::NoTrees);
    }
    if parts.targets == 0 {
        return Err(EnsembleError::NoTargets);
    }
    let nodes = parts.trees.iter().map(|tree| tree.nodes.len().saturating_add(tree.leaves.len()));
    let values = parts.trees.iter().flat_map(|tree| {
        let sets = tree.nodes.iter().map(|node| match &node.test {
            Test::Compare { .. } => 0,
            Test::Member(members) => members.len(),
            Test::Category(words) => words.len(),
        });
        let votes = tree.leaves.iter().flat_map(|leaf| &leaf.votes).map(|vote| match &vote.value {
            Value::Constant(_) => 1,
            Value::Linear(linear) => linear.terms.len().saturating_add(1),
        });
        sets.chain(votes)
    });
    let counts = [
        ("trees", parts.trees.len(), limits.trees),
        ("features", parts.features, limits.features),
        ("targets", parts.targets, limits.targets),
        ("nodes and leaves", nodes.fold(0, usize::saturating_add), limits.nodes),
        ("votes, set members and linear terms", values.fold(0, usize::saturating_add), limits.values),
    ];
    // Indices are kept in 32 bits.
    let most = u32::MAX as usize / 4;
    match counts.into_iter().map(|(what, count, limit)| (what, count, limit.min(most))).find(|(_, c, l)| c > l) {
        Some((what, count, limit)) => Err(EnsembleError::TooMany { what, count, limit }),
        None => Ok(()),
    }
}

fn check_node(parts: &Parts, tree: &Tree, node: &Node) -> Result<(), EnsembleError> {
    let (tree, features) = (tree.id, parts.features);
    if node.feature as usize >= features {
        return Err(EnsembleError::Feature { tree, node: node.id, feature: node.feature.into(), features });
    }
    let precision = label(parts.thresholds);
    let (what, misfit) = match &node.test {
        Test::Compare { threshold, .. } => {
            (Place::Threshold(node.id), (!fits(*threshold, parts.thresholds)).then_some(*threshold))
        }
        Test::Member(members) => {
            let misfit = members.iter().find(|member| !fits(**member, parts.thresholds));
            (Place::Member(node.id), misfit.copied())
        }
        Test::Category(_) => return Ok(()),
    };
    misfit.map_or(Ok(()), |value| Err(EnsembleError::Rounded { tree, what, value, precision }))
}

fn check_leaf(parts: &Parts, tree: &Tree, index: usize, leaf: &Leaf) -> Result<(), EnsembleError> {
    let (tree, what) = (tree.id, Place::Vote(index));
    for vote in &leaf.votes {
        if vote.target as usize >= parts.targets {
            let (leaf, target) = (i64::try_from(index).unwrap_or(i64::MAX), vote.target.into());
            return Err(EnsembleError::Target { tree, leaf, target, targets: parts.targets });
        }
        match &vote.value {
            Value::Constant(value) if value.is_nan() => return Err(EnsembleError::Nan { tree, what }),
            &Value::Constant(value) if !fits(value, parts.scores) => {
                return Err(EnsembleError::Rounded { tree, what, value, precision: label(parts.scores) });
            }
            Value::Constant(_) => {}
            Value::Linear(linear) => {
                let coefficients = linear.terms.iter().map(|(_, coefficient)| *coefficient);
                if coefficients.chain([linear.intercept, linear.otherwise]).any(f64::is_nan) {
                    return Err(EnsembleError::Nan { tree, what });
                }
                let wrong = linear.terms.iter().find(|(feature, _)| *feature as usize >= parts.features);
                if let Some(&(feature, _)) = wrong {
                    let features = parts.features;
                    return Err(EnsembleError::LinearFeature { tree, leaf: index, feature, features });
                }
            }
        }
    }
    Ok(())
}

/// State of a node while the ways from the root are followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    /// On the way that is being followed.
    Open,
    Done,
}

/// That every node has one parent and everything is reached from the root.
fn check_shape(tree: &Tree, limits: &Limits) -> Result<(), EnsembleError> {
    let id = tree.id;
    let mut nodes = vec![Visit::New; tree.nodes.len()];
    let mut leaves = vec![false; tree.leaves.len()];
    let mut depth = 0;
    // What is to be entered, or, with `true`, a node that is to be left.
    let mut stack = vec![(tree.root, Place::Root, false)];
    while let Some((child, from, leave)) = stack.pop() {
        match child {
            Child::Leaf(index) => match leaves.get_mut(index as usize) {
                Some(reached) => *reached = true,
                None => return Err(EnsembleError::Child { tree: id, from, kind: "leaf", index, count: leaves.len() }),
            },
            Child::Node(index) => {
                let count = nodes.len();
                let (Some(visit), Some(node)) = (nodes.get_mut(index as usize), tree.nodes.get(index as usize)) else {
                    return Err(EnsembleError::Child { tree: id, from, kind: "node", index, count });
                };
                if leave {
                    *visit = Visit::Done;
                    depth -= 1;
                    continue;
                }
                match visit {
                    Visit::New => *visit = Visit::Open,
                    Visit::Open => return Err(EnsembleError::Cycle { tree: id, node: node.id }),
                    Visit::Done => return Err(EnsembleError::Shared { tree: id, node: node.id }),
                }
                depth += 1;
                if depth > limits.depth {
                    return Err(EnsembleError::Depth { tree: id, limit: limits.depth });
                }
                let from = Place::Node(node.id);
                stack.extend([(child, from, true), (node.no, from, false), (node.yes, from, false)]);
            }
        }
    }
    if let Some((_, node)) = nodes.iter().zip(&tree.nodes).find(|(visit, _)| **visit == Visit::New) {
        return Err(EnsembleError::Unreachable { tree: id, kind: "node", index: node.id });
    }
    if let Some(index) = leaves.iter().position(|reached| !reached) {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        return Err(EnsembleError::Unreachable { tree: id, kind: "leaf", index });
    }
    Ok(())
}

/// NaN and infinities are of both types.
fn fits(value: f64, precision: Precision) -> bool {
    precision == Precision::F64 || value.is_nan() || f64::from(value as f32).to_bits() == value.to_bits()
}

fn label(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::F64 => "f64",
    }
}
