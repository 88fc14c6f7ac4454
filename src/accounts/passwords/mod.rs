//! Passwords: changing them, links with which a new one is chosen, and the recovery of an admin.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | commands, replies and tables |
//! | `change.rs` | replaces a password, in one transaction |
//! | `link.rs` | reset links |
//! | `policy.rs`, `common.txt` | which new passwords are accepted |
//! | `tests.rs`, `tests/model.rs` | tests; `model.rs` tests random histories of commands |
//!
//! 1. Whoever replaces a password has proved the current one, has a reset link, or has the setup token. The transaction
//!    that replaces it judges the proof: the password is still the one that was compared, the link is still good.
//! 2. A new password gives the user a new version. `Sessions` ends the sessions of sign-ins that read an earlier one,
//!    and opens none for them. So a sign-in that compared the old password leaves no session, whichever is first. A row
//!    here records the change until `Sessions` has it.
//! 3. A reset link is used once. It is good for an hour, while its user is active and unchanged, and until there is a
//!    newer one for the user. If an admin made it, only while that admin is an active admin, with the same password.
//! 4. The store has only the hash of a link's token. A part of the token finds the row, so that attempts are counted
//!    before the rest is compared, in constant time.
//! 5. Asking for a link by mail does the same work for every address: one row is written, for a user or for none.

pub mod policy;

mod change;
mod link;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use change::{NewPassword, PasswordChanged};
pub(super) use change::{
    UNTOLD, end_earlier_sign_ins, remove_all, remove_made_links, revoke_left_tokens, untold,
};
pub use link::{LIFETIME, LinkProof, NewLink, PREFIX, Recipient};

use super::writes::Authorized;
use crate::{
    base::time::Timestamp,
    identity::author::{Author, Credential, Refusal},
    platform::store::{Store, StoreError, run_all},
};

/// Commands to `Accounts` about passwords.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PasswordCommand {
    /// Makes a reset link for the active user with this e-mail address, if there is one.
    RequestLink(String, NewLink),
    /// Checks whether a reset link can be used.
    CheckLink(LinkProof),
    /// Replaces a password with a reset link.
    UseLink(LinkProof, NewPassword),
    /// Replaces the password of the active admin with this e-mail address, and removes the second factors.
    Recover(String, NewPassword),
    /// Stores another hash of the same password.
    Rehash(Rehash),
    /// Records that the registry has a user's change of password, up to this version.
    Delivered(String, i64),
}

/// Another hash of the same password, with a higher cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rehash {
    /// The user's id.
    pub user: String,
    /// The stored password that was compared.
    pub compared: String,
    /// The version of the user's status at that time.
    pub version: i64,
    /// The new hash.
    pub stored: String,
}

/// Changes of passwords by people.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PasswordWrite {
    /// Replaces the author's password. The author's session stays.
    Change {
        /// The stored password that was compared with the one that the author gave.
        compared: String,
        /// The new password.
        new: NewPassword,
    },
    /// Makes a reset link for the user with this id.
    MakeLink(String, NewLink),
}

/// Replies to commands about passwords.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PasswordReply {
    /// Done. Whom to send the link, if the address has an active user.
    Requested(Option<Recipient>),
    /// The link was made.
    Made,
    /// The link can be used.
    Usable,
    /// The link is unknown, was used, has expired or was replaced, its user has changed, or its maker may no longer
    /// make links.
    Unusable,
    /// The password was replaced.
    Changed(PasswordChanged),
    /// The stored password now, if the user has not changed since it was compared.
    Stored(Option<String>),
    /// The password is no longer the one that was compared.
    Wrong,
    /// There is no such user.
    NotFound,
    /// The user is disabled.
    Disabled,
    /// Done.
    Done,
}

/// Executes a command about passwords.
pub(super) fn handle(
    store: &impl Store,
    command: PasswordCommand,
    now: Timestamp,
) -> Result<PasswordReply, StoreError> {
    match command {
        PasswordCommand::RequestLink(email, new) => link::request(store, &email, &new, now),
        PasswordCommand::CheckLink(proof) => {
            let found = link::find(store, &proof, now)?;
            Ok(if found.is_some() { PasswordReply::Usable } else { PasswordReply::Unusable })
        }
        PasswordCommand::UseLink(proof, new) => match link::find(store, &proof, now)? {
            Some(user) => change::replace(store, &user, None, &new, now),
            None => Ok(PasswordReply::Unusable),
        },
        PasswordCommand::Recover(email, new) => change::recover(store, &email, &new, now),
        PasswordCommand::Rehash(rehash) => change::rehash(store, &rehash),
        PasswordCommand::Delivered(user, version) => change::delivered(store, &user, version),
    }
}

/// Executes a change by a person.
pub(super) fn write(
    store: &impl Store,
    proof: &Authorized<'_>,
    author: &Author,
    write: PasswordWrite,
    now: Timestamp,
) -> Result<Result<PasswordReply, Refusal>, StoreError> {
    // A password is a person's. No token changes it, or makes a link that does.
    let Credential::Session(session) = &author.credential else { return Ok(Err(Refusal::Kind)) };
    match write {
        PasswordWrite::Change { compared, new } => {
            change::change(store, proof.user, session, &compared, &new, now)
        }
        PasswordWrite::MakeLink(user, new) => link::make(store, proof, &user, &new, now),
    }
    .map(Ok)
}

/// Adds the tables of passwords.
pub(super) fn add_passwords(store: &dyn Store) -> Result<(), StoreError> {
    run_all(store, TABLES)
}

const TABLES: &[&str] =
    &[link::TABLE, "CREATE INDEX IF NOT EXISTS reset_links_until ON reset_links (expires_at)", change::TABLE];
