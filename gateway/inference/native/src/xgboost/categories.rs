//! Categories by name, which files have since version 3.1.

use std::collections::BTreeMap;

use witgate_trees::{Test, Tree};

use crate::Limits;
use crate::document::{Cursor, Result};
use crate::model::{Categories, FeatureKind};

/// The categories of a feature, in the order of their codes.
#[derive(Debug)]
pub(super) enum Listed {
    Texts(Vec<String>),
    Integers(Vec<i64>),
}

/// The categories of each feature; none for those that have no list.
pub(super) fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Vec<Option<Listed>>> {
    let mut lists = vec![];
    let mut total: usize = 0;
    cursor.object(|cursor, key| {
        if key != "enc" {
            return cursor.skip();
        }
        cursor.array(|cursor| {
            cursor.within("features", lists.len() + 1, limits.features)?;
            let (mut offsets, mut bytes, mut integers) = (None, None, None);
            cursor.object(|cursor, key| {
                match key {
                    "offsets" => offsets = Some(cursor.numbers::<i64>(limits.categories)?),
                    "values" => {
                        // Bytes of texts, or numbers, of which those that are not whole cannot be asked for by name.
                        let values: Vec<f64> = cursor.numbers(limits.bytes)?;
                        bytes = Some(values.iter().map(|value| *value as i64 as u8).collect::<Vec<u8>>());
                        let whole = values.iter().map(|value| {
                            let integer = *value as i64;
                            (integer as f64 == *value).then_some(integer)
                        });
                        integers = whole.collect::<Option<Vec<i64>>>();
                    }
                    _ => cursor.skip()?,
                }
                Ok(())
            })?;
            let list = match offsets {
                Some(offsets) => Some(Listed::Texts(texts(cursor, &offsets, &bytes.unwrap_or_default())?)),
                None => integers.map(Listed::Integers),
            };
            let count = match &list {
                Some(Listed::Texts(texts)) => texts.len(),
                Some(Listed::Integers(integers)) => integers.len(),
                None => 0,
            };
            total = total.saturating_add(count);
            cursor.within("categories", total, limits.categories)?;
            lists.push(list.filter(|_| count > 0));
            Ok(())
        })
    })?;
    Ok(lists)
}

fn texts(cursor: &Cursor<'_>, offsets: &[i64], bytes: &[u8]) -> Result<Vec<String>> {
    let pairs = offsets.iter().zip(offsets.iter().skip(1));
    let texts = pairs.map(|(begin, end)| {
        let range = usize::try_from(*begin).ok().zip(usize::try_from(*end).ok());
        let text = range.and_then(|(begin, end)| bytes.get(begin..end)).and_then(|text| std::str::from_utf8(text).ok());
        text.map(str::to_owned).ok_or_else(|| cursor.fail("the names of categories are not where 'offsets' says"))
    });
    texts.collect()
}

/// Gives features their categories by name.
pub(super) fn name(kinds: &mut [FeatureKind], lists: Vec<Option<Listed>>) {
    fn places<T: Ord>(list: Vec<T>) -> BTreeMap<T, u32> {
        list.into_iter().zip(0..).collect()
    }
    for (kind, list) in kinds.iter_mut().zip(lists) {
        match list {
            Some(Listed::Texts(texts)) => *kind = FeatureKind::Category(Categories::Texts(places(texts))),
            Some(Listed::Integers(integers)) => *kind = FeatureKind::Category(Categories::Integers(places(integers))),
            None => {}
        }
    }
}

/// Marks features that trees take for categories, and says whether there are any.
pub(super) fn used(trees: &[Tree], kinds: &mut [FeatureKind]) -> bool {
    let mut any = false;
    for node in trees.iter().flat_map(|tree| &tree.nodes) {
        if !matches!(node.test, Test::Category(_)) {
            continue;
        }
        any = true;
        if let Some(kind @ FeatureKind::Number) = kinds.get_mut(node.feature as usize) {
            *kind = FeatureKind::Code;
        }
    }
    any
}
