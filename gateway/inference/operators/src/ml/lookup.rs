//! Where a key stands in a list.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::labels::Labels;
use crate::value::{Data, DataType};

/// Keys of one type, and the place of each. If a key comes twice, the last counts. Keys come from the model alone, so
/// that nobody outside can make their table slow.
#[derive(Debug)]
pub(super) struct Lookup {
    keys: Table,
    data_type: DataType,
}

/// How much longer than its keys a list by number may be, and how long it may be anyway.
const SPARSE: usize = 8;
const SHORT: usize = 256;

/// No place.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
enum Table {
    /// By the distance from the smallest key.
    Dense {
        smallest: i64,
        places: Vec<u32>,
    },
    /// In order.
    Integers(Vec<(i64, u32)>),
    /// In order; 0 and -0 are one, and all NaN are.
    Floats {
        places: Vec<(f64, u32)>,
        nan: Option<u32>,
    },
    Texts(HashMap<String, u32, FixedState>),
}

impl Lookup {
    pub fn of_labels(labels: &Labels) -> Self {
        match labels {
            Labels::Int64(keys) => Self { keys: integers(keys.iter().copied()), data_type: DataType::Int64 },
            Labels::String(keys) => Self { keys: texts(keys), data_type: DataType::String },
        }
    }

    /// None for keys of a type that nothing is looked up by.
    pub fn of(data: &Data) -> Option<Self> {
        let keys = match data {
            Data::Int64(keys) => integers(keys.iter().copied()),
            Data::Int32(keys) => integers(keys.iter().copied().map(i64::from)),
            Data::Int16(keys) => integers(keys.iter().copied().map(i64::from)),
            Data::Float32(keys) => floats(keys.iter().copied().map(f64::from)),
            Data::Float64(keys) => floats(keys.iter().copied()),
            Data::String(keys) => texts(keys),
            _ => return None,
        };
        Some(Self { keys, data_type: data.data_type() })
    }

    /// Of the keys.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    pub fn integer(&self, key: i64) -> Option<usize> {
        let place = match &self.keys {
            Table::Dense { smallest, places } => {
                let distance = usize::try_from(key.checked_sub(*smallest)?).ok()?;
                *places.get(distance)?
            }
            Table::Integers(places) => found(places, |known| known.cmp(&key))?,
            Table::Floats { .. } | Table::Texts(_) => NONE,
        };
        (place != NONE).then_some(place as usize)
    }

    pub fn float(&self, key: f64) -> Option<usize> {
        let Table::Floats { places, nan } = &self.keys else { return None };
        if key.is_nan() {
            return nan.map(|place| place as usize);
        }
        let place = found(places, |known| known.partial_cmp(&key).unwrap_or(std::cmp::Ordering::Less))?;
        Some(place as usize)
    }

    pub fn text(&self, key: &str) -> Option<usize> {
        let Table::Texts(places) = &self.keys else { return None };
        places.get(key).map(|place| *place as usize)
    }

    /// Places of all elements. None if they are of another type than the keys.
    pub fn places(&self, data: &Data) -> Option<Vec<Option<usize>>> {
        if data.data_type() != self.data_type {
            return None;
        }
        Some(match data {
            Data::Int64(keys) => keys.iter().map(|key| self.integer(*key)).collect(),
            Data::Int32(keys) => keys.iter().map(|key| self.integer(i64::from(*key))).collect(),
            Data::Int16(keys) => keys.iter().map(|key| self.integer(i64::from(*key))).collect(),
            Data::Float32(keys) => keys.iter().map(|key| self.float(f64::from(*key))).collect(),
            Data::Float64(keys) => keys.iter().map(|key| self.float(*key)).collect(),
            Data::String(keys) => keys.iter().map(|key| self.text(key)).collect(),
            _ => return None,
        })
    }
}

fn found<K>(places: &[(K, u32)], compare: impl Fn(&K) -> std::cmp::Ordering) -> Option<u32> {
    let at = places.binary_search_by(|(known, _)| compare(known)).ok()?;
    places.get(at).map(|(_, place)| *place)
}

/// Keeps the last of equal keys.
fn in_order<K: PartialEq + Copy>(
    keys: impl Iterator<Item = K>,
    compare: impl Fn(&K, &K) -> std::cmp::Ordering,
) -> Vec<(K, u32)> {
    let mut places: Vec<(K, u32)> = keys.zip(0..NONE).collect();
    places.sort_by(|one, other| compare(&one.0, &other.0).then(other.1.cmp(&one.1)));
    places.dedup_by(|later, kept| later.0 == kept.0);
    places
}

fn integers(keys: impl Iterator<Item = i64>) -> Table {
    let places = in_order(keys, Ord::cmp);
    let (Some((smallest, _)), Some((largest, _))) = (places.first().copied(), places.last().copied()) else {
        return Table::Integers(places);
    };
    let length = largest.checked_sub(smallest).and_then(|distance| usize::try_from(distance).ok()?.checked_add(1));
    match length.filter(|length| *length <= SHORT || *length / SPARSE <= places.len()) {
        None => Table::Integers(places),
        Some(length) => {
            let mut dense = vec![NONE; length];
            for (key, place) in places {
                let distance = usize::try_from(key - smallest).unwrap_or(usize::MAX);
                dense.get_mut(distance).into_iter().for_each(|it| *it = place);
            }
            Table::Dense { smallest, places: dense }
        }
    }
}

fn floats(keys: impl Iterator<Item = f64> + Clone) -> Table {
    let nan = keys.clone().zip(0..NONE).filter(|(key, _)| key.is_nan()).last().map(|(_, place)| place);
    let mut places = in_order(keys, |one, other| (one + 0.0).total_cmp(&(other + 0.0)));
    places.retain(|(key, _)| !key.is_nan());
    Table::Floats { places, nan }
}

fn texts(keys: &[String]) -> Table {
    Table::Texts(keys.iter().cloned().zip(0..NONE).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_wherever_they_are() {
        let dense = Lookup::of(&Data::Int64(vec![5, -3, 5])).unwrap();
        assert_eq!(
            [5, -3, 0, 6, i64::MIN, i64::MAX].map(|key| dense.integer(key)),
            [Some(2), Some(1), None, None, None, None]
        );
        let sparse = Lookup::of(&Data::Int64(vec![i64::MIN, 7, i64::MAX])).unwrap();
        assert_eq!([i64::MIN, 7, 8, i64::MAX].map(|key| sparse.integer(key)), [Some(0), Some(1), None, Some(2)]);
        let texts = Lookup::of(&Data::String(vec!["a".to_owned(), "b".to_owned()])).unwrap();
        assert_eq!(["b", "c"].map(|key| texts.text(key)), [Some(1), None]);
        assert_eq!(Lookup::of(&Data::Int64(vec![])).unwrap().integer(0), None);
    }

    #[test]
    fn zeros_are_one_and_so_are_all_nan() {
        let floats = Lookup::of(&Data::Float32(vec![f32::NAN, -0.0, 1.5, f32::INFINITY])).unwrap();
        let negative_nan = -f64::NAN;
        let keys = [f64::NAN, negative_nan, 0.0, -0.0, 1.5, 2.0, f64::INFINITY];
        let places = [Some(0), Some(0), Some(1), Some(1), Some(2), None, Some(3)];
        assert_eq!(keys.map(|key| floats.float(key)), places);
    }
}
