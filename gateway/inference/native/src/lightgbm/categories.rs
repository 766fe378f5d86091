//! Categories by name: what pandas had, which the Python package writes at the end of the file.

use std::collections::{BTreeMap, BTreeSet};

use super::lines::{Line, Result, malformed};
use crate::document::{Cursor, Kind};
use crate::error::NativeError;
use crate::model::{Categories, FeatureKind};
use crate::{Format, Limits};

/// What the end of the file says of categories.
#[derive(Debug, Default)]
pub(super) struct Tail<'a> {
    /// `pandas_categorical:` and its JSON.
    pub(super) lists: Option<(&'a str, Line<'a>)>,
    /// Which features the training took for categories.
    pub(super) features: Option<&'a str>,
}

/// Lists of categories, of each feature that was of a categorical type.
pub(super) fn lists(json: &str, line: usize, limits: &Limits) -> Result<Vec<Option<Categories>>> {
    let located = |error| match error {
        NativeError::Malformed { place, problem, .. } => {
            let path = format!("pandas_categorical, column {}", place.offset + "pandas_categorical:".len() + 1);
            malformed(Some(line), 0, &path, problem)
        }
        other => other,
    };
    let mut cursor = Cursor::json(json.as_bytes(), Format::LightGbmText, limits);
    let mut lists = Vec::new();
    let mut read = || {
        if cursor.kind()? == Kind::Null {
            return cursor.skip();
        }
        let mut total = 0;
        cursor.array(|cursor| {
            let mut texts = BTreeMap::new();
            let mut integers = BTreeMap::new();
            // Numbers that are not whole, and truth values, cannot be asked for by name.
            let mut other = false;
            let mut place = 0;
            cursor.array(|cursor| {
                match cursor.kind()? {
                    Kind::Text => {
                        texts.insert(cursor.text()?.into_owned(), place);
                    }
                    Kind::Number => {
                        let number: f64 = cursor.number()?;
                        let integer = number as i64;
                        integers.insert(integer, place);
                        other |= integer as f64 != number;
                    }
                    _ => {
                        other = true;
                        cursor.skip()?;
                    }
                }
                place += 1;
                total += 1;
                cursor.within("categories", total, limits.categories)
            })?;
            lists.push(match (texts.is_empty(), integers.is_empty(), other) {
                (false, true, false) => Some(Categories::Texts(texts)),
                (true, false, false) => Some(Categories::Integers(integers)),
                _ => None,
            });
            Ok(())
        })?;
        cursor.end()
    };
    read().map_err(located)?;
    Ok(lists)
}

/// Kinds of features: of those in `categorical`, trees look at the category.
pub(super) fn kinds(
    infos: &[&str],
    categorical: &BTreeSet<u32>,
    trained: Option<&str>,
    lists: Vec<Option<Categories>>,
) -> Vec<FeatureKind> {
    let mut kinds: Vec<FeatureKind> = infos
        .iter()
        .enumerate()
        .map(|(index, info)| {
            let listed = info.contains(':') && !info.starts_with('[');
            let used = u32::try_from(index).is_ok_and(|index| categorical.contains(&index));
            if listed || used { FeatureKind::Code } else { FeatureKind::Number }
        })
        .collect();
    // The lists are of the columns that pandas had as categories, in order. Which ones these are is known only where they
    // are all that training took for categories.
    let trained: Option<BTreeSet<usize>> =
        trained.and_then(|list| list.split(',').map(|index| index.trim().parse().ok()).collect());
    let Some(trained) = trained.filter(|trained| trained.len() == lists.len()) else { return kinds };
    for (index, list) in trained.into_iter().zip(lists) {
        if let (Some(kind), Some(categories)) = (kinds.get_mut(index), list) {
            *kind = FeatureKind::Category(categories);
        }
    }
    kinds
}
