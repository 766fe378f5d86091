//! N-grams of a pool, found in a sequence.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::FixedState;

/// A tree of items: the n-grams that begin alike share their beginnings.
#[derive(Debug)]
pub(super) struct Ngrams<K> {
    nodes: Vec<Node<K>>,
}

#[derive(Debug)]
struct Node<K> {
    /// The keys are the model's. What a client sends is only looked up, so that it can make no table slow.
    next: HashMap<K, usize, FixedState>,
    /// Which n-gram of the pool ends here.
    ends: Option<usize>,
}

impl<K> Default for Node<K> {
    fn default() -> Self {
        Self { next: HashMap::default(), ends: None }
    }
}

impl<K: Hash + Eq> Ngrams<K> {
    pub fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Adds an n-gram. False if it is there already.
    pub fn add(&mut self, items: impl Iterator<Item = K>, number: usize) -> bool {
        let mut at = 0;
        for item in items {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return false };
            at = *node.next.entry(item).or_insert(fresh);
            if at == fresh {
                self.nodes.push(Node::default());
            }
        }
        match self.nodes.get_mut(at) {
            Some(node) if node.ends.is_none() => {
                node.ends = Some(number);
                true
            }
            _ => false,
        }
    }

    /// Calls with each n-gram whose items follow each other at a distance, from the first item on, if it has at least so
    /// many.
    pub fn find(&self, items: &[K], distance: usize, shortest: usize, longest: usize, mut call: impl FnMut(usize)) {
        let mut node = self.nodes.first();
        for (before, item) in items.iter().step_by(distance.max(1)).take(longest).enumerate() {
            let next = node.and_then(|node| node.next.get(item));
            node = next.and_then(|next| self.nodes.get(*next));
            let Some(found) = node else { return };
            if let Some(number) = found.ends.filter(|_| before + 1 >= shortest) {
                call(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ngrams_are_found_at_a_distance() {
        let mut ngrams = Ngrams::new();
        assert!(
            ngrams.add([1].into_iter(), 0) && ngrams.add([1, 2].into_iter(), 1) && ngrams.add([3, 2].into_iter(), 2)
        );
        assert!(!ngrams.add([1, 2].into_iter(), 3), "it is there already");
        let found = |items: &[i64], distance, shortest| {
            let mut found = Vec::new();
            ngrams.find(items, distance, shortest, 2, |number| found.push(number));
            found
        };
        assert_eq!(found(&[1, 2], 1, 1), [0, 1]);
        assert_eq!(found(&[1, 2], 1, 2), [1]);
        assert_eq!(found(&[1, 9, 2], 2, 1), [0, 1]);
        assert_eq!(found(&[3, 2], 1, 1), [2]);
        assert!(found(&[9], 1, 1).is_empty());
    }
}
