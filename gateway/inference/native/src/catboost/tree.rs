//! Trees of a file.

use witgate_trees::{Child, Leaf, Node, Test, Tree, Value, Vote};

use super::ctr::signed_hash;
use crate::Limits;
use crate::document::{Cursor, Kind, Result};
use crate::error::shown;

/// What a node asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Split {
    Number {
        feature: i64,
        border: f32,
    },
    Equal {
        feature: i64,
        hash: u32,
    },
    /// A target statistic, by its place among all splits of the model.
    Statistic {
        index: i64,
        border: f32,
    },
}

/// A tree, as its file has it: splits are looked up later, since features come in any order.
#[derive(Debug)]
pub(super) enum Draft {
    /// All nodes of a level ask the same. The lowest bit of a leaf's number is the answer to the first split.
    Oblivious { splits: Vec<Split>, values: Vec<f64> },
    /// Nodes in the order in which they are met.
    Plain { root: Child, nodes: Vec<(Split, Child, Child)>, values: Vec<f64>, leaves: usize },
}

/// How much of what is limited has been read of all trees.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    pub(super) limits: &'a Limits,
    pub(super) nodes: usize,
}

impl Budget<'_> {
    fn take(&mut self, cursor: &Cursor<'_>, nodes: usize) -> Result<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        cursor.within("nodes and leaves", self.nodes, self.limits.nodes)
    }
}

pub(super) fn oblivious(cursor: &mut Cursor<'_>, budget: &mut Budget<'_>) -> Result<Draft> {
    let (mut splits, mut values) = (vec![], None);
    cursor.object(|cursor, key| match key {
        "splits" if cursor.kind()? == Kind::Array => cursor.array(|cursor| {
            // A leaf for each combination of answers: more would not fit into the file either.
            const LEVELS: usize = 24;
            if splits.len() >= LEVELS {
                return Err(cursor.fail(format!("the tree has more than {LEVELS} levels")));
            }
            splits.push(Split::read(cursor)?);
            Ok(())
        }),
        "leaf_values" if cursor.kind()? == Kind::Array => {
            let most = budget.limits.nodes.saturating_sub(budget.nodes);
            values = Some(cursor.numbers::<f64>(most)?);
            Ok(())
        }
        _ => cursor.skip(),
    })?;
    let values = cursor.need(values, "leaf_values")?;
    let leaves = 1usize << splits.len();
    if values.is_empty() || !values.len().is_multiple_of(leaves) {
        let problem = format!("the tree has {} numbers for its {leaves} leaves", values.len());
        return Err(cursor.fail(problem));
    }
    budget.take(cursor, leaves.saturating_mul(2).max(values.len()))?;
    Ok(Draft::Oblivious { splits, values })
}

pub(super) fn plain(cursor: &mut Cursor<'_>, budget: &mut Budget<'_>) -> Result<Draft> {
    let (mut nodes, mut values, mut leaves) = (vec![], vec![], 0);
    let root = node(cursor, budget, &mut nodes, &mut values, &mut leaves)?;
    Ok(Draft::Plain { root, nodes, values, leaves })
}

/// Reads a node and all below it. How deep that can go is the cursor's limit.
fn node(
    cursor: &mut Cursor<'_>,
    budget: &mut Budget<'_>,
    nodes: &mut Vec<(Split, Child, Child)>,
    values: &mut Vec<f64>,
    leaves: &mut usize,
) -> Result<Child> {
    budget.take(cursor, 1)?;
    let (mut split, mut left, mut right, mut value) = (None, None, None, None);
    cursor.object(|cursor, key| {
        match key {
            "split" => split = Some(Split::read(cursor)?),
            "left" => left = Some(node(cursor, budget, nodes, values, leaves)?),
            "right" => right = Some(node(cursor, budget, nodes, values, leaves)?),
            "value" if cursor.kind()? == Kind::Array => value = Some(cursor.numbers(budget.limits.outputs)?),
            "value" => value = Some(vec![cursor.number::<f64>()?]),
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    if let Some(value) = value {
        budget.take(cursor, value.len())?;
        if split.is_some() || left.is_some() || right.is_some() {
            return Err(cursor.fail("the node that ends here is a leaf and has children"));
        }
        let each = value.len();
        if values.len() != *leaves * each {
            return Err(cursor.fail("the leaves have not all as many numbers"));
        }
        values.extend(value);
        *leaves += 1;
        return Ok(Child::Leaf(u32::try_from(*leaves - 1).unwrap_or(u32::MAX)));
    }
    let split = cursor.need(split, "split")?;
    nodes.push((split, cursor.need(left, "left")?, cursor.need(right, "right")?));
    Ok(Child::Node(u32::try_from(nodes.len() - 1).unwrap_or(u32::MAX)))
}

impl Split {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let (mut what, mut float, mut cat, mut border, mut hash, mut index) = (None, None, None, None, None, None);
        cursor.object(|cursor, key| {
            match key {
                "split_type" => what = Some(cursor.text()?.into_owned()),
                "float_feature_index" => float = Some(cursor.number()?),
                "cat_feature_index" => cat = Some(cursor.number()?),
                "border" => border = Some(cursor.number()?),
                "value" => hash = Some(signed_hash(cursor)?),
                "split_index" => index = Some(cursor.number()?),
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        let what = cursor.need(what, "split_type")?;
        Ok(match what.as_str() {
            "FloatFeature" => Self::Number {
                feature: cursor.need(float, "float_feature_index")?,
                border: cursor.need(border, "border")?,
            },
            "OneHotFeature" => {
                Self::Equal { feature: cursor.need(cat, "cat_feature_index")?, hash: cursor.need(hash, "value")? }
            }
            "OnlineCtr" => {
                Self::Statistic { index: cursor.need(index, "split_index")?, border: cursor.need(border, "border")? }
            }
            other => return Err(cursor.fail(format!("'{}' is no type of a split that is known", shown(other)))),
        })
    }
}

/// A split of the ensemble: its feature, its test, and whether NaN answers yes.
pub(super) type Question = (u32, Test, witgate_trees::Missing);

impl Draft {
    /// How many numbers each leaf has.
    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Oblivious { splits, values } => values.len() >> splits.len(),
            Self::Plain { values, leaves, .. } => values.len() / (*leaves).max(1),
        }
    }

    /// The tree, with the questions that `question` makes of splits.
    pub(super) fn tree(&self, id: usize, mut question: impl FnMut(Split) -> Result<Question>) -> Result<Tree> {
        let id = i64::try_from(id).unwrap_or(i64::MAX);
        let votes = |values: &[f64]| {
            let votes = (0u32..).zip(values).map(|(target, value)| Vote { target, value: Value::Constant(*value) });
            Leaf { votes: votes.collect() }
        };
        let outputs = self.outputs().max(1);
        let (root, nodes, values) = match self {
            Self::Oblivious { splits, values } => {
                let questions = splits.iter().map(|split| question(*split)).collect::<Result<Vec<_>>>()?;
                (if splits.is_empty() { Child::Leaf(0) } else { Child::Node(0) }, levels(&questions), values)
            }
            Self::Plain { root, nodes, values, .. } => {
                let nodes = (0i64..).zip(nodes).map(|(id, (split, left, right))| {
                    let (feature, test, missing) = question(*split)?;
                    Ok(Node { id, feature, test, missing, yes: *right, no: *left })
                });
                (*root, nodes.collect::<Result<_>>()?, values)
            }
        };
        let leaves = values.chunks_exact(outputs).map(votes).collect();
        Ok(Tree { id, root, nodes, leaves, weight: 1.0 })
    }
}

/// The nodes of an oblivious tree, from the last split, which decides the highest bit of a leaf's number, to the first.
fn levels(questions: &[Question]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut first = 0u32;
    for (level, (feature, test, missing)) in questions.iter().rev().enumerate() {
        let count = 1u32 << level;
        let last = level + 1 == questions.len();
        for place in 0..count {
            let child = |answer: u32| {
                let below = 2 * place + answer;
                if last { Child::Leaf(below) } else { Child::Node(first + count + below) }
            };
            let id = (first + place).into();
            let (yes, no) = (child(1), child(0));
            nodes.push(Node { id, feature: *feature, test: test.clone(), missing: *missing, yes, no });
        }
        first += count;
    }
    nodes
}
