//! Series: requests that have the same rule, decision, reason, class of status and kind of principal are counted
//! together.
//!
//! A set has a limit. Beyond it, new series are counted under the rule [`OTHER`], with their decision: so nobody hides
//! refusals behind many rules. If even these become too many, the rest is one series with [`OTHER`] in each member.

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use crate::platform::event::{ClaimState, Event};

/// Stands for what has no series of its own. No path pattern and no code looks like this.
pub const OTHER: &str = "(other)";

/// The rule of requests that were refused before a rule was found.
pub const NO_RULE: &str = "(none)";

/// Number of series with the rule [`OTHER`] that a full set takes.
pub const OVERFLOW_SERIES: usize = 64;

/// The members that tell series apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key<'a> {
    /// The pattern of the rule.
    pub rule: &'a str,
    /// The decision, as in the log.
    pub decision: &'a str,
    /// The reason of a refusal; empty without one.
    pub reason: &'a str,
    /// The first digit of the status.
    pub status: u8,
    /// `user`, `agent`, `webhook` or `anonymous`.
    pub principal: &'a str,
}

/// A [`Key`] that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    #[serde(rename = "r")]
    rule: String,
    #[serde(rename = "d")]
    decision: String,
    #[serde(rename = "e")]
    reason: String,
    #[serde(rename = "s")]
    status: u8,
    #[serde(rename = "p")]
    principal: String,
}

/// The counts of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests.
    #[serde(rename = "n")]
    pub requests: u64,
    /// Answers that expired an invalid session cookie.
    #[serde(rename = "h")]
    pub heals: u64,
    /// Stored answers that were replayed.
    #[serde(rename = "y")]
    pub replays: u64,
    /// Events of webhooks that were accepted before.
    #[serde(rename = "x")]
    pub duplicates: u64,
    /// Durations until upstream's response headers arrived.
    #[serde(rename = "u")]
    pub upstream: Histogram,
}

/// A series and its counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// The series.
    #[serde(rename = "k")]
    key: StoredKey,
    /// Its counts.
    #[serde(rename = "t")]
    pub tally: Tally,
}

/// A set of series, sorted by their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesSet(Vec<Series>);

impl<'a> Key<'a> {
    /// Returns the series of a request.
    #[must_use]
    pub fn of(event: &'a Event<'_>, is_webhook: bool) -> Self {
        Self {
            rule: event.rule.unwrap_or(NO_RULE),
            decision: event.decision,
            reason: event.reason.unwrap_or_default(),
            status: u8::try_from(event.status / 100).unwrap_or_default(),
            principal: event.principal.unwrap_or(if is_webhook { "webhook" } else { "anonymous" }),
        }
    }

    fn to_stored(self) -> StoredKey {
        let Self { rule, decision, reason, status, principal } = self;
        StoredKey {
            rule: rule.to_owned(),
            decision: decision.to_owned(),
            reason: reason.to_owned(),
            status,
            principal: principal.to_owned(),
        }
    }
}

impl StoredKey {
    fn as_key(&self) -> Key<'_> {
        let Self { rule, decision, reason, status, principal } = self;
        Key { rule, decision, reason, status: *status, principal }
    }
}

impl Series {
    /// Returns the key.
    #[must_use]
    pub fn key(&self) -> Key<'_> {
        self.key.as_key()
    }
}

impl Tally {
    /// Returns the counts of one request.
    #[must_use]
    pub fn of(event: &Event<'_>) -> Self {
        let mut upstream = Histogram::default();
        event.upstream_ms.into_iter().for_each(|milliseconds| upstream.record(milliseconds));
        Self {
            requests: 1,
            heals: u64::from(event.healed),
            replays: u64::from(event.idempotency == Some(ClaimState::Replayed)),
            duplicates: u64::from(event.duplicate),
            upstream,
        }
    }

    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        let Self { requests, heals, replays, duplicates, upstream } = other;
        for (sum, more) in [
            (&mut self.requests, requests),
            (&mut self.heals, heals),
            (&mut self.replays, replays),
            (&mut self.duplicates, duplicates),
        ] {
            *sum = sum.saturating_add(*more);
        }
        self.upstream.add(upstream);
    }
}

impl SeriesSet {
    /// Adds counts to a series, which is new or exists. `limit` is the number of series before new ones overflow.
    pub fn add(&mut self, key: Key<'_>, tally: &Tally, limit: usize) {
        let index = self.find_or_insert(key, limit).or_else(|| {
            let without_rule = Key { rule: OTHER, ..key };
            self.find_or_insert(without_rule, limit.saturating_add(OVERFLOW_SERIES))
        });
        let other = Key { rule: OTHER, decision: OTHER, reason: "", status: 0, principal: OTHER };
        let index = index.or_else(|| self.find_or_insert(other, usize::MAX));
        if let Some(series) = index.and_then(|index| self.0.get_mut(index)) {
            series.tally.add(tally);
        }
    }

    /// Adds all series of another set.
    pub fn add_all(&mut self, other: &Self, limit: usize) {
        other.0.iter().for_each(|series| self.add(series.key(), &series.tally, limit));
    }

    /// Returns the series.
    #[must_use]
    pub fn all(&self) -> &[Series] {
        &self.0
    }

    /// Moves the counts out. Keeps the series at zero, so that counting them again allocates nothing. If they are many,
    /// forgets those that were not used.
    #[must_use]
    pub fn take_counts(&mut self, many: usize) -> Self {
        let used: Vec<Series> = self.0.iter().filter(|series| series.tally.requests > 0).cloned().collect();
        if self.0.len() > many {
            self.0.retain(|series| series.tally.requests > 0);
        }
        self.0.iter_mut().for_each(|series| series.tally = Tally::default());
        Self(used)
    }

    /// Returns the index of a series. A new one is inserted only while the set has fewer than `limit`.
    fn find_or_insert(&mut self, key: Key<'_>, limit: usize) -> Option<usize> {
        match self.0.binary_search_by(|series| series.key().cmp(&key)) {
            Ok(index) => Some(index),
            Err(index) => {
                let has_room = self.0.len() < limit;
                has_room.then(|| {
                    self.0.insert(index, Series { key: key.to_stored(), tally: Tally::default() });
                    index
                })
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key<'a>(rule: &'a str, decision: &'a str) -> Key<'a> {
        Key { rule, decision, reason: "", status: 2, principal: "user" }
    }

    fn requests(requests: u64) -> Tally {
        Tally { requests, ..Tally::default() }
    }

    fn total(set: &SeriesSet) -> u64 {
        set.all().iter().map(|series| series.tally.requests).sum()
    }

    #[test]
    fn beyond_the_limit_new_series_lose_their_rule_but_not_their_decision() {
        let mut set = SeriesSet::default();
        for rule in ["/a", "/b", "/c", "/d"] {
            set.add(key(rule, "allow"), &requests(1), 2);
            set.add(key(rule, "forbidden_role"), &requests(1), 2);
        }
        let found: Vec<_> = set
            .all()
            .iter()
            .map(|series| (series.key().rule, series.key().decision, series.tally.requests))
            .collect();
        let want = [
            (OTHER, "allow", 3),
            (OTHER, "forbidden_role", 3),
            ("/a", "allow", 1),
            ("/a", "forbidden_role", 1),
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn taken_counts_leave_known_series_unless_they_are_many() {
        let mut set = SeriesSet::default();
        set.add(key("/a", "allow"), &requests(2), 9);
        set.add(key("/b", "allow"), &requests(3), 9);
        assert_eq!(total(&set.take_counts(2)), 5);
        assert_eq!((set.all().len(), total(&set)), (2, 0));
        set.add(key("/b", "allow"), &requests(1), 9);
        assert_eq!(set.take_counts(1).all().len(), 1);
        assert_eq!(set.all().len(), 1, "the unused series is forgotten");
    }

    proptest! {
        /// Whatever is added, in any order: no request is lost, the set stays within its bound, and it stays sorted.
        #[test]
        fn loses_nothing_and_stays_bounded(
            added in prop::collection::vec((0..400_u32, 0..90_u32, 1..5_u64), 0..400),
            limit in 0..40_usize,
        ) {
            let mut set = SeriesSet::default();
            for (rule, decision, count) in &added {
                set.add(key(&format!("/{rule}"), &format!("d{decision}")), &requests(*count), limit);
            }
            prop_assert_eq!(total(&set), added.iter().map(|(_, _, count)| count).sum::<u64>());
            prop_assert!(set.all().len() <= limit + OVERFLOW_SERIES + 1);
            prop_assert!(set.all().is_sorted_by(|one, other| one.key() < other.key()));
        }

        /// The sum of two sets without a limit does not depend on how the requests were split.
        #[test]
        fn the_sum_of_parts_is_the_whole(
            added in prop::collection::vec((0..9_u32, 0..4_u32, 1..5_u64), 0..80),
            split in 0..80_usize,
        ) {
            let of = |part: &[(u32, u32, u64)]| {
                let mut set = SeriesSet::default();
                for (rule, decision, count) in part {
                    set.add(key(&format!("/{rule}"), &format!("d{decision}")), &requests(*count), 999);
                }
                set
            };
            let (one, other) = added.split_at(split.min(added.len()));
            let mut sum = of(other);
            sum.add_all(&of(one), 999);
            prop_assert_eq!(sum, of(&added));
        }
    }
}
