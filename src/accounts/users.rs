//! Users: adding, changing and deleting them, and recording changes for the registry.

use serde::{Deserialize, Serialize};

use super::{
    Reply,
    factors::{self, Factors, factors_of, read_factors},
    find_unused, passwords, revoke_invites, search,
    settings::RequiredFactor,
    writes::Authorized,
};
use crate::{
    base::time::Timestamp,
    identity::principal::Role,
    platform::store::{SqlRow, Store, StoreError, run_all},
    sessions::registry::UserStatus,
};

/// A new user, not yet stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewUser {
    /// The id: `usr_…`.
    pub id: String,
    /// The email address, in lower case.
    pub email: String,
    /// The name, if there is one.
    pub name: Option<String>,
    /// The hash of the password.
    pub password: String,
}

/// An account, for a login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The user's id.
    pub id: String,
    /// The hash of the password.
    pub password: String,
    /// The user's status.
    pub status: UserStatus,
    /// The user's second factors.
    pub factors: Factors,
}

/// A user, without the password hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The id.
    pub id: String,
    /// The email address.
    pub email: String,
    /// The name, if there is one.
    pub name: Option<String>,
    /// The role.
    pub role: Role,
    /// Whether the user is active. A disabled user cannot sign in.
    pub active: bool,
    /// When the user was added.
    pub created_at: Timestamp,
}

pub(super) fn set_up(store: &impl Store, new: &NewUser, now: Timestamp) -> Result<Reply, StoreError> {
    if !store.run("SELECT 1 FROM users LIMIT 1", &[])?.is_empty() {
        return Ok(Reply::AlreadySetUp);
    }
    insert(store, new, Role::Admin, now).map(Reply::UserStatus)
}

pub(super) fn redeem(
    store: &impl Store,
    token_hash: &str,
    new: &NewUser,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let Some(found) = find_unused(store, token_hash, now)? else { return Ok(Reply::Unusable) };
    let taken = store.run("SELECT 1 FROM users WHERE email = ?", &[(&new.email).into()])?;
    if found.email.is_some_and(|email| email != new.email) || !taken.is_empty() {
        return Ok(Reply::EmailMismatch);
    }
    let new_status = insert(store, new, found.role, now)?;
    let used = store.run(
        "UPDATE invites SET status = 'used', used_by = ?, used_at = ?
         WHERE id = ? AND status = 'unused' RETURNING 1",
        &[(&new.id).into(), now.into(), (&found.id).into()],
    )?;
    // Nothing runs between the lookup and this update. If something did, the error would roll the new user back.
    if used.is_empty() {
        Err(StoreError("the invite was used by another request".to_owned()))
    } else {
        Ok(Reply::UserStatus(new_status))
    }
}

/// Adds an active user whose id was never used.
pub(super) fn insert(
    store: &impl Store,
    new: &NewUser,
    role: Role,
    now: Timestamp,
) -> Result<UserStatus, StoreError> {
    insert_with_version(store, new, role, next_version(0, now), now)
}

/// Adds an active user whose id may be that of a deleted user. The version is later than that of the deletion:
/// otherwise the registry would still take the user for deleted.
pub(super) fn insert_again(
    store: &impl Store,
    new: &NewUser,
    role: Role,
    now: Timestamp,
) -> Result<UserStatus, StoreError> {
    let rows = store.run("SELECT version FROM last_deletion", &[])?;
    let known = rows.first().map_or(Ok(0), |row| row.integer(0))?;
    let status = insert_with_version(store, new, role, next_version(known, now), now)?;
    if !store.run("SELECT 1 FROM untold WHERE id = ?", &[(&new.id).into()])?.is_empty() {
        // The registry may learn too late that the user was deleted.
        passwords::end_earlier_sign_ins(store, &new.id, status.version, None)?;
    }
    Ok(status)
}

fn insert_with_version(
    store: &impl Store,
    new: &NewUser,
    role: Role,
    version: i64,
    now: Timestamp,
) -> Result<UserStatus, StoreError> {
    store.run(
        "INSERT INTO users (id, email, name, password, role, active, created_at, version)
         VALUES (?, ?, ?, ?, ?, 1, ?, ?)",
        &[
            (&new.id).into(),
            (&new.email).into(),
            new.name.as_deref().into(),
            (&new.password).into(),
            role.name().into(),
            now.into(),
            version.into(),
        ],
    )?;
    search::add(store, &new.id, &new.email, new.name.as_deref())?;
    Ok(UserStatus { role, active: true, version })
}

pub(super) fn change(
    store: &impl Store,
    _proof: &Authorized<'_>,
    id: &str,
    role: Option<Role>,
    active: Option<bool>,
    required: RequiredFactor,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let rows = store.run("SELECT role, active, version FROM users WHERE id = ?", &[id.into()])?;
    let Some(known) = rows.first().map(|row| read_status(row, 0)).transpose()? else {
        return Ok(Reply::NotFound);
    };
    let new = UserStatus {
        role: role.unwrap_or(known.role),
        active: active.unwrap_or(known.active),
        version: next_version(known.version, now),
    };
    if (new.role, new.active) == (known.role, known.active) {
        return Ok(Reply::UserStatus(known));
    }
    if is_admin(&known) && !is_admin(&new) && is_last_admin(store)? {
        return Ok(Reply::LastAdmin);
    }
    // The user's sessions may have been opened without a factor.
    let becomes_admin = new.role == Role::Admin && known.role != Role::Admin;
    if becomes_admin && required.applies_to(Role::Admin) && !factors_of(store, id)?.is_enrolled() {
        return Ok(Reply::SecondFactorMissing);
    }
    let values = [new.role.name().into(), i64::from(new.active).into(), new.version.into(), id.into()];
    store.run("UPDATE users SET role = ?, active = ?, version = ? WHERE id = ?", &values)?;
    if !is_admin(&new) {
        revoke_invites(store, id)?;
        passwords::remove_made_links(store, id)?;
    }
    if new.active && !known.active {
        // The registry may never learn that the user was disabled, because this change takes the place of that one.
        passwords::end_earlier_sign_ins(store, id, new.version, None)?;
    }
    record_change(store, id, &new)?;
    Ok(Reply::UserStatus(new))
}

pub(super) fn delete(
    store: &impl Store,
    _proof: &Authorized<'_>,
    id: &str,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let rows = store.run("SELECT role, active, version FROM users WHERE id = ?", &[id.into()])?;
    let Some(known) = rows.first().map(|row| read_status(row, 0)).transpose()? else {
        return Ok(Reply::NotFound);
    };
    if is_admin(&known) && is_last_admin(store)? {
        return Ok(Reply::LastAdmin);
    }
    search::remove(store, id)?;
    store.run("DELETE FROM users WHERE id = ?", &[id.into()])?;
    factors::remove_all(store, id)?;
    passwords::remove_all(store, id)?;
    revoke_invites(store, id)?;
    let deleted = UserStatus { active: false, version: next_version(known.version, now), ..known };
    store.run(
        "INSERT INTO last_deletion (one, version) VALUES (1, ?)
         ON CONFLICT (one) DO UPDATE SET version = max(version, excluded.version)",
        &[deleted.version.into()],
    )?;
    record_change(store, id, &deleted)?;
    Ok(Reply::UserStatus(deleted))
}

/// Returns the version of a change: at least the present time in milliseconds since 1970. So it is later than any
/// version from the time when upstream signed users in.
pub(super) fn next_version(known: i64, now: Timestamp) -> i64 {
    known.saturating_add(1).max(now.0.saturating_mul(1_000))
}

fn is_admin(status: &UserStatus) -> bool {
    status.role == Role::Admin && status.active
}

fn is_last_admin(store: &impl Store) -> Result<bool, StoreError> {
    let admins = store.run("SELECT 1 FROM users WHERE role = 'admin' AND active = 1 LIMIT 2", &[])?;
    Ok(admins.len() < 2)
}

/// Records a change of a user until the registry has applied it.
fn record_change(store: &impl Store, id: &str, new: &UserStatus) -> Result<(), StoreError> {
    store.run(
        "INSERT INTO untold (id, role, active, version) VALUES (?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET role = excluded.role, active = excluded.active,
            version = excluded.version",
        &[id.into(), new.role.name().into(), i64::from(new.active).into(), new.version.into()],
    )?;
    Ok(())
}

pub(super) fn read_user(row: &SqlRow) -> Result<User, StoreError> {
    Ok(User {
        id: row.text(0)?,
        email: row.text(1)?,
        name: row.optional_text(2)?,
        role: read_role(row, 3)?,
        active: row.integer(4)? == 1,
        created_at: Timestamp(row.integer(5)?),
    })
}

/// Returns ids and names of those users that exist.
pub(super) fn names(store: &impl Store, ids: &[String]) -> Result<Reply, StoreError> {
    let ids = serde_json::to_string(ids).map_err(|error| StoreError(error.to_string()))?;
    let rows = store.run(
        "SELECT id, name FROM users WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        &[(&ids).into()],
    )?;
    rows.iter()
        .map(|row| Ok((row.text(0)?, row.optional_text(1)?)))
        .collect::<Result<_, _>>()
        .map(Reply::Names)
}

pub(super) fn read_account(row: &SqlRow) -> Result<Account, StoreError> {
    Ok(Account {
        id: row.text(0)?,
        password: row.text(1)?,
        status: read_status(row, 2)?,
        factors: read_factors(row, 5)?,
    })
}

pub(super) fn read_status(row: &SqlRow, first: usize) -> Result<UserStatus, StoreError> {
    let at = |offset: usize| first.saturating_add(offset);
    Ok(UserStatus {
        role: read_role(row, first)?,
        active: row.integer(at(1))? == 1,
        version: row.integer(at(2))?,
    })
}

pub(super) fn read_role(row: &SqlRow, column: usize) -> Result<Role, StoreError> {
    let name = row.text(column)?;
    Role::parse(&name).ok_or_else(|| StoreError(format!("unknown role {name:?}")))
}

/// Adds the highest version of a deleted user.
pub(super) fn add_last_deletion(store: &dyn Store) -> Result<(), StoreError> {
    run_all(
        store,
        &["CREATE TABLE IF NOT EXISTS last_deletion (
            one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT"],
    )
}

pub(super) const USER: &str = "id, email, name, role, active, created_at";
