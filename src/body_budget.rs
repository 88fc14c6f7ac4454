//! Memory for request bodies that are read whole, shared by all requests of an isolate.
//!
//! 1. Each chunk of a body is reserved before it is kept, and all of them together have [`LIMIT`] bytes. A chunk counts as at least
//!    [`CHUNK`] bytes, since the platform keeps a buffer of that length for each, even for one byte. A body may add up to
//!    [`PADDING`] bytes in this way.
//! 2. Where there is no room, a body that has been coming in for [`SLOW`] milliseconds gives way, the oldest first.
//!    Without one, the body that asks is refused.
//! 3. A body that is complete does not give way: its request is being run.
//! 4. A [`Reservation`] gives its bytes back when it is dropped, however its request ends.

use std::{cell::RefCell, rc::Rc};

/// Bytes of all bodies together. An isolate has 128 MB for everything, and a body is copied once or twice on its way.
pub const LIMIT: usize = 48 * 1_048_576;

/// Bytes that a chunk takes, however short it is: workerd reads into buffers of this length, and a chunk is a view into one.
pub const CHUNK: usize = 4_096;

/// Bytes that one body's short chunks may count for beside its own bytes, so that a body sent a byte at a time leaves room for others.
pub const PADDING: usize = 8 * 1_048_576;

/// Milliseconds after which a body that is still coming in gives way.
pub const SLOW: f64 = 5_000.0;

/// The bytes that are held, in the order in which requests began to hold some.
#[derive(Debug, Default)]
pub struct BodyBudget(RefCell<Vec<Held>>);

/// A request's share of the budget.
#[derive(Debug)]
pub struct Reservation {
    budget: Rc<BodyBudget>,
    request: u32,
}

/// The answer to a request for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// They may be kept.
    Granted,
    /// This request's bytes must be dropped first. It has lost them already.
    Evict(u32),
    /// There is no room.
    Exhausted,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    request: u32,
    bytes: usize,
    /// Of these, what was added for short chunks.
    padding: usize,
    since: f64,
    /// Whether the body is complete.
    is_complete: bool,
    /// Whether its bytes were dropped for another body.
    is_evicted: bool,
}

impl BodyBudget {
    /// Counts the bytes that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.borrow().iter().fold(0, |sum, held| sum.saturating_add(held.bytes))
    }
}

impl Reservation {
    /// Opens a request's share. It holds no bytes yet.
    #[must_use]
    pub fn new(budget: &Rc<BodyBudget>, request: u32) -> Self {
        Self { budget: Rc::clone(budget), request }
    }

    /// Asks for more bytes, for one chunk, at `now` in milliseconds.
    #[must_use]
    pub fn grow(&self, chunk: usize, now: f64) -> Reserved {
        let bytes = chunk.max(CHUNK);
        let padding = bytes.saturating_sub(chunk);
        let room = LIMIT.saturating_sub(self.budget.held());
        let mut all = self.budget.0.borrow_mut();
        let own = all.iter_mut().find(|held| held.request == self.request);
        if own.as_ref().is_some_and(|own| own.is_evicted || own.padding.saturating_add(padding) > PADDING) {
            return Reserved::Exhausted;
        }
        if bytes <= room {
            match own {
                Some(own) => {
                    own.bytes = own.bytes.saturating_add(bytes);
                    own.padding = own.padding.saturating_add(padding);
                }
                None => all.push(Held {
                    request: self.request,
                    bytes,
                    padding,
                    since: now,
                    is_complete: false,
                    is_evicted: false,
                }),
            }
            return Reserved::Granted;
        }
        let gives_way = |held: &Held| {
            let is_slow = !held.is_complete && held.since + SLOW <= now;
            is_slow && held.bytes > 0 && held.request != self.request
        };
        let Some(slow) = all.iter_mut().find(|held| gives_way(held)) else { return Reserved::Exhausted };
        (slow.bytes, slow.is_evicted) = (0, true);
        Reserved::Evict(slow.request)
    }

    /// Notes that the body is complete.
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

    fn open(budget: &Rc<BodyBudget>, count: u32) -> Vec<Reservation> {
        (1..=count).map(|request| Reservation::new(budget, request)).collect()
    }

    #[test]
    fn slow_senders_share_it() {
        let budget = Rc::default();
        let all = open(&budget, 120);
        let granted = all.iter().filter(|one| one.grow(3 * MIB / 2, 0.0) == Reserved::Granted).count();
        assert_eq!(granted, 32, "of 120 that send 1.5 MiB each");
        assert_eq!(budget.held(), LIMIT);
        assert_eq!(all[119].grow(1, SLOW - 1.0), Reserved::Exhausted, "nobody is slow yet");
        drop(all);
        assert_eq!(budget.held(), 0, "given back, whatever became of them");
    }

    #[test]
    fn a_byte_at_a_time_takes_what_the_platform_keeps_for_it() {
        let budget = Rc::default();
        let all = open(&budget, 2);
        let chunks = (0..LIMIT).take_while(|_| all[0].grow(1, 0.0) == Reserved::Granted).count();
        assert_eq!(chunks, PADDING / (CHUNK - 1));
        assert_eq!(budget.held(), chunks * CHUNK);
        assert_eq!(
            all[0].grow(CHUNK, 0.0),
            Reserved::Granted,
            "this one is no shorter than what it counts for"
        );
        assert_eq!(all[1].grow(LIMIT / 2, 0.0), Reserved::Granted, "and leaves room for others");
    }

    #[test]
    fn the_slowest_give_way() {
        let budget = Rc::default();
        let all = open(&budget, 4);
        assert_eq!(all[0].grow(LIMIT / 2, 0.0), Reserved::Granted);
        assert_eq!(all[1].grow(LIMIT / 4, 1.0), Reserved::Granted);
        assert_eq!(all[2].grow(LIMIT / 4, 2.0), Reserved::Granted);
        all[0].complete();
        assert_eq!(all[3].grow(1, SLOW + 0.5), Reserved::Exhausted, "the first is complete");
        assert_eq!(all[3].grow(LIMIT / 2, SLOW + 9.0), Reserved::Evict(2));
        assert_eq!(all[1].grow(0, SLOW + 9.0), Reserved::Exhausted, "it has lost its place");
        assert_eq!(all[3].grow(LIMIT / 2, SLOW + 9.0), Reserved::Evict(3));
        assert_eq!(all[3].grow(LIMIT / 2, SLOW + 9.0), Reserved::Granted);
        assert_eq!(all[3].grow(1, 10.0 * SLOW), Reserved::Exhausted, "nobody gives way to oneself");
    }

    #[test]
    fn a_refused_body_gives_back_what_it_had() {
        let budget = Rc::default();
        let all = open(&budget, 2);
        assert_eq!(all[0].grow(LIMIT - 1, 0.0), Reserved::Granted);
        assert_eq!(all[0].grow(2, 0.0), Reserved::Exhausted);
        drop(all);
        assert_eq!(budget.held(), 0);
        assert!(budget.0.borrow().is_empty());
    }

    proptest! {
        /// In any order of requests, no more is held than the limit, and all of it is given back.
        #[test]
        fn no_more_is_held_than_there_is(
            acts in prop::collection::vec((0..12_usize, 0..LIMIT / 2, 0..4_u8, 0.0..3_000.0_f64), 0..80),
        ) {
            let budget: Rc<BodyBudget> = Rc::default();
            let mut open: Vec<Option<Reservation>> = (0..12).map(|_| None).collect();
            let (mut now, mut next) = (0.0, 0_u32);
            for (who, bytes, act, wait) in acts {
                now += wait;
                match act {
                    0 => open[who] = None,
                    1 => {
                        if let Some(one) = &open[who] {
                            one.complete();
                        }
                    }
                    _ => {
                        let one = open[who].get_or_insert_with(|| Reservation::new(&budget, next));
                        next = next.wrapping_add(1);
                        let ends = (0..12).any(|_| !matches!(one.grow(bytes, now), Reserved::Evict(_)));
                        prop_assert!(ends, "each gives way once");
                    }
                }
                prop_assert!(budget.held() <= LIMIT);
            }
            drop(open);
            prop_assert_eq!(budget.held(), 0);
        }
    }
}
