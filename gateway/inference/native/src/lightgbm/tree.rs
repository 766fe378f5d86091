//! One tree of a file.

use std::sync::Arc;

use witgate_trees::{Child, Comparison, Leaf, Linear, Missing, Node, Test, Tree, Value, Vote, ZERO};

use super::lines::{Budget, Entry, Line, Lines, Result, within};

/// Bits of a decision.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

/// The lines of a tree that matter.
#[derive(Debug, Default)]
struct Entries<'a> {
    num_leaves: Option<Entry<'a>>,
    num_cat: Option<Entry<'a>>,
    split_feature: Option<Entry<'a>>,
    threshold: Option<Entry<'a>>,
    decision_type: Option<Entry<'a>>,
    left_child: Option<Entry<'a>>,
    right_child: Option<Entry<'a>>,
    leaf_value: Option<Entry<'a>>,
    cat_boundaries: Option<Entry<'a>>,
    cat_threshold: Option<Entry<'a>>,
    is_linear: Option<Entry<'a>>,
    leaf_const: Option<Entry<'a>>,
    num_features: Option<Entry<'a>>,
    leaf_features: Option<Entry<'a>>,
    leaf_coeff: Option<Entry<'a>>,
}

/// A tree, and which features it takes for categories.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) tree: Tree,
    pub(super) linear: bool,
    pub(super) categorical: Vec<u32>,
}

/// Reads the tree after its first line, up to an empty one.
pub(super) fn read(
    head: Line<'_>,
    id: usize,
    target: u32,
    features: usize,
    lines: &mut Lines<'_>,
    budget: &mut Budget<'_>,
) -> Result<Read> {
    let entries = entries(lines)?;
    let missing = |key: &str| head.fail(&format!("tree {id}"), format!("the tree has no '{key}'"));
    let count = entries.num_leaves.ok_or_else(|| missing("num_leaves"))?;
    let leaf_value = entries.leaf_value.ok_or_else(|| missing("leaf_value"))?;
    let leaves: usize = count.one()?;
    if leaves == 0 {
        return Err(count.fail("a tree has a leaf at least"));
    }
    budget.nodes = budget.nodes.saturating_add(leaves.saturating_mul(2));
    within("nodes and leaves", budget.nodes, budget.limits.nodes)?;
    let values: Vec<f64> = leaf_value.many(leaves)?;
    let (leaves, linear) = self::leaves(&entries, leaf_value, values, target)?;
    let id = i64::try_from(id).unwrap_or(i64::MAX);
    let mut read = Read {
        tree: Tree { id, root: Child::Leaf(0), nodes: vec![], leaves, weight: 1.0 },
        linear,
        categorical: vec![],
    };
    if read.tree.leaves.len() > 1 {
        let splits = Splits {
            feature: entries.split_feature.ok_or_else(|| missing("split_feature"))?,
            threshold: entries.threshold.ok_or_else(|| missing("threshold"))?,
            left: entries.left_child.ok_or_else(|| missing("left_child"))?,
            right: entries.right_child.ok_or_else(|| missing("right_child"))?,
            decision: entries.decision_type,
        };
        let sets = sets(&entries, budget)?;
        read.tree.root = Child::Node(0);
        read.tree.nodes = splits.nodes(read.tree.leaves.len() - 1, features, &sets, &mut read.categorical)?;
    }
    Ok(read)
}

fn entries<'a>(lines: &mut Lines<'a>) -> Result<Entries<'a>> {
    let mut entries = Entries::default();
    loop {
        let line = lines.any()?.ok_or_else(|| lines.ended("within a tree"))?;
        if line.text.is_empty() {
            return Ok(entries);
        }
        let entry = line.entry();
        let slot = match entry.key {
            "num_leaves" => &mut entries.num_leaves,
            "num_cat" => &mut entries.num_cat,
            "split_feature" => &mut entries.split_feature,
            "threshold" => &mut entries.threshold,
            "decision_type" => &mut entries.decision_type,
            "left_child" => &mut entries.left_child,
            "right_child" => &mut entries.right_child,
            "leaf_value" => &mut entries.leaf_value,
            "cat_boundaries" => &mut entries.cat_boundaries,
            "cat_threshold" => &mut entries.cat_threshold,
            "is_linear" => &mut entries.is_linear,
            "leaf_const" => &mut entries.leaf_const,
            "num_features" => &mut entries.num_features,
            "leaf_features" => &mut entries.leaf_features,
            "leaf_coeff" => &mut entries.leaf_coeff,
            _ => continue,
        };
        if slot.replace(entry).is_some() {
            return Err(entry.fail("the line is there twice in the tree"));
        }
    }
}

/// The leaves, and whether they are linear functions.
fn leaves(entries: &Entries<'_>, value: Entry<'_>, values: Vec<f64>, target: u32) -> Result<(Vec<Leaf>, bool)> {
    let constant = |value| Leaf { votes: vec![Vote { target, value }] };
    let linear = entries.is_linear.map_or(Ok(0), |entry| entry.one::<u8>())? != 0;
    if !linear {
        return Ok((values.into_iter().map(|value| constant(Value::Constant(value))).collect(), false));
    }
    let count = values.len();
    let constants: Vec<f64> = match entries.leaf_const {
        Some(entry) => entry.many(count)?,
        None => vec![0.0; count],
    };
    let terms: Vec<usize> = match entries.num_features {
        Some(entry) => entry.many(count)?,
        None => vec![0; count],
    };
    let total = terms.iter().copied().fold(0, usize::saturating_add);
    let features: Vec<u32> = entries.leaf_features.map_or(Ok(vec![]), |entry| entry.many(total))?;
    let coefficients: Vec<f64> = entries.leaf_coeff.map_or(Ok(vec![]), |entry| entry.many(total))?;
    if features.len() != total || coefficients.len() != total {
        return Err(value.fail("'leaf_features' and 'leaf_coeff' are expected in a tree that is linear"));
    }
    let mut pairs = features.into_iter().zip(coefficients);
    let leaves = constants.into_iter().zip(values).zip(terms).map(|((intercept, otherwise), count)| {
        let terms = pairs.by_ref().take(count).collect();
        constant(Value::Linear(Box::new(Linear { intercept, terms, otherwise })))
    });
    Ok((leaves.collect(), true))
}

/// The lines of the nodes that are no leaves.
struct Splits<'a> {
    feature: Entry<'a>,
    threshold: Entry<'a>,
    left: Entry<'a>,
    right: Entry<'a>,
    decision: Option<Entry<'a>>,
}

impl Splits<'_> {
    fn nodes(
        &self,
        count: usize,
        features: usize,
        sets: &[Arc<[u32]>],
        categorical: &mut Vec<u32>,
    ) -> Result<Vec<Node>> {
        let split_features: Vec<u32> = self.feature.many(count)?;
        let thresholds: Vec<f64> = self.threshold.many(count)?;
        let lefts: Vec<i32> = self.left.many(count)?;
        let rights: Vec<i32> = self.right.many(count)?;
        let decisions: Vec<u8> = match self.decision {
            Some(entry) => entry.many(count)?,
            None => vec![0; count],
        };
        let columns = split_features.into_iter().zip(thresholds).zip(decisions).zip(lefts).zip(rights);
        let nodes = columns.enumerate().map(|(index, ((((feature, threshold), decision), left), right))| {
            if feature as usize >= features {
                let problem = format!("node {index} looks at the feature {feature}, and there are {features}");
                return Err(self.feature.fail(problem));
            }
            let (test, missing) = if decision & CATEGORICAL != 0 {
                let place = (threshold >= 0.0 && threshold.fract() == 0.0).then_some(threshold as usize);
                let set = place.and_then(|place| sets.get(place)).ok_or_else(|| {
                    self.threshold.fail(format!("node {index} has the set {threshold}, and there are {}", sets.len()))
                })?;
                categorical.push(feature);
                (Test::Category(set.clone()), Missing::Nothing)
            } else {
                let test = Test::Compare { comparison: Comparison::AtMost, threshold: around_zero(threshold) };
                (test, self.missing(index, decision)?)
            };
            let id = i64::try_from(index).unwrap_or(i64::MAX);
            Ok(Node { id, feature, test, missing, yes: child(left), no: child(right) })
        });
        nodes.collect()
    }

    fn missing(&self, index: usize, decision: u8) -> Result<Missing> {
        let yes = decision & DEFAULT_LEFT != 0;
        match (decision >> 2 & 3, self.decision) {
            (1, _) => Ok(Missing::NanOrZero { yes }),
            (2, _) => Ok(Missing::Nan { yes }),
            (3, Some(entry)) => Err(entry.fail(format!("node {index} has a decision of an unknown kind, {decision}"))),
            _ => Ok(Missing::NanAsZero),
        }
    }
}

/// LightGBM takes numbers that are at most [`ZERO`] away from 0 for 0 before it compares them. A threshold in between is
/// moved to the end of that interval which has the same effect.
fn around_zero(threshold: f64) -> f64 {
    if (0.0..ZERO).contains(&threshold) {
        ZERO
    } else if (-ZERO..0.0).contains(&threshold) {
        (-ZERO).next_down()
    } else {
        threshold
    }
}

fn child(index: i32) -> Child {
    if index < 0 { Child::Leaf((!index).cast_unsigned()) } else { Child::Node(index.cast_unsigned()) }
}

/// Sets of categories, as words of 32 bits.
fn sets(entries: &Entries<'_>, budget: &mut Budget<'_>) -> Result<Vec<Arc<[u32]>>> {
    let count: usize = entries.num_cat.map_or(Ok(0), |entry| entry.one())?;
    let (Some(boundaries), Some(words)) = (entries.cat_boundaries, entries.cat_threshold) else {
        return match entries.num_cat {
            Some(entry) if count > 0 => {
                Err(entry.fail("'cat_boundaries' and 'cat_threshold' are expected in the tree"))
            }
            _ => Ok(vec![]),
        };
    };
    let bounds: Vec<usize> = boundaries.many(count.saturating_add(1))?;
    let total = bounds.last().copied().unwrap_or_default();
    budget.categories = budget.categories.saturating_add(total);
    within("categories of splits, in words of 32", budget.categories, budget.limits.categories)?;
    let words: Vec<u32> = words.many(total)?;
    let ranges = bounds.iter().zip(bounds.iter().skip(1)).map(|(begin, end)| words.get(*begin..*end).map(Arc::from));
    ranges.collect::<Option<_>>().ok_or_else(|| boundaries.fail("the numbers have to grow"))
}
