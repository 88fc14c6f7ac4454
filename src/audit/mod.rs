//! The audit trail: an append-only record of who did what. One object per day and shard.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | the `Audit` object: rows, their chain, its verification |
//! | `trail.rs` | which requests get a row, and what a row says |
//! | `endpoints.rs` | `/api/audit` |
//! | `settings.rs` | the settings |
//! | `tests.rs` | tests |
//!
//! 1. Each row is chained to the previous one: its hash is an HMAC-SHA256 over the previous hash, the object's name,
//!    the row's number and all its fields. The key is derived from `AUTH_SECRET` and comes with each command, so
//!    write access to the store is not enough to make a valid hash.
//! 2. Rows are numbered without gaps. The object also stores the number of rows and the last hash.
//! 3. So verification finds rows that were altered, removed, added or moved. It also finds a truncated trail, unless
//!    the stored count was set back, too. To detect that, keep the replies to [`Command::Verify`] in another place.
//! 4. The object deletes all its rows when the last retention period ends.

pub mod endpoints;
pub mod settings;
pub mod trail;

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, time::Timestamp},
    crypto::secret::Opaque,
    platform::store::{Class, Object, OutboxMessage, SqlRow, Store, StoreError, run_all},
};

/// The `Audit` object of one day and shard.
#[derive(Debug)]
pub struct Audit;

/// Seconds until an object without rows is removed.
const DELETED_AFTER: i64 = 60;

/// Number of objects per day.
pub const SHARDS: u8 = 4;

/// A command to the object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Appends a row.
    Append(Entry),
    /// Finds rows, the latest first.
    Find(Query),
    /// Verifies that rows are as they were written.
    Verify(Verification),
}

/// A request to verify rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verification {
    /// The object's name.
    pub name: String,
    /// Keys with which the rows may have been chained, in hex.
    pub keys: Vec<Opaque>,
    /// The last row that was verified.
    pub after: ChainPosition,
    /// The maximum number of rows to verify.
    pub limit: i64,
}

/// A row at which a chain was verified. The default is the position before the first row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainPosition {
    /// The row's number. Rows are numbered from 1.
    pub seq: i64,
    /// The row's hash; empty before the first row.
    pub hash: String,
}

/// A row to append.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The object's name.
    pub name: String,
    /// The key with which to chain the row, in hex.
    pub key: Opaque,
    /// When the operation happened.
    pub at: Timestamp,
    /// The principal's id, if there is one.
    pub principal: Option<String>,
    /// The operation's name.
    pub operation: String,
    /// The whole row, as JSON.
    pub row: String,
    /// The retention, in seconds.
    pub kept: i64,
}

/// A filter for rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Query {
    /// Only rows at or after this time.
    pub since: Timestamp,
    /// Only rows before this one.
    pub before: RowPosition,
    /// Only rows of the principal with this id.
    pub principal: Option<String>,
    /// Only rows of the operation with this name.
    pub operation: Option<String>,
    /// The maximum number of rows.
    pub limit: i64,
}

/// The place of a row in the order of time. Rows of the same second follow their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPosition {
    /// The row's time.
    pub at: Timestamp,
    /// The row's number.
    pub seq: i64,
}

/// A row that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundRow {
    /// Its place.
    pub position: RowPosition,
    /// The whole row, as JSON.
    pub row: String,
}

/// A reply of the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The row was appended, with this number.
    Appended(i64),
    /// The rows that were found.
    Rows(Vec<FoundRow>),
    /// The verified rows are as they were written.
    Holds {
        /// The last verified row.
        head: ChainPosition,
        /// Whether there are no more rows.
        is_end: bool,
    },
    /// The chain is broken.
    Broken {
        /// The number of the first row that fails.
        seq: i64,
        /// The reason.
        why: Broken,
    },
}

/// Why a chain is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// A row is missing.
    Missing,
    /// A row is not as it was written.
    Altered,
    /// The rows do not end with the stored count and last hash: rows were cut off, or the count was changed.
    CutOff,
}

/// Returns the day of a time, in UTC: `2026-11-26`.
#[must_use]
pub fn day_of(at: Timestamp) -> String {
    at.to_string().get(..10).unwrap_or_default().to_owned()
}

/// Returns the name of the object of a day and shard.
#[must_use]
pub fn object_of(day: &str, shard: u8) -> String {
    format!("{day}.{shard}")
}

/// Returns the shard of a request, from its id.
#[must_use]
pub fn shard_of(request_id: &str) -> u8 {
    let first = Sha256::digest(request_id).first().copied().unwrap_or_default();
    first.checked_rem(SHARDS).unwrap_or_default()
}

impl Object for Audit {
    const CLASS: Class = Class {
        name: "Audit",
        binding: "AUDIT",
        alarm_delay: Some(Duration::from_secs(2)),
        migrations: &[|store| run_all(store, TABLES)],
    };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, _now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Append(entry) => append(store, &entry),
            Command::Find(query) => find(store, &query),
            Command::Verify(request) => verify(store, request),
        }
    }

    /// Returns the end of the last retention period. Without rows, returns `now` plus `DELETED_AFTER`: an object
    /// without rows needs no database.
    fn next_alarm(store: &impl Store, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let Chain { count, until, .. } = chain(store)?;
        Ok(Some(if count == 0 { Timestamp(now.0.saturating_add(DELETED_AFTER)) } else { Timestamp(until) }))
    }

    fn alarm(store: &impl Store, now: Timestamp) -> Result<Vec<OutboxMessage>, StoreError> {
        let Chain { count, until, .. } = chain(store)?;
        if count > 0 && until <= now.0 {
            store.run("DELETE FROM rows", &[])?;
            store.run("DELETE FROM chain", &[])?;
        }
        Ok(Vec::new())
    }

    fn is_deletable(store: &impl Store) -> Result<bool, StoreError> {
        // Rows without an entry in `chain` mean that someone changed the store. They are kept as evidence.
        let rows = store.run("SELECT 1 FROM rows LIMIT 1", &[])?;
        Ok(chain(store)?.count == 0 && rows.is_empty())
    }

    fn is_read_only(command: &Command) -> bool {
        matches!(command, Command::Find(_) | Command::Verify(_))
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
    let Chain { count, head, until } = chain(store)?;
    let seq = count.saturating_add(1);
    let chained = ChainedRow {
        name: &entry.name,
        seq,
        at: entry.at,
        principal: entry.principal.as_deref(),
        operation: &entry.operation,
        row: &entry.row,
    };
    let hash = chained
        .hash(&entry.key, &head)
        .ok_or_else(|| StoreError("the key of the audit chain is missing".to_owned()))?;
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
    let RowPosition { at, seq } = query.before;
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
    let read = |row: &SqlRow| {
        let position = RowPosition { at: Timestamp(row.integer(0)?), seq: row.integer(1)? };
        Ok(FoundRow { position, row: row.text(2)? })
    };
    rows.iter().map(read).collect::<Result<_, _>>().map(Reply::Rows)
}

fn verify(store: &impl Store, request: Verification) -> Result<Reply, StoreError> {
    let Verification { name, keys, after: ChainPosition { mut seq, hash: mut head }, limit } = request;
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
        let chained = ChainedRow {
            name: &name,
            seq,
            at: Timestamp(row.integer(1)?),
            principal: principal.as_deref(),
            operation: &operation,
            row: &text,
        };
        let hash = row.text(5)?;
        // No constant-time comparison is needed: the hash is stored, so a client gains nothing by guessing it.
        if !keys.iter().any(|key| chained.hash(key, &head).as_ref() == Some(&hash)) {
            return Ok(Reply::Broken { seq, why: Broken::Altered });
        }
        head = hash;
    }
    let is_end = i64::try_from(rows.len()).unwrap_or(i64::MAX) < limit;
    let stored = chain(store)?;
    if is_end && (stored.count != seq || stored.head != head) {
        return Ok(Reply::Broken { seq: seq.saturating_add(1), why: Broken::CutOff });
    }
    Ok(Reply::Holds { head: ChainPosition { seq, hash: head }, is_end })
}

/// What an object stores about its chain.
#[derive(Default)]
struct Chain {
    /// The number of rows that were written.
    count: i64,
    /// The hash of the last row; empty without rows.
    head: String,
    /// The time until which the rows are kept, in Unix seconds.
    until: i64,
}

/// Returns what is stored about the chain.
fn chain(store: &impl Store) -> Result<Chain, StoreError> {
    match store.run("SELECT count, head, until FROM chain", &[])?.first() {
        Some(row) => Ok(Chain { count: row.integer(0)?, head: row.text(1)?, until: row.integer(2)? }),
        None => Ok(Chain::default()),
    }
}

/// A row at its place in the chain.
struct ChainedRow<'a> {
    name: &'a str,
    seq: i64,
    at: Timestamp,
    principal: Option<&'a str>,
    operation: &'a str,
    row: &'a str,
}

impl ChainedRow<'_> {
    /// Returns the hash that chains the row to the previous one, in hex; `None` if the key is not valid.
    fn hash(&self, key: &Opaque, previous: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&encoding::from_hex(key.expose())?).ok()?;
        let (seq, at) = (self.seq.to_string(), self.at.0.to_string());
        // A missing principal and an empty one give different hashes.
        let has_principal = if self.principal.is_some() { "1" } else { "0" };
        let principal = self.principal.unwrap_or_default();
        for part in [previous, self.name, &seq, &at, has_principal, principal, self.operation, self.row] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Some(encoding::hex(&mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests;
