//! Columns: what nodes look at, and how a row is turned into their keys.

use super::Interner;
use super::sets::{Bank, BankBuilder};
use crate::Element;
use crate::number::Key;

/// What is known of a column before all of them are: numbers have even slots, sets odd ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot(pub(super) u32);

/// A number of the row, with a place in the order for values that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Number<K> {
    feature: u32,
    /// What is nearly zero is missing, as NaN is.
    zero: bool,
    /// The key if it is missing: the lowest goes left everywhere, the highest right.
    fill: K,
}

/// All columns of an ensemble: first the numbers, then the sets, one bank after the other.
#[derive(Debug)]
pub(crate) struct Columns<K> {
    numbers: Vec<Number<K>>,
    banks: Vec<Bank<K>>,
    count: usize,
    any_zero: bool,
}

impl<K: Key> Columns<K> {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Bytes that it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.numbers.len() * size_of::<Number<K>>() + self.banks.iter().map(Bank::bytes).sum::<usize>()
    }

    /// The keys of a row. `keys` has room for one of each column; numbers that the row lacks are missing.
    #[inline]
    pub(crate) fn fill<X: Element>(&self, row: &[X], keys: &mut [K]) {
        let (numbers, sets) = keys.split_at_mut(self.numbers.len().min(keys.len()));
        if self.any_zero {
            for (key, number) in numbers.iter_mut().zip(&self.numbers) {
                let Some(&element) = row.get(number.feature as usize) else { continue };
                *key = if number.zero { K::of_nonzero(element) } else { K::of(element) }.unwrap_or(number.fill);
            }
        } else {
            for (key, number) in numbers.iter_mut().zip(&self.numbers) {
                let Some(&element) = row.get(number.feature as usize) else { continue };
                *key = K::of(element).unwrap_or(number.fill);
            }
        }
        let mut rest = sets;
        for bank in &self.banks {
            let (keys, others) = rest.split_at_mut(bank.len().min(rest.len()));
            rest = others;
            if let Some(&element) = row.get(bank.feature()) {
                bank.fill(element, keys);
            }
        }
    }
}

/// Collects columns while nodes are met.
#[derive(Debug)]
pub(super) struct ColumnBuilder<K> {
    interner: Interner<Number<K>>,
    numbers: Vec<Number<K>>,
    sets: BankBuilder<K>,
}

impl<K> Default for ColumnBuilder<K> {
    fn default() -> Self {
        Self { interner: Interner::default(), numbers: Vec::new(), sets: BankBuilder::default() }
    }
}

impl<K: Key> ColumnBuilder<K> {
    /// A column of numbers. `nan_left`: whether what is missing goes left.
    pub(super) fn number(&mut self, feature: u32, zero: bool, nan_left: bool) -> Slot {
        let number = Number { feature, zero, fill: if nan_left { K::LOWEST } else { K::HIGHEST } };
        let (index, new) = self.interner.number(number);
        if new {
            self.numbers.push(number);
        }
        Slot(index * 2)
    }

    /// A column that is 0 for these numbers, and 1 for others.
    pub(super) fn values(&mut self, feature: u32, zero: bool, nan_yes: bool, members: &[f64]) -> Slot {
        Slot(self.sets.values(feature, zero, nan_yes, members) * 2 + 1)
    }

    /// A column that is 0 for these categories, and 1 for others.
    pub(super) fn categories(&mut self, feature: u32, zero: bool, nan_yes: bool, words: &[u32]) -> Slot {
        Slot(self.sets.categories(feature, zero, nan_yes, words) * 2 + 1)
    }

    /// The columns, and to `assign`, where the slots have come to be.
    pub(super) fn build(self, assign: impl FnOnce(&Slots)) -> Columns<K> {
        let (banks, order) = self.sets.build();
        let any_zero = self.numbers.iter().any(|number| number.zero);
        let slots = Slots { numbers: self.numbers.len() as u32, sets: order };
        assign(&slots);
        Columns { count: self.numbers.len() + slots.sets.len(), numbers: self.numbers, banks, any_zero }
    }
}

/// Where slots have come to be.
#[derive(Debug)]
pub(super) struct Slots {
    numbers: u32,
    /// Of each set, its place among all of them.
    sets: Vec<u32>,
}

impl Slots {
    pub(super) fn column(&self, slot: u32) -> u32 {
        match (slot % 2, slot / 2) {
            (0, index) => index,
            (_, index) => self.numbers + self.sets.get(index as usize).copied().unwrap_or_default(),
        }
    }
}
