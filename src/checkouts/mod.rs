//! Checkouts: payments that are under way, and whether they were made. One object for each of 16 groups of refs.
//!
//! A provider and a ref identify a checkout. Each time that upstream begins it anew is an attempt. The last attempt
//! counts; the earlier ones are kept as its history.
//!
//! | from | cause | to |
//! |---|---|---|
//! | – | upstream's response | `pending`, until it expires |
//! | – | upstream's response, after a verified event that arrived earlier | `confirmed` |
//! | `pending` | the browser cancels | `cancelled` |
//! | `pending` | the reservation ends | `expired` |
//! | `pending` | a verified event | `confirmed` |
//! | `cancelled`, `expired` | a verified event | `confirmed`, and late |
//! | `cancelled`, `expired` | upstream's response to the same owner | a new attempt: `pending` |
//! | `pending`, `confirmed` | upstream's response to the same owner | no change, but a longer reservation |
//! | any | upstream's response to another owner | no change; the conflict is reported |
//!
//! A checkout that was begun anonymously has no owner yet: the next user who begins it becomes its owner.
//!
//! Only events of the provider for which a checkout was begun count. An event for a checkout that was not begun yet is
//! stored, and not shown until the checkout is begun. Nothing else leads to `confirmed`, and nothing leads away from
//! it. The gateway tells upstream to release cancelled and expired attempts until upstream confirms that it did. Once
//! the same checkout is begun again, only its new reservation is left to release.

pub mod endpoints;
pub mod settings;

mod migration;
mod reference;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, time::Timestamp},
    identity::author::Author,
    platform::store::{Class, Object, SqlRow, Store, StoreError, run_all},
};

pub use reference::{Unusable, read as reference_in};

/// The `Checkouts` object of one group of refs.
#[derive(Debug)]
pub struct Checkouts;

/// A command to the object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Registers a checkout that upstream has begun.
    Begin(Begin),
    /// Confirms the checkout of this ref that was begun for the event's provider.
    Confirm {
        /// The ref.
        reference: String,
        /// The verified event.
        evidence: Evidence,
    },
    /// Reads all attempts under a ref.
    Read(String),
    /// Cancels a pending attempt. Without an author, the client is anonymous and knows the ref.
    Cancel(Option<Author>, Attempt),
    /// Expires overdue attempts, and lists attempts whose reservation upstream has to release, at most this many.
    Due(i64),
    /// Marks these attempts as released.
    Released(Vec<Attempt>),
}

/// A checkout that upstream has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The provider: the name of the webhook that confirms the checkout.
    pub provider: String,
    /// The ref: upstream's id of the checkout.
    pub reference: String,
    /// The owner: the scope of the principal who began the checkout; `None` if it was begun anonymously.
    pub owner: Option<String>,
    /// How long the checkout is reserved, in seconds.
    pub reserve: i64,
}

/// Identifies an attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt {
    /// The provider: the name of the webhook that confirms the checkout.
    pub provider: String,
    /// The ref: upstream's id of the checkout.
    pub reference: String,
    /// The number of the attempt under this provider and ref, counted from 1.
    pub number: i64,
}

/// A reply of the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The outcome of beginning a checkout.
    Begun(Beginning),
    /// All attempts under a ref, sorted by provider, the last attempt first.
    Checkouts(Vec<Checkout>),
    /// Attempts whose reservation upstream has to release.
    Due(Vec<Due>),
    /// The command is done, or there was nothing to do.
    Done,
}

/// The outcome of beginning a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beginning {
    /// A new attempt was registered.
    Anew,
    /// An attempt of the same owner continues: it is neither cancelled nor expired.
    Again,
    /// The checkout belongs to another owner. Nothing was registered.
    Conflict,
}

/// An attempt whose reservation upstream has to release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The attempt.
    pub attempt: Attempt,
    /// Whether another provider's checkout under the same ref is pending or confirmed. The ref alone is then ambiguous.
    pub is_shared: bool,
}

/// An attempt at a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// The attempt.
    pub attempt: Attempt,
    /// The owner: the scope of the principal who began the checkout; `None` if it was begun anonymously.
    pub owner: Option<String>,
    /// The status, as of now.
    pub status: Status,
    /// Whether the attempt was cancelled or expired when it was confirmed.
    pub late: bool,
    /// The event that confirmed the attempt.
    pub evidence: Option<Evidence>,
    /// When the reservation ends.
    pub expires_at: Timestamp,
}

/// The event that confirmed a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The webhook that received the event.
    pub webhook: String,
    /// The provider's id of the event, or the hash of its content.
    pub event: String,
    /// The provider's type of the event.
    pub event_type: String,
    /// When the event was received.
    pub at: Timestamp,
}

/// The status of an attempt at a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The attempt waits for a verified event.
    Pending,
    /// A verified event has confirmed the attempt.
    Confirmed,
    /// The browser has cancelled the attempt.
    Cancelled,
    /// The reservation has ended.
    Expired,
}

impl Status {
    /// Returns the name.
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

/// Number of objects.
pub const GROUPS: u8 = 16;

/// Number of attempts that are kept per provider and ref.
pub const MOST_ATTEMPTS: i64 = 20;

/// Returns the name of the object that stores a ref.
#[must_use]
pub fn group_of(reference: &str) -> String {
    encoding::hex(&Sha256::digest(reference)).get(..1).unwrap_or_default().to_owned()
}

/// Returns the names of all objects.
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
    // A client that began anonymously may have signed in since. Another owner's checkout is a conflict in any status: a
    // late payment would count for the wrong owner.
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
    // From now on, upstream holds the new reservation under this ref. The gateway must not tell it to release that yet.
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
        // The attempt has expired, but is not marked as expired yet.
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
