//! Sets that nodes ask for: all sets of a feature lie in one bank, and are answered together by one look at a table.
//!
//! Ensembles with categorical features have a set of its own in nearly every node that splits by one, thousands of them.
//! Asking each would cost more than all the rest.

use std::collections::BTreeSet;

use super::{Interner, is_nearly_zero};
use crate::Element;
use crate::number::Key;

/// Most bytes of the table of a bank: 4 MiB, so that a few of them fit into a processor's cache. Banks that would need more ask
/// each set by itself.
const TABLE_LIMIT: usize = 4 << 20;
/// Most bytes of all tables. With more than that, the rest of the banks ask each set.
const TABLES_LIMIT: usize = 64 << 20;
/// Rows of a table before those for single values: for what is missing, and for what is in no set.
const OTHERS: usize = 2;

/// A set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Set<K> {
    /// In order, each once.
    Values(Vec<K>),
    /// Bits.
    Categories(Vec<u32>),
}

/// Sets that are asked for the same number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct BankKey {
    feature: u32,
    zero: bool,
    categories: bool,
}

/// Columns of one feature's sets: 0 if a number is in them, 1 if not.
#[derive(Debug)]
pub(super) struct Bank<K> {
    feature: u32,
    zero: bool,
    flags: usize,
    answers: Answers<K>,
}

#[derive(Debug)]
enum Answers<K> {
    /// Keys of all columns for each row that an index leads to.
    Table { index: Index<K>, keys: Vec<K> },
    /// Each set, and what is answered if the number is missing.
    Each(Vec<(Set<K>, bool)>),
}

/// Leads from a number to a row.
#[derive(Debug)]
enum Index<K> {
    /// Values in order: their place is the row.
    Values(Vec<K>),
    /// So many categories, each with a row.
    Categories(usize),
}

/// The category of a number, if there is one.
fn category(number: f64) -> Option<usize> {
    // The cast rounds towards zero, and to the largest number what is larger.
    (number > -1.0).then_some(number as usize)
}

impl<K: Key> Set<K> {
    fn contains<X: Element>(&self, element: X) -> bool {
        match self {
            Self::Values(values) => K::of(element).is_some_and(|key| values.binary_search(&key).is_ok()),
            Self::Categories(words) => category(K::number(element))
                .is_some_and(|category| words.get(category / 32).is_some_and(|word| word >> (category % 32) & 1 == 1)),
        }
    }
}

impl<K: Key> Bank<K> {
    pub(super) fn feature(&self) -> usize {
        self.feature as usize
    }

    pub(super) fn len(&self) -> usize {
        self.flags
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.answers {
            Answers::Table { index: Index::Values(values), keys } => (values.len() + keys.len()) * size_of::<K>(),
            Answers::Table { index: Index::Categories(_), keys } => keys.len() * size_of::<K>(),
            Answers::Each(sets) => sets.iter().map(|(set, _)| set_bytes(set)).sum(),
        }
    }

    #[inline]
    pub(super) fn fill<X: Element>(&self, element: X, keys: &mut [K]) {
        let number = K::number(element);
        let missing = number.is_nan() || (self.zero && is_nearly_zero(number));
        match &self.answers {
            Answers::Table { index, keys: table } => {
                let found = match index {
                    Index::Values(values) => K::of(element).and_then(|key| values.binary_search(&key).ok()),
                    Index::Categories(count) => category(number).filter(|category| category < count),
                };
                let row = if missing { 0 } else { found.map_or(OTHERS - 1, |row| row + OTHERS) };
                let begin = row * self.flags;
                if let Some(answers) = table.get(begin..begin + self.flags)
                    && answers.len() == keys.len()
                {
                    keys.copy_from_slice(answers);
                }
            }
            Answers::Each(sets) => {
                for (key, (set, missing_yes)) in keys.iter_mut().zip(sets) {
                    let yes = if missing { *missing_yes } else { set.contains(element) };
                    *key = if yes { K::default() } else { K::ONE };
                }
            }
        }
    }
}

fn set_bytes<K>(set: &Set<K>) -> usize {
    match set {
        Set::Values(values) => values.len() * size_of::<K>(),
        Set::Categories(words) => words.len() * size_of::<u32>(),
    }
}

/// Collects sets while nodes are met.
#[derive(Debug)]
pub(super) struct BankBuilder<K> {
    banks: Interner<BankKey>,
    sets: Interner<SetKey<K>>,
}

/// The bank, what is answered if the number is missing, and the set.
type SetKey<K> = (u32, bool, Set<K>);

impl<K> Default for BankBuilder<K> {
    fn default() -> Self {
        Self { banks: Interner::default(), sets: Interner::default() }
    }
}

impl<K: Key> BankBuilder<K> {
    pub(super) fn values(&mut self, feature: u32, zero: bool, missing_yes: bool, members: &[f64]) -> u32 {
        let members: BTreeSet<K> = members.iter().filter_map(|member| K::exactly(*member)).collect();
        self.set(BankKey { feature, zero, categories: false }, missing_yes, Set::Values(members.into_iter().collect()))
    }

    pub(super) fn categories(&mut self, feature: u32, zero: bool, missing_yes: bool, words: &[u32]) -> u32 {
        let used = words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
        let words = words.iter().take(used).copied().collect();
        self.set(BankKey { feature, zero, categories: true }, missing_yes, Set::Categories(words))
    }

    fn set(&mut self, bank: BankKey, missing_yes: bool, set: Set<K>) -> u32 {
        let (bank, _) = self.banks.number(bank);
        self.sets.number((bank, missing_yes, set)).0
    }

    /// The banks, and for each set, its place when all banks lie one after the other.
    pub(super) fn build(self) -> (Vec<Bank<K>>, Vec<u32>) {
        let mut keys: Vec<(u32, BankKey)> = self.banks.0.into_iter().map(|(key, number)| (number, key)).collect();
        keys.sort_unstable_by_key(|(number, _)| *number);
        let mut sets: Vec<(SetKey<K>, u32)> = self.sets.0.into_iter().collect();
        sets.sort_unstable_by_key(|((bank, ..), number)| (*bank, *number));
        let mut order = vec![0; sets.len()];
        let mut members: Vec<Vec<(Set<K>, bool)>> = keys.iter().map(|_| Vec::new()).collect();
        for (place, ((bank, missing_yes, set), number)) in sets.into_iter().enumerate() {
            if let Some(order) = order.get_mut(number as usize) {
                *order = place as u32;
            }
            if let Some(members) = members.get_mut(bank as usize) {
                members.push((set, missing_yes));
            }
        }
        let mut room = TABLES_LIMIT;
        let banks = keys.into_iter().zip(members).map(|((_, key), sets)| {
            let bank = bank(&key, sets, room.min(TABLE_LIMIT));
            room = room.saturating_sub(bank.bytes());
            bank
        });
        (banks.collect(), order)
    }
}

/// `limit`: of the bytes of a table.
fn bank<K: Key>(key: &BankKey, sets: Vec<(Set<K>, bool)>, limit: usize) -> Bank<K> {
    let index = if key.categories {
        let words = sets.iter().map(|(set, _)| if let Set::Categories(words) = set { words.len() } else { 0 });
        Index::Categories(words.max().unwrap_or_default() * 32)
    } else {
        let values =
            sets.iter().flat_map(|(set, _)| if let Set::Values(values) = set { values.as_slice() } else { &[] });
        let values: BTreeSet<K> = values.copied().collect();
        Index::Values(values.into_iter().collect())
    };
    let rows = OTHERS
        + match &index {
            Index::Values(values) => values.len(),
            Index::Categories(count) => *count,
        };
    let flags = sets.len();
    let fits = rows.checked_mul(flags * size_of::<K>()).is_some_and(|bytes| bytes <= limit);
    let answers = if fits { Answers::Table { keys: table(&index, &sets, rows), index } } else { Answers::Each(sets) };
    Bank { feature: key.feature, zero: key.zero, flags, answers }
}

fn table<K: Key>(index: &Index<K>, sets: &[(Set<K>, bool)], rows: usize) -> Vec<K> {
    let flags = sets.len();
    let mut keys = vec![K::ONE; rows * flags];
    let mut yes = |row: usize, flag: usize| {
        if let Some(key) = keys.get_mut(row * flags + flag) {
            *key = K::default();
        }
    };
    for (flag, (set, missing_yes)) in sets.iter().enumerate() {
        if *missing_yes {
            yes(0, flag);
        }
        match (set, index) {
            (Set::Values(members), Index::Values(values)) => {
                let rows = members.iter().filter_map(|member| values.binary_search(member).ok());
                rows.for_each(|row| yes(row + OTHERS, flag));
            }
            (Set::Categories(words), _) => {
                for (at, word) in words.iter().enumerate() {
                    let bits = (0..32).filter(|bit| word >> bit & 1 == 1);
                    bits.for_each(|bit| yes(at * 32 + bit + OTHERS, flag));
                }
            }
            (Set::Values(_), Index::Categories(_)) => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers of some sets, as a bank with this limit for its table gives them.
    fn answers(limit: usize, categories: bool, zero: bool, numbers: &[f64]) -> Vec<Vec<i64>> {
        let key = BankKey { feature: 0, zero, categories };
        let key_of = |number: &f64| i64::exactly(*number).unwrap();
        let values = |values: &[f64]| Set::Values(values.iter().map(key_of).collect());
        let sets = if categories {
            vec![
                (Set::Categories(vec![0b1011, 1]), true),
                (Set::Categories(vec![]), false),
                (Set::Categories(vec![4]), true),
            ]
        } else {
            vec![(values(&[-1.5, 0.0, 2.0]), false), (values(&[]), true), (values(&[2.0, 7.0]), true)]
        };
        let bank = bank(&key, sets, limit);
        assert_eq!(matches!(bank.answers, Answers::Table { .. }), limit > 0);
        let row = |number: &f64| {
            let mut keys = vec![9; bank.len()];
            bank.fill(*number, &mut keys);
            keys
        };
        numbers.iter().map(row).collect()
    }

    #[test]
    fn tables_answer_as_each_set_does() {
        let numbers = [-1.5, -1.0, -0.9, -0.0, 1e-36, 0.5, 1.0, 2.0, 3.9, 7.0, 31.0, 32.5, 64.0, 1e300, f64::NAN];
        let numbers = [&numbers[..], &[f64::INFINITY, f64::NEG_INFINITY]].concat();
        for (categories, zero) in [(false, false), (false, true), (true, false), (true, true)] {
            let table = answers(1 << 20, categories, zero, &numbers);
            assert_eq!(table, answers(0, categories, zero, &numbers), "{categories} {zero}");
        }
        assert_eq!(answers(1 << 20, false, false, &[0.0, 2.0, f64::NAN]), [[0, 1, 1], [0, 1, 0], [1, 0, 0]]);
        assert_eq!(
            answers(1 << 20, true, false, &[0.0, 2.0, 32.5, f64::NAN]),
            [[0, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0]]
        );
        assert_eq!(answers(1 << 20, true, true, &[1e-36]), [[0, 1, 0]], "nearly zero is missing");
    }
}
