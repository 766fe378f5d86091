//! XGBoost's JSON and UBJ, of versions 1.0 to 3.
//!
//! Rows and thresholds are float. Margins are float, too: the base score comes first, then tree after tree, as
//! `Booster.predict` adds them on a `DMatrix`; with DART each tree has a weight. Transformations are computed in float with the
//! exponential of the platform, so scores are equal in every bit to `Booster.predict` on the same C library, with two
//! exceptions: `XGBClassifier` with `multi:softmax` has probabilities from SciPy, and `inplace_predict` (which the scikit-learn
//! classes use on arrays) takes the base score in and out again with DART. Both differ in the last bits.
//!
//! The file does not say which number stood for a missing value in training (`missing=`): here it is always NaN.
//!
//! Trees after `best_iteration`, which early stopping leaves in the file, are not run: so do the scikit-learn classes, but not
//! `Booster.predict`.

mod categories;
mod learner;
mod objective;
mod tree;

use std::sync::Arc;

use witgate_trees::{Aggregate, BaseOrder, Ensemble, Parts, Precision, Transform, Tree};

use self::learner::{Booster, Learner};
use crate::document::{Cursor, Result};
use crate::error::{Advice, NativeError, shown};
use crate::linear::LinearModel;
use crate::model::{Body, Feature, FeatureKind, Finish, NativeModel, Outputs, Rounds};
use crate::prepare::{Column, Prepare};
use crate::{Format, Limits};

pub(crate) fn read(bytes: &[u8], format: Format, limits: &Limits) -> Result<NativeModel> {
    let mut cursor = match format {
        Format::XgBoostUbj => Cursor::ubj(bytes, format, limits),
        _ => Cursor::json(bytes, format, limits),
    };
    let mut version: Option<Vec<i64>> = None;
    let mut learner = None;
    cursor.object(|cursor, key| match key {
        "version" => {
            version = Some(cursor.numbers(8)?);
            Ok(())
        }
        "learner" => {
            learner = Some(Learner::read(cursor, limits)?);
            Ok(())
        }
        _ => cursor.skip(),
    })?;
    cursor.end()?;
    let learner = cursor.need(learner, "learner")?;
    build(&cursor, format, version, learner, limits)
}

/// Puts together what was read.
fn build(
    cursor: &Cursor<'_>,
    format: Format,
    version: Option<Vec<i64>>,
    learner: Learner,
    limits: &Limits,
) -> Result<NativeModel> {
    let unsupported = |what: String, advice| NativeError::Unsupported { format, what, advice: Advice(advice) };
    let wrong = |problem: String| cursor.fail(problem);
    let Learner { parameters, objective, booster, attributes, names, types } = learner;
    let features = usize::try_from(parameters.features).unwrap_or(usize::MAX);
    cursor.within("features", features, limits.features)?;
    let outputs = parameters.outputs();
    cursor.within("outputs", outputs, limits.outputs)?;

    let objective = objective::read(&objective, outputs).ok_or_else(|| {
        unsupported(format!("the objective '{}'", shown(&objective)), "train with one that version 3.2 has")
    })?;
    let base = match parameters.base_score.as_slice() {
        [base] => vec![*base; outputs],
        bases if bases.len() == outputs => bases.to_vec(),
        bases => {
            return Err(wrong(format!("'base_score' has {} numbers, and the model {outputs} outputs", bases.len())));
        }
    };
    let base: Vec<f32> = base.into_iter().map(|base| objective.margin(base)).collect();
    if let Some(base) = base.iter().find(|base| !base.is_finite()) {
        return Err(wrong(format!("'base_score' is outside of what the objective allows: as a margin it is {base}")));
    }

    let mut kinds = vec![FeatureKind::Number; features];
    for (kind, label) in kinds.iter_mut().zip(&types) {
        if label == "c" {
            *kind = FeatureKind::Code;
        }
    }
    let (body, rounds, prepare) = match booster {
        Booster::Linear(weights) => {
            let expected = features.saturating_add(1).saturating_mul(outputs);
            if weights.len() != expected {
                return Err(wrong(format!("there are {} weights, and {expected} are expected", weights.len())));
            }
            let (weights, biases) = weights.split_at(features * outputs);
            // XGBoost takes the base score of the first output for all.
            let first = base.first().copied().unwrap_or_default();
            let biases = biases.iter().map(|bias| bias + first).collect();
            let linear = LinearModel { weights: weights.to_vec(), biases };
            (Body::Linear(linear), Rounds { used: 1, stored: 1 }, None)
        }
        Booster::Trees(mut model) => {
            let lists = std::mem::take(&mut model.categories);
            let (trees, rounds) = model.trees(cursor, outputs, attributes.best_iteration)?;
            categories::name(&mut kinds, lists);
            let categorical = categories::used(&trees, &mut kinds);
            let prepare = categorical.then(|| {
                let column = |kind: &FeatureKind| match kind {
                    FeatureKind::Number => Column::Plain,
                    FeatureKind::Code | FeatureKind::Category(_) => Column::Negative,
                };
                Prepare { columns: kinds.iter().map(column).collect(), statistics: Arc::from([]) }
            });
            (Body::Trees(ensemble(format, trees, features, base, limits)?), rounds, prepare)
        }
    };
    let names = names.into_iter().map(Some).chain(std::iter::repeat(None));
    Ok(NativeModel {
        format,
        version: version.map(|numbers| numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(".")),
        features: kinds.into_iter().zip(names).map(|(kind, name)| Feature { name, kind }).collect(),
        outputs: Outputs { meaning: objective.meaning, labels: None, count: outputs },
        objective: objective.name.to_owned(),
        rounds,
        body,
        finish: Finish::of(objective.link),
        prepare,
    })
}

fn ensemble(format: Format, trees: Vec<Tree>, features: usize, base: Vec<f32>, limits: &Limits) -> Result<Ensemble> {
    let parts = Parts {
        features,
        targets: base.len(),
        trees: crate::or_nothing(trees),
        thresholds: Precision::F32,
        scores: Precision::F32,
        aggregate: Aggregate::Sum,
        base: base.into_iter().map(f64::from).collect(),
        base_order: BaseOrder::BeforeTrees,
        transform: Transform::None,
    };
    Ensemble::new(parts, &limits.of_trees()).map_err(|source| NativeError::Trees { format, source })
}
