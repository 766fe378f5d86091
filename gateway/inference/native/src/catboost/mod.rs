//! CatBoost's JSON, of version 1.
//!
//! Numbers of rows and borders are float, sums are double and go from tree to tree; `scale` and `bias` come after them. Raw
//! scores and probabilities of one output are equal in every bit to CatBoost's, on the same C library. For several classes
//! CatBoost has an exponential of its own, which differs from the platform's in the last bits.
//!
//! Categories are hashes of 32 bits: [`hash`] of a text, or of the decimal digits of a whole number.

mod ctr;
mod hash;
mod info;
mod tree;

use std::collections::HashMap;
use std::sync::Arc;

use witgate_trees::{Aggregate, BaseOrder, Comparison, Ensemble, Missing, Parts, Precision, Test, Transform, Tree};

use self::ctr::Columns;
pub(crate) use self::ctr::Statistic;
pub(crate) use self::hash::{hash, hash_integer};
use self::info::{Features, Info};
use self::tree::{Budget, Draft, Question, Split};
use crate::document::{Cursor, Kind, Result};
use crate::error::{Advice, NativeError, shown};
use crate::link::Link;
use crate::model::{Body, Categories, Feature, FeatureKind, Finish, Meaning, NativeModel, Outputs, Rounds};
use crate::prepare::{Column, Prepare};
use crate::{Format, Limits};

/// The top of a file.
#[derive(Debug, Default)]
struct File {
    drafts: Option<Vec<Draft>>,
    features: Option<Features>,
    info: Info,
    tables: HashMap<String, ctr::Table>,
    scale: Option<f64>,
    bias: Vec<f64>,
}

pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<NativeModel> {
    let mut cursor = Cursor::json(bytes, Format::CatBoostJson, limits);
    let mut file = File::default();
    cursor.object(|cursor, key| {
        match key {
            "oblivious_trees" | "trees" => {
                let mut budget = Budget { limits, nodes: 0 };
                let mut drafts = vec![];
                // `null` if there are none.
                if cursor.kind()? == Kind::Null {
                    cursor.skip()?;
                } else {
                    cursor.array(|cursor| {
                        cursor.within("trees", drafts.len() + 1, limits.trees)?;
                        let read = if key == "trees" { tree::plain } else { tree::oblivious };
                        drafts.push(read(cursor, &mut budget)?);
                        Ok(())
                    })?;
                }
                cursor.put(&mut file.drafts, drafts)?;
            }
            "features_info" => file.features = Some(Features::read(cursor, limits)?),
            "model_info" => file.info = Info::read(cursor, limits)?,
            "ctr_data" if cursor.kind()? == Kind::Object => file.tables = ctr::tables(cursor, limits)?,
            "scale_and_bias" => {
                let mut place = 0;
                cursor.array(|cursor| {
                    place += 1;
                    match (place, cursor.kind()?) {
                        (1, _) => file.scale = Some(cursor.number()?),
                        // Version 0.24 and before have a single number.
                        (2, Kind::Number) => file.bias = vec![cursor.number()?],
                        (2, Kind::Array) => file.bias = cursor.numbers(limits.outputs)?,
                        _ => cursor.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    cursor.end()?;
    build(&cursor, file, limits)
}

/// Puts together what was read.
fn build(cursor: &Cursor<'_>, file: File, limits: &Limits) -> Result<NativeModel> {
    let unsupported = |what: String, advice| {
        let format = Format::CatBoostJson;
        Err(NativeError::Unsupported { format, what, advice: Advice(advice) })
    };
    let drafts = cursor.need(file.drafts, "oblivious_trees")?;
    let features = cursor.need(file.features, "features_info")?;
    if let Some(what) = features.other {
        return unsupported(
            format!("a model with {what}"),
            "make numbers of them before the model, and train on these",
        );
    }
    let outputs = drafts.first().map_or(file.bias.len().max(1), Draft::outputs);
    cursor.within("outputs", outputs, limits.outputs)?;
    if drafts.iter().any(|draft| draft.outputs() != outputs) {
        return Err(cursor.fail("the leaves of the trees have not all as many numbers"));
    }
    let (scale, mut bias) = (file.scale.unwrap_or(1.0), file.bias);
    if bias.iter().all(|bias| *bias == 0.0) {
        bias.clear();
    }
    if !(bias.is_empty() || bias.len() == outputs) || !bias.iter().chain([&scale]).all(|number| number.is_finite()) {
        return Err(cursor.fail(format!("'scale_and_bias' has to have {outputs} finite numbers for the bias")));
    }
    let loss = file.info.loss.as_deref().unwrap_or_default();
    let Some((link, meaning)) = objective(loss, outputs) else {
        return unsupported(format!("the loss '{}' with {outputs} outputs", shown(loss)), "");
    };
    let classes = usize::try_from(file.info.classes_count).unwrap_or_default();
    if meaning == Meaning::Classes && classes > outputs {
        let what = format!("a model of {classes} classes of which {outputs} were seen in training");
        return unsupported(what, "train with 'classes_count' left out");
    }

    // Of two classes the only column is the second one.
    let labels = match (meaning, file.info.classes) {
        (Meaning::Probability, Some(labels)) if labels.len() == 2 => Some(labels.into_iter().skip(1).collect()),
        (_, labels) => labels.filter(|labels: &Vec<String>| labels.len() == outputs),
    };
    let questions = Questions::new(cursor, &features, file.tables)?;
    let mut places: Vec<HashMap<u32, u32>> = vec![HashMap::new(); questions.kinds.len()];
    let trees =
        drafts.iter().enumerate().map(|(id, draft)| draft.tree(id, |split| questions.of(cursor, split, &mut places)));
    let trees = trees.collect::<Result<Vec<Tree>>>()?;
    let rounds = drafts.len();
    let prepare = questions.prepare(places);
    let columns = questions.kinds.len() + questions.statistics.len();
    Ok(NativeModel {
        format: Format::CatBoostJson,
        version: file.info.version,
        body: Body::Trees(ensemble(trees, columns, outputs, limits)?),
        features: questions.kinds,
        outputs: Outputs { meaning, labels, count: outputs },
        objective: loss.to_owned(),
        rounds: Rounds { used: rounds, stored: rounds },
        finish: Finish { divisor: None, scale, bias, link },
        prepare,
    })
}

/// What becomes of raw scores: as `predict_proba` of the classifier, or `predict` of the others.
fn objective(loss: &str, outputs: usize) -> Option<(Link, Meaning)> {
    let logistic = Link::Logistic { slope: 1.0 };
    Some(match loss {
        "Logloss" | "CrossEntropy" if outputs == 1 => (logistic, Meaning::Probability),
        "MultiClass" if outputs > 1 => (Link::Softmax, Meaning::Classes),
        "MultiClassOneVsAll" | "MultiLogloss" | "MultiCrossEntropy" if outputs > 1 => (logistic, Meaning::Labels),
        "Poisson" | "Tweedie" => (Link::Exp, Meaning::Value),
        "RMSEWithUncertainty" if outputs == 2 => (Link::Variance, Meaning::Value),
        "Logloss"
        | "CrossEntropy"
        | "MultiClass"
        | "MultiClassOneVsAll"
        | "MultiLogloss"
        | "MultiCrossEntropy"
        | "RMSEWithUncertainty" => return None,
        _ if loss.starts_with("Pair") || loss.starts_with("Query") || loss.contains("Rank") || loss.is_empty() => {
            (Link::Identity, Meaning::Margin)
        }
        _ => (Link::Identity, Meaning::Value),
    })
}

/// How splits become questions of the ensemble.
#[derive(Debug)]
struct Questions<'a> {
    features: &'a Features,
    /// Of each column.
    kinds: Vec<Feature>,
    columns: Columns,
    statistics: Arc<[Statistic]>,
    /// For each border of each statistic in turn: its place in `statistics`, and the border.
    borders: Vec<(usize, f32)>,
    /// How many splits of the model come before those.
    before: usize,
}

impl<'a> Questions<'a> {
    fn new(cursor: &Cursor<'_>, features: &'a Features, tables: HashMap<String, ctr::Table>) -> Result<Self> {
        let columns = features.floats.iter().map(|feature| feature.column);
        let columns = columns.chain(features.cats.iter().map(|feature| feature.column));
        let count = columns.max().map_or(0, |last| last + 1);
        let mut kinds: Vec<Feature> = vec![Feature { name: None, kind: FeatureKind::Number }; count];
        let mut taken = vec![false; count];
        let cats = features.cats.iter();
        let named = features.floats.iter().map(|feature| (feature.column, &feature.name, FeatureKind::Number));
        let named = named.chain(cats.map(|f| (f.column, &f.name, FeatureKind::Category(Categories::Hashes))));
        for (column, name, kind) in named {
            if taken.get_mut(column).is_none_or(|taken| std::mem::replace(taken, true)) {
                return Err(cursor.fail(format!("several features have 'flat_feature_index' {column}")));
            }
            if let Some(feature) = kinds.get_mut(column) {
                *feature = Feature { name: name.clone(), kind };
            }
        }
        let floats = features.floats.iter().map(|feature| (feature.index, (feature.column, feature.nan_above)));
        let cats = features.cats.iter().map(|feature| (feature.index, feature.column));
        let columns = Columns { floats: floats.collect(), cats: cats.collect() };
        let mut shared = HashMap::new();
        let statistics = features.ctrs.iter().map(|ctr| ctr.statistic(cursor, &tables, &columns, &mut shared));
        let statistics = statistics.collect::<Result<Vec<_>>>()?.into();
        let borders = features.ctrs.iter().enumerate();
        Ok(Self {
            features,
            kinds,
            columns,
            statistics,
            borders: borders.flat_map(|(place, ctr)| ctr.borders.iter().map(move |border| (place, *border))).collect(),
            before: features.floats.iter().map(|feature| feature.borders).sum::<usize>()
                + features.cats.iter().map(|feature| feature.values).sum::<usize>(),
        })
    }

    /// The question of a split. Hashes get places in the order in which they are met.
    fn of(&self, cursor: &Cursor<'_>, split: Split, places: &mut [HashMap<u32, u32>]) -> Result<Question> {
        let index = |column: usize| u32::try_from(column).unwrap_or(u32::MAX);
        let above = |border: f32| Test::Compare { comparison: Comparison::Above, threshold: border.into() };
        match split {
            Split::Number { feature, border } => {
                let Some((column, nan_above)) = self.columns.floats.get(&feature) else {
                    return Err(cursor.fail(format!("a split looks at the number {feature}, which is not there")));
                };
                Ok((index(*column), above(border), Missing::Nan { yes: *nan_above }))
            }
            Split::Equal { feature, hash } => {
                let column = self.columns.cats.get(&feature).copied();
                let Some((column, places)) = column.zip(column.and_then(|column| places.get_mut(column))) else {
                    return Err(cursor.fail(format!("a split looks at the category {feature}, which is not there")));
                };
                let next = u32::try_from(places.len()).unwrap_or(u32::MAX);
                let place = *places.entry(hash).or_insert(next);
                // What a float holds exactly.
                if place >= 1 << 24 {
                    return Err(cursor.fail("a category has more than 16 million values"));
                }
                Ok((
                    index(column),
                    Test::Compare { comparison: Comparison::Equal, threshold: place.into() },
                    Missing::Nothing,
                ))
            }
            Split::Statistic { index: number, border } => {
                let place = usize::try_from(number).ok().and_then(|index| index.checked_sub(self.before));
                match place.and_then(|place| self.borders.get(place)) {
                    Some((place, known)) if known.to_bits() == border.to_bits() => {
                        Ok((index(self.kinds.len() + place), above(border), Missing::Nothing))
                    }
                    _ => Err(cursor.fail(format!("the split {number} is none of the target statistics in 'ctrs'"))),
                }
            }
        }
    }

    /// What is done with rows, if anything is.
    fn prepare(&self, places: Vec<HashMap<u32, u32>>) -> Option<Prepare> {
        if self.features.cats.is_empty() {
            return None;
        }
        let columns = self.kinds.iter().zip(places).map(|(feature, places)| match &feature.kind {
            FeatureKind::Category(_) => Column::Hashed(Arc::new(places)),
            FeatureKind::Number | FeatureKind::Code => Column::Plain,
        });
        Some(Prepare { columns: columns.collect(), statistics: self.statistics.clone() })
    }
}

fn ensemble(trees: Vec<Tree>, features: usize, targets: usize, limits: &Limits) -> Result<Ensemble> {
    let parts = Parts {
        features,
        targets,
        trees: crate::or_nothing(trees),
        thresholds: Precision::F32,
        scores: Precision::F64,
        aggregate: Aggregate::Sum,
        base: vec![],
        base_order: BaseOrder::AfterTrees,
        transform: Transform::None,
    };
    let trees = Ensemble::new(parts, &limits.of_trees());
    trees.map_err(|source| NativeError::Trees { format: Format::CatBoostJson, source })
}
