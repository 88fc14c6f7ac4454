//! Commands by which people make changes. The transaction that writes checks the author of each command.
//!
//! [`Write::required_role`] defines the role that a command needs. [`write()`] checks the author by the present state
//! of these tables, and then carries the command out. The functions that carry it out take the [`Authorized`] proof.

use serde::{Deserialize, Serialize};

use super::{
    Invite, Reply, Status,
    factors::{self, FactorWrite},
    invites::{change_invite, delete_invite, make_invite, revoke_invites_of_token},
    passwords::{self, PasswordWrite},
    settings::RequiredFactor,
    tokens as token_list,
    transfer::{self, NumberedRecord},
    users::{change, delete, read_role},
};
use crate::{
    base::time::Timestamp,
    identity::{
        author::{Author, Credential, Refusal},
        ended,
        principal::Role,
    },
    platform::store::{Store, StoreError},
    tokens::{self, Token},
};

/// A change by a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Write {
    /// Changes a user's role, status or both.
    ChangeUser {
        /// The user's id.
        id: String,
        /// The new role.
        role: Option<Role>,
        /// Whether the user is to be active or disabled.
        active: Option<bool>,
        /// Who needs a second factor. A user who needs one, and has none, does not become an admin.
        required: RequiredFactor,
    },
    /// Deletes the user with this id.
    DeleteUser(String),
    /// Makes an invite.
    MakeInvite {
        /// The invite. The author of the command becomes its author.
        invite: Invite,
        /// The hash of its token.
        token_hash: String,
    },
    /// Changes the role, status or both of an invite that is neither used nor revoked.
    ChangeInvite {
        /// The invite's id.
        id: String,
        /// The new role.
        role: Option<Role>,
        /// The new status.
        status: Option<Status>,
    },
    /// Deletes the invite with this id.
    DeleteInvite(String),
    /// Adds a token's metadata and its hash, unless its owner has [`MOST_TOKENS`](super::MOST_TOKENS).
    PutToken {
        /// The hash of its value.
        hash: String,
        /// The token. The author of the command becomes its owner.
        token: Token,
        /// Whether only an admin may make it.
        is_for_admins: bool,
    },
    /// Revokes the token with this id, and the unused invites that it made. The author must own it or be an admin.
    RevokeToken(String),
    /// Makes the author the owner of the agent's token with this id.
    TakeOverToken(String),
    /// Checks that the author may end the sessions of the user with this id. Changes nothing here: the gateway calls
    /// `Sessions` next.
    AuthorizeEndingSessions(String),
    /// Changes second factors.
    Factor(FactorWrite),
    /// Returns the records of the users after this id, at most this many. Changes nothing.
    ExportUsers(Option<String>, i64),
    /// Adds the users of these records. A dry run stores nothing.
    ImportUsers {
        /// The records.
        records: Vec<NumberedRecord>,
        /// Whether it is a dry run.
        is_dry_run: bool,
    },
    /// Changes a password.
    Password(PasswordWrite),
}

/// Proof that the author of a command may give it now. Only [`authorize`] makes one.
#[derive(Debug)]
pub(super) struct Authorized<'a> {
    /// The user's id.
    pub(super) user: &'a str,
    /// The id of the token that acts for the user, if one does.
    pub(super) token: Option<&'a str>,
    pub(super) role: Role,
}

impl Write {
    /// Returns the user about whom the command may change what a sign-in reads, if it is one user. Without a wildcard,
    /// a new command does not compile until somebody has decided.
    #[must_use]
    pub fn concerns<'a>(&'a self, author: &'a Author) -> Option<&'a str> {
        match self {
            Self::ChangeUser { id, .. } | Self::DeleteUser(id) | Self::Factor(FactorWrite::RemoveAll(id)) => {
                Some(id)
            }
            Self::Password(PasswordWrite::Change { .. })
            | Self::Factor(
                FactorWrite::Enroll(_)
                | FactorWrite::RemoveTotp(_)
                | FactorWrite::RemovePasskey(..)
                | FactorWrite::RenewRecoveryCodes(_),
            ) => author.user.as_deref(),
            // Imported users are told by the alarm: they can be many, and none of them is waiting.
            Self::ImportUsers { .. }
            | Self::Factor(FactorWrite::UseStep(_) | FactorWrite::UsePasskey(_))
            | Self::MakeInvite { .. }
            | Self::ChangeInvite { .. }
            | Self::DeleteInvite(_)
            | Self::PutToken { .. }
            | Self::RevokeToken(_)
            | Self::TakeOverToken(_)
            | Self::AuthorizeEndingSessions(_)
            | Self::Password(PasswordWrite::MakeLink(..))
            | Self::ExportUsers(..) => None,
        }
    }

    /// Returns the role that the command needs. Without a wildcard, a new command does not compile until it has a role.
    fn required_role(&self) -> Role {
        match self {
            Self::ChangeUser { .. }
            | Self::DeleteUser(_)
            | Self::MakeInvite { .. }
            | Self::ChangeInvite { .. }
            | Self::DeleteInvite(_)
            | Self::PutToken { is_for_admins: true, .. }
            | Self::TakeOverToken(_)
            | Self::AuthorizeEndingSessions(_)
            | Self::ExportUsers(..)
            | Self::ImportUsers { .. }
            | Self::Factor(FactorWrite::RemoveAll(_))
            | Self::Password(PasswordWrite::MakeLink(..)) => Role::Admin,
            Self::PutToken { is_for_admins: false, .. }
            | Self::RevokeToken(_)
            | Self::Password(PasswordWrite::Change { .. })
            | Self::Factor(
                FactorWrite::Enroll(_)
                | FactorWrite::RemoveTotp(_)
                | FactorWrite::RenewRecoveryCodes(_)
                | FactorWrite::UseStep(_)
                | FactorWrite::RemovePasskey(..)
                | FactorWrite::UsePasskey(_),
            ) => Role::User,
        }
    }
}

/// Carries out a command, if its author may give it now.
pub(super) fn write(
    store: &impl Store,
    author: &Author,
    write: Write,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let proof = match authorize(store, author, write.required_role(), now)? {
        Ok(proof) => proof,
        Err(refusal) => return Ok(Reply::Refused(refusal)),
    };
    match write {
        Write::ChangeUser { id, role, active, required } => {
            change(store, &proof, &id, role, active, required, now)
        }
        Write::DeleteUser(id) => delete(store, &proof, &id, now),
        Write::MakeInvite { invite, token_hash } => make_invite(store, &proof, invite, &token_hash),
        Write::ChangeInvite { id, role, status } => change_invite(store, &proof, &id, role, status, now),
        Write::DeleteInvite(id) => delete_invite(store, &proof, &id),
        Write::PutToken { hash, mut token, .. } => {
            proof.user.clone_into(&mut token.owner);
            token_list::put(store, &proof, &hash, &token, now)
        }
        Write::RevokeToken(id) => revoke_token(store, &proof, &id, now),
        Write::TakeOverToken(id) => take_over(store, &proof, &id, now),
        Write::AuthorizeEndingSessions(_) => Ok(Reply::Done(true)),
        // A second factor is a person's. No token changes it.
        Write::Factor(_) if proof.token.is_some() => Ok(Reply::Refused(Refusal::Kind)),
        Write::Factor(write) => factors::write(store, &proof, write, now).map(Reply::Factor),
        Write::ExportUsers(after, limit) => transfer::export(store, &proof, after.as_deref(), limit),
        Write::ImportUsers { records, is_dry_run } => {
            transfer::import(store, &proof, &records, is_dry_run, now)
        }
        Write::Password(write) => Ok(match passwords::write(store, &proof, author, write, now)? {
            Ok(reply) => Reply::Password(reply),
            Err(refusal) => Reply::Refused(refusal),
        }),
    }
}

/// Checks the author of a command, as the gateway would do now.
fn authorize<'a>(
    store: &impl Store,
    author: &'a Author,
    required: Role,
    now: Timestamp,
) -> Result<Result<Authorized<'a>, Refusal>, StoreError> {
    // Only `Sessions` knows whether a session is live. The gateway asked it, and reports here when the session ends.
    author.check_age(now)?;
    if ended::is_recorded(store, author)? {
        return Ok(Err(author.refusal()));
    }
    let Some(user) = author.user.as_deref() else { return Ok(Err(Refusal::Kind)) };
    let rows = store.run("SELECT role FROM users WHERE id = ? AND active = 1", &[user.into()])?;
    let Some(role) = rows.first().map(|row| read_role(row, 0)).transpose()? else {
        return Ok(Err(author.refusal()));
    };
    let token = match &author.credential {
        Credential::Session(_) => None,
        Credential::Token(id) => {
            let select = "SELECT expires_at FROM tokens WHERE id = ? AND owner = ? AND revoked_at IS NULL";
            let rows = store.run(select, &[id.into(), user.into()])?;
            let Some(row) = rows.first() else { return Ok(Err(Refusal::TokenRevoked)) };
            if row.optional_integer(0)?.is_some_and(|end| end <= now.0) {
                return Ok(Err(Refusal::TokenExpired));
            }
            Some(id.as_str())
        }
    };
    if required == Role::Admin && role != Role::Admin {
        return Ok(Err(Refusal::Role));
    }
    Ok(Ok(Authorized { user, token, role }))
}

/// Revokes a token. Its row is kept until its own object has the revocation, see [`Accounts`](super::Accounts).
fn revoke_token(
    store: &impl Store,
    proof: &Authorized<'_>,
    id: &str,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let Some((hash, token)) = find(store, id)? else { return Ok(Reply::NotFound) };
    if token.owner != proof.user && proof.role != Role::Admin {
        return Ok(Reply::NotFound);
    }
    token_list::revoke(store, id, now)?;
    revoke_invites_of_token(store, id)?;
    Ok(Reply::Tokens(vec![(hash, token)]))
}

/// Makes the author the owner of an agent's token. Tokens of the configuration belong to the operator, so they are not
/// found.
fn take_over(
    store: &impl Store,
    proof: &Authorized<'_>,
    id: &str,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let found = find(store, id)?.filter(|(_, token)| token.revoked_at.is_none());
    let Some((hash, mut token)) = found.filter(|(_, token)| token.owner != tokens::CONFIG_OWNER) else {
        return Ok(Reply::NotFound);
    };
    if token.owner != proof.user && !token_list::has_room(store, proof.user, now)? {
        return Ok(Reply::Done(false));
    }
    store.run(
        "UPDATE tokens SET owner = ?, takeovers = takeovers + 1 WHERE id = ?",
        &[proof.user.into(), id.into()],
    )?;
    token_list::record_untold(store, id)?;
    proof.user.clone_into(&mut token.owner);
    token.takeovers = token.takeovers.saturating_add(1);
    Ok(Reply::Tokens(vec![(hash, token)]))
}

fn find(store: &impl Store, id: &str) -> Result<Option<(String, Token)>, StoreError> {
    let select = format!("SELECT {}, hash FROM tokens WHERE id = ?", tokens::COLUMNS);
    store.run(&select, &[id.into()])?.first().map(token_list::read_token).transpose()
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, clippy::arithmetic_side_effects, reason = "a test")]
pub(super) mod tests;
