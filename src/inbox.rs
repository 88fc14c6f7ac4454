//! The inbox of a webhook: events that were accepted and are delivered later. One object for each.
//!
//! 1. An event is accepted once: its row and its body are there before the provider is answered, and whatever
//!    comes under the same key is a duplicate.
//! 2. What is due is delivered, many at a time (`edge/deliveries.rs` has how many), first attempts before any that
//!    failed. A failure is tried again, later each time, up to [`MOST_ATTEMPTS`] times. Then it is dead, until an
//!    operator has it delivered anew.
//! 3. Where events have a subject, those of one subject are delivered one after the other, in the order they came;
//!    a dead one lets the next ones pass. The next one takes its place behind what is due by then, so that a subject
//!    with many events delays no other.
//! 4. A delivery whose outcome was lost is made again: upstream folds them by their `Idempotency-Key`.

mod queue;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::queue::Ready;
use crate::{
    author::Author,
    store::{Class, Object, OutboxMessage, SqlRow, Store, StoreError, Value, run_all},
    time::Timestamp,
    webhook::Received,
};

/// The `Inbox` object of one webhook.
#[derive(Debug)]
pub struct Inbox;

/// How ids of events begin.
pub const PREFIX: &str = "whk_";

/// How often a delivery is tried: for about a day.
pub const MOST_ATTEMPTS: i64 = 20;

/// What an inbox can be asked.
#[allow(clippy::large_enum_variant, reason = "only one exists at a time, and it is written as JSON at once")]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Accepts an event, whose body is attached; it is known for so many seconds.
    Accept(Event, i64),
    /// Lists events by id, after the one named, in this state.
    List(Option<String>, Option<State>, i64),
    /// Delivers an event, for the first time or again, on behalf of an admin.
    Redeliver(Author, String),
    /// Picks the events to deliver now.
    Pick(Pick),
    /// Gives an event with its body attached.
    Load(String),
    /// Notes how a delivery went: the status, 0 where there was none.
    Tried(String, u16),
}

/// What it answers.
#[allow(clippy::large_enum_variant, reason = "only one exists at a time, and it is written as JSON at once")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is accepted, or done.
    Done,
    /// It was accepted before.
    Duplicate,
    /// There is none of that id.
    NotFound,
    /// An event.
    Event(Event),
    /// Some events, and how they stand.
    Events(Vec<Standing>),
    /// The events to deliver now, in this order.
    Picked(Vec<Picked>),
}

/// How much can be delivered now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// Ids of the events that are being delivered.
    pub flying: Vec<String>,
    /// How many more may be started.
    pub room: i64,
    /// How many of these may have failed before.
    pub retries: i64,
}

/// An event that is to be delivered now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picked {
    /// Its id.
    pub id: String,
    /// Whether it has failed before.
    pub retry: bool,
}

/// An event, as it is handed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The id: `whk_`, the webhook's name, a dot and something random.
    pub id: String,
    /// What was verified of it.
    pub received: Received,
    /// What it is about: such events are delivered in order.
    pub subject: Option<String>,
    /// The path it came to, with its query.
    pub target: String,
    /// The headers it came with that are handed on, names and values, one a line.
    pub fields: String,
}

/// An event, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The event.
    pub event: Event,
    /// What has become of it.
    pub state: State,
    /// How often it was tried.
    pub attempts: i64,
    /// How often it came again.
    pub duplicates: i64,
    /// The status of the last attempt; 0 where there was none.
    pub status: Option<i64>,
    /// When it came.
    pub received_at: Timestamp,
    /// When it is tried next, or was delivered.
    pub at: Timestamp,
}

/// What has become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits to be delivered.
    Received,
    /// Upstream took it.
    Delivered,
    /// Upstream did not take it, and is not asked any more.
    Dead,
}

/// Finds the webhook's name in an event's id.
#[must_use]
pub fn webhook_of(id: &str) -> Option<&str> {
    id.strip_prefix(PREFIX)?.split_once('.').map(|(name, _)| name)
}

impl State {
    /// Gives the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Received, Self::Delivered, Self::Dead].into_iter().find(|state| state.name() == name)
    }
}

impl Object for Inbox {
    const CLASS: Class = Class {
        name: "Inbox",
        binding: "INBOX",
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
                rows.iter().map(standing).collect::<Result<_, _>>().map(Reply::Events)
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
                Ok(Reply::Event(standing(row)?.event))
            }
            Command::Tried(id, status) => tried(store, &id, status, now),
        }
    }

    fn wake_at(store: &impl Store, _now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let rows = store.run(
            "SELECT (SELECT min(at) FROM events WHERE ready = 1), (SELECT min(at) FROM events WHERE ready = 2),
                (SELECT min(until) FROM events)",
            &[],
        )?;
        let Some(row) = rows.first() else { return Ok(None) };
        let first = [row.optional_integer(0)?, row.optional_integer(1)?, row.optional_integer(2)?];
        Ok(first.into_iter().flatten().min().map(Timestamp))
    }

    /// Forgets events that were settled long enough ago. `Pick` handles due events.
    fn wake(store: &impl Store, now: Timestamp) -> Result<Vec<OutboxMessage>, StoreError> {
        let over = store.run(
            "DELETE FROM events WHERE id IN (
                SELECT id FROM events WHERE until <= ? AND state <> 'received' LIMIT 200) RETURNING id",
            &[now.into()],
        )?;
        for row in &over {
            store.run("DELETE FROM bodies WHERE id = ?", &[(&row.text(0)?).into()])?;
        }
        // By `until`, of which few are due, and not by `state`, which many have.
        // What still waits when its time is over is kept until it is settled.
        let longer = "UPDATE events SET until = ? WHERE until <= ? AND +state = 'received'";
        store.run(longer, &[Timestamp(now.0.saturating_add(WAITS_LONGER)).into(), now.into()])?;
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

fn accept(store: &impl Store, event: &Event, retention: i64, now: Timestamp) -> Result<Reply, StoreError> {
    let again = "UPDATE events SET duplicates = duplicates + 1 WHERE key = ? RETURNING 1";
    for key in std::iter::once(&event.received.key).chain(&event.received.earlier_key) {
        if !store.run(again, &[key.into()])?.is_empty() {
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
            (&event.fields).into(),
            now.into(),
            now.into(),
            Timestamp(now.0.saturating_add(retention)).into(),
            ready.into(),
        ],
    )?;
    store.run("INSERT INTO bodies (id, sealed) VALUES (?, ?)", &[(&event.id).into(), Value::Attached])?;
    Ok(Reply::Done)
}

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

/// Seconds to wait after so many attempts: twice as long each time, up to two hours, give or take a quarter, so
/// that what failed together does not come back together.
fn wait(id: &str, attempts: i64) -> i64 {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(11);
    let full = 5_i64.saturating_mul(1_i64.checked_shl(doublings).unwrap_or(i64::MAX)).min(7_200);
    let digest = Sha256::digest(format!("{id} {attempts}"));
    let share = i64::from(digest.first().copied().unwrap_or_default());
    let quarter = full.saturating_mul(share).checked_div(512).unwrap_or_default();
    full.saturating_sub(full.checked_div(4).unwrap_or_default()).saturating_add(quarter).max(1)
}

fn standing(row: &SqlRow) -> Result<Standing, StoreError> {
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
    let (subject, target, fields) = (row.optional_text(5)?, row.text(6)?, row.text(7)?);
    Ok(Standing {
        event: Event { id, received, subject, target, fields },
        state: State::parse(&state).ok_or_else(|| StoreError(format!("no state is called {state:?}")))?,
        attempts: row.integer(9)?,
        duplicates: row.integer(10)?,
        status: row.optional_integer(11)?,
        received_at: Timestamp(row.integer(12)?),
        at: Timestamp(row.integer(13)?),
    })
}

const COLUMNS: &str = "id, key, event_id, event_type, payload_hash, subject, target, fields, state, attempts,
    duplicates, status, received_at, at";

/// Seconds.
const WAITS_LONGER: i64 = 3_600;

#[cfg(test)]
mod tests;
