//! The object that everything is in.

use witgate_trees::Tree;

use super::categories::Listed;
use super::tree::{self, Budget};
use crate::Limits;
use crate::document::{Cursor, Kind, Result};
use crate::model::Rounds;

/// What `learner` says.
#[derive(Debug)]
pub(super) struct Learner {
    pub(super) parameters: Parameters,
    pub(super) objective: String,
    pub(super) booster: Booster,
    pub(super) attributes: Attributes,
    /// Empty, or one for each feature.
    pub(super) names: Vec<String>,
    /// Empty, or one for each feature: `c` is a category.
    pub(super) types: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Of early stopping, from 0.
    pub(super) best_iteration: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Parameters {
    /// One number, or one for each output.
    pub(super) base_score: Vec<f32>,
    pub(super) features: i64,
    classes: i64,
    targets: i64,
}

impl Parameters {
    /// How many scores a row has.
    pub(super) fn outputs(&self) -> usize {
        usize::try_from(self.classes.max(self.targets).max(1)).unwrap_or(usize::MAX)
    }
}

#[derive(Debug)]
pub(super) enum Booster {
    Trees(TreeModel),
    /// Weights of `gblinear`.
    Linear(Vec<f32>),
}

/// Trees of `gbtree` and `dart`.
#[derive(Debug)]
pub(super) struct TreeModel {
    trees: Vec<Tree>,
    /// To which output each tree belongs.
    groups: Vec<i64>,
    /// Where the trees of each iteration begin, and where the last ends.
    rounds: Option<Vec<i64>>,
    parallel: i64,
    /// Weights of DART.
    weights: Option<Vec<f32>>,
    pub(super) categories: Vec<Option<Listed>>,
}

impl Learner {
    pub(super) fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Self> {
        let (mut parameters, mut objective, mut booster) = (None, None, None);
        let (mut names, mut types, mut attributes) = (vec![], vec![], Attributes::default());
        cursor.object(|cursor, key| {
            match key {
                "learner_model_param" => parameters = Some(self::parameters(cursor, limits)?),
                "objective" => cursor.object(|cursor, key| match key {
                    "name" => {
                        objective = Some(cursor.text()?.into_owned());
                        Ok(())
                    }
                    _ => cursor.skip(),
                })?,
                "gradient_booster" => booster = Some(self::booster(cursor, limits)?),
                "attributes" => attributes = self::attributes(cursor)?,
                "feature_names" => names = texts(cursor, limits)?,
                "feature_types" => types = texts(cursor, limits)?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        let learner = Self {
            parameters: cursor.need(parameters, "learner_model_param")?,
            objective: cursor.need(objective, "objective.name")?,
            booster: cursor.need(booster, "gradient_booster")?,
            attributes,
            names,
            types,
        };
        for (list, key) in [(&learner.names, "feature_names"), (&learner.types, "feature_types")] {
            if !list.is_empty() && i64::try_from(list.len()).is_ok_and(|count| count != learner.parameters.features) {
                let expected = learner.parameters.features;
                return Err(cursor.fail(format!("'{key}' has {} entries, and 'num_feature' is {expected}", list.len())));
            }
        }
        Ok(learner)
    }
}

fn texts(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Vec<String>> {
    let mut texts = vec![];
    cursor.array(|cursor| {
        cursor.within("features", texts.len() + 1, limits.features)?;
        texts.push(cursor.text()?.into_owned());
        Ok(())
    })?;
    Ok(texts)
}

fn attributes(cursor: &mut Cursor<'_>) -> Result<Attributes> {
    let mut attributes = Attributes::default();
    cursor.object(|cursor, key| {
        if key != "best_iteration" {
            return cursor.skip();
        }
        let text = cursor.text()?;
        let best = text.trim().parse();
        attributes.best_iteration = Some(best.map_err(|_| cursor.fail("the number of an iteration is expected"))?);
        Ok(())
    })?;
    Ok(attributes)
}

fn parameters(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Parameters> {
    let (mut base_score, mut features, mut classes, mut targets) = (None, None, 0, 1);
    cursor.object(|cursor, key| {
        match key {
            "base_score" => {
                let text = cursor.text()?;
                // A number up to 3.0, and a list of them since.
                let list = text.trim();
                let list = list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(list);
                let numbers =
                    list.split(',').take(limits.outputs.saturating_add(1)).map(|number| number.trim().parse());
                let numbers: std::result::Result<Vec<f32>, _> = numbers.collect();
                base_score = Some(numbers.map_err(|_| cursor.fail("a number, or several in brackets, is expected"))?);
            }
            "num_feature" => features = Some(cursor.parameter::<i64>()?),
            "num_class" => classes = cursor.parameter()?,
            "num_target" => targets = cursor.parameter()?,
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    let (base_score, features) = (cursor.need(base_score, "base_score")?, cursor.need(features, "num_feature")?);
    Ok(Parameters { base_score, features, classes, targets })
}

/// `gradient_booster`; of DART it has one of trees in it.
fn booster(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Booster> {
    let (mut name, mut trees, mut linear, mut weights, mut inner) = (None, None, None, None, None);
    cursor.object(|cursor, key| {
        match key {
            "name" => name = Some(cursor.text()?.into_owned()),
            "model" => model(cursor, limits, &mut trees, &mut linear)?,
            "gbtree" => inner = Some(booster(cursor, limits)?),
            "weight_drop" => weights = Some(cursor.numbers(limits.trees)?),
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    let name = cursor.need(name, "name")?;
    match (name.as_str(), trees, linear, inner) {
        ("gblinear", _, Some(linear), _) => Ok(Booster::Linear(linear)),
        ("gbtree" | "dart", Some(mut trees), ..) | ("dart", None, _, Some(Booster::Trees(mut trees))) => {
            trees.weights = weights.or(trees.weights);
            Ok(Booster::Trees(trees))
        }
        ("gbtree" | "dart" | "gblinear", ..) => Err(cursor.fail("the object that ends here has no 'model'")),
        (other, ..) => Err(cursor.fail(format!("the booster '{}' is none of XGBoost's", crate::error::shown(other)))),
    }
}

fn model(
    cursor: &mut Cursor<'_>,
    limits: &Limits,
    trees: &mut Option<TreeModel>,
    linear: &mut Option<Vec<f32>>,
) -> Result<()> {
    let mut parallel = 1;
    let (mut read, mut groups, mut rounds, mut weights, mut categories) = (None, None, None, None, vec![]);
    let mut count: Option<i64> = None;
    cursor.object(|cursor, key| {
        match key {
            "weights" => *linear = Some(cursor.numbers(limits.nodes)?),
            "trees" => {
                let mut budget = Budget { limits, nodes: 0, categories: 0 };
                let mut list = Vec::new();
                cursor.array(|cursor| {
                    cursor.within("trees", list.len() + 1, limits.trees)?;
                    list.push(tree::read(cursor, list.len(), &mut budget)?);
                    Ok(())
                })?;
                read = Some(list);
            }
            "tree_info" => groups = Some(cursor.numbers(limits.trees)?),
            "iteration_indptr" => rounds = Some(cursor.numbers(limits.trees.saturating_add(1))?),
            "weight_drop" => weights = Some(cursor.numbers(limits.trees)?),
            "gbtree_model_param" => cursor.object(|cursor, key| {
                match key {
                    "num_parallel_tree" => parallel = cursor.parameter()?,
                    "num_trees" => count = Some(cursor.parameter()?),
                    _ => cursor.skip()?,
                }
                Ok(())
            })?,
            "cats" if cursor.kind()? == Kind::Object => categories = super::categories::read(cursor, limits)?,
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    if let Some(read) = read {
        let groups = cursor.need(groups, "tree_info")?;
        if count.is_some_and(|count| i64::try_from(read.len()) != Ok(count)) || groups.len() != read.len() {
            let problem = "the numbers of 'trees', of 'tree_info' and 'num_trees' are not the same";
            return Err(cursor.fail(problem));
        }
        *trees = Some(TreeModel { trees: read, groups, rounds, parallel, weights, categories });
    }
    Ok(())
}

impl TreeModel {
    /// The trees that are run, with their outputs and weights.
    pub(super) fn trees(
        self,
        cursor: &Cursor<'_>,
        outputs: usize,
        best_iteration: Option<usize>,
    ) -> Result<(Vec<Tree>, Rounds)> {
        let count = self.trees.len();
        let per_round = usize::try_from(self.parallel.max(1)).unwrap_or(usize::MAX).saturating_mul(outputs);
        let stored = match &self.rounds {
            Some(bounds) => bounds.len().saturating_sub(1),
            None => count / per_round.max(1),
        };
        let used = best_iteration.map_or(stored, |best| stored.min(best.saturating_add(1)));
        let end = match &self.rounds {
            _ if used == stored => Some(count),
            Some(bounds) => bounds.get(used).and_then(|end| usize::try_from(*end).ok()),
            None => used.checked_mul(per_round),
        };
        let Some(end) = end.filter(|end| *end <= count) else {
            return Err(cursor.fail(format!("'iteration_indptr' and 'best_iteration' lead beyond the {count} trees")));
        };
        if self.weights.as_ref().is_some_and(|weights| weights.len() != count) {
            return Err(cursor.fail(format!("'weight_drop' has not as many numbers as there are trees, {count}")));
        }
        let mut trees = self.trees;
        trees.truncate(end);
        for (index, (tree, group)) in trees.iter_mut().zip(&self.groups).enumerate() {
            let target = u32::try_from(*group).ok().filter(|group| (*group as usize) < outputs);
            let Some(target) = target else {
                return Err(cursor.fail(format!("'tree_info' gives tree {index} to output {group}, of {outputs}")));
            };
            tree.leaves.iter_mut().flat_map(|leaf| &mut leaf.votes).for_each(|vote| vote.target = target);
            if let Some(weight) = self.weights.as_ref().and_then(|weights| weights.get(index)) {
                tree.weight = (*weight).into();
            }
        }
        Ok((trees, Rounds { used, stored }))
    }
}
