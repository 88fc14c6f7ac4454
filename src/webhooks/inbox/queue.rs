//! Selects the events to deliver next.
//!
//! An event is ready if no earlier event of the same subject is waiting. Ready events have an index of their own, first
//! attempts before retries. So accepting an event and picking the next ones never read events that wait behind others.

use super::{Pick, Picked};
use crate::{
    base::time::Timestamp,
    platform::store::{Store, StoreError, Value, has_column},
};

/// Whether an event can be delivered: the value of the column `ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// No: the event waits for another one, or is settled.
    Not,
    /// Yes, for the first time.
    First,
    /// Yes, after a failed attempt.
    Again,
}

impl From<Ready> for Value<'_> {
    fn from(ready: Ready) -> Self {
        Self::Integer(match ready {
            Ready::Not => 0,
            Ready::First => 1,
            Ready::Again => 2,
        })
    }
}

/// Checks whether an event of this subject is waiting.
pub(super) fn has_waiting(store: &impl Store, subject: &str) -> Result<bool, StoreError> {
    let select = "SELECT 1 FROM events WHERE subject = ? AND state = 'received' LIMIT 1";
    Ok(!store.run(select, &[subject.into()])?.is_empty())
}

/// Makes the first waiting event of a subject ready. It is queued behind all events that are due now.
pub(super) fn line_up(store: &impl Store, subject: &str, now: Timestamp) -> Result<(), StoreError> {
    store.run(
        "UPDATE events SET ready = CASE attempts WHEN 0 THEN 1 ELSE 2 END, at = max(at, ?)
         WHERE ready = 0 AND id = (
            SELECT id FROM events WHERE subject = ? AND state = 'received' ORDER BY number LIMIT 1)",
        &[now.into(), subject.into()],
    )?;
    Ok(())
}

/// Queues a waiting event again among the events of its subject, of which only one is ready.
pub(super) fn put_back(
    store: &impl Store,
    id: &str,
    subject: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    store.run("UPDATE events SET ready = 0 WHERE id = ?", &[id.into()])?;
    store.run(
        "UPDATE events SET ready = 0 WHERE id = (
            SELECT id FROM events WHERE subject = ? AND state = 'received' AND id <> ? ORDER BY number LIMIT 1)",
        &[subject.into(), id.into()],
    )?;
    line_up(store, subject, now)
}

/// Returns due events: first attempts, then retries if there is room.
pub(super) fn pick(store: &impl Store, pick: &Pick, now: Timestamp) -> Result<Vec<Picked>, StoreError> {
    let flying = serde_json::to_string(&pick.flying).unwrap_or_default();
    let mut picked = Vec::new();
    for (ready, retry) in [(Ready::First, false), (Ready::Again, true)] {
        let left = pick.room.saturating_sub(i64::try_from(picked.len()).unwrap_or(i64::MAX));
        let room = if retry { left.min(pick.retries) } else { left };
        if room <= 0 {
            continue;
        }
        let rows = store.run(
            "SELECT id FROM events WHERE ready = ? AND at <= ? AND id NOT IN (SELECT value FROM json_each(?))
             AND (subject IS NULL OR subject NOT IN (
                SELECT subject FROM events WHERE id IN (SELECT value FROM json_each(?)) AND subject IS NOT NULL))
             ORDER BY at LIMIT ?",
            &[ready.into(), now.into(), (&flying).into(), (&flying).into(), room.into()],
        )?;
        for row in &rows {
            picked.push(Picked { id: row.text(0)?, retry });
        }
    }
    Ok(picked)
}

/// Adds the column `ready` to tables of early databases.
pub(super) fn migrate(store: &dyn Store) -> Result<(), StoreError> {
    if !has_column(store, "events", "id")? || has_column(store, "events", "ready")? {
        return Ok(());
    }
    for statement in [
        "ALTER TABLE events ADD COLUMN ready INTEGER NOT NULL DEFAULT 0",
        "DROP INDEX IF EXISTS events_due",
        "UPDATE events SET ready = CASE attempts WHEN 0 THEN 1 ELSE 2 END WHERE state = 'received' AND (
            subject IS NULL OR number = (
                SELECT min(number) FROM events AS other WHERE other.subject = events.subject
                AND other.state = 'received'))",
    ] {
        store.run(statement, &[])?;
    }
    Ok(())
}
