//! The tables of the `Metrics` object.
//!
//! 1. A batch is counted in the minute of its time. A minute is one row with all of its series, so a flush writes few
//!    rows, and rows are bounded whatever the traffic: 1,440 minutes, 2,160 hours.
//! 2. A minute is closed [`LATE`] after its end. The alarm adds closed minutes to their hour and to the totals. A batch
//!    that comes later is counted in the first open minute.
//! 3. Minutes are kept for a day, hours for 90 days, totals as long as any of them.

use std::time::Duration;

use super::{
    counts::Batch,
    series::SeriesSet,
    tail::{Filter, Watch},
};
use crate::{
    base::time::{Timestamp, whole_seconds},
    platform::store::{Migration, SqlRow, Store, StoreError, run_all},
};

/// Number of series in a minute or an hour before new ones overflow.
pub const MAX_SERIES: usize = 300;

/// The same in the totals.
pub const MAX_TOTALS: usize = 1_000;

/// Time after the end of a minute until it is closed.
pub const LATE: Duration = Duration::from_mins(10);

/// Time for which minutes and hours are kept.
pub const KEEP_MINUTES: Duration = Duration::from_hours(24);
/// The same for hours.
pub const KEEP_HOURS: Duration = Duration::from_hours(90 * 24);

/// Time for which an isolate is remembered after its last batch, and the number of them.
pub const KEEP_ISOLATES: Duration = Duration::from_hours(1);
/// The number of isolates that are remembered.
pub const MAX_ISOLATES: i64 = 10_000;

/// Number of lines that are kept for those who watch, and the time after which they are deleted.
pub const MAX_LINES: i64 = 500;
const KEEP_LINES: Duration = Duration::from_mins(1);

/// Number of people who can watch, and the time after which one who does not ask again is forgotten.
pub const MAX_WATCHING: usize = 10;
const KEEP_WATCHING: i64 = 20;

/// Number of minutes or hours that are read at once.
pub const MAX_BUCKETS: i64 = 240;

/// Seconds of a minute.
pub const MINUTE: i64 = 60;
/// Seconds of an hour.
pub const HOUR: i64 = 3_600;

pub(super) const MIGRATIONS: &[Migration] = &[|store| {
    run_all(
        store,
        &[
            "CREATE TABLE IF NOT EXISTS minutes (start INTEGER PRIMARY KEY, counts TEXT NOT NULL) STRICT",
            "CREATE TABLE IF NOT EXISTS hours (start INTEGER PRIMARY KEY, counts TEXT NOT NULL) STRICT",
            "CREATE TABLE IF NOT EXISTS totals (one INTEGER PRIMARY KEY CHECK (one = 1), closed INTEGER NOT NULL,
                counts TEXT NOT NULL) STRICT",
            "CREATE TABLE IF NOT EXISTS isolates (id TEXT PRIMARY KEY, number INTEGER NOT NULL,
                seen INTEGER NOT NULL) STRICT",
            "CREATE TABLE IF NOT EXISTS lines (last INTEGER PRIMARY KEY, at INTEGER NOT NULL,
                dropped INTEGER NOT NULL, lines TEXT NOT NULL) STRICT",
            "CREATE TABLE IF NOT EXISTS last_line (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL) STRICT",
            "CREATE TABLE IF NOT EXISTS watching (id TEXT PRIMARY KEY, filter TEXT NOT NULL,
                until INTEGER NOT NULL) STRICT",
        ],
    )
}];

/// The counts of a minute or an hour.
pub(super) struct StoredBucket {
    /// Its beginning.
    pub(super) start: i64,
    pub(super) counts: SeriesSet,
}

/// The sum of all closed minutes.
#[derive(Default)]
pub(super) struct Totals {
    /// The beginning of the first minute that is not closed.
    pub(super) closed: i64,
    pub(super) counts: SeriesSet,
}

/// Counts a batch, unless it was counted before.
pub(super) fn take(store: &impl Store, batch: Batch, now: Timestamp) -> Result<(), StoreError> {
    let Batch { isolate, number, at, counts, lines } = batch;
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    let known = store.run("SELECT number FROM isolates WHERE id = ?", &[(&isolate).into()])?;
    if let Some(row) = known.first()
        && row.integer(0)? >= number
    {
        return Ok(());
    }
    store.run(
        "INSERT INTO isolates (id, number, seen) VALUES (?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET number = excluded.number, seen = excluded.seen",
        &[(&isolate).into(), number.into(), now.into()],
    )?;
    let start = start_of(at.0.min(now.0), MINUTE).max(closed(store)?);
    let mut sum = bucket(store, "SELECT start, counts FROM minutes WHERE start = ?", start)?;
    sum.counts.add_all(&counts, MAX_SERIES);
    put(store, "INSERT OR REPLACE INTO minutes (start, counts) VALUES (?, ?)", &sum)?;
    super::lines::put(store, &lines, now)
}

/// Returns the minutes or hours of a range, in order. Hours include the minutes that are not closed.
pub(super) fn range(
    store: &impl Store,
    step: i64,
    from: i64,
    to: i64,
) -> Result<Vec<StoredBucket>, StoreError> {
    let select = if step == HOUR {
        "SELECT start, counts FROM hours WHERE start >= ? AND start < ? ORDER BY start LIMIT ?"
    } else {
        "SELECT start, counts FROM minutes WHERE start >= ? AND start < ? ORDER BY start LIMIT ?"
    };
    let rows = store.run(select, &[from.into(), to.into(), MAX_BUCKETS.into()])?;
    let mut found = rows.iter().map(read_bucket).collect::<Result<Vec<_>, _>>()?;
    if step == HOUR {
        for minute in open_minutes(store)? {
            let start = start_of(minute.start, HOUR);
            match found.iter_mut().find(|hour| hour.start == start) {
                Some(hour) => hour.counts.add_all(&minute.counts, MAX_SERIES),
                None if start >= from && start < to => {
                    found.push(StoredBucket { start, counts: minute.counts });
                }
                None => {}
            }
        }
    }
    Ok(found)
}

/// Returns the sum of everything that was counted.
pub(super) fn totals(store: &impl Store) -> Result<SeriesSet, StoreError> {
    let Totals { mut counts, .. } = stored_totals(store)?;
    for minute in open_minutes(store)? {
        counts.add_all(&minute.counts, MAX_TOTALS);
    }
    Ok(counts)
}

/// Adds the minutes that are over for [`LATE`] to their hours and to the totals. Deletes what is too old.
pub(super) fn close_minutes(store: &impl Store, now: Timestamp) -> Result<(), StoreError> {
    let end = start_of(now.0.saturating_sub(whole_seconds(LATE)), MINUTE);
    let mut totals = stored_totals(store)?;
    let rows = store.run(
        "SELECT start, counts FROM minutes WHERE start >= ? AND start < ? ORDER BY start",
        &[totals.closed.into(), end.into()],
    )?;
    if !rows.is_empty() {
        let mut hour: Option<StoredBucket> = None;
        for row in &rows {
            let minute = read_bucket(row)?;
            totals.counts.add_all(&minute.counts, MAX_TOTALS);
            let start = start_of(minute.start, HOUR);
            let mut sum = match hour.take() {
                Some(sum) if sum.start == start => sum,
                before => {
                    put_hour(store, before.as_ref())?;
                    bucket(store, "SELECT start, counts FROM hours WHERE start = ?", start)?
                }
            };
            sum.counts.add_all(&minute.counts, MAX_SERIES);
            hour = Some(sum);
        }
        put_hour(store, hour.as_ref())?;
        totals.closed = end;
        store.run(
            "INSERT OR REPLACE INTO totals (one, closed, counts) VALUES (1, ?, ?)",
            &[totals.closed.into(), (&to_json(&totals.counts)?).into()],
        )?;
    }
    prune(store, now)
}

fn prune(store: &impl Store, now: Timestamp) -> Result<(), StoreError> {
    for (statement, keep) in [
        ("DELETE FROM minutes WHERE start < ?", KEEP_MINUTES),
        ("DELETE FROM hours WHERE start < ?", KEEP_HOURS),
        ("DELETE FROM isolates WHERE seen < ?", KEEP_ISOLATES),
        ("DELETE FROM lines WHERE at < ?", KEEP_LINES),
        ("DELETE FROM watching WHERE until < ?", Duration::ZERO),
    ] {
        store.run(statement, &[now.0.saturating_sub(whole_seconds(keep)).into()])?;
    }
    store.run(
        "DELETE FROM isolates WHERE id IN (SELECT id FROM isolates ORDER BY seen DESC LIMIT -1 OFFSET ?)",
        &[MAX_ISOLATES.into()],
    )?;
    Ok(())
}

/// Returns the time at which there is something to close or to delete. Isolates and those who watch are deleted along
/// with minutes: to look for them after each batch would cost more than they do.
pub(super) fn next_work(store: &impl Store) -> Result<Option<Timestamp>, StoreError> {
    let closed = closed(store)?;
    let row = store.run(
        "SELECT (SELECT min(start) FROM minutes WHERE start >= ?1), (SELECT min(start) FROM minutes),
            (SELECT min(start) FROM hours), (SELECT min(at) FROM lines)",
        &[closed.into()],
    )?;
    let Some(row) = row.first() else { return Ok(None) };
    let mut next: Option<i64> = None;
    for (column, after) in [
        (0, LATE.saturating_add(Duration::from_mins(1))),
        (1, KEEP_MINUTES),
        (2, KEEP_HOURS),
        (3, KEEP_LINES),
    ] {
        if let Some(since) = row.optional_integer(column)? {
            // One second more: what is deleted is older than the limit.
            let due = since.saturating_add(whole_seconds(after)).saturating_add(1);
            next = Some(next.map_or(due, |next| next.min(due)));
        }
    }
    Ok(next.map(Timestamp))
}

/// Checks whether nothing is left.
pub(super) fn is_empty(store: &impl Store) -> Result<bool, StoreError> {
    let left = "SELECT 1 FROM minutes UNION ALL SELECT 1 FROM hours UNION ALL SELECT 1 FROM isolates
        UNION ALL SELECT 1 FROM lines UNION ALL SELECT 1 FROM watching LIMIT 1";
    Ok(store.run(left, &[])?.is_empty())
}

/// Notes that somebody watches. Returns `false` if too many do.
pub(super) fn watch(
    store: &impl Store,
    id: &str,
    filter: &Filter,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let known = store.run("SELECT until FROM watching WHERE id = ?", &[id.into()])?;
    if let Some(row) = known.first() {
        // Not written again each second.
        if row.integer(0)? > now.0.saturating_add(KEEP_WATCHING / 2) {
            return Ok(true);
        }
    } else if watching(store, now)?.0.len() >= MAX_WATCHING {
        return Ok(false);
    }
    let until = now.0.saturating_add(KEEP_WATCHING);
    store.run(
        "INSERT OR REPLACE INTO watching (id, filter, until) VALUES (?, ?, ?)",
        &[id.into(), (&to_json(filter)?).into(), until.into()],
    )?;
    Ok(true)
}

/// Returns the filters of all who watch.
pub(super) fn watching(store: &impl Store, now: Timestamp) -> Result<Watch, StoreError> {
    let rows = store.run("SELECT filter FROM watching WHERE until >= ?", &[now.into()])?;
    rows.iter().map(|row| from_json(&row.text(0)?)).collect::<Result<_, _>>().map(Watch)
}

fn open_minutes(store: &impl Store) -> Result<Vec<StoredBucket>, StoreError> {
    let closed = closed(store)?;
    let rows =
        store.run("SELECT start, counts FROM minutes WHERE start >= ? ORDER BY start", &[closed.into()])?;
    rows.iter().map(read_bucket).collect()
}

/// Returns the beginning of the first minute that is not closed.
fn closed(store: &impl Store) -> Result<i64, StoreError> {
    let rows = store.run("SELECT closed FROM totals", &[])?;
    rows.first().map_or(Ok(0), |row| row.integer(0))
}

fn stored_totals(store: &impl Store) -> Result<Totals, StoreError> {
    match store.run("SELECT closed, counts FROM totals", &[])?.first() {
        Some(row) => Ok(Totals { closed: row.integer(0)?, counts: from_json(&row.text(1)?)? }),
        None => Ok(Totals::default()),
    }
}

fn bucket(store: &impl Store, select: &str, start: i64) -> Result<StoredBucket, StoreError> {
    let rows = store.run(select, &[start.into()])?;
    rows.first().map_or(Ok(StoredBucket { start, counts: SeriesSet::default() }), read_bucket)
}

fn read_bucket(row: &SqlRow) -> Result<StoredBucket, StoreError> {
    Ok(StoredBucket { start: row.integer(0)?, counts: from_json(&row.text(1)?)? })
}

fn put_hour(store: &impl Store, hour: Option<&StoredBucket>) -> Result<(), StoreError> {
    hour.map_or(Ok(()), |hour| put(store, "INSERT OR REPLACE INTO hours (start, counts) VALUES (?, ?)", hour))
}

fn put(store: &impl Store, statement: &str, bucket: &StoredBucket) -> Result<(), StoreError> {
    store.run(statement, &[bucket.start.into(), (&to_json(&bucket.counts)?).into()]).map(drop)
}

/// Returns the beginning of the minute or the hour of a time.
pub(super) fn start_of(seconds: i64, step: i64) -> i64 {
    seconds.saturating_sub(seconds.rem_euclid(step))
}

pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError(error.to_string()))
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError(error.to_string()))
}
