//! The `Ledger` objects: one for each scope, with a row for each key, and the index of all unknown outcomes.
//!
//! A command is one load, one [`transition`] and one write, in one transaction. Keys that no request uses any more are
//! updated by an alarm, at the end of the first lease or retention.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AnswerLocation, ClaimRequest, Outcome, Record, State, Transition, Verdict, as_of, transition};
use crate::{
    base::time::Timestamp,
    identity::author::Author,
    platform::store::{Class, Object, OutboxMessage, SqlRow, Store, StoreError, Value, encode, run_all},
};

/// The `Ledger` object of one scope.
#[derive(Debug)]
pub struct Ledger;

/// Name of the object that lists the unknown outcomes of all scopes.
pub const INDEX: &str = "index";

/// Commands of a `Ledger` object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Claims a key and, if that is granted, begins at once.
    Start(About, ClaimRequest),
    /// Applies a transition to a key. To settle a key with [`AnswerLocation::InRow`], attach the sealed answer.
    Transition(String, Transition),
    /// Resolves an unknown outcome.
    Resolve {
        /// Author of the command: an admin.
        author: Author,
        /// Hash of the key.
        key: String,
        /// Id of the request.
        id: String,
        /// Whether the request ran.
        ran: bool,
    },
    /// Returns the outcome of a settled key, without any change.
    ReadOutcome(String),
    /// Index: adds an unknown outcome.
    Note(Unresolved),
    /// Index: removes an outcome that is no longer unknown, by its id.
    Forget(String),
    /// Index: lists unknown outcomes in order of their ids, after this id, up to this number.
    Unresolved(Option<String>, i64),
    /// Index: finds an unknown outcome by its id.
    Find(String),
    /// Removes a message from the outbox after the index has received it.
    Done(i64),
}

/// Replies of a `Ledger` object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Result of the command. An answer with [`AnswerLocation::InRow`] is attached.
    Verdict(Verdict),
    /// Unknown outcomes.
    Unresolved(Vec<Unresolved>),
    /// The command was applied, or there is no outcome to return.
    Done,
}

/// A key with its scope and operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Hash of the key.
    pub key: String,
    /// Scope of the key: the name of the `Ledger` object.
    pub scope: String,
    /// Operation of the request.
    pub operation: String,
}

/// An unknown outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unresolved {
    /// Id of the request whose outcome is unknown.
    pub id: String,
    /// Key of the request.
    pub about: About,
    /// Time at which the key is free again.
    pub until: Timestamp,
}

impl Object for Ledger {
    const CLASS: Class = Class {
        name: "Ledger",
        binding: "LEDGER",
        alarm_delay: Some(Duration::from_secs(2)),
        migrations: &[|store| run_all(store, TABLES)],
    };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Start(about, claim) => start(store, &about, claim, now).map(Reply::Verdict),
            Command::Transition(_, Transition::Resolve(..)) => {
                Err(StoreError("this command requires an author".to_owned()))
            }
            Command::Transition(key, change) => apply(store, &key, &change, now).map(Reply::Verdict),
            Command::Resolve { author, key, id, ran } => {
                author.check_age(now)?;
                apply(store, &key, &Transition::Resolve(id, ran), now).map(Reply::Verdict)
            }
            Command::ReadOutcome(key) => {
                let state =
                    load(store, &key)?.and_then(|known| as_of(known.record, now)).map(|known| known.state);
                Ok(match state {
                    Some(State::Settled { outcome, .. }) => Reply::Verdict(Verdict::Ran(outcome)),
                    Some(State::Claimed { .. } | State::Unknown { .. }) | None => Reply::Done,
                })
            }
            Command::Note(Unresolved { id, about: About { key, scope, operation }, until }) => {
                store.run(
                    "INSERT OR REPLACE INTO unresolved (id, key, scope, operation, until) VALUES (?, ?, ?, ?, ?)",
                    &[(&id).into(), (&key).into(), (&scope).into(), (&operation).into(), until.into()],
                )?;
                Ok(Reply::Done)
            }
            Command::Forget(id) => {
                store.run("DELETE FROM unresolved WHERE id = ?", &[(&id).into()])?;
                Ok(Reply::Done)
            }
            Command::Unresolved(after, limit) => {
                let select = format!(
                    "SELECT {UNRESOLVED} FROM unresolved WHERE id > ? AND until > ? ORDER BY id LIMIT ?"
                );
                let values = [after.as_deref().unwrap_or("").into(), now.into(), limit.into()];
                let rows = store.run(&select, &values)?;
                rows.iter().map(unresolved).collect::<Result<_, _>>().map(Reply::Unresolved)
            }
            Command::Find(id) => {
                let select = format!("SELECT {UNRESOLVED} FROM unresolved WHERE id = ?");
                let rows = store.run(&select, &[(&id).into()])?;
                rows.iter().map(unresolved).collect::<Result<_, _>>().map(Reply::Unresolved)
            }
            Command::Done(id) => {
                store.run("DELETE FROM errands WHERE id = ?", &[id.into()])?;
                Ok(Reply::Done)
            }
        }
    }

    fn next_alarm(store: &impl Store, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let first = "SELECT min(first) FROM (SELECT min(until) AS first FROM claims
            UNION ALL SELECT min(until) FROM unresolved
            UNION ALL SELECT ? FROM (SELECT 1 FROM errands LIMIT 1))";
        let rows = store.run(first, &[now.into()])?;
        let first = rows.first().map(|row| row.optional_integer(0)).transpose()?.flatten();
        Ok(first.map(Timestamp))
    }

    fn alarm(store: &impl Store, now: Timestamp) -> Result<Vec<OutboxMessage>, StoreError> {
        let due = "SELECT key FROM claims WHERE until <= ? ORDER BY until LIMIT 500";
        for row in store.run(due, &[now.into()])? {
            let key = row.text(0)?;
            if let Some(known) = load(store, &key)? {
                let next = as_of(known.record.clone(), now);
                save(store, &key, &known, next)?;
            }
        }
        store.run("DELETE FROM unresolved WHERE until <= ?", &[now.into()])?;
        let rows = store.run("SELECT id, command FROM errands ORDER BY id LIMIT 50", &[])?;
        rows.iter()
            .map(|row| {
                Ok(OutboxMessage::Tell {
                    binding: Self::CLASS.binding,
                    name: INDEX.to_owned(),
                    command: encode(&Message::read(&row.text(1)?)?)?,
                    done: encode(&Command::Done(row.integer(0)?))?,
                })
            })
            .collect()
    }
}

/// The tables of version 1.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS claims (
        key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, fence TEXT NOT NULL,
        retention INTEGER NOT NULL, in_doubt INTEGER NOT NULL, state TEXT NOT NULL,
        until INTEGER NOT NULL, status INTEGER, kept TEXT, scope TEXT NOT NULL,
        operation TEXT NOT NULL, noted TEXT) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS claims_until ON claims (until)",
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS errands (id INTEGER PRIMARY KEY, command TEXT NOT NULL) STRICT",
    // Used by the index only.
    "CREATE TABLE IF NOT EXISTS unresolved (
        id TEXT PRIMARY KEY, key TEXT NOT NULL, scope TEXT NOT NULL, operation TEXT NOT NULL,
        until INTEGER NOT NULL) STRICT, WITHOUT ROWID",
];

/// A row of `claims`.
struct StoredClaim {
    record: Record,
    about: About,
    /// Id of its entry in the index, if it has one.
    indexed_as: Option<String>,
}

/// Claims a key and, if that is granted, begins: two transitions with one write.
fn start(
    store: &impl Store,
    about: &About,
    claim: ClaimRequest,
    now: Timestamp,
) -> Result<Verdict, StoreError> {
    let known = load(store, &about.key)?;
    let fencing_token = claim.fencing_token.clone();
    let record = known.as_ref().map(|known| known.record.clone());
    let (claimed, verdict) = transition(record, &Transition::Claim(claim), now);
    let next = match verdict {
        Verdict::Granted { .. } => transition(claimed, &Transition::Begin(fencing_token), now).0,
        _ => claimed,
    };
    match known {
        Some(known) => save(store, &about.key, &StoredClaim { about: about.clone(), ..known }, next)?,
        None => next.map_or(Ok(()), |next| write(store, &about.key, &next, about, None))?,
    }
    attach_answer(store, &about.key, &verdict)?;
    Ok(verdict)
}

/// Applies a transition to a key and stores the result.
fn apply(store: &impl Store, key: &str, change: &Transition, now: Timestamp) -> Result<Verdict, StoreError> {
    let known = load(store, key)?;
    let (next, verdict) = transition(known.as_ref().map(|known| known.record.clone()), change, now);
    if let Some(known) = known {
        save(store, key, &known, next)?;
    }
    attach_answer(store, key, &verdict)?;
    Ok(verdict)
}

/// Attaches the stored answer to the reply, if the result has one.
fn attach_answer(store: &impl Store, key: &str, verdict: &Verdict) -> Result<(), StoreError> {
    if let Verdict::Ran(Outcome { kept: AnswerLocation::InRow, .. }) = &verdict {
        store.run("SELECT sealed FROM answers WHERE key = ?", &[key.into()])?;
    }
    Ok(())
}

/// Stores the new record of a key. Updates its stored answer, and its entry in the index.
fn save(store: &impl Store, key: &str, known: &StoredClaim, next: Option<Record>) -> Result<(), StoreError> {
    if next.as_ref() == Some(&known.record) {
        return Ok(());
    }
    let is_here = |state: &State| {
        matches!(state, State::Settled { outcome: Outcome { kept: AnswerLocation::InRow, .. }, .. })
    };
    match (is_here(&known.record.state), next.as_ref().is_some_and(|next| is_here(&next.state))) {
        (true, false) => {
            store.run("DELETE FROM answers WHERE key = ?", &[key.into()])?;
        }
        (false, true) => {
            let insert = "INSERT OR REPLACE INTO answers (key, sealed) VALUES (?, ?)";
            store.run(insert, &[key.into(), Value::Attached])?;
        }
        (true, true) | (false, false) => {}
    }
    let unknown = next.as_ref().and_then(|next| match next.state {
        State::Unknown { until } => {
            Some(Unresolved { id: next.fencing_token.clone(), about: known.about.clone(), until })
        }
        State::Claimed { .. } | State::Settled { .. } => None,
    });
    let note = unknown.as_ref().map(|unknown| unknown.id.clone());
    if let Some(unknown) = unknown {
        send(store, &Message::Note(unknown))?;
    }
    if let Some(id) = known.indexed_as.as_ref().filter(|id| note.as_ref() != Some(id)) {
        send(store, &Message::Forget(id.clone()))?;
    }
    match next {
        Some(next) => write(store, key, &next, &known.about, note.as_deref()),
        None => store.run("DELETE FROM claims WHERE key = ?", &[key.into()]).map(drop),
    }
}

/// A message for the index, as stored in the outbox until the index has received it.
#[derive(Serialize, Deserialize)]
enum Message {
    #[serde(rename = "Note")]
    Note(Unresolved),
    #[serde(rename = "Forget")]
    Forget(String),
}

impl Message {
    fn read(json: &str) -> Result<Command, StoreError> {
        Ok(match serde_json::from_str(json).map_err(|error| StoreError(error.to_string()))? {
            Self::Note(unresolved) => Command::Note(unresolved),
            Self::Forget(id) => Command::Forget(id),
        })
    }
}

/// Adds a message for the index to the outbox.
fn send(store: &impl Store, message: &Message) -> Result<(), StoreError> {
    let message = serde_json::to_string(message).map_err(|error| StoreError(error.to_string()))?;
    store.run("INSERT INTO errands (command) VALUES (?)", &[(&message).into()]).map(drop)
}

fn write(
    store: &impl Store,
    key: &str,
    record: &Record,
    about: &About,
    indexed_as: Option<&str>,
) -> Result<(), StoreError> {
    let (state, until, outcome) = match &record.state {
        State::Claimed { until, begun: false } => ("claimed", until, None),
        State::Claimed { until, begun: true } => ("begun", until, None),
        State::Settled { outcome, until } => ("settled", until, Some(outcome)),
        State::Unknown { until } => ("unknown", until, None),
    };
    let status = outcome.map_or(Value::Null, |outcome| i64::from(outcome.status).into());
    let kept = outcome.map(|outcome| match &outcome.kept {
        AnswerLocation::InRow => "here",
        AnswerLocation::NotStored => "not",
        AnswerLocation::ResolvedByOperator => "word",
        AnswerLocation::InKv(name) => name,
    });
    store.run(
        "INSERT OR REPLACE INTO claims (key, fingerprint, fence, retention, in_doubt, state, until, status, kept,
         scope, operation, noted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            key.into(),
            (&record.fingerprint).into(),
            (&record.fencing_token).into(),
            record.retention.into(),
            i64::from(record.in_doubt).into(),
            state.into(),
            (*until).into(),
            status,
            kept.into(),
            (&about.scope).into(),
            (&about.operation).into(),
            indexed_as.into(),
        ],
    )?;
    Ok(())
}

fn load(store: &impl Store, key: &str) -> Result<Option<StoredClaim>, StoreError> {
    let rows = store.run(
        "SELECT fingerprint, fence, retention, in_doubt, state, until, status, kept, scope, operation, noted
         FROM claims WHERE key = ?",
        &[key.into()],
    )?;
    let Some(row) = rows.first() else { return Ok(None) };
    let until = Timestamp(row.integer(5)?);
    let state = match row.text(4)?.as_str() {
        "claimed" => State::Claimed { until, begun: false },
        "begun" => State::Claimed { until, begun: true },
        "settled" => State::Settled { outcome: outcome(row)?, until },
        "unknown" => State::Unknown { until },
        other => return Err(StoreError(format!("unknown state {other:?}"))),
    };
    let record = Record {
        fingerprint: row.text(0)?,
        fencing_token: row.text(1)?,
        retention: row.integer(2)?,
        in_doubt: row.integer(3)? != 0,
        state,
    };
    let about = About { key: key.to_owned(), scope: row.text(8)?, operation: row.text(9)? };
    Ok(Some(StoredClaim { record, about, indexed_as: row.optional_text(10)? }))
}

fn outcome(row: &SqlRow) -> Result<Outcome, StoreError> {
    let status =
        u16::try_from(row.integer(6)?).map_err(|_| StoreError("invalid status of a response".to_owned()))?;
    let kept = row.text(7)?;
    let kept = match kept.as_str() {
        "here" => AnswerLocation::InRow,
        "not" => AnswerLocation::NotStored,
        "word" => AnswerLocation::ResolvedByOperator,
        _ => AnswerLocation::InKv(kept),
    };
    Ok(Outcome { status, kept })
}

fn unresolved(row: &SqlRow) -> Result<Unresolved, StoreError> {
    Ok(Unresolved {
        id: row.text(0)?,
        about: About { key: row.text(1)?, scope: row.text(2)?, operation: row.text(3)? },
        until: Timestamp(row.integer(4)?),
    })
}

const UNRESOLVED: &str = "id, key, scope, operation, until";

#[cfg(test)]
mod tests;
