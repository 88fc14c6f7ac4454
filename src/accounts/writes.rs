//! Commands by which people change something. Each is judged in the transaction that writes.
//!
//! A [`Write`] says what it asks of its author ([`Write::needs`]); [`write`] judges the author by what these tables
//! say now, and only then carries it out. The functions that carry it out take the proof.

use serde::{Deserialize, Serialize};

use super::{
    Invite, Reply, Status,
    invites::{change_invite, delete_invite, make_invite, revoke_invites_of_token},
    tokens as listed,
    users::{change, delete, role},
};
use crate::{
    author::{Author, Credential, Refusal},
    ended,
    principal::Role,
    store::{Store, StoreError},
    time::Timestamp,
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
        /// Whether they may come in.
        active: Option<bool>,
    },
    /// Deletes the user with this id.
    DeleteUser(String),
    /// Makes an invite.
    MakeInvite {
        /// The invite. Its author is the command's.
        invite: Invite,
        /// The hash of its token.
        token_hash: String,
    },
    /// Changes an unused invite's role, status or both.
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
    /// Keeps a token's metadata and its hash, unless its owner has [`MOST_TOKENS`](super::MOST_TOKENS).
    PutToken {
        /// The hash of its value.
        hash: String,
        /// The token. Its owner is the command's author.
        token: Token,
        /// Whether only an admin may make it.
        is_for_admins: bool,
    },
    /// Revokes the token with this id: one's own, or any as an admin. Its unused invites go with it.
    RevokeToken(String),
    /// Makes the author the owner of the agent's token with this id.
    TakeOverToken(String),
    /// Lets the author end sessions of another user, with this id. Nothing changes here: `Sessions` is told next.
    EndSessions(String),
}

/// The role that a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    User,
    Admin,
}

/// Proof that the author of a command may give it now.
#[derive(Debug)]
pub(super) struct Authorized<'a> {
    /// The user's id.
    pub(super) user: &'a str,
    /// The token that acts for them, if one does.
    pub(super) token: Option<&'a str>,
    role: Role,
}

impl Write {
    /// Says which role the command asks for. There is no wildcard: a new command does not compile until this is decided.
    fn needs(&self) -> Needs {
        match self {
            Self::ChangeUser { .. }
            | Self::DeleteUser(_)
            | Self::MakeInvite { .. }
            | Self::ChangeInvite { .. }
            | Self::DeleteInvite(_)
            | Self::PutToken { is_for_admins: true, .. }
            | Self::TakeOverToken(_)
            | Self::EndSessions(_) => Needs::Admin,
            Self::PutToken { is_for_admins: false, .. } | Self::RevokeToken(_) => Needs::User,
        }
    }
}

/// Carries a command out, if its author may give it now.
pub(super) fn write(
    store: &impl Store,
    author: &Author,
    write: Write,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let by = match authorize(store, author, write.needs(), now)? {
        Ok(by) => by,
        Err(refusal) => return Ok(Reply::Refused(refusal)),
    };
    match write {
        Write::ChangeUser { id, role, active } => change(store, &by, &id, (role, active), now),
        Write::DeleteUser(id) => delete(store, &by, &id, now),
        Write::MakeInvite { invite, token_hash } => make_invite(store, &by, invite, &token_hash),
        Write::ChangeInvite { id, role, status } => change_invite(store, &by, &id, (role, status), now),
        Write::DeleteInvite(id) => delete_invite(store, &by, &id),
        Write::PutToken { hash, mut token, .. } => {
            by.user.clone_into(&mut token.owner);
            listed::put(store, &by, &hash, &token, now)
        }
        Write::RevokeToken(id) => revoke_token(store, &by, &id, now),
        Write::TakeOverToken(id) => take_over(store, &by, &id, now),
        Write::EndSessions(_) => Ok(Reply::Done(true)),
    }
}

/// Judges the author of a command in the same way as the gateway would now.
fn authorize<'a>(
    store: &impl Store,
    author: &'a Author,
    needs: Needs,
    now: Timestamp,
) -> Result<Result<Authorized<'a>, Refusal>, StoreError> {
    // Its own object knows whether the session is still there: the gateway asked it, and has told us if it ended since.
    author.check_age(now)?;
    if ended::is_noted(store, author)? {
        return Ok(Err(author.is_gone()));
    }
    let Some(user) = author.user.as_deref() else { return Ok(Err(Refusal::Kind)) };
    let rows = store.run("SELECT role FROM users WHERE id = ? AND active = 1", &[user.into()])?;
    let Some(role) = rows.first().map(|row| role(row, 0)).transpose()? else {
        return Ok(Err(author.is_gone()));
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
    if needs == Needs::Admin && role != Role::Admin {
        return Ok(Err(Refusal::Role));
    }
    Ok(Ok(Authorized { user, token, role }))
}

/// Notes that a token is revoked. It is kept until its own object knows, see [`Accounts`](super::Accounts).
fn revoke_token(
    store: &impl Store,
    by: &Authorized<'_>,
    id: &str,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let Some((hash, known)) = find(store, id)? else { return Ok(Reply::NotFound) };
    if known.owner != by.user && by.role != Role::Admin {
        return Ok(Reply::NotFound);
    }
    listed::revoke(store, id, now)?;
    revoke_invites_of_token(store, id)?;
    Ok(Reply::Tokens(vec![(hash, known)]))
}

/// Gives an agent's token another owner. Those that the configuration names belong to the operator.
fn take_over(store: &impl Store, by: &Authorized<'_>, id: &str, now: Timestamp) -> Result<Reply, StoreError> {
    let known = find(store, id)?.filter(|(_, token)| token.revoked_at.is_none());
    let Some((hash, mut token)) = known.filter(|(_, token)| token.owner != tokens::SEEDED_BY) else {
        return Ok(Reply::NotFound);
    };
    if token.owner != by.user && !listed::has_room(store, by.user, now)? {
        return Ok(Reply::Done(false));
    }
    store.run(
        "UPDATE tokens SET owner = ?, takeovers = takeovers + 1 WHERE id = ?",
        &[by.user.into(), id.into()],
    )?;
    by.user.clone_into(&mut token.owner);
    token.takeovers = token.takeovers.saturating_add(1);
    Ok(Reply::Tokens(vec![(hash, token)]))
}

fn find(store: &impl Store, id: &str) -> Result<Option<(String, Token)>, StoreError> {
    let select = format!("SELECT {}, hash FROM tokens WHERE id = ?", tokens::COLUMNS);
    store.run(&select, &[id.into()])?.first().map(listed::token).transpose()
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, clippy::arithmetic_side_effects, reason = "a test")]
mod tests;
