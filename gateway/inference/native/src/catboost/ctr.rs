//! Target statistics (CTRs): numbers that stand for categories and their combinations, counted in training.
//!
//! All that is needed is in the file: for each combination a table from hashes to counts. The number is computed in float,
//! and compared to borders like a feature.

use std::collections::HashMap;
use std::sync::Arc;

use super::hash::combine;
use crate::Limits;
use crate::document::{Cursor, Kind, Result, Scalar};
use crate::error::shown;
use crate::prepare::hash_in;

/// How a number comes of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Type {
    /// Those above a border of the target, of all.
    Borders,
    /// Those of a class, of all.
    Buckets,
    /// A mean of the target.
    Mean,
    /// How often it was seen.
    Counter,
}

/// A part of a combination.
#[derive(Debug, Clone)]
enum Element {
    Category { feature: i64 },
    Number { feature: i64, border: f32 },
    Equal { feature: i64, hash: u32 },
}

/// What `features_info` says of a statistic.
#[derive(Debug)]
pub(super) struct CtrFeature {
    identifier: String,
    kind: Type,
    elements: Vec<Element>,
    prior: f32,
    prior_weight: f32,
    shift: f32,
    scale: f32,
    target: i64,
    pub(super) borders: Vec<f32>,
}

/// A table of `ctr_data`.
#[derive(Debug)]
pub(super) struct Table {
    /// For each hash, so many counts.
    counts: HashMap<u64, Box<[f32]>>,
    denominator: f32,
}

/// A statistic that is ready to be computed.
#[derive(Debug, Clone)]
pub(crate) struct Statistic {
    parts: Vec<Part>,
    table: Pairs,
    unseen: (f32, f32),
    prior: f32,
    prior_weight: f32,
    shift: f32,
    scale: f32,
}

/// For each hash, those that count and all; CatBoost divides them.
pub(super) type Pairs = Arc<HashMap<u64, (f32, f32)>>;

/// Which column each feature is, by its number among features of its kind.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// And whether NaN is above all borders.
    pub(super) floats: HashMap<i64, (usize, bool)>,
    pub(super) cats: HashMap<i64, usize>,
}

/// A part of a combination, of a column.
#[derive(Debug, Clone)]
enum Part {
    Category { column: usize },
    Number { column: usize, border: f32, nan_above: bool },
    Equal { column: usize, hash: u32 },
}

/// The hash of what is none, as CatBoost's own exported code has it.
const NO_HASH: u32 = 0x7fff_ffff;

impl Statistic {
    /// The number of a row, whose columns `number` gives.
    pub(crate) fn value(&self, number: impl Fn(usize) -> f64) -> f32 {
        let mut hash = 0;
        for part in &self.parts {
            let value = match *part {
                // Hashes are signed where they are combined.
                Part::Category { column } => {
                    i64::from(hash_in(number(column)).unwrap_or(NO_HASH).cast_signed()).cast_unsigned()
                }
                Part::Number { column, border, nan_above } => {
                    let number = number(column) as f32;
                    u64::from(number > border || number.is_nan() && nan_above)
                }
                Part::Equal { column, hash } => u64::from(hash_in(number(column)) == Some(hash)),
            };
            hash = combine(hash, value);
        }
        let (count, total) = self.table.get(&hash).copied().unwrap_or(self.unseen);
        ((count + self.prior) / (total + self.prior_weight) + self.shift) * self.scale
    }
}

impl CtrFeature {
    pub(super) fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Self> {
        let (mut identifier, mut kind, mut elements, mut borders) = (None, None, vec![], vec![]);
        let (mut prior, mut prior_weight, mut shift, mut scale, mut target) = (None, None, None, None, 0);
        cursor.object(|cursor, key| {
            match key {
                "identifier" => identifier = Some(cursor.text()?.into_owned()),
                "ctr_type" => kind = Some(Type::read(cursor)?),
                "elements" => cursor.array(|cursor| {
                    cursor.within("features", elements.len() + 1, limits.features)?;
                    elements.push(Element::read(cursor)?);
                    Ok(())
                })?,
                "borders" if cursor.kind()? == Kind::Array => borders = cursor.numbers(limits.nodes)?,
                "prior_numerator" => prior = Some(cursor.number()?),
                "prior_denomerator" => prior_weight = Some(cursor.number()?),
                "shift" => shift = Some(cursor.number()?),
                "scale" => scale = Some(cursor.number()?),
                "target_border_idx" => target = cursor.number()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        Ok(Self {
            identifier: cursor.need(identifier, "identifier")?,
            kind: cursor.need(kind, "ctr_type")?,
            elements,
            prior: cursor.need(prior, "prior_numerator")?,
            prior_weight: cursor.need(prior_weight, "prior_denomerator")?,
            shift: cursor.need(shift, "shift")?,
            scale: cursor.need(scale, "scale")?,
            target,
            borders,
        })
    }

    /// Puts it together with its table. Statistics that differ in their priors alone have one together.
    pub(super) fn statistic<'s>(
        &'s self,
        cursor: &Cursor<'_>,
        tables: &HashMap<String, Table>,
        columns: &Columns,
        shared: &mut HashMap<(&'s str, Type, i64), Pairs>,
    ) -> Result<Statistic> {
        let name = || shown(&self.identifier);
        let table = tables.get(&self.identifier);
        let table = table.ok_or_else(|| cursor.fail(format!("'ctr_data' has no table for {}", name())))?;
        let column = |index: i64| {
            let found = columns.cats.get(&index).copied();
            found.ok_or_else(|| cursor.fail(format!("there is no category {index}: {}", name())))
        };
        let parts = self.elements.iter().map(|element| {
            Ok(match *element {
                Element::Category { feature } => Part::Category { column: column(feature)? },
                Element::Equal { feature, hash } => Part::Equal { column: column(feature)?, hash },
                Element::Number { feature, border } => {
                    let found = columns.floats.get(&feature).copied();
                    let (column, nan_above) =
                        found.ok_or_else(|| cursor.fail(format!("there is no number {feature}: {}", name())))?;
                    Part::Number { column, border, nan_above }
                }
            })
        });
        let parts = parts.collect::<Result<_>>()?;
        let target = if self.asks_for_target(table) { self.target } else { 0 };
        let key = (self.identifier.as_str(), self.kind, target);
        let pairs = match shared.get(&key) {
            Some(pairs) => pairs.clone(),
            None => {
                let counts = table.counts.iter().map(|(hash, counts)| {
                    let pair = self.pair(counts, table.denominator);
                    let pair = pair.map(|pair| (*hash, pair));
                    pair.ok_or_else(|| cursor.fail(format!("a table has too few counts: {}", name())))
                });
                let pairs = Arc::new(counts.collect::<Result<_>>()?);
                shared.insert(key, Pairs::clone(&pairs));
                pairs
            }
        };
        Ok(Statistic {
            parts,
            table: pairs,
            unseen: (0.0, if self.kind == Type::Counter { table.denominator } else { 0.0 }),
            prior: self.prior,
            prior_weight: self.prior_weight,
            shift: self.shift,
            scale: self.scale,
        })
    }

    /// Whether different borders of the target make different numbers of the table's counts.
    fn asks_for_target(&self, table: &Table) -> bool {
        match self.kind {
            Type::Buckets => true,
            Type::Borders => table.counts.values().next().is_some_and(|counts| counts.len() > 2),
            Type::Mean | Type::Counter => false,
        }
    }

    /// What counts, and of how many.
    fn pair(&self, counts: &[f32], denominator: f32) -> Option<(f32, f32)> {
        // Counts are whole numbers, which are added before they become floats.
        let sum = |counts: &[f32]| counts.iter().map(|count| f64::from(*count)).sum::<f64>() as f32;
        let target = usize::try_from(self.target).ok()?;
        match (self.kind, counts) {
            (Type::Mean, &[sum, count]) => Some((sum, count)),
            (Type::Counter, &[count]) => Some((count, denominator)),
            (Type::Buckets, counts) => Some((*counts.get(target)?, sum(counts))),
            // Of two classes there is one border, whatever its number.
            (Type::Borders, &[_, above]) => Some((above, sum(counts))),
            (Type::Borders, counts) => Some((sum(counts.get(target.checked_add(1)?..)?), sum(counts))),
            _ => None,
        }
    }
}

impl Type {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let text = cursor.text()?;
        match &*text {
            "Borders" => Ok(Self::Borders),
            "Buckets" => Ok(Self::Buckets),
            "BinarizedTargetMeanValue" | "FloatTargetMeanValue" => Ok(Self::Mean),
            "Counter" | "FeatureFreq" => Ok(Self::Counter),
            other => Err(cursor.fail(format!("'{}' is no type of target statistics", shown(other)))),
        }
    }
}

impl Element {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self> {
        let (mut what, mut cat, mut float, mut border, mut hash) = (None, None, None, None, None);
        cursor.object(|cursor, key| {
            match key {
                "combination_element" => what = Some(cursor.text()?.into_owned()),
                "cat_feature_index" => cat = Some(cursor.number()?),
                "float_feature_index" => float = Some(cursor.number()?),
                "border" => border = Some(cursor.number()?),
                "value" => hash = Some(signed_hash(cursor)?),
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        let what = cursor.need(what, "combination_element")?;
        Ok(match what.as_str() {
            "cat_feature_value" => Self::Category { feature: cursor.need(cat, "cat_feature_index")? },
            "float_feature" => Self::Number {
                feature: cursor.need(float, "float_feature_index")?,
                border: cursor.need(border, "border")?,
            },
            "cat_feature_exact_value" => {
                Self::Equal { feature: cursor.need(cat, "cat_feature_index")?, hash: cursor.need(hash, "value")? }
            }
            other => return Err(cursor.fail(format!("'{}' is no part of a combination", shown(other)))),
        })
    }
}

/// A hash of 32 bits, written as a signed number.
pub(super) fn signed_hash(cursor: &mut Cursor<'_>) -> Result<u32> {
    let number: i64 = cursor.number()?;
    let hash = i32::try_from(number).map(i32::cast_unsigned).or_else(|_| u32::try_from(number));
    hash.map_err(|_| cursor.fail("a hash of 32 bits is expected"))
}

/// Reads `ctr_data`.
pub(super) fn tables(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<HashMap<String, Table>> {
    let mut tables = HashMap::new();
    let mut total: usize = 0;
    cursor.object(|cursor, key| {
        let key = key.to_owned();
        let (mut numbers, mut stride, mut denominator) = (None, None, 0.0);
        cursor.object(|cursor, key| {
            match key {
                "hash_map" if cursor.kind()? == Kind::Array => {
                    let mut list = vec![];
                    cursor.array(|cursor| {
                        total = total.saturating_add(1);
                        cursor.within("counts of target statistics", total, limits.categories)?;
                        list.push(match cursor.scalar()? {
                            Scalar::Text(text) => match text.parse() {
                                Ok(hash) => Entry::Hash(hash),
                                Err(_) => return Err(cursor.fail("a hash of 64 bits is expected")),
                            },
                            Scalar::Decimal(digits) => match digits.parse() {
                                Ok(count) => Entry::Count(count),
                                Err(_) => return Err(cursor.fail("a count is expected")),
                            },
                            _ => return Err(cursor.fail("a hash or a count is expected")),
                        });
                        Ok(())
                    })?;
                    numbers = Some(list);
                }
                "hash_stride" => stride = Some(cursor.number::<i64>()?),
                "counter_denominator" => denominator = cursor.number()?,
                _ => cursor.skip()?,
            }
            Ok(())
        })?;
        // A table of which nothing was counted is left out.
        let numbers = numbers.unwrap_or_default();
        let stride =
            usize::try_from(stride.unwrap_or_default()).ok().filter(|stride| *stride > 1 || numbers.is_empty());
        let stride = stride.ok_or_else(|| cursor.fail("'hash_stride' has to be above 1"))?;
        let mut counts = HashMap::new();
        for chunk in numbers.chunks(stride.max(1)) {
            let (Some(Entry::Hash(hash)), rest) = (chunk.first(), chunk.get(1..).unwrap_or_default()) else {
                return Err(cursor.fail("'hash_map' has no hash where 'hash_stride' says"));
            };
            let values = rest.iter().map(|entry| if let Entry::Count(count) = entry { Some(*count) } else { None });
            let values = values.collect::<Option<Box<[f32]>>>().filter(|values| values.len() + 1 == stride);
            let values = values.ok_or_else(|| cursor.fail("'hash_map' has no count where 'hash_stride' says"))?;
            counts.insert(*hash, values);
        }
        tables.insert(key, Table { counts, denominator });
        Ok(())
    })?;
    Ok(tables)
}

#[derive(Debug, Clone, Copy)]
enum Entry {
    Hash(u64),
    Count(f32),
}
