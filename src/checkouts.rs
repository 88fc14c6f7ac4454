//! Checkouts: was it paid? One object for each of 16 groups of refs.
//!
//! A provider and a ref name a checkout. Each time it is begun anew is an attempt; the last one counts, the earlier
//! ones stay as its history.
//!
//! | from | by | to |
//! |---|---|---|
//! | – | upstream's answer | `pending`, until it expires |
//! | – | upstream's answer, after a verified event that was faster | `confirmed` |
//! | `pending` | the browser that gave up | `cancelled` |
//! | `pending` | time | `expired` |
//! | `pending` | a verified event | `confirmed` |
//! | `cancelled`, `expired` | a verified event | `confirmed`, and late |
//! | `cancelled`, `expired` | upstream's answer | another attempt: `pending` |
//! | `pending`, `confirmed` | upstream's answer to the same owner | no change; a `pending` one is reserved for longer |
//! | `pending`, `confirmed` | upstream's answer to another owner | no change: a conflict, which is reported |
//!
//! Only events of the provider that a checkout was begun for count. An event for a checkout that was not begun yet
//! is kept, and shown to nobody until the checkout is begun. Nothing else leads to `confirmed`, and nothing leads away
//! from it. Upstream is told to release cancelled and expired attempts, until it confirms that it did. Once the
//! same checkout is begun again, only its new reservation is left to release.

mod migration;
mod reference;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    author::Author,
    encoding,
    store::{Class, Object, SqlRow, Store, StoreError, run_all},
    time::Timestamp,
};

pub use reference::{Unusable, read as reference_in};

/// The `Checkouts` object of one group of refs.
#[derive(Debug)]
pub struct Checkouts;

/// What checkouts can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Registers one that upstream has begun.
    Begin(Begin),
    /// Confirms the one of this ref that was begun for the event's provider.
    Confirm {
        /// The ref.
        reference: String,
        /// The verified event.
        evidence: Evidence,
    },
    /// Reads all attempts under a ref.
    Read(String),
    /// Gives an attempt up. Without an author, by a client that knows its ref.
    Cancel(Option<Author>, Attempt),
    /// Expires overdue attempts, and lists attempts whose reservation is to be released, at most this many.
    Due(i64),
    /// Notes that these were released.
    Released(Vec<Attempt>),
}

/// A checkout that upstream has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The webhook that confirms it.
    pub provider: String,
    /// What upstream calls it.
    pub reference: String,
    /// Its owner: the scope of the principal who began it; `None` if it was begun anonymously.
    pub owner: Option<String>,
    /// For how many seconds it is reserved.
    pub reserve: i64,
}

/// Names an attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt {
    /// The webhook that confirms it.
    pub provider: String,
    /// What upstream calls it.
    pub reference: String,
    /// Which attempt under these, counted from 1.
    pub number: i64,
}

/// What they answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The outcome of beginning a checkout.
    Begun(Beginning),
    /// All attempts under a ref: by provider, the last one first.
    Checkouts(Vec<Checkout>),
    /// Attempts whose reservation is to be released.
    Due(Vec<Due>),
    /// It is done, or there was nothing to do.
    Done,
}

/// The outcome of beginning a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beginning {
    /// It is a new attempt.
    Anew,
    /// It goes on: the same owner began it before, and it is neither cancelled nor expired.
    Again,
    /// It is another owner's checkout, and not cancelled. Nothing was registered.
    Conflict,
}

/// An attempt whose reservation is to be released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// Which.
    pub attempt: Attempt,
    /// Whether another provider's checkout under the same ref is pending or confirmed: the ref alone would name both.
    pub is_shared: bool,
}

/// An attempt at a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// Which.
    pub attempt: Attempt,
    /// Its owner: the scope of the principal who began it; `None` if it was begun anonymously.
    pub owner: Option<String>,
    /// What has become of it.
    pub status: Status,
    /// Whether it was cancelled or had expired when it was confirmed.
    pub late: bool,
    /// What confirmed it.
    pub evidence: Option<Evidence>,
    /// Until when it is reserved.
    pub expires_at: Timestamp,
}

/// The event that confirmed a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The webhook that received it.
    pub webhook: String,
    /// The provider's id of it, or its content's hash.
    pub event: String,
    /// What happened, in the provider's words.
    pub event_type: String,
    /// When it was received.
    pub at: Timestamp,
}

/// What has become of a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for a verified event.
    Pending,
    /// A verified event has confirmed it.
    Confirmed,
    /// The browser has given it up.
    Cancelled,
    /// Its time was over.
    Expired,
}

impl Status {
    /// Gives the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// How many objects there are.
pub const GROUPS: u8 = 16;

/// How many attempts are kept under one provider and ref.
pub const MOST_ATTEMPTS: i64 = 20;

/// Names the object that has a ref.
#[must_use]
pub fn group_of(reference: &str) -> String {
    encoding::hex(&Sha256::digest(reference)).get(..1).unwrap_or_default().to_owned()
}

/// Names them all.
pub fn groups() -> impl Iterator<Item = String> {
    (0..GROUPS).map(|group| format!("{group:x}"))
}

impl Object for Checkouts {
    const CLASS: Class = Class {
        name: "Checkouts",
        binding: "CHECKOUTS",
        migrations: &[|store| {
            run_all(store, TABLES)?;
            migration::run(store)
        }],
    };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Begin(begun) => begin(store, &begun, now).map(Reply::Begun),
            Command::Confirm { reference, evidence } => {
                confirm(store, &reference, &evidence, now)?;
                Ok(Reply::Done)
            }
            Command::Read(reference) => {
                let select = format!(
                    "SELECT {COLUMNS} FROM attempts WHERE reference = ? ORDER BY provider, number DESC"
                );
                let rows = store.run(&select, &[(&reference).into()])?;
                rows.iter().map(|row| checkout(row, now)).collect::<Result<_, _>>().map(Reply::Checkouts)
            }
            Command::Cancel(author, Attempt { provider, reference, number }) => {
                author.map_or(Ok(()), |author| author.check_age(now))?;
                store.run(
                    "UPDATE attempts SET status = 'cancelled' WHERE reference = ? AND provider = ? AND number = ?
                     AND status = 'pending' AND expires_at > ?",
                    &[(&reference).into(), (&provider).into(), number.into(), now.into()],
                )?;
                Ok(Reply::Done)
            }
            Command::Due(limit) => due(store, limit, now),
            Command::Released(attempts) => {
                for Attempt { provider, reference, number } in &attempts {
                    store.run(
                        "UPDATE attempts SET released = 1 WHERE reference = ? AND provider = ? AND number = ?",
                        &[reference.into(), provider.into(), (*number).into()],
                    )?;
                }
                Ok(Reply::Done)
            }
        }
    }
}

/// The tables of version 1.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS attempts (
        reference TEXT NOT NULL, provider TEXT NOT NULL, number INTEGER NOT NULL, owner TEXT,
        status TEXT NOT NULL, late INTEGER NOT NULL, event TEXT, event_type TEXT, confirmed_at INTEGER,
        expires_at INTEGER NOT NULL, released INTEGER NOT NULL,
        PRIMARY KEY (reference, provider, number)) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS attempts_due ON attempts (released, status, expires_at)",
    // Events of checkouts that were not begun yet.
    "CREATE TABLE IF NOT EXISTS early (
        reference TEXT NOT NULL, provider TEXT NOT NULL, event TEXT NOT NULL, event_type TEXT NOT NULL,
        at INTEGER NOT NULL, PRIMARY KEY (reference, provider)) STRICT, WITHOUT ROWID",
];

fn begin(store: &impl Store, begun: &Begin, now: Timestamp) -> Result<Beginning, StoreError> {
    let Begin { provider, reference, owner, reserve } = begun;
    let expires_at = Timestamp(now.0.saturating_add(*reserve));
    let last = last(store, provider, reference, now)?;
    // A client that began it anonymously may have signed in since. Whatever has become of another user's: a payment that
    // comes late would count for somebody else.
    if last.as_ref().is_some_and(|last| last.owner.is_some() && last.owner != *owner) {
        return Ok(Beginning::Conflict);
    }
    if let Some(Checkout { attempt, status: Status::Pending | Status::Confirmed, .. }) = &last {
        store.run(
            "UPDATE attempts SET owner = ?, expires_at = max(expires_at, ?)
             WHERE reference = ? AND provider = ? AND number = ?",
            &[
                owner.as_deref().into(),
                expires_at.into(),
                reference.into(),
                provider.into(),
                attempt.number.into(),
            ],
        )?;
        return Ok(Beginning::Again);
    }
    // From now on upstream holds the new reservation under this ref. It must not be told to release it yet.
    store.run(
        "UPDATE attempts SET released = 1, status = CASE status WHEN 'pending' THEN 'expired' ELSE status END
         WHERE reference = ? AND provider = ? AND released = 0",
        &[reference.into(), provider.into()],
    )?;
    let number = last.map_or(1, |last| last.attempt.number.saturating_add(1));
    store.run(
        "INSERT INTO attempts (reference, provider, number, owner, status, late, expires_at, released)
         VALUES (?, ?, ?, ?, 'pending', 0, ?, 0)",
        &[reference.into(), provider.into(), number.into(), owner.as_deref().into(), expires_at.into()],
    )?;
    store.run(
        "DELETE FROM attempts WHERE reference = ? AND provider = ? AND number <= ?",
        &[reference.into(), provider.into(), number.saturating_sub(MOST_ATTEMPTS).into()],
    )?;
    let early = store.run(
        "DELETE FROM early WHERE reference = ? AND provider = ? RETURNING event, event_type, at",
        &[reference.into(), provider.into()],
    )?;
    if let Some(row) = early.first() {
        let evidence = Evidence {
            webhook: provider.clone(),
            event: row.text(0)?,
            event_type: row.text(1)?,
            at: Timestamp(row.integer(2)?),
        };
        confirm(store, reference, &evidence, now)?;
    }
    Ok(Beginning::Anew)
}

fn confirm(
    store: &impl Store,
    reference: &str,
    evidence: &Evidence,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Evidence { webhook: provider, event, event_type, at } = evidence;
    let Some(last) = last(store, provider, reference, now)? else {
        store.run(
            "INSERT INTO early (reference, provider, event, event_type, at) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (reference, provider) DO NOTHING",
            &[reference.into(), provider.into(), event.into(), event_type.into(), (*at).into()],
        )?;
        return Ok(());
    };
    if last.status == Status::Confirmed {
        return Ok(());
    }
    store.run(
        "UPDATE attempts SET status = 'confirmed', late = ?, event = ?, event_type = ?, confirmed_at = ?
         WHERE reference = ? AND provider = ? AND number = ?",
        &[
            i64::from(last.status != Status::Pending).into(),
            event.into(),
            event_type.into(),
            (*at).into(),
            reference.into(),
            provider.into(),
            last.attempt.number.into(),
        ],
    )?;
    Ok(())
}

fn due(store: &impl Store, limit: i64, now: Timestamp) -> Result<Reply, StoreError> {
    store.run(
        "UPDATE attempts SET status = 'expired' WHERE (reference, provider, number) IN (
            SELECT reference, provider, number FROM attempts
            WHERE released = 0 AND status = 'pending' AND expires_at <= ? LIMIT 1000)",
        &[now.into()],
    )?;
    let rows = store.run(
        "SELECT provider, reference, number, EXISTS (
            SELECT 1 FROM attempts AS other WHERE other.reference = one.reference
            AND other.provider <> one.provider AND other.status IN ('pending', 'confirmed'))
         FROM attempts AS one WHERE released = 0 AND status IN ('cancelled', 'expired')
         ORDER BY expires_at LIMIT ?",
        &[limit.into()],
    )?;
    let listed = rows.iter().map(|row| {
        let (provider, reference, number) = (row.text(0)?, row.text(1)?, row.integer(2)?);
        Ok(Due { attempt: Attempt { provider, reference, number }, is_shared: row.integer(3)? != 0 })
    });
    listed.collect::<Result<_, _>>().map(Reply::Due)
}

fn last(
    store: &impl Store,
    provider: &str,
    reference: &str,
    now: Timestamp,
) -> Result<Option<Checkout>, StoreError> {
    let select = format!(
        "SELECT {COLUMNS} FROM attempts WHERE reference = ? AND provider = ? ORDER BY number DESC LIMIT 1"
    );
    let rows = store.run(&select, &[reference.into(), provider.into()])?;
    rows.first().map(|row| checkout(row, now)).transpose()
}

fn checkout(row: &SqlRow, now: Timestamp) -> Result<Checkout, StoreError> {
    let expires_at = Timestamp(row.integer(9)?);
    let status = match row.text(4)?.as_str() {
        // Seen before it was noted.
        "pending" if expires_at <= now => Status::Expired,
        "pending" => Status::Pending,
        "confirmed" => Status::Confirmed,
        "cancelled" => Status::Cancelled,
        "expired" => Status::Expired,
        other => return Err(StoreError(format!("no status is called {other:?}"))),
    };
    let (reference, provider) = (row.text(0)?, row.text(1)?);
    let evidence = match (row.optional_text(6)?, row.optional_text(7)?) {
        (Some(event), Some(event_type)) => {
            Some(Evidence { webhook: provider.clone(), event, event_type, at: Timestamp(row.integer(8)?) })
        }
        _ => None,
    };
    let attempt = Attempt { provider, reference, number: row.integer(2)? };
    let (owner, late) = (row.optional_text(3)?, row.integer(5)? != 0);
    Ok(Checkout { attempt, owner, status, late, evidence, expires_at })
}

const COLUMNS: &str =
    "reference, provider, number, owner, status, late, event, event_type, confirmed_at, expires_at";

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test may fail")]
mod tests;
