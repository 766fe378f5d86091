//! LightGBM's text, of versions `v2` to `v4`.
//!
//! All is in double. Sums go from tree to tree; the objective's transformation is computed in double with the exponential
//! of the platform. Scores are equal in every bit to those of the model that LightGBM loads from the file. A model that was
//! kept in memory since its training has the same ones, unless `sigmoid` has more than six digits: no more are saved.
//!
//! Numbers that are at most 1e-35 away from 0 are 0, before anything is compared.

mod categories;
mod lines;
mod objective;
mod tree;

use std::collections::BTreeSet;
use std::sync::Arc;

use witgate_trees::{Aggregate, BaseOrder, Ensemble, Parts, Precision, Transform, Tree};

use self::categories::Tail;
use self::lines::{Budget, Entry, Line, Lines, Result, within};
use crate::error::NativeError;
use crate::link::Link;
use crate::model::{Body, Feature, Finish, Meaning, NativeModel, Outputs, Rounds};
use crate::prepare::{Column, Prepare};
use crate::{Format, Limits};

/// The lines before the trees.
#[derive(Debug, Default)]
struct Header<'a> {
    version: Option<Entry<'a>>,
    num_class: Option<Entry<'a>>,
    num_tree_per_iteration: Option<Entry<'a>>,
    max_feature_idx: Option<Entry<'a>>,
    objective: Option<Entry<'a>>,
    average_output: Option<Entry<'a>>,
    feature_names: Option<Entry<'a>>,
    feature_infos: Option<Entry<'a>>,
    tree_sizes: Option<Entry<'a>>,
}

/// All trees, and what they have in common.
#[derive(Debug, Default)]
struct Forest {
    trees: Vec<Tree>,
    linear: bool,
    categorical: BTreeSet<u32>,
}

pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<NativeModel> {
    let mut lines = Lines::new(bytes);
    let first = lines.next()?.ok_or_else(|| lines.ended("before it begins"))?;
    let (header, head) = header(&mut lines)?;
    let fail = |key: &str| first.fail("", format!("the lines before the trees have no '{key}'"));

    let max_feature = header.max_feature_idx.ok_or_else(|| fail("max_feature_idx"))?;
    let features = max_feature.one::<usize>()?.saturating_add(1);
    within("features", features, limits.features)?;
    let names = header.feature_names.ok_or_else(|| fail("feature_names"))?;
    let infos = header.feature_infos.ok_or_else(|| fail("feature_infos"))?;
    let [name_list, info_list] = [names, infos].map(|entry| words(entry, features));
    let (name_list, info_list) = (name_list?, info_list?);

    let classes = header.num_class.ok_or_else(|| fail("num_class"))?;
    let outputs: usize = header.num_tree_per_iteration.unwrap_or(classes).one()?;
    within("outputs", outputs, limits.outputs)?;
    if outputs == 0 || classes.one::<usize>()? != outputs {
        return Err(classes.fail("it has to be 1 at least, and as large as 'num_tree_per_iteration'"));
    }
    let (link, meaning) = match header.objective {
        Some(entry) => objective::read(entry, outputs)?,
        None => (Link::Identity, Meaning::Margin),
    };

    let forest = forest(&mut lines, head, features, outputs, limits)?;
    let stored = forest.trees.len();
    let announced = header.tree_sizes.map(|entry| entry.value.split_ascii_whitespace().count());
    if announced.is_some_and(|announced| announced != stored) || !stored.is_multiple_of(outputs) {
        let problem = match announced {
            Some(announced) => {
                format!("the file has {stored} trees, and 'tree_sizes' says {announced}: it was cut off")
            }
            None => {
                format!("the file has {stored} trees, which do not make whole iterations of {outputs}: it was cut off")
            }
        };
        return Err(first.fail("", problem));
    }
    let rounds = stored / outputs;
    let tail = tail(&mut lines)?;
    let lists = match tail.lists {
        Some((json, line)) => categories::lists(json, line.number, limits)?,
        None => vec![],
    };
    let kinds = categories::kinds(&info_list, &forest.categorical, tail.features, lists);
    let features = name_list.iter().zip(kinds).map(|(name, kind)| Feature { name: Some((*name).to_owned()), kind });
    let features: Vec<Feature> = features.collect();

    let prepare =
        forest.linear.then(|| Prepare { columns: vec![Column::NearlyZero; features.len()], statistics: Arc::from([]) });
    let divisor = (header.average_output.is_some() && rounds > 0).then_some(rounds as f64);
    Ok(NativeModel {
        format: Format::LightGbmText,
        version: header.version.map(|entry| entry.value.to_owned()),
        body: Body::Trees(ensemble(forest.trees, features.len(), outputs, limits)?),
        features,
        outputs: Outputs { meaning, labels: None, count: outputs },
        objective: header.objective.and_then(|entry| entry.value.split(' ').next()).unwrap_or_default().to_owned(),
        rounds: Rounds { used: rounds, stored: rounds },
        finish: Finish { divisor, ..Finish::of(link) },
        prepare,
    })
}

/// Reads up to the first tree, whose first line is handed back; or none if there is no tree.
fn header<'a>(lines: &mut Lines<'a>) -> Result<(Header<'a>, Option<Line<'a>>)> {
    let mut header = Header::default();
    loop {
        let line = lines.next()?.ok_or_else(|| lines.ended("before the first tree"))?;
        if line.text.starts_with("Tree=") {
            return Ok((header, Some(line)));
        }
        if line.text == "end of trees" {
            return Ok((header, None));
        }
        let entry = line.entry();
        let slot = match entry.key {
            "version" => &mut header.version,
            "num_class" => &mut header.num_class,
            "num_tree_per_iteration" => &mut header.num_tree_per_iteration,
            "max_feature_idx" => &mut header.max_feature_idx,
            "objective" => &mut header.objective,
            "average_output" => &mut header.average_output,
            "feature_names" => &mut header.feature_names,
            "feature_infos" => &mut header.feature_infos,
            "tree_sizes" => &mut header.tree_sizes,
            _ => continue,
        };
        if slot.replace(entry).is_some() {
            return Err(entry.fail("the line is there twice"));
        }
    }
}

fn words(entry: Entry<'_>, count: usize) -> Result<Vec<&str>> {
    let words: Vec<&str> =
        entry.value.split(' ').filter(|word| !word.is_empty()).take(count.saturating_add(1)).collect();
    if words.len() == count {
        return Ok(words);
    }
    let found = if words.len() < count { words.len().to_string() } else { "more".to_owned() };
    Err(entry.fail(format!("there are {found}, and 'max_feature_idx' says {count}")))
}

fn forest(
    lines: &mut Lines<'_>,
    head: Option<Line<'_>>,
    features: usize,
    outputs: usize,
    limits: &Limits,
) -> Result<Forest> {
    let mut forest = Forest::default();
    let mut budget = Budget { limits, nodes: 0, categories: 0 };
    let mut head = head;
    while let Some(line) = head {
        let id = forest.trees.len();
        within("trees", id + 1, limits.trees)?;
        let target = u32::try_from(id % outputs).unwrap_or(u32::MAX);
        let read = tree::read(line, id, target, features, lines, &mut budget)?;
        forest.trees.push(read.tree);
        forest.linear |= read.linear;
        forest.categorical.extend(read.categorical);
        // What comes after the last tree depends on the version.
        head = lines.next()?.filter(|line| line.text.starts_with("Tree="));
    }
    Ok(forest)
}

/// Reads what follows the trees, of which little is of use.
fn tail<'a>(lines: &mut Lines<'a>) -> Result<Tail<'a>> {
    let mut tail = Tail::default();
    while let Some(line) = lines.next()? {
        if let Some(json) = line.text.strip_prefix("pandas_categorical:") {
            tail.lists = Some((json, line));
        } else if let Some(list) = line.text.strip_prefix("[categorical_feature:") {
            tail.features = list.strip_suffix(']').map(str::trim).filter(|list| !list.is_empty());
        }
    }
    Ok(tail)
}

fn ensemble(trees: Vec<Tree>, features: usize, targets: usize, limits: &Limits) -> Result<Ensemble> {
    let parts = Parts {
        features,
        targets,
        trees: crate::or_nothing(trees),
        thresholds: Precision::F64,
        scores: Precision::F64,
        aggregate: Aggregate::Sum,
        base: vec![],
        base_order: BaseOrder::AfterTrees,
        transform: Transform::None,
    };
    let trees = Ensemble::new(parts, &limits.of_trees());
    trees.map_err(|source| NativeError::Trees { format: Format::LightGbmText, source })
}
