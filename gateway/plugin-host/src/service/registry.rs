//! Things that live as long as somebody uses them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Finds what is still in use by its key. A new generation is built before the old one goes, so what both use survives
/// the reload; what neither uses is freed. Nothing grows with the number of reloads.
pub(crate) struct Registry<K, V> {
    entries: Mutex<HashMap<K, Weak<V>>>,
}

impl<K, V> Default for Registry<K, V> {
    fn default() -> Self {
        Self { entries: Mutex::new(HashMap::new()) }
    }
}

impl<K: Hash + Eq, V> Registry<K, V> {
    fn entries(&self) -> MutexGuard<'_, HashMap<K, Weak<V>>> {
        // Every change of the map is one call: a panic elsewhere leaves it whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, key: &K) -> Option<Arc<V>> {
        self.entries().get(key).and_then(Weak::upgrade)
    }

    /// What is in use under the key, or else `value` from now on.
    pub(crate) fn share(&self, key: K, value: impl FnOnce() -> Arc<V>) -> Arc<V> {
        let mut entries = self.entries();
        if let Some(found) = entries.get(&key).and_then(Weak::upgrade) {
            return found;
        }
        entries.retain(|_, entry| entry.strong_count() > 0);
        let value = value();
        entries.insert(key, Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shared_while_it_is_in_use_and_forgotten_afterwards() {
        let registry = Registry::default();
        let first = registry.share("a", || Arc::new(1));
        assert!(Arc::ptr_eq(&first, &registry.share("a", || Arc::new(2))));
        drop(first);
        assert_eq!(registry.find(&"a"), None);
        assert_eq!(*registry.share("b", || Arc::new(3)), 3);
        assert_eq!(registry.entries().len(), 1, "dead entries go when a new one comes");
    }
}
