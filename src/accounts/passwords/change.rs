//! Replaces a password, in one transaction: the hash, the user's version, the links, and on request the tokens.

use serde::{Deserialize, Serialize};

use super::{PasswordReply, Rehash, link};
use crate::{
    accounts::{
        factors,
        invites::{revoke_invites, revoke_invites_of_token},
        tokens as token_list,
        users::{next_version, read_status},
    },
    base::time::Timestamp,
    crypto::secret,
    platform::store::{SqlRow, Store, StoreError},
    sessions::registry::PasswordChange,
    tokens::{self, Token},
};

/// A new password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewPassword {
    /// Its hash.
    pub stored: String,
    /// Whether the tokens and the unused invites of the user are revoked, too.
    pub revoke_tokens: bool,
}

/// A password that was replaced, and what is to be told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// The user's id.
    pub user: String,
    /// The user's e-mail address.
    pub email: String,
    /// The user's name, if there is one.
    pub name: Option<String>,
    /// What the registry has to know.
    pub change: PasswordChange,
    /// The tokens that were revoked, with their hashes.
    pub tokens: Vec<(String, Token)>,
}

/// Changes that end the sessions of earlier sign-ins, and that the registry may not have yet: new passwords, and enabled
/// users. A deleted user has no such row.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS untold_passwords (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, kept_session TEXT) STRICT, WITHOUT ROWID";

/// Selects changes that the registry may not have yet, for [`untold`].
pub(in crate::accounts) const UNTOLD: &str =
    "SELECT users.id, role, active, users.version, untold_passwords.version, kept_session
     FROM untold_passwords JOIN users ON users.id = untold_passwords.id ORDER BY users.id LIMIT 50";

/// Reads a row of [`UNTOLD`]: the user's id, and the change.
pub(in crate::accounts) fn untold(row: &SqlRow) -> Result<(String, PasswordChange), StoreError> {
    let change = PasswordChange {
        status: read_status(row, 1)?,
        version: row.integer(4)?,
        kept_session: row.optional_text(5)?,
    };
    Ok((row.text(0)?, change))
}

/// Replaces the password of a user who has proved the current one. `compared` is the stored one that was compared.
pub(super) fn change(
    store: &impl Store,
    user: &str,
    session: &str,
    compared: &str,
    new: &NewPassword,
    now: Timestamp,
) -> Result<PasswordReply, StoreError> {
    let rows = store.run("SELECT password FROM users WHERE id = ?", &[user.into()])?;
    let Some(stored) = rows.first().map(|row| row.text(0)).transpose()? else {
        return Ok(PasswordReply::NotFound);
    };
    match secret::compare(stored.as_bytes(), compared.as_bytes()) {
        Ok(_) => replace(store, user, Some(session), new, now),
        Err(_) => Ok(PasswordReply::Wrong),
    }
}

/// Replaces the password of an active admin who has lost it, for a client with the setup token. The second factors go,
/// too: a person who has lost everything has no other way in.
pub(super) fn recover(
    store: &impl Store,
    email: &str,
    new: &NewPassword,
    now: Timestamp,
) -> Result<PasswordReply, StoreError> {
    let select = "SELECT id FROM users WHERE email = ? AND role = 'admin' AND active = 1";
    let rows = store.run(select, &[email.into()])?;
    let Some(user) = rows.first().map(|row| row.text(0)).transpose()? else {
        return Ok(PasswordReply::NotFound);
    };
    factors::remove_all(store, &user)?;
    replace(store, &user, None, new, now)
}

/// Replaces a user's password. The caller has judged the proof in this transaction.
pub(super) fn replace(
    store: &impl Store,
    user: &str,
    kept_session: Option<&str>,
    new: &NewPassword,
    now: Timestamp,
) -> Result<PasswordReply, StoreError> {
    let rows =
        store.run("SELECT role, active, version, email, name FROM users WHERE id = ?", &[user.into()])?;
    let Some(row) = rows.first() else { return Ok(PasswordReply::NotFound) };
    let (mut status, email, name) = (read_status(row, 0)?, row.text(3)?, row.optional_text(4)?);
    status.version = next_version(status.version, now);
    let version = status.version;
    store.run(
        "UPDATE users SET password = ?, version = ? WHERE id = ?",
        &[(&new.stored).into(), version.into(), user.into()],
    )?;
    link::remove(store, user)?;
    // Whoever knew the old password, or had a session, may have made them.
    link::remove_made_by(store, user)?;
    end_earlier_sign_ins(store, user, version, kept_session)?;
    let mut tokens = Vec::new();
    if new.revoke_tokens {
        revoke_invites(store, user)?;
        tokens = revoke_tokens(store, user, now)?;
    }
    Ok(PasswordReply::Changed(PasswordChanged {
        user: user.to_owned(),
        email,
        name,
        change: PasswordChange { status, version, kept_session: kept_session.map(str::to_owned) },
        tokens,
    }))
}

/// Records that the sessions of sign-ins before this version are to end, except this session, until the registry has
/// ended them.
pub(in crate::accounts) fn end_earlier_sign_ins(
    store: &impl Store,
    user: &str,
    version: i64,
    kept_session: Option<&str>,
) -> Result<(), StoreError> {
    store.run(
        "INSERT OR REPLACE INTO untold_passwords (id, version, kept_session) VALUES (?, ?, ?)",
        &[user.into(), version.into(), kept_session.into()],
    )?;
    Ok(())
}

/// Stores another hash of the same password, unless it has changed. Returns the one that is stored now, if the user has
/// not changed: another sign-in may have been first.
pub(super) fn rehash(store: &impl Store, rehash: &Rehash) -> Result<PasswordReply, StoreError> {
    let Rehash { user, compared, version, stored } = rehash;
    store.run(
        "UPDATE users SET password = ? WHERE id = ? AND version = ? AND password = ?",
        &[stored.into(), user.into(), (*version).into(), compared.into()],
    )?;
    let select = "SELECT password FROM users WHERE id = ? AND version = ?";
    let rows = store.run(select, &[user.into(), (*version).into()])?;
    rows.first().map(|row| row.text(0)).transpose().map(PasswordReply::Stored)
}

pub(super) fn delivered(store: &impl Store, user: &str, version: i64) -> Result<PasswordReply, StoreError> {
    store
        .run("DELETE FROM untold_passwords WHERE id = ? AND version <= ?", &[user.into(), version.into()])?;
    Ok(PasswordReply::Done)
}

/// Deletes the reset links that a user has made, because the user is no longer an active admin.
pub(in crate::accounts) fn remove_made_links(store: &impl Store, user: &str) -> Result<(), StoreError> {
    link::remove_made_by(store, user)
}

/// Deletes what is stored about the password of a user who is deleted.
pub(in crate::accounts) fn remove_all(store: &impl Store, user: &str) -> Result<(), StoreError> {
    link::remove(store, user)?;
    link::remove_made_by(store, user)?;
    store.run("DELETE FROM untold_passwords WHERE id = ?", &[user.into()])?;
    Ok(())
}

/// Revokes the tokens of a user whose id was imported: those that a deleted user of this id has left.
pub(in crate::accounts) fn revoke_left_tokens(
    store: &impl Store,
    user: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    revoke_tokens(store, user, now).map(drop)
}

/// Revokes the tokens of a user, and the unused invites that they made. Returns those that have to be told.
fn revoke_tokens(store: &impl Store, user: &str, now: Timestamp) -> Result<Vec<(String, Token)>, StoreError> {
    // Those that people made come first: with a token go those that it made.
    let select = format!(
        "SELECT {}, hash FROM tokens WHERE owner = ? AND revoked_at IS NULL ORDER BY made_by_token IS NOT NULL, id",
        tokens::COLUMNS
    );
    let mut revoked = Vec::new();
    for row in &store.run(&select, &[user.into()])? {
        let (hash, token) = token_list::read_token(row)?;
        if store.run("SELECT 1 FROM tokens WHERE id = ?", &[(&token.id).into()])?.is_empty() {
            continue;
        }
        token_list::revoke(store, &token.id, now)?;
        revoke_invites_of_token(store, &token.id)?;
        revoked.push((hash, Token { revoked_at: Some(now), ..token }));
    }
    Ok(revoked)
}
