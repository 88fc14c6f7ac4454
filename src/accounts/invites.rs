//! Invites: making, changing, deleting and revoking them.

use serde::{Deserialize, Serialize};

use super::{Reply, read_role, writes::Authorized};
use crate::{
    base::time::Timestamp,
    identity::principal::Role,
    platform::store::{SqlRow, Store, StoreError, Value},
};

/// An invite, without its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// The id: `inv_…`.
    pub id: String,
    /// The only email address that may redeem it; `None` allows any.
    pub email: Option<String>,
    /// The role of the new user.
    pub role: Role,
    /// The status.
    pub status: Status,
    /// When it was made.
    pub created_at: Timestamp,
    /// The id of the admin who made it.
    pub created_by: String,
    /// When it expires, if it does.
    pub expires_at: Option<Timestamp>,
    /// The id of the user who was added with it.
    pub used_by: Option<String>,
    /// When it was used. Unknown for invites used before version 0.2.
    #[serde(default)]
    pub used_at: Option<Timestamp>,
}

/// The status of an invite. `Expired` is not stored: it is derived from the expiry when the invite is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Can be used.
    Unused,
    /// Was used to add a user.
    Used,
    /// Was revoked, permanently.
    Revoked,
    /// Is disabled, and can be enabled again.
    Disabled,
    /// Was not used before its expiry.
    Expired,
}

impl Status {
    /// Returns the name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Used => "used",
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
        }
    }

    /// Parses a status that an admin may set.
    #[must_use]
    pub fn parse_settable(name: &str) -> Option<Self> {
        match name {
            "unused" => Some(Self::Unused),
            "revoked" => Some(Self::Revoked),
            "disabled" => Some(Self::Disabled),
            _ => None,
        }
    }
}

pub(super) fn make_invite(
    store: &impl Store,
    proof: &Authorized<'_>,
    new: Invite,
    token_hash: &str,
) -> Result<Reply, StoreError> {
    let new = Invite { created_by: proof.user.to_owned(), ..new };
    let taken = store.run("SELECT 1 FROM users WHERE email = ?", &[new.email.as_deref().into()])?;
    if !taken.is_empty() {
        return Ok(Reply::EmailTaken);
    }
    store.run(
        "INSERT INTO invites (id, token_hash, email, role, status, created_at, created_by, expires_at)
         VALUES (?, ?, ?, ?, 'unused', ?, ?, ?)",
        &[
            (&new.id).into(),
            token_hash.into(),
            new.email.as_deref().into(),
            new.role.name().into(),
            new.created_at.into(),
            (&new.created_by).into(),
            new.expires_at.map_or(Value::Null, Value::from),
        ],
    )?;
    if let Some(token) = proof.token {
        store.run(
            "INSERT OR REPLACE INTO invited_by_token (invite, token) VALUES (?, ?)",
            &[(&new.id).into(), token.into()],
        )?;
    }
    Ok(Reply::Invite(new))
}

pub(super) fn delete_invite(
    store: &impl Store,
    _proof: &Authorized<'_>,
    id: &str,
) -> Result<Reply, StoreError> {
    let rows = store.run("DELETE FROM invites WHERE id = ? RETURNING 1", &[id.into()])?;
    store.run("DELETE FROM invited_by_token WHERE invite = ?", &[id.into()])?;
    Ok(if rows.is_empty() { Reply::NotFound } else { Reply::Done(true) })
}

/// Returns the invite if it can be used. Its author must be an active admin now. If a token made it, the token must not
/// be revoked and must still belong to the author.
pub(super) fn find_unused(
    store: &impl Store,
    token_hash: &str,
    now: Timestamp,
) -> Result<Option<Invite>, StoreError> {
    let select = format!(
        "SELECT {INVITE} FROM invites WHERE token_hash = ?
         AND EXISTS (SELECT 1 FROM users WHERE users.id = created_by AND users.role = 'admin' AND active = 1)
         AND NOT EXISTS (SELECT 1 FROM invited_by_token AS made JOIN tokens ON tokens.id = made.token
             WHERE made.invite = invites.id
               AND (tokens.revoked_at IS NOT NULL OR tokens.owner <> invites.created_by))"
    );
    let rows = store.run(&select, &[token_hash.into()])?;
    let found = rows.first().map(|row| read_invite(row, now)).transpose()?;
    Ok(found.filter(|invite| invite.status == Status::Unused))
}

pub(super) fn change_invite(
    store: &impl Store,
    _proof: &Authorized<'_>,
    id: &str,
    role: Option<Role>,
    status: Option<Status>,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let select = format!("SELECT {INVITE} FROM invites WHERE id = ?");
    let rows = store.run(&select, &[id.into()])?;
    let Some(known) = rows.first().map(|row| read_invite(row, now)).transpose()? else {
        return Ok(Reply::NotFound);
    };
    // A used or revoked invite cannot be changed.
    if matches!(known.status, Status::Used | Status::Revoked) {
        return Ok(Reply::Unusable);
    }
    store.run(
        "UPDATE invites SET role = coalesce(?, role), status = coalesce(?, status) WHERE id = ?",
        &[role.map(Role::name).into(), status.map(Status::name).into(), id.into()],
    )?;
    let rows = store.run(&select, &[id.into()])?;
    match rows.first() {
        Some(row) => read_invite(row, now).map(Reply::Invite),
        None => Ok(Reply::NotFound),
    }
}

/// Revokes the unused invites of a user who may no longer invite. Otherwise the user could use one to come back.
pub(super) fn revoke_invites(store: &impl Store, creator: &str) -> Result<(), StoreError> {
    store.run(
        "UPDATE invites SET status = 'revoked' WHERE created_by = ? AND status IN ('unused', 'disabled')",
        &[creator.into()],
    )?;
    Ok(())
}

/// Revokes the unused invites that a token made.
pub(super) fn revoke_invites_of_token(store: &impl Store, token: &str) -> Result<(), StoreError> {
    store.run(
        "UPDATE invites SET status = 'revoked' WHERE status IN ('unused', 'disabled')
         AND id IN (SELECT invite FROM invited_by_token WHERE token = ?)",
        &[token.into()],
    )?;
    Ok(())
}

pub(super) fn read_invite(row: &SqlRow, now: Timestamp) -> Result<Invite, StoreError> {
    let expires_at = row.optional_integer(6)?.map(Timestamp);
    let status = match row.text(3)?.as_str() {
        "unused" if expires_at.is_some_and(|end| end <= now) => Status::Expired,
        "unused" => Status::Unused,
        "used" => Status::Used,
        "revoked" => Status::Revoked,
        "disabled" => Status::Disabled,
        other => return Err(StoreError(format!("unknown status {other:?}"))),
    };
    Ok(Invite {
        id: row.text(0)?,
        email: row.optional_text(1)?,
        role: read_role(row, 2)?,
        status,
        created_at: Timestamp(row.integer(4)?),
        created_by: row.text(5)?,
        expires_at,
        used_by: row.optional_text(7)?,
        used_at: row.optional_integer(8)?.map(Timestamp),
    })
}

pub(super) const INVITE: &str =
    "id, email, role, status, created_at, created_by, expires_at, used_by, used_at";
