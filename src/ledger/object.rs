//! The `Ledger` objects: one for each scope, with a row for each key, and one that knows which outcomes
//! are unknown anywhere.
//!
//! A command is one load, one [`step`] and one write, in one transaction. What comes of a key that nobody asks
//! for any more is found when the object is woken: at the end of the first lease or retention.

use serde::{Deserialize, Serialize};

use super::{Claim, Command as Step, Kept, Outcome, Record, State, Verdict, as_of, step};
use crate::{
    author::Author,
    store::{Class, Object, OutboxMessage, SqlRow, Store, StoreError, Value, encode, run_all},
    time::Timestamp,
};

/// The `Ledger` object of one scope.
#[derive(Debug)]
pub struct Ledger;

/// The name of the one that knows which outcomes are unknown.
pub const INDEX: &str = "index";

/// What a ledger can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Claims a key and, where that is granted, says at once that it begins.
    Start(About, Claim),
    /// Does something about a key. What is settled here has its answer attached.
    Step(String, Step),
    /// Says, of an unknown outcome, whether it ran.
    Resolve {
        /// Who says so: an admin.
        author: Author,
        /// The key, hashed.
        key: String,
        /// The id of the request.
        id: String,
        /// Whether it ran.
        ran: bool,
    },
    /// Returns the outcome of a settled key, and changes nothing.
    Look(String),
    /// Takes note of an unknown outcome.
    Note(Unresolved),
    /// Forgets one that is unknown no more.
    Forget(String),
    /// Lists unknown outcomes by id, after the one named.
    Unresolved(Option<String>, i64),
    /// Finds one.
    Find(String),
    /// Notes that an errand is done.
    Done(i64),
}

/// What a ledger answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// What came of it. Of an answer that is kept here, it is attached.
    Verdict(Verdict),
    /// Some unknown outcomes.
    Unresolved(Vec<Unresolved>),
    /// It is done.
    Done,
}

/// What a key is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The key, hashed.
    pub key: String,
    /// Whose it is: the name of the ledger.
    pub scope: String,
    /// What is done under it.
    pub operation: String,
}

/// An outcome that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unresolved {
    /// The id: that of the request which did not come back.
    pub id: String,
    /// What it was about.
    pub about: About,
    /// Until when the key is held for it.
    pub until: Timestamp,
}

impl Object for Ledger {
    const CLASS: Class =
        Class { name: "Ledger", binding: "LEDGER", migrations: &[|store| run_all(store, TABLES)] };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Start(about, claim) => start(store, &about, claim, now).map(Reply::Verdict),
            Command::Step(_, Step::Resolve(..)) => Err(StoreError("this needs an author".to_owned())),
            Command::Step(key, command) => carry_out(store, &key, &command, now).map(Reply::Verdict),
            Command::Resolve { author, key, id, ran } => {
                author.check_age(now)?;
                carry_out(store, &key, &Step::Resolve(id, ran), now).map(Reply::Verdict)
            }
            Command::Look(key) => {
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
                let rows = store.run(
                    &format!(
                        "SELECT {UNRESOLVED} FROM unresolved WHERE id > ? AND until > ? ORDER BY id LIMIT ?"
                    ),
                    &[after.as_deref().unwrap_or("").into(), now.into(), limit.into()],
                )?;
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

    fn wake_at(store: &impl Store, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let first = "SELECT min(first) FROM (SELECT min(until) AS first FROM claims
            UNION ALL SELECT min(until) FROM unresolved
            UNION ALL SELECT ? FROM (SELECT 1 FROM errands LIMIT 1))";
        let rows = store.run(first, &[now.into()])?;
        let first = rows.first().map(|row| row.optional_integer(0)).transpose()?.flatten();
        Ok(first.map(Timestamp))
    }

    fn wake(store: &impl Store, now: Timestamp) -> Result<Vec<OutboxMessage>, StoreError> {
        let due = "SELECT key FROM claims WHERE until <= ? ORDER BY until LIMIT 500";
        for row in store.run(due, &[now.into()])? {
            let key = row.text(0)?;
            if let Some(known) = load(store, &key)? {
                let now_is = as_of(known.record.clone(), now);
                save(store, &key, &known, now_is)?;
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
    // Of the index alone.
    "CREATE TABLE IF NOT EXISTS unresolved (
        id TEXT PRIMARY KEY, key TEXT NOT NULL, scope TEXT NOT NULL, operation TEXT NOT NULL,
        until INTEGER NOT NULL) STRICT, WITHOUT ROWID",
];

/// A row.
struct Known {
    record: Record,
    about: About,
    /// The id under which the index knows it.
    noted: Option<String>,
}

/// Claims a key and, where that is granted, says that it begins: two steps, which are written as one.
fn start(store: &impl Store, about: &About, claim: Claim, now: Timestamp) -> Result<Verdict, StoreError> {
    let known = load(store, &about.key)?;
    let fence = claim.fence.clone();
    let record = known.as_ref().map(|known| known.record.clone());
    let (claimed, verdict) = step(record, &Step::Claim(claim), now);
    let after = match verdict {
        Verdict::Granted { .. } => step(claimed, &Step::Begin(fence), now).0,
        _ => claimed,
    };
    match known {
        Some(known) => save(store, &about.key, &Known { about: about.clone(), ..known }, after)?,
        None => after.map_or(Ok(()), |after| write(store, &about.key, &after, about, None))?,
    }
    attach_answer(store, &about.key, &verdict)?;
    Ok(verdict)
}

fn carry_out(store: &impl Store, key: &str, command: &Step, now: Timestamp) -> Result<Verdict, StoreError> {
    let known = load(store, key)?;
    let (after, verdict) = step(known.as_ref().map(|known| known.record.clone()), command, now);
    if let Some(known) = known {
        save(store, key, &known, after)?;
    }
    attach_answer(store, key, &verdict)?;
    Ok(verdict)
}

/// Has an answer that is kept here go along with the reply.
fn attach_answer(store: &impl Store, key: &str, verdict: &Verdict) -> Result<(), StoreError> {
    if let Verdict::Ran(Outcome { kept: Kept::Here, .. }) = &verdict {
        store.run("SELECT sealed FROM answers WHERE key = ?", &[key.into()])?;
    }
    Ok(())
}

/// Writes what has become of a row, with what else hangs on it: its answer, and what the index knows.
fn save(store: &impl Store, key: &str, known: &Known, after: Option<Record>) -> Result<(), StoreError> {
    if after.as_ref() == Some(&known.record) {
        return Ok(());
    }
    let is_here =
        |state: &State| matches!(state, State::Settled { outcome: Outcome { kept: Kept::Here, .. }, .. });
    match (is_here(&known.record.state), after.as_ref().is_some_and(|after| is_here(&after.state))) {
        (true, false) => {
            store.run("DELETE FROM answers WHERE key = ?", &[key.into()])?;
        }
        (false, true) => {
            let insert = "INSERT OR REPLACE INTO answers (key, sealed) VALUES (?, ?)";
            store.run(insert, &[key.into(), Value::Attached])?;
        }
        (true, true) | (false, false) => {}
    }
    let unknown = after.as_ref().and_then(|after| match after.state {
        State::Unknown { until } => {
            Some(Unresolved { id: after.fence.clone(), about: known.about.clone(), until })
        }
        State::Claimed { .. } | State::Settled { .. } => None,
    });
    let note = unknown.as_ref().map(|unknown| unknown.id.clone());
    if let Some(unknown) = unknown {
        send(store, &Message::Note(unknown))?;
    }
    if let Some(noted) = known.noted.as_ref().filter(|noted| note.as_ref() != Some(noted)) {
        send(store, &Message::Forget(noted.clone()))?;
    }
    match after {
        Some(after) => write(store, key, &after, &known.about, note.as_deref()),
        None => store.run("DELETE FROM claims WHERE key = ?", &[key.into()]).map(drop),
    }
}

/// A message for the index, as it is stored until the index has it.
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

/// Leaves a message for the index.
fn send(store: &impl Store, message: &Message) -> Result<(), StoreError> {
    let message = serde_json::to_string(message).map_err(|error| StoreError(error.to_string()))?;
    store.run("INSERT INTO errands (command) VALUES (?)", &[(&message).into()]).map(drop)
}

fn write(
    store: &impl Store,
    key: &str,
    record: &Record,
    about: &About,
    noted: Option<&str>,
) -> Result<(), StoreError> {
    let (state, until, outcome) = match &record.state {
        State::Claimed { until, begun: false } => ("claimed", until, None),
        State::Claimed { until, begun: true } => ("begun", until, None),
        State::Settled { outcome, until } => ("settled", until, Some(outcome)),
        State::Unknown { until } => ("unknown", until, None),
    };
    let status = outcome.map_or(Value::Null, |outcome| i64::from(outcome.status).into());
    let kept = outcome.map(|outcome| match &outcome.kept {
        Kept::Here => "here",
        Kept::Not => "not",
        Kept::BySomebodysWord => "word",
        Kept::Elsewhere(name) => name,
    });
    store.run(
        "INSERT OR REPLACE INTO claims (key, fingerprint, fence, retention, in_doubt, state, until, status, kept,
         scope, operation, noted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            key.into(),
            (&record.fingerprint).into(),
            (&record.fence).into(),
            record.retention.into(),
            i64::from(record.in_doubt).into(),
            state.into(),
            (*until).into(),
            status,
            kept.into(),
            (&about.scope).into(),
            (&about.operation).into(),
            noted.into(),
        ],
    )?;
    Ok(())
}

fn load(store: &impl Store, key: &str) -> Result<Option<Known>, StoreError> {
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
        other => return Err(StoreError(format!("no state is called {other:?}"))),
    };
    let record = Record {
        fingerprint: row.text(0)?,
        fence: row.text(1)?,
        retention: row.integer(2)?,
        in_doubt: row.integer(3)? != 0,
        state,
    };
    let about = About { key: key.to_owned(), scope: row.text(8)?, operation: row.text(9)? };
    Ok(Some(Known { record, about, noted: row.optional_text(10)? }))
}

fn outcome(row: &SqlRow) -> Result<Outcome, StoreError> {
    let status = u16::try_from(row.integer(6)?).map_err(|_| StoreError("no status".to_owned()))?;
    let kept = row.text(7)?;
    let kept = match kept.as_str() {
        "here" => Kept::Here,
        "not" => Kept::Not,
        "word" => Kept::BySomebodysWord,
        _ => Kept::Elsewhere(kept),
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
