//! From the leaves that a row reaches to its scores: the only place where weights are added, so that all layouts have the
//! same order of operations.

use crate::ensemble::{Aggregate, BaseOrder, Linear, Parts, Value};
use crate::lower::Lowered;
use crate::number::Key;
use crate::{Element, Score, Transform};

/// How the leaves of an ensemble vote.
#[derive(Debug)]
pub(crate) struct Scoring<S> {
    votes: Votes<S>,
    aggregate: Aggregate,
    trees: usize,
    targets: usize,
    /// What the score of each target is before the first vote.
    begin: Vec<S>,
    /// What is added after the last.
    end: Vec<S>,
    transform: Transform,
}

/// Votes of leaves, by the number of the leaf over all trees.
#[derive(Debug)]
enum Votes<S> {
    /// One for each leaf, all of them for the only target, to be summed up.
    Single(Vec<S>),
    /// One for each leaf, those of a tree for the same target, to be summed up.
    PerTree { weights: Vec<S>, targets: Vec<u32> },
    /// Where the votes of each leaf begin, and of the one after the last.
    Lists { begins: Vec<u32>, votes: Vec<(u32, Weight<S>)> },
}

#[derive(Debug)]
enum Weight<S> {
    Constant(S),
    /// What the linear function is multiplied with, and the function.
    Linear(S, Box<Linear>),
}

impl<S: Score> Scoring<S> {
    pub(crate) fn new<K: Key>(parts: &Parts, lowered: &Lowered<K>) -> Self {
        let base: Vec<S> = parts.base.iter().map(|base| S::from_f64(*base)).collect();
        let start = match parts.aggregate {
            Aggregate::Sum | Aggregate::Average => S::default(),
            Aggregate::Min => S::LARGEST,
            Aggregate::Max => S::SMALLEST,
        };
        let zero = vec![start; parts.targets];
        let (begin, end) = match parts.base_order {
            BaseOrder::BeforeTrees if !base.is_empty() => (base, Vec::new()),
            BaseOrder::BeforeTrees => (zero, Vec::new()),
            BaseOrder::AfterTrees => (zero, base),
        };
        Self {
            votes: simplest(parts, lists(parts, lowered), lowered),
            aggregate: parts.aggregate,
            trees: parts.trees.len(),
            targets: parts.targets,
            begin,
            end,
            transform: parts.transform,
        }
    }

    pub(crate) fn targets(&self) -> usize {
        self.targets
    }

    /// Bytes that it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        match &self.votes {
            Votes::Single(weights) => weights.len() * size_of::<S>(),
            Votes::PerTree { weights, targets } => weights.len() * size_of::<S>() + targets.len() * size_of::<u32>(),
            Votes::Lists { begins, votes } => {
                begins.len() * size_of::<u32>() + votes.len() * size_of::<(u32, Weight<S>)>()
            }
        }
    }

    /// The scores before the first tree.
    #[inline]
    pub(crate) fn begin(&self, scores: &mut [S]) {
        if let ([score], [begin]) = (&mut *scores, self.begin.as_slice()) {
            *score = *begin;
        } else if scores.len() == self.begin.len() {
            scores.copy_from_slice(&self.begin);
        }
    }

    /// Lets the leaves of some trees vote, from `first_tree` on.
    #[inline]
    pub(crate) fn add<K: Key, X: Element>(&self, first_tree: usize, leaves: &[u32], row: &[X], scores: &mut [S]) {
        match &self.votes {
            Votes::Single(weights) => {
                let Some(score) = scores.first_mut() else { return };
                let mut sum = *score;
                for leaf in leaves {
                    sum = sum.plus(weights.get(*leaf as usize).copied().unwrap_or_default());
                }
                *score = sum;
            }
            Votes::PerTree { weights, targets } => {
                for (leaf, target) in leaves.iter().zip(targets.iter().skip(first_tree)) {
                    if let (Some(score), Some(weight)) = (scores.get_mut(*target as usize), weights.get(*leaf as usize))
                    {
                        *score = score.plus(*weight);
                    }
                }
            }
            Votes::Lists { begins, votes } => {
                for leaf in leaves {
                    let bounds = |at: usize| begins.get(at).copied().unwrap_or_default() as usize;
                    let list = votes.get(bounds(*leaf as usize)..bounds(*leaf as usize + 1)).unwrap_or_default();
                    for (target, weight) in list {
                        let weight = match weight {
                            Weight::Constant(weight) => *weight,
                            Weight::Linear(scale, linear) => scale.times(linear_value::<K, X, S>(linear, row)),
                        };
                        if let Some(score) = scores.get_mut(*target as usize) {
                            *score = self.aggregated(*score, weight);
                        }
                    }
                }
            }
        }
    }

    /// The scores after the last tree.
    #[inline]
    pub(crate) fn finish(&self, scores: &mut [S]) {
        if self.aggregate == Aggregate::Average {
            scores.iter_mut().for_each(|score| *score = score.over(self.trees));
        }
        for (score, end) in scores.iter_mut().zip(&self.end) {
            *score = score.plus(*end);
        }
        if self.transform != Transform::None {
            S::transform(self.transform, scores);
        }
    }

    fn aggregated(&self, score: S, vote: S) -> S {
        match self.aggregate {
            Aggregate::Sum | Aggregate::Average => score.plus(vote),
            Aggregate::Min if vote < score => vote,
            Aggregate::Max if vote > score => vote,
            Aggregate::Min | Aggregate::Max => score,
        }
    }
}

/// Votes of all leaves, in their order.
fn lists<S: Score, K: Key>(parts: &Parts, lowered: &Lowered<K>) -> Votes<S> {
    let (mut begins, mut votes) = (vec![0], Vec::new());
    for (tree, flat) in parts.trees.iter().zip(&lowered.trees) {
        let scale = S::from_f64(tree.weight);
        let first = flat.first_leaf as usize;
        let origins = lowered.origins.get(first..first + flat.leaves as usize).unwrap_or_default();
        for leaf in origins.iter().filter_map(|origin| tree.leaves.get(*origin as usize)) {
            votes.extend(leaf.votes.iter().map(|vote| {
                let weight = match &vote.value {
                    Value::Constant(value) => Weight::Constant(scale.times(S::from_f64(*value))),
                    Value::Linear(linear) => Weight::Linear(scale, linear.clone()),
                };
                (vote.target, weight)
            }));
            begins.push(votes.len() as u32);
        }
    }
    Votes::Lists { begins, votes }
}

/// The same votes, in the form that takes the least time.
fn simplest<S: Score, K: Key>(parts: &Parts, votes: Votes<S>, lowered: &Lowered<K>) -> Votes<S> {
    let Votes::Lists { begins, votes } = votes else { return votes };
    let summed = matches!(parts.aggregate, Aggregate::Sum | Aggregate::Average);
    let one_each = summed && begins.iter().enumerate().all(|(leaf, begin)| leaf == *begin as usize);
    let constants: Option<Vec<S>> = votes
        .iter()
        .map(|(_, weight)| if let Weight::Constant(weight) = weight { Some(*weight) } else { None })
        .collect();
    let targets: Option<Vec<u32>> = lowered
        .trees
        .iter()
        .map(|tree| {
            let first = tree.first_leaf as usize;
            let mut targets = votes.get(first..first + tree.leaves as usize)?.iter().map(|(target, _)| *target);
            let target = targets.next()?;
            targets.all(|other| other == target).then_some(target)
        })
        .collect();
    match (one_each, constants, targets) {
        (true, Some(weights), _) if parts.targets == 1 => Votes::Single(weights),
        (true, Some(weights), Some(targets)) => Votes::PerTree { weights, targets },
        _ => Votes::Lists { begins, votes },
    }
}

fn linear_value<K: Key, X: Element, S: Score>(linear: &Linear, row: &[X]) -> S {
    let mut value = linear.intercept;
    for (feature, coefficient) in &linear.terms {
        let number = row.get(*feature as usize).map_or(f64::NAN, |number| K::number(*number));
        if number.is_nan() {
            return S::from_f64(linear.otherwise);
        }
        value += coefficient * number;
    }
    S::from_f64(value)
}
