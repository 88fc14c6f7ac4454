//! The ring of log lines in the `Metrics` object. A row has the lines of one flush, and the number of its last line.

use serde::{Deserialize, Serialize};

use super::{tables, tail::Lines};
use crate::{
    base::time::Timestamp,
    platform::store::{Store, StoreError},
};

/// A line and its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// The number. It grows by one with each line, and by one for a flush that only dropped lines.
    pub number: i64,
    /// The line, as JSON.
    pub line: String,
}

/// What was added to the ring after a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLines {
    /// The lines.
    pub lines: Vec<Numbered>,
    /// Number of lines that isolates dropped, or that were overwritten.
    pub dropped: u64,
    /// The number after which the next lines come.
    pub last: i64,
}

/// Adds the lines of a flush. Deletes those that no longer fit.
pub(super) fn put(store: &impl Store, lines: &Lines, now: Timestamp) -> Result<(), StoreError> {
    if lines.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(lines.lines.len()).unwrap_or(i64::MAX).max(1);
    let last = last(store)?.saturating_add(count);
    let dropped = i64::try_from(lines.dropped).unwrap_or(i64::MAX);
    store.run(
        "INSERT INTO lines (last, at, dropped, lines) VALUES (?, ?, ?, ?)",
        &[last.into(), now.into(), dropped.into(), (&tables::to_json(&lines.lines)?).into()],
    )?;
    store.run("INSERT OR REPLACE INTO last_line (one, number) VALUES (1, ?)", &[last.into()])?;
    store.run("DELETE FROM lines WHERE last <= ?", &[last.saturating_sub(tables::MAX_LINES).into()]).map(drop)
}

/// Returns the lines after a number; without one, or with one that the ring never had, only the last number.
pub(super) fn after(store: &impl Store, number: Option<i64>) -> Result<NewLines, StoreError> {
    let newest = last(store)?;
    let Some(number) = number.filter(|number| *number <= newest) else {
        return Ok(NewLines { last: newest, ..NewLines::default() });
    };
    let rows =
        store.run("SELECT last, dropped, lines FROM lines WHERE last > ? ORDER BY last", &[number.into()])?;
    let mut found = NewLines { last: newest, ..NewLines::default() };
    let mut expected = number.saturating_add(1);
    for row in &rows {
        let (last, dropped) = (row.integer(0)?, row.integer(1)?);
        let lines: Vec<String> = tables::from_json(&row.text(2)?)?;
        let count = i64::try_from(lines.len()).unwrap_or_default();
        let first = last.saturating_sub(count.max(1)).saturating_add(1);
        let overwritten = first.saturating_sub(expected).max(0);
        found.dropped = found
            .dropped
            .saturating_add(u64::try_from(dropped).unwrap_or_default())
            .saturating_add(u64::try_from(overwritten).unwrap_or_default());
        let numbered = lines.into_iter().zip(first..).map(|(line, number)| Numbered { number, line });
        found.lines.extend(numbered.filter(|line| line.number >= expected));
        expected = last.saturating_add(1);
    }
    Ok(found)
}

/// Returns the number of the newest line. It is kept when the line is deleted.
fn last(store: &impl Store) -> Result<i64, StoreError> {
    let rows = store.run("SELECT number FROM last_line", &[])?;
    rows.first().map_or(Ok(0), |row| row.integer(0))
}
