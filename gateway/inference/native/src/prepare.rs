//! What is done with the numbers of a row before the trees see them, where a library looks at them in a way that trees alone
//! cannot.

use std::collections::HashMap;
use std::sync::Arc;

use witgate_trees::{Element, ZERO};

use crate::catboost::Statistic;

/// How a row is made ready.
#[derive(Debug, Clone)]
pub(crate) struct Prepare {
    /// For each feature.
    pub(crate) columns: Vec<Column>,
    /// Columns that follow.
    pub(crate) statistics: Arc<[Statistic]>,
}

/// What becomes of the number of a column.
#[derive(Debug, Clone)]
pub(crate) enum Column {
    Plain,
    /// XGBoost's categories: what is below 0 is no category, also if its integer part is 0.
    Negative,
    /// LightGBM's linear trees: what is nearly zero is zero before it is multiplied.
    NearlyZero,
    /// CatBoost's categories that are compared one by one: their hash becomes its place among those of the model.
    Hashed(Arc<HashMap<u32, u32>>),
}

impl Prepare {
    /// How many numbers a row has that is ready.
    pub(crate) fn columns(&self) -> usize {
        self.columns.len() + self.statistics.len()
    }

    /// Whether some numbers are hashes, for which float is too small.
    pub(crate) fn needs_double(&self) -> bool {
        !self.statistics.is_empty() || self.columns.iter().any(|column| matches!(column, Column::Hashed(_)))
    }

    /// Makes a row ready.
    pub(crate) fn fill<X: Element>(&self, row: &[X], prepared: &mut [f64]) {
        let (plain, derived) = prepared.split_at_mut(self.columns.len().min(prepared.len()));
        for ((number, column), prepared) in row.iter().zip(&self.columns).zip(plain) {
            let number = number.to_f64();
            *prepared = match column {
                Column::Plain => number,
                Column::Negative if number < 0.0 => -1.0,
                Column::Negative => number,
                Column::NearlyZero if number.abs() <= ZERO => 0.0,
                Column::NearlyZero => number,
                Column::Hashed(places) => {
                    hash_in(number).and_then(|hash| places.get(&hash)).map_or(f64::NAN, |place| f64::from(*place))
                }
            };
        }
        for (statistic, prepared) in self.statistics.iter().zip(derived) {
            let number = |feature: usize| row.get(feature).map_or(f64::NAN, |number| number.to_f64());
            *prepared = statistic.value(number).into();
        }
    }
}

/// The hash that a column holds, if it holds one.
pub(crate) fn hash_in(number: f64) -> Option<u32> {
    let hash = number as u32;
    (f64::from(hash) == number).then_some(hash)
}
