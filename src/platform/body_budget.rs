//! Memory budget for request bodies that are read whole. All requests of an isolate share it.
//!
//! 1. Each chunk of a body is reserved before it is kept. All bodies together have [`LIMIT`] bytes.
//! 2. If there is no room, a body that has been arriving for at least [`SLOW`] milliseconds is evicted, the oldest
//!    first. If there is no such body, the reservation fails.
//! 3. A complete body is never evicted: its request is running.
//! 4. A [`Reservation`] frees its bytes when it is dropped, however its request ends.

use std::{cell::RefCell, rc::Rc};

/// Bytes for all bodies together. An isolate has 128 MB for everything, and a body is copied once or twice.
pub const LIMIT: usize = 48 * 1_048_576;

/// Milliseconds after which a body that is still arriving may be evicted.
pub const SLOW: f64 = 5_000.0;

/// The reserved bytes of each request, in the order in which the requests first reserved some.
#[derive(Debug, Default)]
pub struct BodyBudget(RefCell<Vec<Held>>);

/// The bytes that one request reserves. Dropping it frees them.
#[derive(Debug)]
pub struct Reservation {
    budget: Rc<BodyBudget>,
    request: u32,
}

/// The result of [`Reservation::grow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The bytes are reserved.
    Granted,
    /// The caller must drop the chunks of this request, then call again. Its bytes are already free in the budget.
    Evict(u32),
    /// There is no room, or this request's own body was evicted.
    Exhausted,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    request: u32,
    bytes: usize,
    since: f64,
    /// Whether the body is complete.
    is_complete: bool,
    /// Whether the body was evicted in favor of another one.
    is_evicted: bool,
}

impl BodyBudget {
    /// Returns the number of reserved bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.borrow().iter().fold(0, |sum, held| sum.saturating_add(held.bytes))
    }
}

impl Reservation {
    /// Creates the reservation of a request. It holds no bytes yet.
    #[must_use]
    pub fn new(budget: &Rc<BodyBudget>, request: u32) -> Self {
        Self { budget: Rc::clone(budget), request }
    }

    /// Reserves more bytes, at `now` in milliseconds.
    #[must_use]
    pub fn grow(&self, bytes: usize, now: f64) -> Reserved {
        let room = LIMIT.saturating_sub(self.budget.held());
        let mut all = self.budget.0.borrow_mut();
        let own = all.iter_mut().find(|held| held.request == self.request);
        if own.as_ref().is_some_and(|own| own.is_evicted) {
            return Reserved::Exhausted;
        }
        if bytes <= room {
            match own {
                Some(own) => own.bytes = own.bytes.saturating_add(bytes),
                None => all.push(Held {
                    request: self.request,
                    bytes,
                    since: now,
                    is_complete: false,
                    is_evicted: false,
                }),
            }
            return Reserved::Granted;
        }
        let is_evictable = |held: &Held| {
            let is_slow = !held.is_complete && held.since + SLOW <= now;
            is_slow && held.bytes > 0 && held.request != self.request
        };
        let Some(slow) = all.iter_mut().find(|held| is_evictable(held)) else { return Reserved::Exhausted };
        (slow.bytes, slow.is_evicted) = (0, true);
        Reserved::Evict(slow.request)
    }

    /// Marks the body as complete.
    pub fn complete(&self) {
        let mut all = self.budget.0.borrow_mut();
        if let Some(own) = all.iter_mut().find(|held| held.request == self.request) {
            own.is_complete = true;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.borrow_mut().retain(|held| held.request != self.request);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: usize = 1_048_576;

    fn reservations(budget: &Rc<BodyBudget>, count: u32) -> Vec<Reservation> {
        (1..=count).map(|request| Reservation::new(budget, request)).collect()
    }

    #[test]
    fn grants_bytes_up_to_the_limit() {
        let budget = Rc::default();
        let all = reservations(&budget, 120);
        let granted = all.iter().filter(|one| one.grow(3 * MIB / 2, 0.0) == Reserved::Granted).count();
        assert_eq!(granted, 32, "of 120 bodies of 1.5 MiB each");
        assert_eq!(budget.held(), LIMIT);
        assert_eq!(all[119].grow(1, SLOW - 1.0), Reserved::Exhausted, "no body is slow yet");
        drop(all);
        assert_eq!(budget.held(), 0, "everything is freed");
    }

    #[test]
    fn evicts_the_oldest_slow_body() {
        let budget = Rc::default();
        let all = reservations(&budget, 4);
        assert_eq!(all[0].grow(LIMIT / 2, 0.0), Reserved::Granted);
        assert_eq!(all[1].grow(LIMIT / 4, 1.0), Reserved::Granted);
        assert_eq!(all[2].grow(LIMIT / 4, 2.0), Reserved::Granted);
        all[0].complete();
        assert_eq!(all[3].grow(1, SLOW + 0.5), Reserved::Exhausted, "the first body is complete");
        assert_eq!(all[3].grow(LIMIT / 2, SLOW + 9.0), Reserved::Evict(2));
        assert_eq!(all[1].grow(0, SLOW + 9.0), Reserved::Exhausted, "an evicted body gets no bytes");
        assert_eq!(all[3].grow(LIMIT / 2, SLOW + 9.0), Reserved::Evict(3));
        assert_eq!(all[3].grow(LIMIT / 2, SLOW + 9.0), Reserved::Granted);
        assert_eq!(all[3].grow(1, 10.0 * SLOW), Reserved::Exhausted, "a body does not evict itself");
    }

    #[test]
    fn a_refused_body_frees_its_bytes() {
        let budget = Rc::default();
        let all = reservations(&budget, 2);
        assert_eq!(all[0].grow(LIMIT - 1, 0.0), Reserved::Granted);
        assert_eq!(all[0].grow(2, 0.0), Reserved::Exhausted);
        drop(all);
        assert_eq!(budget.held(), 0);
        assert!(budget.0.borrow().is_empty());
    }

    proptest! {
        /// In any order of steps, the budget stays within its limit, and in the end all bytes are free.
        #[test]
        fn stays_within_the_limit_and_frees_everything(
            steps in prop::collection::vec((0..12_usize, 0..LIMIT / 2, 0..4_u8, 0.0..3_000.0_f64), 0..80),
        ) {
            let budget: Rc<BodyBudget> = Rc::default();
            let mut open: Vec<Option<Reservation>> = (0..12).map(|_| None).collect();
            let (mut now, mut next) = (0.0, 0_u32);
            for (slot, bytes, step, wait) in steps {
                now += wait;
                match step {
                    0 => open[slot] = None,
                    1 => {
                        if let Some(one) = &open[slot] {
                            one.complete();
                        }
                    }
                    _ => {
                        let one = open[slot].get_or_insert_with(|| Reservation::new(&budget, next));
                        next = next.wrapping_add(1);
                        let ends = (0..12).any(|_| !matches!(one.grow(bytes, now), Reserved::Evict(_)));
                        prop_assert!(ends, "each body is evicted at most once");
                    }
                }
                prop_assert!(budget.held() <= LIMIT);
            }
            drop(open);
            prop_assert_eq!(budget.held(), 0);
        }
    }
}
