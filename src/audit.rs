//! The audit trail: who did what, appended and never changed. One object a day and shard.
//!
//! 1. A row is chained to the one before: its hash is an HMAC-SHA256 over the hash before it, the object's name,
//!    its number and all it says. The key is made of `AUTH_SECRET` and comes with each command: who can write the
//!    store cannot make a hash.
//! 2. Rows are numbered without gaps, and how many there are and the last hash are kept beside them.
//! 3. So a row that was altered, removed, added or put elsewhere shows, and so does an end that was cut off, unless
//!    the count beside it was set back with it: for that, what [`Command::Verify`] answers is to be kept elsewhere.
//! 4. When the retention of the last row is over, the object forgets all of them.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    encoding,
    secret::Opaque,
    store::{Class, Object, OutboxMessage, SqlRow, Store, StoreError, run_all},
    time::Timestamp,
};

/// The `Audit` object of one day and shard.
#[derive(Debug)]
pub struct Audit;

/// Seconds after which an object that has nothing goes.
const SOON: i64 = 60;

/// Objects that share a day.
pub const SHARDS: u8 = 4;

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// To append a row.
    Append(Entry),
    /// For rows, the latest first.
    Find(Query),
    /// Whether the rows after this one are as they were written.
    Verify {
        /// The object's name.
        name: String,
        /// Keys that they may have been chained under: hex.
        keys: Vec<Opaque>,
        /// Where to go on: the last number that was verified, and its hash.
        after: (i64, String),
        /// How many to look at.
        limit: i64,
    },
}

/// A row to append.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The object's name.
    pub name: String,
    /// The key to chain it under: hex.
    pub key: Opaque,
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub principal: Option<String>,
    /// What.
    pub operation: String,
    /// All of it, as JSON.
    pub row: String,
    /// For how many seconds it is kept.
    pub kept: i64,
}

/// Which rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Query {
    /// Not before.
    pub since: Timestamp,
    /// Of this time and this number, only those that come after it in the list.
    pub before: (Timestamp, i64),
    /// Whose.
    pub principal: Option<String>,
    /// Of what.
    pub operation: Option<String>,
    /// How many at most.
    pub limit: i64,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is there, under this number.
    Appended(i64),
    /// Rows: when, number, and all of it.
    Rows(Vec<(Timestamp, i64, String)>),
    /// They hold up to this number and hash; whether those were all.
    Holds {
        /// The last number.
        seq: i64,
        /// Its hash.
        head: String,
        /// Whether there are no more.
        is_end: bool,
    },
    /// The first one that does not hold.
    Broken {
        /// Its number.
        seq: i64,
        /// Why.
        why: Broken,
    },
}

/// Why a chain does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// A row is not there.
    Missing,
    /// A row is not what was written.
    Altered,
    /// There are fewer rows, or more, than were written.
    CutOff,
}

/// Names the day of a time: `2026-11-26`.
#[must_use]
pub fn day_of(at: Timestamp) -> String {
    at.to_string().get(..10).unwrap_or_default().to_owned()
}

/// Names the object of a day and shard.
#[must_use]
pub fn object_of(day: &str, shard: u8) -> String {
    format!("{day}.{shard}")
}

/// Picks the shard of a request.
#[must_use]
pub fn shard_of(request_id: &str) -> u8 {
    let first = Sha256::digest(request_id).first().copied().unwrap_or_default();
    first.checked_rem(SHARDS).unwrap_or_default()
}

impl Object for Audit {
    const CLASS: Class =
        Class { name: "Audit", binding: "AUDIT", migrations: &[|store| run_all(store, TABLES)] };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, _now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Append(entry) => append(store, &entry),
            Command::Find(query) => find(store, &query),
            Command::Verify { name, keys, after, limit } => verify(store, (&name, &keys), after, limit),
        }
    }

    /// With the end of the retention; where there is nothing, soon, for there need not even be a database.
    fn wake_at(store: &impl Store, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let (count, _, until) = chain(store)?;
        Ok(Some(if count == 0 { Timestamp(now.0.saturating_add(SOON)) } else { Timestamp(until) }))
    }

    fn wake(store: &impl Store, now: Timestamp) -> Result<Vec<OutboxMessage>, StoreError> {
        let (count, _, until) = chain(store)?;
        if count > 0 && until <= now.0 {
            store.run("DELETE FROM rows", &[])?;
            store.run("DELETE FROM chain", &[])?;
        }
        Ok(Vec::new())
    }

    fn is_over(store: &impl Store) -> Result<bool, StoreError> {
        // Rows without their chain are somebody's doing, and stay to tell of it.
        let rows = store.run("SELECT 1 FROM rows LIMIT 1", &[])?;
        Ok(chain(store)?.0 == 0 && rows.is_empty())
    }

    fn only_asks(command: &Command) -> bool {
        matches!(command, Command::Find(_) | Command::Verify { .. })
    }
}

/// The tables of version 1.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS rows (
        seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, principal TEXT, operation TEXT NOT NULL,
        row TEXT NOT NULL, hash TEXT NOT NULL) STRICT",
    "CREATE INDEX IF NOT EXISTS rows_at ON rows (at, seq)",
    "CREATE TABLE IF NOT EXISTS chain (
        one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL, head TEXT NOT NULL,
        until INTEGER NOT NULL) STRICT",
];

fn append(store: &impl Store, entry: &Entry) -> Result<Reply, StoreError> {
    let (count, head, until) = chain(store)?;
    let seq = count.saturating_add(1);
    let linked = Linked {
        name: &entry.name,
        seq,
        at: entry.at,
        principal: entry.principal.as_deref(),
        operation: &entry.operation,
        row: &entry.row,
    };
    let hash = linked.hash(&entry.key, &head).ok_or_else(|| StoreError("no key".to_owned()))?;
    store.run(
        "INSERT INTO rows (seq, at, principal, operation, row, hash) VALUES (?, ?, ?, ?, ?, ?)",
        &[
            seq.into(),
            entry.at.into(),
            entry.principal.as_deref().into(),
            (&entry.operation).into(),
            (&entry.row).into(),
            (&hash).into(),
        ],
    )?;
    let until = until.max(entry.at.0.saturating_add(entry.kept));
    store.run(
        "INSERT INTO chain (one, count, head, until) VALUES (1, ?, ?, ?)
         ON CONFLICT (one) DO UPDATE SET count = excluded.count, head = excluded.head, until = excluded.until",
        &[seq.into(), (&hash).into(), until.into()],
    )?;
    Ok(Reply::Appended(seq))
}

fn find(store: &impl Store, query: &Query) -> Result<Reply, StoreError> {
    let (at, seq) = query.before;
    let rows = store.run(
        "SELECT at, seq, row FROM rows
         WHERE at >= ?1 AND (at < ?2 OR (at = ?2 AND seq < ?3))
           AND (?4 IS NULL OR principal = ?4) AND (?5 IS NULL OR operation = ?5)
         ORDER BY at DESC, seq DESC LIMIT ?6",
        &[
            query.since.into(),
            at.into(),
            seq.into(),
            query.principal.as_deref().into(),
            query.operation.as_deref().into(),
            query.limit.into(),
        ],
    )?;
    let read = |row: &SqlRow| Ok((Timestamp(row.integer(0)?), row.integer(1)?, row.text(2)?));
    rows.iter().map(read).collect::<Result<_, _>>().map(Reply::Rows)
}

fn verify(
    store: &impl Store,
    (name, keys): (&str, &[Opaque]),
    (mut seq, mut head): (i64, String),
    limit: i64,
) -> Result<Reply, StoreError> {
    let rows = store.run(
        "SELECT seq, at, principal, operation, row, hash FROM rows WHERE seq > ? ORDER BY seq LIMIT ?",
        &[seq.into(), limit.into()],
    )?;
    for row in &rows {
        let expected = seq.saturating_add(1);
        if row.integer(0)? != expected {
            return Ok(Reply::Broken { seq: expected, why: Broken::Missing });
        }
        seq = expected;
        let (principal, operation, text) = (row.optional_text(2)?, row.text(3)?, row.text(4)?);
        let linked = Linked {
            name,
            seq,
            at: Timestamp(row.integer(1)?),
            principal: principal.as_deref(),
            operation: &operation,
            row: &text,
        };
        let hash = row.text(5)?;
        // What is compared is nobody's to guess at: the hash stands in the store.
        if !keys.iter().any(|key| linked.hash(key, &head).as_ref() == Some(&hash)) {
            return Ok(Reply::Broken { seq, why: Broken::Altered });
        }
        head = hash;
    }
    let is_end = i64::try_from(rows.len()).unwrap_or(i64::MAX) < limit;
    let (count, last, _) = chain(store)?;
    if is_end && (count != seq || last != head) {
        return Ok(Reply::Broken { seq: seq.saturating_add(1), why: Broken::CutOff });
    }
    Ok(Reply::Holds { seq, head, is_end })
}

/// How many rows were written, the last hash, and until when they are kept.
fn chain(store: &impl Store) -> Result<(i64, String, i64), StoreError> {
    match store.run("SELECT count, head, until FROM chain", &[])?.first() {
        Some(row) => Ok((row.integer(0)?, row.text(1)?, row.integer(2)?)),
        None => Ok((0, String::new(), 0)),
    }
}

/// A row at its place.
struct Linked<'a> {
    name: &'a str,
    seq: i64,
    at: Timestamp,
    principal: Option<&'a str>,
    operation: &'a str,
    row: &'a str,
}

impl Linked<'_> {
    /// The hash that chains it; `None` where the key is none.
    fn hash(&self, key: &Opaque, before: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&encoding::from_hex(key.expose())?).ok()?;
        let (seq, at) = (self.seq.to_string(), self.at.0.to_string());
        // Nobody is told from somebody whose name is empty.
        let known = if self.principal.is_some() { "1" } else { "0" };
        let whose = self.principal.unwrap_or_default();
        for part in [before, self.name, &seq, &at, known, whose, self.operation, self.row] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Some(encoding::hex(&mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests;
