//! A bounded memory that forgets what was not asked for lately.
//!
//! In: keys and values. Out: the values, for a while. Two halves: what is used moves to the young one; when that is
//! full it becomes the old one, and the old one is forgotten.

use std::{collections::HashMap, hash::Hash};

/// Entries of each half.
const HALF: usize = 4096;

/// Holds at most twice [`HALF`] entries.
pub struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    /// What is kept for this key.
    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        if let Some(value) = self.old.remove(key) {
            self.put(key.clone(), value);
        }
        self.young.get_mut(key)
    }

    /// Keeps this, in place of what was kept.
    pub fn put(&mut self, key: K, value: V) {
        if self.young.len() >= HALF && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut cache = Cache::default();
        cache.put(usize::MAX, 1);
        for key in 0..10 * HALF {
            cache.put(key, 0);
            assert_eq!(cache.get(&usize::MAX), Some(&mut 1));
            assert!(cache.young.len() + cache.old.len() <= 2 * HALF);
        }
        assert_eq!(cache.get(&0), None);
        assert_eq!(cache.get(&(10 * HALF - 1)), Some(&mut 0));
    }
}
