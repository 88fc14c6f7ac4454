//! Adding users from records, in one transaction for a batch.

use std::collections::BTreeSet;

use super::{NumberedRecord, Outcome, RECORD, RefusedRecord, UserRecord, read};
use crate::{
    accounts::{NewUser, Reply, factors::TotpState, passwords, users, writes::Authorized},
    base::time::Timestamp,
    platform::store::{Store, StoreError, Value},
};

/// What the records before have taken. In a dry run, the tables do not show it.
#[derive(Default)]
struct Taken {
    ids: BTreeSet<String>,
    emails: BTreeSet<String>,
    passkeys: BTreeSet<String>,
}

/// Adds the users of a batch. A dry run decides the same and stores nothing.
pub(in crate::accounts) fn import(
    store: &impl Store,
    proof: &Authorized<'_>,
    records: &[NumberedRecord],
    is_dry_run: bool,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let mut taken = Taken::default();
    let mut outcomes = Vec::with_capacity(records.len());
    for NumberedRecord { line, record } in records {
        let outcome = decide(store, record, &taken)?;
        if outcome == Outcome::Added {
            if is_dry_run {
                taken.add(record);
            } else {
                add(store, proof, record, now)?;
            }
        }
        outcomes.push((*line, outcome));
    }
    Ok(Reply::Imported(outcomes))
}

fn decide(store: &impl Store, record: &UserRecord, taken: &Taken) -> Result<Outcome, StoreError> {
    let select = format!("SELECT {RECORD} FROM users WHERE id = ?");
    if let Some(row) = store.run(&select, &[(&record.id).into()])?.first() {
        let known = read(store, row)?;
        return Ok(if known.email != record.email {
            Outcome::Refused(RefusedRecord::IdTaken)
        } else if is_same(&known, record) {
            Outcome::Unchanged
        } else {
            Outcome::Refused(RefusedRecord::Differs)
        });
    }
    if taken.ids.contains(&record.id) {
        return Ok(Outcome::Refused(RefusedRecord::IdTaken));
    }
    let rows = store.run("SELECT 1 FROM users WHERE email = ?", &[(&record.email).into()])?;
    if !rows.is_empty() || taken.emails.contains(&record.email) {
        return Ok(Outcome::Refused(RefusedRecord::EmailTaken));
    }
    for passkey in &record.passkeys {
        let rows = store.run(
            "SELECT 1 FROM passkeys WHERE id = ?1 OR credential = ?2 LIMIT 1",
            &[(&passkey.id).into(), (&passkey.credential).into()],
        )?;
        if !rows.is_empty() || taken.passkeys.contains(&passkey.credential) {
            return Ok(Outcome::Refused(RefusedRecord::PasskeyTaken));
        }
    }
    Ok(Outcome::Added)
}

/// Compares what an import would store. The sealed secret of codes is other bytes each time, and the last step moves
/// when the user signs in.
fn is_same(known: &UserRecord, record: &UserRecord) -> bool {
    let totp = |record: &UserRecord| record.totp.as_ref().map(|totp| totp.id.clone());
    let plain = |record: &UserRecord| UserRecord { totp: None, ..record.clone() };
    totp(known) == totp(record) && plain(known) == plain(record)
}

fn add(
    store: &impl Store,
    _proof: &Authorized<'_>,
    record: &UserRecord,
    now: Timestamp,
) -> Result<(), StoreError> {
    let new = NewUser {
        id: record.id.clone(),
        email: record.email.clone(),
        name: record.name.clone(),
        password: record.password.clone(),
    };
    users::insert_again(store, &new, record.role, now)?;
    store.run(
        "UPDATE users SET created_at = ?, active = ? WHERE id = ?",
        &[record.created_at.into(), i64::from(record.active).into(), (&record.id).into()],
    )?;
    // A deleted user may have had this id. An import gives nobody a credential that the record does not have.
    passwords::revoke_left_tokens(store, &record.id, now)?;
    if let Some(totp) = &record.totp {
        store.run(
            "INSERT INTO totp (user, state, id, sealed, last_step, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            &[
                (&record.id).into(),
                TotpState::Confirmed.name().into(),
                (&totp.id).into(),
                (&totp.sealed).into(),
                totp.last_step.into(),
                totp.created_at.into(),
            ],
        )?;
    }
    for hash in &record.recovery_codes {
        store.run(
            "INSERT OR IGNORE INTO recovery_codes (user, hash) VALUES (?, ?)",
            &[(&record.id).into(), hash.into()],
        )?;
    }
    for passkey in &record.passkeys {
        store.run(
            "INSERT INTO passkeys
                (id, user, credential, name, algorithm, public_key, counter, created_at, last_used_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                (&passkey.id).into(),
                (&record.id).into(),
                (&passkey.credential).into(),
                (&passkey.name).into(),
                passkey.algorithm.into(),
                (&passkey.public_key).into(),
                passkey.counter.into(),
                passkey.created_at.into(),
                passkey.last_used_at.map_or(Value::Null, Value::from),
            ],
        )?;
    }
    Ok(())
}

impl Taken {
    fn add(&mut self, record: &UserRecord) {
        self.ids.insert(record.id.clone());
        self.emails.insert(record.email.clone());
        self.passkeys.extend(record.passkeys.iter().map(|passkey| passkey.credential.clone()));
    }
}
