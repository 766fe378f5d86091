//! What the file says of features and of the training.

use crate::document::{Cursor, Kind, Result};
use crate::{Limits, error};

/// A feature that is a number.
#[derive(Debug)]
pub(super) struct FloatFeature {
    /// Among features of its kind: splits name it so.
    pub(super) index: i64,
    /// Of its column.
    pub(super) column: usize,
    pub(super) name: Option<String>,
    pub(super) borders: usize,
    /// Whether NaN is above all borders; or else it is below.
    pub(super) nan_above: bool,
}

/// A feature that is a category.
#[derive(Debug)]
pub(super) struct CatFeature {
    pub(super) index: i64,
    pub(super) column: usize,
    pub(super) name: Option<String>,
    /// How many hashes the model compares it to.
    pub(super) values: usize,
}

/// What `features_info` says.
#[derive(Debug, Default)]
pub(super) struct Features {
    pub(super) floats: Vec<FloatFeature>,
    pub(super) cats: Vec<CatFeature>,
    pub(super) ctrs: Vec<super::ctr::CtrFeature>,
    /// What is not run: texts, embeddings.
    pub(super) other: Option<&'static str>,
}

/// What `model_info` says.
#[derive(Debug, Default)]
pub(super) struct Info {
    pub(super) version: Option<String>,
    pub(super) loss: Option<String>,
    /// Names of classes, in the order of outputs.
    pub(super) classes: Option<Vec<String>>,
    pub(super) class_to_label: Vec<f64>,
    pub(super) classes_count: i64,
}

impl Features {
    pub(super) fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Self> {
        let mut features = Self::default();
        cursor.object(|cursor, key| match key {
            // `null` if there are none.
            _ if cursor.kind()? != Kind::Array => cursor.skip(),
            "float_features" => cursor.array(|cursor| {
                cursor.within("features", features.floats.len() + 1, limits.features)?;
                features.floats.push(float(cursor, limits)?);
                Ok(())
            }),
            "categorical_features" => cursor.array(|cursor| {
                cursor.within("features", features.cats.len() + 1, limits.features)?;
                features.cats.push(cat(cursor, limits)?);
                Ok(())
            }),
            "ctrs" => cursor.array(|cursor| {
                cursor.within("features", features.ctrs.len() + 1, limits.features)?;
                features.ctrs.push(super::ctr::CtrFeature::read(cursor, limits)?);
                Ok(())
            }),
            "text_features" | "embedding_features" | "estimated_features" => {
                let what = if key == "text_features" { "features of text" } else { "features of embeddings" };
                cursor.array(|cursor| {
                    features.other = Some(what);
                    cursor.skip()
                })
            }
            _ => cursor.skip(),
        })?;
        Ok(features)
    }
}

/// What all kinds of features have.
#[derive(Debug, Default)]
struct Common {
    index: Option<i64>,
    column: Option<i64>,
    id: Option<String>,
    name: Option<String>,
}

impl Common {
    fn take(&mut self, cursor: &mut Cursor<'_>, key: &str) -> Result<()> {
        match key {
            "feature_index" => self.index = Some(cursor.number()?),
            "flat_feature_index" => self.column = Some(cursor.number()?),
            "feature_id" => self.id = Some(cursor.text()?.into_owned()),
            "feature_name" => self.name = Some(cursor.text()?.into_owned()),
            _ => cursor.skip()?,
        }
        Ok(())
    }

    fn finish(self, cursor: &Cursor<'_>, limits: &Limits) -> Result<(i64, usize, Option<String>)> {
        let index = cursor.need(self.index, "feature_index")?;
        let column = cursor.need(self.column, "flat_feature_index")?;
        let column = usize::try_from(column).map_err(|_| cursor.fail("'flat_feature_index' is below 0"))?;
        cursor.within("features", column.saturating_add(1), limits.features)?;
        Ok((index, column, self.name.or(self.id).filter(|name| !name.is_empty())))
    }
}

fn float(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<FloatFeature> {
    let mut common = Common::default();
    let (mut borders, mut has_nans, mut treatment) = (0, false, None);
    cursor.object(|cursor, key| {
        match key {
            "borders" if cursor.kind()? == Kind::Array => borders = cursor.numbers::<f32>(limits.nodes)?.len(),
            "has_nans" => has_nans = cursor.boolean()?,
            "nan_value_treatment" => {
                let text = cursor.text()?;
                treatment = Some(match &*text {
                    "AsIs" | "AsFalse" => false,
                    "AsTrue" => true,
                    other => return Err(cursor.fail(format!("'{}' is no treatment of NaN", error::shown(other)))),
                });
            }
            _ => common.take(cursor, key)?,
        }
        Ok(())
    })?;
    let (index, column, name) = common.finish(cursor, limits)?;
    // Without NaN in training the treatment is not looked at.
    Ok(FloatFeature { index, column, name, borders, nan_above: has_nans && treatment.unwrap_or_default() })
}

fn cat(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<CatFeature> {
    let mut common = Common::default();
    let mut values = 0;
    cursor.object(|cursor, key| match key {
        "values" if cursor.kind()? == Kind::Array => {
            values = cursor.numbers::<i64>(limits.categories)?.len();
            Ok(())
        }
        _ => common.take(cursor, key),
    })?;
    let (index, column, name) = common.finish(cursor, limits)?;
    Ok(CatFeature { index, column, name, values })
}

impl Info {
    pub(super) fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Self> {
        let mut info = Self::default();
        cursor.object(|cursor, key| match key {
            "catboost_version_info" => {
                // "Git info: … Branch: tags/v1.2.10 …"
                let text = cursor.text()?;
                let tag = text.split_ascii_whitespace().find_map(|word| word.strip_prefix("tags/v"));
                info.version = tag.map(str::to_owned);
                Ok(())
            }
            "params" if cursor.kind()? == Kind::Object => cursor.object(|cursor, key| match key {
                "loss_function" if cursor.kind()? == Kind::Object => cursor.object(|cursor, key| match key {
                    "type" => {
                        info.loss = Some(cursor.text()?.into_owned());
                        Ok(())
                    }
                    _ => cursor.skip(),
                }),
                _ => cursor.skip(),
            }),
            "class_params" if cursor.kind()? == Kind::Object => info.class_params(cursor, limits),
            _ => cursor.skip(),
        })?;
        Ok(info)
    }

    fn class_params(&mut self, cursor: &mut Cursor<'_>, limits: &Limits) -> Result<()> {
        cursor.object(|cursor, key| match key {
            "class_names" if cursor.kind()? == Kind::Array => {
                let mut names = vec![];
                cursor.array(|cursor| {
                    cursor.within("outputs", names.len() + 1, limits.outputs)?;
                    let kind = cursor.kind()?;
                    names.push(match kind {
                        Kind::Text => cursor.text()?.into_owned(),
                        Kind::Bool => cursor.boolean()?.to_string(),
                        _ => cursor.number::<f64>()?.to_string(),
                    });
                    Ok(())
                })?;
                self.classes = Some(names);
                Ok(())
            }
            "class_to_label" if cursor.kind()? == Kind::Array => {
                self.class_to_label = cursor.numbers(limits.outputs)?;
                Ok(())
            }
            "classes_count" => {
                self.classes_count = cursor.number()?;
                Ok(())
            }
            _ => cursor.skip(),
        })
    }
}
