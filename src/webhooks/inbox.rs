//! The inbox of a webhook: events that were accepted and are delivered later. One object per webhook.
//!
//! 1. An event is accepted once. Its row and its body are stored before the provider gets its response. Another event
//!    with the same key is a duplicate.
//! 2. Due events are delivered, several at a time (`edge/deliveries.rs` has the number), first attempts before retries.
//!    A failed delivery is retried with growing delays, up to [`MOST_ATTEMPTS`] attempts. Then the event is dead, until
//!    an operator redelivers it.
//! 3. Events of one subject are delivered one after the other, in the order of their arrival. A dead event does not
//!    block later ones. The next event of a subject is queued behind all events that are due by then, so that a subject
//!    with many events does not delay others.
//! 4. A delivery with an unknown outcome is repeated. Upstream deduplicates by `Idempotency-Key`.

mod queue;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::queue::Ready;
use crate::{
    base::time::Timestamp,
    http::request::HeaderLines,
    identity::author::Author,
    platform::store::{Class, Object, OutboxMessage, SqlRow, Store, StoreError, Value, run_all},
    webhooks::Received,
};

/// The `Inbox` object of one webhook.
#[derive(Debug)]
pub struct Inbox;

/// The prefix of event ids.
pub const PREFIX: &str = "whk_";

/// Maximum number of attempts to deliver an event. They take about a day.
pub const MOST_ATTEMPTS: i64 = 20;

/// The commands of an inbox.
#[allow(clippy::large_enum_variant, reason = "only one exists at a time, and it is written as JSON at once")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Accepts an event whose body is attached, and keeps it for at least this many seconds.
    Accept(Event, i64),
    /// Lists events ordered by id: after this id, in this state, at most this many.
    List(Option<String>, Option<State>, i64),
    /// Queues an event for delivery, for the first time or again, on behalf of an admin.
    Redeliver(Author, String),
    /// Returns the events to deliver now.
    Pick(Pick),
    /// Returns an event with its body attached.
    Load(String),
    /// Records the result of an attempt: the response status, or 0 without a response.
    RecordAttempt(String, u16),
}

/// The replies of an inbox.
#[allow(clippy::large_enum_variant, reason = "only one exists at a time, and it is written as JSON at once")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The event was accepted, or the command was run.
    Done,
    /// The event was accepted before.
    Duplicate,
    /// No event has this id, or it is not waiting for delivery.
    NotFound,
    /// An event.
    Event(Event),
    /// Events and their delivery status.
    Events(Vec<EventStatus>),
    /// The events to deliver now, in this order.
    Picked(Vec<Picked>),
}

/// The capacity for deliveries now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// Ids of the events that are being delivered now.
    pub flying: Vec<String>,
    /// Maximum number of deliveries to start.
    pub room: i64,
    /// Maximum number of retries among them.
    pub retries: i64,
}

/// An event that is to be delivered now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picked {
    /// The id of the event.
    pub id: String,
    /// Whether an earlier attempt failed.
    pub retry: bool,
}

/// An event, as it is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The id: `whk_`, the webhook's name, a dot and a random part.
    pub id: String,
    /// The verified data of the event.
    pub received: Received,
    /// The subject. Events of one subject are delivered in order.
    pub subject: Option<String>,
    /// The path at which the event arrived, with its query.
    pub target: String,
    /// The received headers that are forwarded: names and values, one per line.
    pub header_lines: HeaderLines,
}

/// An event and its delivery status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventStatus {
    /// The event.
    pub event: Event,
    /// The state of the delivery.
    pub state: State,
    /// Number of attempts.
    pub attempts: i64,
    /// Number of duplicates.
    pub duplicates: i64,
    /// The response status of the last attempt: 0 without a response, `None` before the first attempt.
    pub status: Option<i64>,
    /// The time of arrival.
    pub received_at: Timestamp,
    /// The time of the next attempt, or of the last one if the event is settled.
    pub at: Timestamp,
}

/// The state of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The event waits for delivery.
    Received,
    /// Upstream accepted the event with a 2xx status.
    Delivered,
    /// All attempts failed. The event is not tried any more.
    Dead,
}

/// Returns the webhook's name from an event's id.
#[must_use]
pub fn webhook_of(id: &str) -> Option<&str> {
    id.strip_prefix(PREFIX)?.split_once('.').map(|(name, _)| name)
}

impl State {
    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// Parses a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Received, Self::Delivered, Self::Dead].into_iter().find(|state| state.name() == name)
    }
}

impl Object for Inbox {
    const CLASS: Class = Class {
        name: "Inbox",
        binding: "INBOX",
        alarm_delay: Some(Duration::ZERO),
        migrations: &[|store| {
            queue::migrate(store)?;
            run_all(store, TABLES)
        }],
    };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Accept(event, retention) => accept(store, &event, retention, now),
            Command::List(after, state, limit) => {
                let rows = store.run(
                    &format!(
                        "SELECT {COLUMNS} FROM events WHERE id > ? AND state = coalesce(?, state) ORDER BY id LIMIT ?"
                    ),
                    &[after.as_deref().unwrap_or("").into(), state.map(State::name).into(), limit.into()],
                )?;
                rows.iter().map(parse_row).collect::<Result<_, _>>().map(Reply::Events)
            }
            Command::Redeliver(author, id) => {
                author.check_age(now)?;
                let rows = store.run(
                    "UPDATE events SET state = 'received', attempts = 0, at = ?, ready = ? WHERE id = ? RETURNING subject",
                    &[now.into(), Ready::First.into(), (&id).into()],
                )?;
                let Some(row) = rows.first() else { return Ok(Reply::NotFound) };
                if let Some(subject) = row.optional_text(0)? {
                    queue::put_back(store, &id, &subject, now)?;
                }
                Ok(Reply::Done)
            }
            Command::Pick(pick) => queue::pick(store, &pick, now).map(Reply::Picked),
            Command::Load(id) => {
                let select = format!("SELECT {COLUMNS} FROM events WHERE id = ?");
                let rows = store.run(&select, &[(&id).into()])?;
                let Some(row) = rows.first() else { return Ok(Reply::NotFound) };
                store.run("SELECT sealed FROM bodies WHERE id = ?", &[(&id).into()])?;
                Ok(Reply::Event(parse_row(row)?.event))
            }
            Command::RecordAttempt(id, status) => tried(store, &id, status, now),
        }
    }

    fn next_alarm(store: &impl Store, _now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let rows = store.run(
            "SELECT (SELECT min(at) FROM events WHERE ready = 1), (SELECT min(at) FROM events WHERE ready = 2),
                (SELECT min(until) FROM events)",
            &[],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let first = [row.optional_integer(0)?, row.optional_integer(1)?, row.optional_integer(2)?];
        Ok(first.into_iter().flatten().min().map(Timestamp))
    }

    /// Deletes settled events whose retention has ended. `Pick` handles due events.
    fn alarm(store: &impl Store, now: Timestamp) -> Result<Vec<OutboxMessage>, StoreError> {
        let expired = store.run(
            "DELETE FROM events WHERE id IN (
                SELECT id FROM events WHERE until <= ? AND state <> 'received' LIMIT 200) RETURNING id",
            &[now.into()],
        )?;
        for row in &expired {
            store.run("DELETE FROM bodies WHERE id = ?", &[(&row.text(0)?).into()])?;
        }
        // `+state` makes SQLite use the index on `until`, which selects few rows, and none on `state`.
        // An event that still waits when its retention ends is kept until it is settled.
        let extend = "UPDATE events SET until = ? WHERE until <= ? AND +state = 'received'";
        store.run(extend, &[Timestamp(now.0.saturating_add(EXTENSION)).into(), now.into()])?;
        Ok(Vec::new())
    }
}

/// The tables of version 1.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS events (
        id TEXT PRIMARY KEY, number INTEGER NOT NULL, key TEXT NOT NULL UNIQUE, event_id TEXT,
        event_type TEXT, payload_hash TEXT NOT NULL, subject TEXT, target TEXT NOT NULL,
        fields TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
        duplicates INTEGER NOT NULL, status INTEGER, received_at INTEGER NOT NULL,
        at INTEGER NOT NULL, until INTEGER NOT NULL, ready INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS events_ready ON events (ready, at)",
    "CREATE INDEX IF NOT EXISTS events_number ON events (number)",
    "CREATE INDEX IF NOT EXISTS events_until ON events (until)",
    "CREATE INDEX IF NOT EXISTS events_subject ON events (subject, state, number)",
    "CREATE TABLE IF NOT EXISTS bodies (id TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT",
];

/// Stores an event with its attached body, or counts a duplicate.
fn accept(store: &impl Store, event: &Event, retention: i64, now: Timestamp) -> Result<Reply, StoreError> {
    let count_duplicate = "UPDATE events SET duplicates = duplicates + 1 WHERE key = ? RETURNING 1";
    for key in std::iter::once(&event.received.key).chain(&event.received.earlier_key) {
        if !store.run(count_duplicate, &[key.into()])?.is_empty() {
            return Ok(Reply::Duplicate);
        }
    }
    let ready = match &event.subject {
        Some(subject) if queue::has_waiting(store, subject)? => Ready::Not,
        _ => Ready::First,
    };
    store.run(
        "INSERT INTO events (id, number, key, event_id, event_type, payload_hash, subject, target, fields, state,
         attempts, duplicates, received_at, at, until, ready)
         VALUES (?, (SELECT coalesce(max(number), 0) + 1 FROM events), ?, ?, ?, ?, ?, ?, ?, 'received', 0, 0, ?, ?, ?, ?)",
        &[
            (&event.id).into(),
            (&event.received.key).into(),
            event.received.event_id.as_deref().into(),
            event.received.event_type.as_deref().into(),
            (&event.received.payload_hash).into(),
            event.subject.as_deref().into(),
            (&event.target).into(),
            (&event.header_lines.0).into(),
            now.into(),
            now.into(),
            Timestamp(now.0.saturating_add(retention)).into(),
            ready.into(),
        ],
    )?;
    store.run("INSERT INTO bodies (id, sealed) VALUES (?, ?)", &[(&event.id).into(), Value::Attached])?;
    Ok(Reply::Done)
}

/// Records the result of an attempt, and makes the next event of the subject ready.
fn tried(store: &impl Store, id: &str, status: u16, now: Timestamp) -> Result<Reply, StoreError> {
    let select = "SELECT attempts, subject FROM events WHERE id = ? AND state = 'received'";
    let rows = store.run(select, &[id.into()])?;
    let Some(row) = rows.first() else { return Ok(Reply::NotFound) };
    let attempts = row.integer(0)?.saturating_add(1);
    let subject = row.optional_text(1)?;
    let (state, wait) = match status {
        200..=299 => (State::Delivered, 0),
        _ if attempts >= MOST_ATTEMPTS => (State::Dead, 0),
        _ => (State::Received, wait(id, attempts)),
    };
    let ready = if state == State::Received && subject.is_none() { Ready::Again } else { Ready::Not };
    store.run(
        "UPDATE events SET state = ?, attempts = ?, status = ?, at = ?, ready = ? WHERE id = ?",
        &[
            state.name().into(),
            attempts.into(),
            i64::from(status).into(),
            Timestamp(now.0.saturating_add(wait)).into(),
            ready.into(),
            id.into(),
        ],
    )?;
    if let Some(subject) = subject {
        queue::line_up(store, &subject, now)?;
    }
    Ok(Reply::Done)
}

/// Returns the seconds to wait after this many attempts: 5, then twice as long each time, up to two hours. Adds up to
/// ±25 % by a hash, so that events that failed together are not retried together.
fn wait(id: &str, attempts: i64) -> i64 {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(11);
    let full = 5_i64.saturating_mul(1_i64.checked_shl(doublings).unwrap_or(i64::MAX)).min(7_200);
    let digest = Sha256::digest(format!("{id} {attempts}"));
    let share = i64::from(digest.first().copied().unwrap_or_default());
    let quarter = full.saturating_mul(share).checked_div(512).unwrap_or_default();
    full.saturating_sub(full.checked_div(4).unwrap_or_default()).saturating_add(quarter).max(1)
}

/// Parses a row of [`COLUMNS`].
fn parse_row(row: &SqlRow) -> Result<EventStatus, StoreError> {
    let state = row.text(8)?;
    let id = row.text(0)?;
    let received = Received {
        provider: webhook_of(&id).unwrap_or_default().to_owned(),
        key: row.text(1)?,
        event_id: row.optional_text(2)?,
        event_type: row.optional_text(3)?,
        payload_hash: row.text(4)?,
        earlier_key: None,
    };
    let (subject, target, header_lines) = (row.optional_text(5)?, row.text(6)?, HeaderLines(row.text(7)?));
    Ok(EventStatus {
        event: Event { id, received, subject, target, header_lines },
        state: State::parse(&state).ok_or_else(|| StoreError(format!("unknown state {state:?}")))?,
        attempts: row.integer(9)?,
        duplicates: row.integer(10)?,
        status: row.optional_integer(11)?,
        received_at: Timestamp(row.integer(12)?),
        at: Timestamp(row.integer(13)?),
    })
}

/// The columns of an event and its delivery status, in order.
const COLUMNS: &str = "id, key, event_id, event_type, payload_hash, subject, target, fields, state, attempts,
    duplicates, status, received_at, at";

/// Seconds by which the retention of a waiting event is extended.
const EXTENSION: i64 = 3_600;

#[cfg(test)]
mod tests;
