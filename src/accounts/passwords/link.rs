//! Reset links: single-use tokens with which a new password is chosen.
//!
//! A token is `mkr_` and 27 characters. Its first characters after the prefix are the *selector*, which finds the row.
//! Only the hash of the whole token is stored, and it is compared in constant time.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::PasswordReply;
use crate::{
    accounts::{users::read_status, writes::Authorized},
    base::{encoding, time::Timestamp},
    crypto::secret,
    platform::store::{Store, StoreError},
};

/// The time for which a link is good. The pages name it.
pub const LIFETIME: Duration = Duration::from_hours(1);

/// What a link's token begins with.
pub const PREFIX: &str = "mkr_";

/// A new link, not yet stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewLink {
    /// What finds it, and proves it.
    pub proof: LinkProof,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What the token of a link proves: how to find its row, and the hash to compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkProof {
    /// The part of the token that finds the row.
    pub selector: String,
    /// The hash of the whole token, in hex.
    pub hash: String,
}

/// Whom to send a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The user's id.
    pub user: String,
    /// The user's e-mail address.
    pub email: String,
    /// The user's name, if there is one.
    pub name: Option<String>,
}

impl LinkProof {
    /// Reads a token. Returns `None` for a text that cannot be one.
    #[must_use]
    pub fn of(token: &str) -> Option<Self> {
        let random = token.strip_prefix(PREFIX)?;
        let is_random =
            random.len() == 27 && random.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let selector = random.get(..SELECTOR).filter(|_| is_random)?;
        Some(Self { selector: selector.to_owned(), hash: encoding::hex(&Sha256::digest(token)) })
    }
}

/// At most one link for each user. A link that was asked for an address without an active user is in the row without a
/// user, and opens nothing.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS reset_links (
    user TEXT PRIMARY KEY, selector TEXT NOT NULL UNIQUE, hash TEXT NOT NULL, version INTEGER NOT NULL,
    made_by TEXT, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID";

/// Stores a link for the active user with an e-mail address. Does the same work without such a user.
pub(super) fn request(
    store: &impl Store,
    email: &str,
    new: &NewLink,
    now: Timestamp,
) -> Result<PasswordReply, StoreError> {
    sweep(store, now)?;
    let stored = store.run(
        "INSERT OR REPLACE INTO reset_links (user, selector, hash, version, made_by, expires_at)
         SELECT coalesce(max(id), ''), ?, ?, coalesce(max(version), 0), NULL, ?
         FROM users WHERE email = ? AND active = 1 RETURNING user",
        &[(&new.proof.selector).into(), (&new.proof.hash).into(), new.expires_at.into(), email.into()],
    )?;
    let user = stored.first().map_or(Ok(String::new()), |row| row.text(0))?;
    let rows = store.run("SELECT id, email, name FROM users WHERE id = ?", &[(&user).into()])?;
    let recipient = rows
        .first()
        .map(|row| Ok(Recipient { user: row.text(0)?, email: row.text(1)?, name: row.optional_text(2)? }));
    recipient.transpose().map(PasswordReply::Requested)
}

/// Stores a link that an admin makes for an active user. It replaces the user's earlier one.
pub(super) fn make(
    store: &impl Store,
    proof: &Authorized<'_>,
    user: &str,
    new: &NewLink,
    now: Timestamp,
) -> Result<PasswordReply, StoreError> {
    sweep(store, now)?;
    let rows = store.run("SELECT role, active, version FROM users WHERE id = ?", &[user.into()])?;
    let Some(status) = rows.first().map(|row| read_status(row, 0)).transpose()? else {
        return Ok(PasswordReply::NotFound);
    };
    if !status.active {
        return Ok(PasswordReply::Disabled);
    }
    store.run(
        "INSERT OR REPLACE INTO reset_links (user, selector, hash, version, made_by, expires_at)
         VALUES (?, ?, ?, ?, ?, ?)",
        &[
            user.into(),
            (&new.proof.selector).into(),
            (&new.proof.hash).into(),
            status.version.into(),
            proof.user.into(),
            new.expires_at.into(),
        ],
    )?;
    Ok(PasswordReply::Made)
}

/// Returns the user of a link, if it can be used.
pub(super) fn find(
    store: &impl Store,
    proof: &LinkProof,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let rows = store.run(
        "SELECT users.id, hash FROM reset_links JOIN users ON users.id = reset_links.user
         WHERE selector = ? AND expires_at > ? AND active = 1 AND users.version = reset_links.version
           AND (made_by IS NULL OR EXISTS
               (SELECT 1 FROM users AS maker WHERE maker.id = made_by AND maker.role = 'admin' AND maker.active = 1))",
        &[(&proof.selector).into(), now.into()],
    )?;
    let Some(row) = rows.first() else { return Ok(None) };
    let known = row.text(1)?;
    let user = row.text(0)?;
    Ok(secret::compare(known.as_bytes(), proof.hash.as_bytes()).is_ok().then_some(user))
}

/// Deletes the link of a user.
pub(super) fn remove(store: &impl Store, user: &str) -> Result<(), StoreError> {
    store.run("DELETE FROM reset_links WHERE user = ?", &[user.into()])?;
    Ok(())
}

/// Deletes the links that a user has made for others.
pub(super) fn remove_made_by(store: &impl Store, maker: &str) -> Result<(), StoreError> {
    store.run("DELETE FROM reset_links WHERE made_by = ?", &[maker.into()])?;
    Ok(())
}

/// Deletes some links that have ended.
fn sweep(store: &impl Store, now: Timestamp) -> Result<(), StoreError> {
    store.run(
        "DELETE FROM reset_links WHERE user IN (SELECT user FROM reset_links WHERE expires_at <= ? LIMIT 20)",
        &[now.into()],
    )?;
    Ok(())
}

/// Length of a selector: 48 of the token's 160 random bits.
const SELECTOR: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_only_tokens() {
        let token = "mkr_AAAAAAAA-_AAAAAAAAAAAAAAAAA";
        let proof = LinkProof::of(token).expect("a token");
        assert_eq!(proof.selector, "AAAAAAAA");
        assert_eq!(proof.hash.len(), 64);
        for other in [
            "",
            "mkr_",
            &token[..30],
            &format!("{token}A"),
            &token.replace("mkr", "mki"),
            &token.replace('-', "."),
        ] {
            assert_eq!(LinkProof::of(other), None, "{other}");
        }
    }
}
