//! Enrolling and removing factors.

use serde::{Deserialize, Serialize};

use super::{
    FactorReply, Ticket, TotpState, factors_of,
    passkeys::{self, NewPasskey, UsedPasskey},
    sign_in::{UsedStep, record_use, ticket_user_status, use_step},
    ticket::Purpose,
};
use crate::{
    accounts::{settings::RequiredFactor, writes::Authorized},
    base::time::Timestamp,
    platform::store::{Store, StoreError},
};

/// A step of an enrollment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Enrollment {
    /// Stores a secret for codes as pending, in place of an earlier pending one.
    BeginTotp {
        /// The factor's id.
        id: String,
        /// The sealed secret.
        sealed: String,
    },
    /// Confirms the pending secret. It replaces a confirmed one.
    ConfirmTotp(ConfirmTotp),
    /// Stores a passkey.
    AddPasskey(NewPasskey),
}

/// The confirmation of a pending secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfirmTotp {
    /// The id of the pending factor that was compared.
    pub id: String,
    /// The step whose code proved it. Its code is used by that.
    pub step: i64,
    /// The hashes of the user's new recovery codes.
    pub recovery_codes: Vec<String>,
}

/// A change of a user's factors, by a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FactorWrite {
    /// Enrolls a factor of the author.
    Enroll(Enrollment),
    /// Removes the author's codes of an authenticator app, unless this policy requires them.
    RemoveTotp(RequiredFactor),
    /// Replaces the author's recovery codes by those with these hashes.
    RenewRecoveryCodes(Vec<String>),
    /// Removes all factors of the user with this id.
    RemoveAll(String),
    /// Uses a right code of the author's authenticator app.
    UseStep(UsedStep),
    /// Removes the author's passkey with this id, unless this policy requires it.
    RemovePasskey(String, RequiredFactor),
    /// Uses a passkey of the author.
    UsePasskey(UsedPasskey),
}

/// Proof that factors of this user may be enrolled now: [`Authorized`], or a ticket that [`ticket_user_status`]
/// accepted.
pub(super) struct Enroller<'a> {
    pub(super) user: &'a str,
}

/// Executes a change whose author was checked.
pub(in crate::accounts) fn write(
    store: &impl Store,
    proof: &Authorized<'_>,
    write: FactorWrite,
    now: Timestamp,
) -> Result<FactorReply, StoreError> {
    match write {
        FactorWrite::Enroll(enrollment) => enroll(store, &Enroller { user: proof.user }, enrollment, now),
        FactorWrite::RemoveTotp(required) => remove_totp(store, proof, required),
        FactorWrite::RenewRecoveryCodes(hashes) => {
            if !factors_of(store, proof.user)?.is_enrolled() {
                return Ok(FactorReply::NotFound);
            }
            replace_recovery_codes(store, proof.user, &hashes)?;
            Ok(FactorReply::Done)
        }
        FactorWrite::RemoveAll(user) => {
            if store.run("SELECT 1 FROM users WHERE id = ?", &[(&user).into()])?.is_empty() {
                return Ok(FactorReply::NotFound);
            }
            remove_all(store, &user)?;
            Ok(FactorReply::Done)
        }
        FactorWrite::UseStep(right) => {
            let is_accepted = use_step(store, proof.user, &right)?;
            Ok(if is_accepted { FactorReply::Done } else { FactorReply::Wrong })
        }
        FactorWrite::RemovePasskey(id, required) => remove_passkey(store, proof, &id, required),
        FactorWrite::UsePasskey(used) => passkeys::use_once(store, &used, Some(proof.user), now),
    }
}

/// Enrolls the first factor of a ticket's user. The last step uses the ticket.
pub(super) fn enroll_with_ticket(
    store: &impl Store,
    ticket: &Ticket,
    enrollment: Enrollment,
    now: Timestamp,
) -> Result<FactorReply, StoreError> {
    let is_usable = ticket_user_status(store, ticket, Purpose::Enrollment, now)?.is_some();
    // With a factor, a password alone must not add another one.
    if !is_usable || factors_of(store, &ticket.user)?.is_enrolled() {
        return Ok(FactorReply::TicketUnusable);
    }
    let reply = enroll(store, &Enroller { user: &ticket.user }, enrollment, now)?;
    if matches!(reply, FactorReply::Done | FactorReply::PasskeyAdded { .. }) {
        record_use(store, &ticket.id, ticket.expires_at, now)?;
    }
    Ok(reply)
}

/// Removes all factors of a user, and their recovery codes.
pub(in crate::accounts) fn remove_all(store: &impl Store, user: &str) -> Result<(), StoreError> {
    for table in ["totp", "passkeys", "recovery_codes"] {
        store.run(&format!("DELETE FROM {table} WHERE user = ?"), &[user.into()])?;
    }
    Ok(())
}

fn enroll(
    store: &impl Store,
    enroller: &Enroller<'_>,
    enrollment: Enrollment,
    now: Timestamp,
) -> Result<FactorReply, StoreError> {
    match enrollment {
        Enrollment::BeginTotp { id, sealed } => {
            let rows = store.run("SELECT email FROM users WHERE id = ?", &[enroller.user.into()])?;
            let Some(row) = rows.first() else { return Ok(FactorReply::NotFound) };
            store.run(
                "INSERT OR REPLACE INTO totp (user, state, id, sealed, last_step, created_at)
                 VALUES (?, ?, ?, ?, 0, ?)",
                &[
                    enroller.user.into(),
                    TotpState::Pending.name().into(),
                    (&id).into(),
                    (&sealed).into(),
                    now.into(),
                ],
            )?;
            row.text(0).map(FactorReply::Begun)
        }
        Enrollment::ConfirmTotp(confirm) => confirm_totp(store, enroller, &confirm),
        Enrollment::AddPasskey(new) => passkeys::add(store, enroller, &new, now),
    }
}

fn confirm_totp(
    store: &impl Store,
    enroller: &Enroller<'_>,
    confirm: &ConfirmTotp,
) -> Result<FactorReply, StoreError> {
    let user = enroller.user;
    let rows = store.run(
        "SELECT 1 FROM totp WHERE user = ? AND state = ? AND id = ?",
        &[user.into(), TotpState::Pending.name().into(), (&confirm.id).into()],
    )?;
    if rows.is_empty() {
        return Ok(FactorReply::Wrong);
    }
    store.run(
        "DELETE FROM totp WHERE user = ? AND state = ?",
        &[user.into(), TotpState::Confirmed.name().into()],
    )?;
    store.run(
        "UPDATE totp SET state = ?, last_step = ? WHERE user = ? AND state = ?",
        &[
            TotpState::Confirmed.name().into(),
            confirm.step.into(),
            user.into(),
            TotpState::Pending.name().into(),
        ],
    )?;
    replace_recovery_codes(store, user, &confirm.recovery_codes)?;
    Ok(FactorReply::Done)
}

fn remove_totp(
    store: &impl Store,
    proof: &Authorized<'_>,
    required: RequiredFactor,
) -> Result<FactorReply, StoreError> {
    let factors = factors_of(store, proof.user)?;
    if !factors.totp {
        return Ok(FactorReply::NotFound);
    }
    if required.applies_to(proof.role) && !factors.passkeys {
        return Ok(FactorReply::LastFactor);
    }
    store.run("DELETE FROM totp WHERE user = ?", &[proof.user.into()])?;
    if !factors.passkeys {
        remove_all(store, proof.user)?;
    }
    Ok(FactorReply::Done)
}

/// Removes a passkey of the author. With the last factor, the recovery codes go, too.
fn remove_passkey(
    store: &impl Store,
    proof: &Authorized<'_>,
    id: &str,
    required: RequiredFactor,
) -> Result<FactorReply, StoreError> {
    let owned = passkeys::list(store, proof.user)?;
    if !owned.iter().any(|passkey| passkey.id == id) {
        return Ok(FactorReply::NotFound);
    }
    let is_last = owned.len() == 1 && !factors_of(store, proof.user)?.totp;
    if is_last && required.applies_to(proof.role) {
        return Ok(FactorReply::LastFactor);
    }
    if is_last {
        remove_all(store, proof.user)?;
    } else {
        store.run("DELETE FROM passkeys WHERE id = ? AND user = ?", &[id.into(), proof.user.into()])?;
    }
    Ok(FactorReply::Done)
}

pub(super) fn replace_recovery_codes(
    store: &impl Store,
    user: &str,
    hashes: &[String],
) -> Result<(), StoreError> {
    store.run("DELETE FROM recovery_codes WHERE user = ?", &[user.into()])?;
    for hash in hashes {
        store.run(
            "INSERT OR IGNORE INTO recovery_codes (user, hash) VALUES (?, ?)",
            &[user.into(), hash.into()],
        )?;
    }
    Ok(())
}
