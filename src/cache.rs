//! What an isolate remembers for a while: bounded in number and in age, and never the truth.

use std::{cell::RefCell, collections::HashMap, mem};

use foldhash::fast::RandomState;

/// Values by name, each good for as long as whoever asks allows.
///
/// Two generations, so that the bound costs nothing per entry: when the young one is full it becomes the
/// old one, and what is asked for moves back.
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
    /// Makes one that holds at most twice `limit` entries.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let generations = Generations { young: Entries::default(), old: Entries::default() };
        Self { generations: RefCell::new(generations), limit }
    }

    /// Finds a value that was put in less than `ttl` milliseconds before `now`.
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
        // A clock that went backwards makes nothing younger.
        found.filter(|(_, at)| now >= *at && now.saturating_sub(*at) < ttl).map(|(value, _)| value)
    }

    /// Puts a value in.
    pub fn put(&self, name: String, value: V, now: u64) {
        let mut generations = self.generations.borrow_mut();
        generations.old.remove(&name);
        self.insert(&mut generations, name, (value, now));
    }

    /// Forgets a value.
    pub fn forget(&self, name: &str) {
        let mut generations = self.generations.borrow_mut();
        generations.young.remove(name);
        generations.old.remove(name);
    }

    /// Forgets every value whose name starts so.
    pub fn forget_all(&self, prefix: &str) {
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
    fn good_for_as_long_as_asked() {
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
    fn bounded_and_what_is_used_stays() {
        let cache = Cache::new(100);
        cache.put("kept".into(), 0, 0);
        for number in 0..10_000 {
            cache.put(format!("n{number}"), number, 0);
            assert_eq!(cache.find("kept", 0, 1), Some(0), "after {number}");
            let generations = cache.generations.borrow();
            assert!(generations.young.len() + generations.old.len() <= 200);
        }
        assert_eq!(cache.find("n5", 0, 1), None);
        cache.forget_all("n");
        assert_eq!(cache.find("n9999", 0, 1), None);
        assert_eq!(cache.find("kept", 0, 1), Some(0));
    }
}
