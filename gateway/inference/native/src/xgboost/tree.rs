//! One tree of a file.

use std::sync::Arc;

use witgate_trees::{Child, Comparison, Leaf, Missing, Node, Test, Tree, Value, Vote};

use crate::Limits;
use crate::document::{Cursor, Kind, Result};
use crate::error::{Advice, NativeError};

/// How much of what is limited has been read of all trees.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    pub(super) limits: &'a Limits,
    pub(super) nodes: usize,
    pub(super) categories: usize,
}

/// The arrays of a tree, each with an entry for each node or, of categories, for each node that asks for them.
#[derive(Debug, Default)]
struct Arrays {
    left: Option<Vec<i64>>,
    right: Option<Vec<i64>>,
    feature: Option<Vec<i64>>,
    condition: Option<Vec<f32>>,
    default_left: Option<Vec<i64>>,
    categorical: Option<Vec<i64>>,
    categories: Vec<i64>,
    categories_nodes: Vec<i64>,
    categories_segments: Vec<i64>,
    categories_sizes: Vec<i64>,
    /// How many numbers a leaf has.
    leaf_size: i64,
}

/// The largest category that XGBoost knows, and one more: what a float holds exactly.
const CATEGORIES: i64 = 1 << 24;

/// Reads a tree.
pub(super) fn read(cursor: &mut Cursor<'_>, index: usize, budget: &mut Budget<'_>) -> Result<Tree> {
    let arrays = arrays(cursor, budget)?;
    if arrays.leaf_size > 1 {
        return Err(NativeError::Unsupported {
            format: cursor.format(),
            what: "a tree with several targets (multi_strategy=\"multi_output_tree\")".to_owned(),
            advice: Advice("train with multi_strategy=\"one_output_per_tree\""),
        });
    }
    arrays.tree(cursor, index, budget)
}

fn arrays(cursor: &mut Cursor<'_>, budget: &Budget<'_>) -> Result<Arrays> {
    let most = budget.limits.nodes.saturating_sub(budget.nodes);
    let most_categories = budget.limits.categories;
    let mut arrays = Arrays::default();
    cursor.object(|cursor, key| {
        match key {
            "left_children" => arrays.left = Some(cursor.numbers(most)?),
            "right_children" => arrays.right = Some(cursor.numbers(most)?),
            "split_indices" => arrays.feature = Some(cursor.numbers(most)?),
            "split_conditions" => arrays.condition = Some(cursor.numbers(most)?),
            "default_left" => arrays.default_left = Some(cursor.numbers(most)?),
            "split_type" => arrays.categorical = Some(cursor.numbers(most)?),
            "categories" => arrays.categories = cursor.numbers(most_categories)?,
            "categories_nodes" => arrays.categories_nodes = cursor.numbers(most)?,
            "categories_segments" => arrays.categories_segments = cursor.numbers(most)?,
            "categories_sizes" => arrays.categories_sizes = cursor.numbers(most)?,
            "tree_param" if cursor.kind()? == Kind::Object => cursor.object(|cursor, key| match key {
                "size_leaf_vector" => {
                    arrays.leaf_size = cursor.parameter()?;
                    Ok(())
                }
                _ => cursor.skip(),
            })?,
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    Ok(arrays)
}

/// The arrays that every tree has, all of the same length.
#[derive(Debug, Clone, Copy)]
struct Nodes<'a> {
    left: &'a [i64],
    right: &'a [i64],
    feature: &'a [i64],
    condition: &'a [f32],
    default_left: &'a [i64],
    /// Empty, or 1 for nodes that ask for categories.
    categorical: &'a [i64],
}

/// Nodes that are reached from the first one: what was pruned is left behind.
#[derive(Debug)]
struct Reached {
    /// What each node of the file has become.
    places: Vec<Option<Child>>,
    nodes: Vec<usize>,
    leaves: Vec<Leaf>,
}

impl<'a> Nodes<'a> {
    fn reached(&self, cursor: &Cursor<'_>) -> Result<Reached> {
        let count = self.left.len();
        let mut reached = Reached { places: vec![None; count], nodes: vec![], leaves: vec![] };
        let (mut order, mut next) = (vec![0], 0);
        while let Some(&node) = order.get(next) {
            next += 1;
            let place = reached.places.get_mut(node).ok_or_else(|| cursor.fail("the tree has no nodes"))?;
            if place.is_some() {
                let problem = format!("several ways lead to node {node}: in a tree each node has one parent");
                return Err(cursor.fail(problem));
            }
            let children = [self.left, self.right].map(|list| list.get(node).copied().unwrap_or_default());
            if let [-1, -1] = children {
                *place = Some(Child::Leaf(u32::try_from(reached.leaves.len()).unwrap_or(u32::MAX)));
                let value = Value::Constant(self.condition.get(node).copied().unwrap_or_default().into());
                reached.leaves.push(Leaf { votes: vec![Vote { target: 0, value }] });
                continue;
            }
            *place = Some(Child::Node(u32::try_from(reached.nodes.len()).unwrap_or(u32::MAX)));
            reached.nodes.push(node);
            for child in children {
                match usize::try_from(child) {
                    Ok(child) if child < count => order.push(child),
                    _ => return Err(cursor.fail(format!("node {node} leads to node {child}, and there are {count}"))),
                }
            }
        }
        Ok(reached)
    }

    fn node(
        &self,
        cursor: &Cursor<'_>,
        node: usize,
        places: &[Option<Child>],
        set: Option<Arc<[u32]>>,
    ) -> Result<Node> {
        let place = |list: &[i64]| {
            let child = list.get(node).and_then(|child| usize::try_from(*child).ok());
            let place = child.and_then(|child| places.get(child).copied().flatten());
            place.ok_or_else(|| cursor.fail(format!("node {node} leads nowhere")))
        };
        let feature = self.feature.get(node).copied().unwrap_or_default();
        let feature = u32::try_from(feature);
        let feature = feature.map_err(|_| cursor.fail(format!("node {node} looks at a feature that cannot be")))?;
        let default_left = self.default_left.get(node).is_some_and(|left| *left != 0);
        let (left, right) = (place(self.left)?, place(self.right)?);
        let id = i64::try_from(node).unwrap_or(i64::MAX);
        if self.categorical.get(node) == Some(&1) {
            // Here the way to the left is for what is not in the set.
            let set = set.ok_or_else(|| cursor.fail(format!("node {node} has no categories")))?;
            let missing = Missing::Nan { yes: !default_left };
            return Ok(Node { id, feature, test: Test::Category(set), missing, yes: right, no: left });
        }
        let threshold = self.condition.get(node).copied().unwrap_or_default().into();
        let test = Test::Compare { comparison: Comparison::Below, threshold };
        Ok(Node { id, feature, test, missing: Missing::Nan { yes: default_left }, yes: left, no: right })
    }
}

impl Arrays {
    fn nodes(&self, cursor: &Cursor<'_>) -> Result<Nodes<'_>> {
        let nodes = Nodes {
            left: cursor.need(self.left.as_deref(), "left_children")?,
            right: cursor.need(self.right.as_deref(), "right_children")?,
            feature: cursor.need(self.feature.as_deref(), "split_indices")?,
            condition: cursor.need(self.condition.as_deref(), "split_conditions")?,
            default_left: cursor.need(self.default_left.as_deref(), "default_left")?,
            categorical: self.categorical.as_deref().unwrap_or_default(),
        };
        let count = nodes.left.len();
        let others = [nodes.right.len(), nodes.feature.len(), nodes.condition.len(), nodes.default_left.len()];
        let categorical = nodes.categorical.len();
        if others.iter().any(|other| *other != count) || !(categorical == 0 || categorical == count) {
            return Err(cursor.fail("the arrays of the tree are not of the same length"));
        }
        Ok(nodes)
    }

    fn tree(&self, cursor: &Cursor<'_>, index: usize, budget: &mut Budget<'_>) -> Result<Tree> {
        let nodes = self.nodes(cursor)?;
        let count = nodes.left.len();
        budget.nodes = budget.nodes.saturating_add(count);
        cursor.within("nodes and leaves", budget.nodes, budget.limits.nodes)?;
        let mut sets = self.sets(cursor, count, budget)?;
        // First every node gets its place, then they are linked.
        let Reached { places, nodes: order, leaves } = nodes.reached(cursor)?;
        let linked = order.into_iter().map(|node| {
            let set = sets.get_mut(node).and_then(Option::take);
            nodes.node(cursor, node, &places, set)
        });
        let nodes = linked.collect::<Result<Vec<Node>>>()?;
        let root = if nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) };
        Ok(Tree { id: i64::try_from(index).unwrap_or(i64::MAX), root, nodes, leaves, weight: 1.0 })
    }

    /// The set of categories of each node that has one, as words of 32 bits.
    fn sets(&self, cursor: &Cursor<'_>, count: usize, budget: &mut Budget<'_>) -> Result<Vec<Option<Arc<[u32]>>>> {
        if self.categories_nodes.is_empty() {
            return Ok(vec![]);
        }
        let mut sets = vec![None; count];
        if self.categories_segments.len() != self.categories_nodes.len()
            || self.categories_sizes.len() != self.categories_nodes.len()
        {
            return Err(cursor.fail("the arrays of categories are not of the same length"));
        }
        let segments = self.categories_segments.iter().zip(&self.categories_sizes);
        for (node, (begin, size)) in self.categories_nodes.iter().zip(segments) {
            let range = usize::try_from(*begin).ok().zip(usize::try_from(*size).ok());
            let range = range.and_then(|(begin, size)| self.categories.get(begin..begin.checked_add(size)?));
            let place = usize::try_from(*node).ok().and_then(|node| sets.get_mut(node));
            let (Some(members), Some(place)) = (range, place) else {
                return Err(cursor.fail(format!("node {node}: its categories are not there")));
            };
            let wrong = members.iter().find(|member| !(0..CATEGORIES).contains(*member));
            if let Some(member) = wrong {
                return Err(
                    cursor.fail(format!("node {node}: the category {member} is not from 0 to {}", CATEGORIES - 1))
                );
            }
            let words = members.iter().max().map_or(0, |largest| *largest as usize / 32 + 1);
            budget.categories = budget.categories.saturating_add(words).saturating_add(members.len());
            cursor.within("categories of splits, in words of 32", budget.categories, budget.limits.categories)?;
            let mut bits = vec![0u32; words];
            for member in members {
                if let Some(word) = bits.get_mut(*member as usize / 32) {
                    *word |= 1 << (member % 32);
                }
            }
            *place = Some(Arc::from(bits));
        }
        Ok(sets)
    }
}
