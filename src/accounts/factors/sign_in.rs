//! The second step of a sign-in, in one transaction: the ticket, the user, the proof, and their use.

use serde::{Deserialize, Serialize};

use super::{
    FactorReply, Ticket, TotpState,
    passkeys::{self, UsedPasskey},
    ticket,
    ticket::Purpose,
};
use crate::{
    accounts::users::read_status,
    base::time::Timestamp,
    crypto::secret,
    platform::store::{Store, StoreError},
    sessions::registry::UserStatus,
};

/// What a user proved in the second step of a sign-in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Proof {
    /// A code of an authenticator app. The Worker has compared it.
    Totp(UsedStep),
    /// A recovery code, by its hash.
    RecoveryCode(String),
    /// A passkey. The Worker has checked its message.
    Passkey(UsedPasskey),
}

/// A right code of an authenticator app.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UsedStep {
    /// The id of the factor that was compared.
    pub id: String,
    /// The step whose code it is.
    pub step: i64,
    /// The secret, sealed under the current key, if it was sealed under the previous one.
    pub resealed: Option<String>,
}

/// Finishes a sign-in. Nothing is written unless the ticket and the proof are both accepted.
pub(super) fn sign_in(
    store: &impl Store,
    ticket: &Ticket,
    proof: Proof,
    now: Timestamp,
) -> Result<FactorReply, StoreError> {
    let Some(status) = ticket_user_status(store, ticket, Purpose::SignIn, now)? else {
        return Ok(FactorReply::TicketUnusable);
    };
    let is_accepted = match proof {
        Proof::Totp(right) => use_step(store, &ticket.user, &right)?,
        Proof::RecoveryCode(hash) => use_recovery_code(store, &ticket.user, &hash)?,
        Proof::Passkey(used) => match passkeys::use_once(store, &used, Some(&ticket.user), now)? {
            FactorReply::SignedIn(_) => true,
            refusal => return Ok(refusal),
        },
    };
    if !is_accepted {
        return Ok(FactorReply::Wrong);
    }
    record_use(store, &ticket.id, ticket.expires_at, now)?;
    Ok(FactorReply::SignedIn(status))
}

/// Returns the status of a ticket's user, if the ticket is for this purpose, unused and not expired, and if the user is
/// active and still has the ticket's generation.
pub(super) fn ticket_user_status(
    store: &impl Store,
    ticket: &Ticket,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Option<UserStatus>, StoreError> {
    if ticket.purpose != purpose || ticket.expires_at <= now {
        return Ok(None);
    }
    if is_used(store, &ticket.id)? {
        return Ok(None);
    }
    let select = "SELECT role, active, version, password FROM users WHERE id = ? AND active = 1";
    let rows = store.run(select, &[(&ticket.user).into()])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (status, password) = (read_status(row, 0)?, row.text(3)?);
    let present = ticket::generation(&password, &status);
    Ok(ticket::is_of_generation(ticket, &present).then_some(status))
}

/// Returns whether a ticket or a ceremony was used.
pub(super) fn is_used(store: &impl Store, id: &str) -> Result<bool, StoreError> {
    Ok(!store.run("SELECT 1 FROM used_tickets WHERE id = ?", &[id.into()])?.is_empty())
}

/// Records that a ticket or a ceremony was used. Deletes some records of those that have ended.
pub(super) fn record_use(
    store: &impl Store,
    id: &str,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    store.run(
        "DELETE FROM used_tickets WHERE id IN (SELECT id FROM used_tickets WHERE until <= ? LIMIT 20)",
        &[now.into()],
    )?;
    store.run("INSERT INTO used_tickets (id, until) VALUES (?, ?)", &[id.into(), expires_at.into()])?;
    Ok(())
}

/// Uses a step, if it is later than every step that was used. Returns whether it was accepted.
pub(super) fn use_step(store: &impl Store, user: &str, right: &UsedStep) -> Result<bool, StoreError> {
    let rows = store.run(
        "UPDATE totp SET last_step = ?, sealed = coalesce(?, sealed)
         WHERE user = ? AND state = ? AND id = ? AND last_step < ? RETURNING 1",
        &[
            right.step.into(),
            right.resealed.as_deref().into(),
            user.into(),
            TotpState::Confirmed.name().into(),
            (&right.id).into(),
            right.step.into(),
        ],
    )?;
    Ok(!rows.is_empty())
}

/// Deletes a recovery code, if the user has it. Compares it with all codes of the user, in constant time.
fn use_recovery_code(store: &impl Store, user: &str, hash: &str) -> Result<bool, StoreError> {
    let rows = store.run("SELECT hash FROM recovery_codes WHERE user = ?", &[user.into()])?;
    let mut found = None;
    for row in &rows {
        let known = row.text(0)?;
        if secret::compare(known.as_bytes(), hash.as_bytes()).is_ok() {
            found = Some(known);
        }
    }
    let Some(found) = found else { return Ok(false) };
    let rows = store.run(
        "DELETE FROM recovery_codes WHERE user = ? AND hash = ? RETURNING 1",
        &[user.into(), (&found).into()],
    )?;
    Ok(!rows.is_empty())
}
