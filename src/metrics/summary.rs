//! The sums over the series of a bucket, one for each member of their keys.

use serde::{Deserialize, Serialize};

use super::{
    histogram::Histogram,
    series::{Series, SeriesSet},
};
use crate::base::time::Timestamp;

/// The counts of a minute or an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its beginning.
    pub start: Timestamp,
    /// Requests.
    pub requests: u64,
    /// Requests by decision.
    pub by_decision: Vec<Count>,
    /// Requests by reason, without those that have none.
    pub by_reason: Vec<Count>,
    /// Requests by class of status: `2xx`.
    pub by_status: Vec<Count>,
    /// Requests by kind of principal.
    pub by_principal: Vec<Count>,
    /// Requests by rule.
    pub by_rule: Vec<Count>,
    /// Answers that expired an invalid session cookie.
    pub heals: u64,
    /// Replayed answers.
    pub replays: u64,
    /// Duplicate events of webhooks.
    pub duplicates: u64,
    /// Durations of upstream.
    pub upstream: Histogram,
}

/// A name and how often it was counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The name.
    pub name: String,
    /// The number of requests.
    pub requests: u64,
}

impl Bucket {
    /// Sums the series of a bucket, of one rule or of all.
    pub(super) fn of(start: Timestamp, counts: &SeriesSet, rule: Option<&str>) -> Self {
        let mut sum = Self {
            start,
            requests: 0,
            by_decision: Vec::new(),
            by_reason: Vec::new(),
            by_status: Vec::new(),
            by_principal: Vec::new(),
            by_rule: Vec::new(),
            heals: 0,
            replays: 0,
            duplicates: 0,
            upstream: Histogram::default(),
        };
        let is_wanted = |series: &&Series| rule.is_none_or(|rule| series.key().rule == rule);
        counts.all().iter().filter(is_wanted).for_each(|series| sum.add(series));
        sum
    }

    fn add(&mut self, series: &Series) {
        let (key, tally) = (series.key(), &series.tally);
        let requests = tally.requests;
        add(&mut self.by_decision, key.decision, requests);
        if !key.reason.is_empty() {
            add(&mut self.by_reason, key.reason, requests);
        }
        add(&mut self.by_status, status_class(key.status), requests);
        add(&mut self.by_principal, key.principal, requests);
        add(&mut self.by_rule, key.rule, requests);
        self.requests = self.requests.saturating_add(requests);
        self.heals = self.heals.saturating_add(tally.heals);
        self.replays = self.replays.saturating_add(tally.replays);
        self.duplicates = self.duplicates.saturating_add(tally.duplicates);
        self.upstream.add(&tally.upstream);
    }
}

fn add(counts: &mut Vec<Count>, name: &str, requests: u64) {
    match counts.iter_mut().find(|count| count.name == name) {
        Some(count) => count.requests = count.requests.saturating_add(requests),
        None => counts.push(Count { name: name.to_owned(), requests }),
    }
}

/// Returns the name of a class of status.
#[must_use]
pub fn status_class(first_digit: u8) -> &'static str {
    match first_digit {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => super::series::OTHER,
    }
}
