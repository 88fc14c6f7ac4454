//! The `Metrics` object: takes the batches of all isolates, and answers what was counted.

use serde::{Deserialize, Serialize};

use super::{
    counts::Batch,
    lines::{self, NewLines},
    series::SeriesSet,
    summary::Bucket,
    tables::{self, HOUR, MINUTE},
    tail::{Filter, Watch},
};
use crate::{
    base::time::Timestamp,
    platform::store::{Class, Object, OutboxMessage, Store, StoreError},
};

/// The object of the deployment.
#[derive(Debug)]
pub struct Metrics;

/// The name of the one object.
pub const NAME: &str = "metrics";

/// The length of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

/// Which buckets to read: at most [`tables::MAX_BUCKETS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// The length of a bucket.
    pub step: Step,
    /// The first time.
    pub from: Timestamp,
    /// The time after the last one.
    pub to: Timestamp,
    /// The pattern of the rule; `None` for all.
    pub rule: Option<String>,
}

/// Somebody who watches the decisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watching {
    /// The id of the request that opened the tail.
    pub id: String,
    /// Which decisions.
    pub filter: Filter,
    /// The number of the last line that was sent; `None` at the beginning.
    pub after: Option<i64>,
}

/// A command to the object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Counts a batch.
    Take(Batch),
    /// Reads buckets, in order.
    Read(Query),
    /// Reads the sum of everything that was counted.
    Totals,
    /// Reads new lines, and notes that somebody watches.
    Watch(Watching),
}

/// A reply of the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The batch is counted, now or before. These decisions are wanted.
    Taken(Watch),
    /// The buckets that have requests.
    Buckets(Vec<Bucket>),
    /// The sum of everything.
    Totals(SeriesSet),
    /// New lines.
    Lines(NewLines),
    /// Too many people watch.
    TooManyWatch,
}

impl Object for Metrics {
    const CLASS: Class = Class {
        name: "Metrics",
        binding: "METRICS",
        migrations: tables::MIGRATIONS,
        alarm_delay: Some(std::time::Duration::from_secs(1)),
    };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Take(batch) => {
                tables::take(store, batch, now)?;
                tables::watching(store, now).map(Reply::Taken)
            }
            Command::Read(query) => read(store, &query).map(Reply::Buckets),
            Command::Totals => tables::totals(store).map(Reply::Totals),
            Command::Watch(Watching { id, filter, after }) => {
                if !tables::watch(store, &id, &filter, now)? {
                    return Ok(Reply::TooManyWatch);
                }
                lines::after(store, after).map(Reply::Lines)
            }
        }
    }

    fn is_read_only(command: &Command) -> bool {
        matches!(command, Command::Read(_) | Command::Totals)
    }

    fn next_alarm(store: &impl Store, _now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        tables::next_work(store)
    }

    fn is_deletable(store: &impl Store) -> Result<bool, StoreError> {
        tables::is_empty(store)
    }

    fn alarm(store: &impl Store, now: Timestamp) -> Result<Vec<OutboxMessage>, StoreError> {
        tables::close_minutes(store, now)?;
        Ok(Vec::new())
    }
}

fn read(store: &impl Store, query: &Query) -> Result<Vec<Bucket>, StoreError> {
    let Query { step, from, to, rule } = query;
    let step = match step {
        Step::Minute => MINUTE,
        Step::Hour => HOUR,
    };
    let found = tables::range(store, step, from.0, to.0)?;
    let summary =
        |found: &tables::StoredBucket| Bucket::of(Timestamp(found.start), &found.counts, rule.as_deref());
    Ok(found.iter().map(summary).filter(|bucket| bucket.requests > 0).collect())
}

#[cfg(test)]
mod tests;
