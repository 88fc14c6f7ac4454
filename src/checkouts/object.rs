//! The `Checkouts` object: its tables and commands.

use super::{
    Attempt, Begin, BeginOutcome, Checkout, Checkouts, Command, Due, Evidence, MOST_ATTEMPTS, Reply, Status,
    migration,
};
use crate::{
    base::time::Timestamp,
    platform::store::{Class, Object, SqlRow, Store, StoreError, run_all},
};

impl Object for Checkouts {
    const CLASS: Class = Class {
        name: "Checkouts",
        binding: "CHECKOUTS",
        alarm_delay: None,
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

fn begin(store: &impl Store, begun: &Begin, now: Timestamp) -> Result<BeginOutcome, StoreError> {
    let Begin { provider, reference, owner, reserve } = begun;
    let expires_at = Timestamp(now.0.saturating_add(*reserve));
    let last = last(store, provider, reference, now)?;
    // A client that began anonymously may have signed in since. Another owner's checkout is a conflict in any status: a
    // late payment would count for the wrong owner.
    if last.as_ref().is_some_and(|last| last.owner.is_some() && last.owner != *owner) {
        return Ok(BeginOutcome::Conflict);
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
        return Ok(BeginOutcome::Continued);
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
    Ok(BeginOutcome::Started)
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
        other => return Err(StoreError(format!("unknown status {other:?}"))),
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
