//! A cache in an isolate's memory, bounded in number and in age. It is never the source of truth.

use std::{cell::RefCell, collections::HashMap, mem};

use foldhash::fast::RandomState;

/// Values by name. The caller of [`Cache::find`] decides how old a value may be.
///
/// It has two generations, so that the bound needs no bookkeeping per entry: when the young generation is full, it
/// replaces the old one. A lookup moves an entry from the old generation to the young one.
#[derive(Debug)]
pub struct Cache<V> {
    generations: RefCell<Generations<V>>,
    limit: usize,
}

type Entries<V> = HashMap<String, (V, u64), RandomState>;

#[derive(Debug)]
struct Generations<V> {
    young: Entries<V>,
    old: Entries<V>,
}

impl<V: Clone> Cache<V> {
    /// Creates a cache of at most twice `limit` entries.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let generations = Generations { young: Entries::default(), old: Entries::default() };
        Self { generations: RefCell::new(generations), limit }
    }

    /// Returns a value that was stored less than `ttl` milliseconds before `now`.
    #[must_use]
    pub fn find(&self, name: &str, now: u64, ttl: u64) -> Option<V> {
        let mut generations = self.generations.borrow_mut();
        let mut found = generations.young.get(name).cloned();
        if found.is_none()
            && let Some((name, entry)) = generations.old.remove_entry(name)
        {
            found = Some(entry.clone());
            self.insert(&mut generations, name, entry);
        }
        // If the clock went backwards, the age is unknown: the value does not count.
        found.filter(|(_, at)| now >= *at && now.saturating_sub(*at) < ttl).map(|(value, _)| value)
    }

    /// Stores a value at `now`, in milliseconds.
    pub fn put(&self, name: String, value: V, now: u64) {
        let mut generations = self.generations.borrow_mut();
        generations.old.remove(&name);
        self.insert(&mut generations, name, (value, now));
    }

    /// Removes a value.
    pub fn forget(&self, name: &str) {
        let mut generations = self.generations.borrow_mut();
        generations.young.remove(name);
        generations.old.remove(name);
    }

    /// Removes every value whose name starts with `prefix`.
    pub fn forget_prefix(&self, prefix: &str) {
        let mut generations = self.generations.borrow_mut();
        generations.young.retain(|name, _| !name.starts_with(prefix));
        generations.old.retain(|name, _| !name.starts_with(prefix));
    }

    fn insert(&self, generations: &mut Generations<V>, name: String, entry: (V, u64)) {
        if generations.young.len() >= self.limit && !generations.young.contains_key(&name) {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(name, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_values_younger_than_the_ttl() {
        let cache = Cache::new(10);
        cache.put("a".into(), 1, 1_000);
        for (now, ttl, want) in [
            (1_000, 1, Some(1)),
            (1_999, 1_000, Some(1)),
            (2_000, 1_000, None),
            (1_000, 0, None),
            (999, 9, None),
        ] {
            assert_eq!(cache.find("a", now, ttl), want, "{now} {ttl}");
        }
        cache.put("a".into(), 2, 5_000);
        assert_eq!(cache.find("a", 5_000, 1), Some(2));
        cache.forget("a");
        assert_eq!(cache.find("a", 5_000, 1), None);
    }

    #[test]
    fn bounds_its_size_and_keeps_used_values() {
        let cache = Cache::new(100);
        cache.put("kept".into(), 0, 0);
        for number in 0..10_000 {
            cache.put(format!("n{number}"), number, 0);
            assert_eq!(cache.find("kept", 0, 1), Some(0), "after {number}");
            let generations = cache.generations.borrow();
            assert!(generations.young.len() + generations.old.len() <= 200);
        }
        assert_eq!(cache.find("n5", 0, 1), None);
        cache.forget_prefix("n");
        assert_eq!(cache.find("n9999", 0, 1), None);
        assert_eq!(cache.find("kept", 0, 1), Some(0));
    }
}
