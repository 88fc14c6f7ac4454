//! The accounts: who may come in at all, and by whose invitation. One object a deployment.
//!
//! 1. The first account is made once, by whoever has the setup token, and is an admin's.
//! 2. Every other one is made by redeeming an invite. In one transaction the user appears and the invite is
//!    used by them: of any number who try, one succeeds, and nobody redeems twice.
//! 3. There is always an active admin: the last one is neither demoted, disabled nor deleted.
//! 4. An invite is as good as whoever made it: an admin who is one no more has none out.
//! 5. What changes about a user has a new version. The registry is told (see [`crate::registry`]); that it
//!    still has to be is kept here until it was.

use serde::{Deserialize, Serialize};

use crate::{
    principal::Role,
    registry::{self, Standing},
    store::{Class, Errand, Object, Row, Store, StoreError, Value},
    time::Timestamp,
    tokens::{self, Token},
};

/// The `Accounts` object.
#[derive(Debug)]
pub struct Accounts;

/// The one name it has.
pub const NAME: &str = "accounts";

/// Tokens that somebody may have at a time.
pub const MOST_TOKENS: i64 = 100;

/// What accounts can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Makes the first account.
    SetUp(NewUser),
    /// Finds an account by its e-mail address, for signing in.
    Find(String),
    /// Reads a user.
    User(String),
    /// Lists users by id, after the one named.
    Users(Option<String>, i64),
    /// Changes a user's role or status.
    Change(String, Option<Role>, Option<bool>),
    /// Deletes a user.
    Delete(String),
    /// Notes that the registry knows this user's standing of that version.
    Told(String, i64),
    /// Makes an invite.
    Invite(Invite, String),
    /// Lists invites by id, after the one named.
    Invites(Option<String>, i64),
    /// Changes an unused invite's role or status.
    ChangeInvite(String, Option<Role>, Option<Status>),
    /// Deletes an invite.
    DeleteInvite(String),
    /// Keeps a token's metadata, and its hash, unless its owner has [`MOST_TOKENS`].
    PutToken(String, Token),
    /// The same of one that the configuration names, unless it is there.
    SeedToken(String, Token),
    /// Lists tokens by id, after the one named; only this owner's, where one is named.
    Tokens(Option<String>, Option<String>, i64),
    /// Finds a token by its id; only this owner's, where one is named.
    Token(Option<String>, String),
    /// Forgets a token that was taken back.
    DeleteToken(String),
    /// Asks whether the invite whose token has this hash can be used.
    Usable(String),
    /// Redeems the invite whose token has this hash.
    Redeem(String, NewUser),
}

/// What they answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done; how the user stands now.
    Standing(Standing),
    /// An account, for signing in.
    Account(Option<Account>),
    /// A user.
    User(Option<User>),
    /// Some users.
    Users(Vec<User>),
    /// An invite, as it is now.
    Invite(Invite),
    /// Some invites.
    Invites(Vec<Invite>),
    /// Some tokens, with their hashes.
    Tokens(Vec<(String, Token)>),
    /// A token that the configuration may go on naming so.
    Token(Token),
    /// Another one has that name.
    NameTaken,
    /// It is done, or there was nothing to do.
    Done(bool),
    /// There is an account already.
    AlreadySetUp,
    /// The invite is for another address, or the address has an account.
    EmailMismatch,
    /// The address has an account.
    EmailTaken,
    /// The invite is not there, used, revoked, disabled or expired.
    Unusable,
    /// There would be no admin left.
    LastAdmin,
    /// There is none of that id.
    NotFound,
}

/// A user who is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewUser {
    /// The id: `usr_…`.
    pub id: String,
    /// The e-mail address, in lower case.
    pub email: String,
    /// The name.
    pub name: Option<String>,
    /// The password, hashed.
    pub password: String,
}

/// An account, for signing in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The user's id.
    pub id: String,
    /// The password, hashed.
    pub password: String,
    /// How they stand.
    pub standing: Standing,
}

/// A user, as others may see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The id.
    pub id: String,
    /// The e-mail address.
    pub email: String,
    /// The name.
    pub name: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Whether they may come in.
    pub active: bool,
    /// Since when they have been here.
    pub created_at: Timestamp,
}

/// An invite, without its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// The id: `inv_…`.
    pub id: String,
    /// Whom alone it is for.
    pub email: Option<String>,
    /// What they will be able to do.
    pub role: Role,
    /// What has become of it.
    pub status: Status,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Until when it can be used.
    pub expires_at: Option<Timestamp>,
    /// Who has used it.
    pub used_by: Option<String>,
}

/// What has become of an invite. That it has expired is not kept but seen when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits.
    Unused,
    /// Somebody has come in by it.
    Used,
    /// It was taken back, for good.
    Revoked,
    /// It is out of use, for now.
    Disabled,
    /// Its time has passed.
    Expired,
}

impl Status {
    /// Gives the name.
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

    /// Reads what an admin may set.
    #[must_use]
    pub fn settable(name: &str) -> Option<Self> {
        match name {
            "unused" => Some(Self::Unused),
            "revoked" => Some(Self::Revoked),
            "disabled" => Some(Self::Disabled),
            _ => None,
        }
    }
}

impl Object for Accounts {
    const CLASS: Class = Class {
        name: "Accounts",
        binding: "ACCOUNTS",
        schema: &[
            "CREATE TABLE IF NOT EXISTS users (
                id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT, password TEXT NOT NULL,
                role TEXT NOT NULL, active INTEGER NOT NULL, created_at INTEGER NOT NULL,
                version INTEGER NOT NULL) STRICT, WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS invites (
                id TEXT PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, email TEXT, role TEXT NOT NULL,
                status TEXT NOT NULL, created_at INTEGER NOT NULL, created_by TEXT NOT NULL,
                expires_at INTEGER, used_by TEXT UNIQUE) STRICT, WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS tokens (
                hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL,
                owner TEXT NOT NULL, agent TEXT, task TEXT, created_at INTEGER NOT NULL,
                expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER) STRICT, WITHOUT ROWID",
            // What the registry may not know yet. Of a deleted user, all that is left.
            "CREATE TABLE IF NOT EXISTS untold (
                id TEXT PRIMARY KEY, role TEXT NOT NULL, active INTEGER NOT NULL,
                version INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        ],
    };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::SetUp(user) => set_up(store, &user, now),
            Command::Find(email) => {
                let rows = store.run(
                    "SELECT id, password, role, active, version FROM users WHERE email = ?",
                    &[(&email).into()],
                )?;
                rows.first().map(account).transpose().map(Reply::Account)
            }
            Command::User(id) => {
                let rows = store.run(&format!("SELECT {USER} FROM users WHERE id = ?"), &[(&id).into()])?;
                rows.first().map(user).transpose().map(Reply::User)
            }
            Command::Users(after, limit) => {
                let select = format!("SELECT {USER} FROM users WHERE id > ? ORDER BY id LIMIT ?");
                let rows = store.run(&select, &[after.as_deref().unwrap_or("").into(), limit.into()])?;
                rows.iter().map(user).collect::<Result<_, _>>().map(Reply::Users)
            }
            Command::Change(id, role, active) => change(store, &id, (role, active), now),
            Command::Delete(id) => delete(store, &id, now),
            Command::Told(id, version) => {
                store.run(
                    "DELETE FROM untold WHERE id = ? AND version <= ?",
                    &[(&id).into(), version.into()],
                )?;
                Ok(Reply::Done(true))
            }
            Command::Invite(invite, token_hash) => make_invite(store, &invite, &token_hash),
            Command::Invites(after, limit) => {
                let select = format!("SELECT {INVITE} FROM invites WHERE id > ? ORDER BY id LIMIT ?");
                let rows = store.run(&select, &[after.as_deref().unwrap_or("").into(), limit.into()])?;
                rows.iter().map(|row| invite(row, now)).collect::<Result<_, _>>().map(Reply::Invites)
            }
            Command::ChangeInvite(id, role, status) => change_invite(store, &id, (role, status), now),
            Command::DeleteInvite(id) => {
                let rows = store.run("DELETE FROM invites WHERE id = ? RETURNING 1", &[(&id).into()])?;
                Ok(if rows.is_empty() { Reply::NotFound } else { Reply::Done(true) })
            }
            Command::PutToken(hash, token) => {
                let owned = store.run(
                    "SELECT 1 FROM tokens WHERE owner = ? LIMIT ?",
                    &[(&token.owner).into(), MOST_TOKENS.into()],
                )?;
                let has_room = i64::try_from(owned.len()).is_ok_and(|count| count < MOST_TOKENS);
                if has_room {
                    tokens::put(store, &hash, &token)?;
                }
                Ok(Reply::Done(has_room))
            }
            Command::SeedToken(hash, token) => seed_token(store, &hash, token),
            Command::Tokens(owner, after, limit) => {
                let columns = tokens::COLUMNS;
                let select = format!(
                    "SELECT {columns}, hash FROM tokens WHERE owner = coalesce(?, owner) AND id > ?
                     ORDER BY id LIMIT ?"
                );
                let values = [owner.as_deref().into(), after.as_deref().unwrap_or("").into(), limit.into()];
                let rows = store.run(&select, &values)?;
                rows.iter().map(token).collect::<Result<_, _>>().map(Reply::Tokens)
            }
            Command::Token(owner, id) => {
                let columns = tokens::COLUMNS;
                let rows = store.run(
                    &format!(
                        "SELECT {columns}, hash FROM tokens WHERE owner = coalesce(?, owner) AND id = ?"
                    ),
                    &[owner.as_deref().into(), (&id).into()],
                )?;
                rows.iter().map(token).collect::<Result<_, _>>().map(Reply::Tokens)
            }
            Command::DeleteToken(id) => {
                store.run("DELETE FROM tokens WHERE id = ?", &[(&id).into()])?;
                Ok(Reply::Done(true))
            }
            Command::Usable(token_hash) => {
                let found = find_unused(store, &token_hash, now)?;
                Ok(if found.is_some() { Reply::Done(true) } else { Reply::Unusable })
            }
            Command::Redeem(token_hash, user) => redeem(store, &token_hash, &user, now),
        }
    }

    fn wake_at(store: &impl Store, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let untold = store.run("SELECT 1 FROM untold LIMIT 1", &[])?;
        Ok((!untold.is_empty()).then_some(now))
    }

    /// Lists what the registry still has to be told of whom.
    fn wake(store: &impl Store, _now: Timestamp) -> Result<Vec<Errand>, StoreError> {
        let rows = store.run("SELECT id, role, active, version FROM untold ORDER BY id LIMIT 50", &[])?;
        let text = |error: serde_json::Error| StoreError(error.to_string());
        rows.iter()
            .map(|row| {
                let (name, standing) = (row.text(0)?, standing(row, 1)?);
                let done =
                    serde_json::to_string(&Command::Told(name.clone(), standing.version)).map_err(text)?;
                let command = serde_json::to_string(&registry::Command::Apply(standing)).map_err(text)?;
                Ok(Errand::Tell { binding: registry::Sessions::CLASS.binding, name, command, done })
            })
            .collect()
    }
}

fn seed_token(store: &impl Store, hash: &str, new: Token) -> Result<Reply, StoreError> {
    let columns = tokens::COLUMNS;
    let select = format!("SELECT {columns}, hash FROM tokens WHERE owner = ? AND name = ?");
    let rows = store.run(&select, &[tokens::SEEDED_BY.into(), (&new.name).into()])?;
    Ok(match rows.first().map(token).transpose()? {
        Some((known, token)) if known == hash => Reply::Token(token),
        Some(_) => Reply::NameTaken,
        None => {
            tokens::put(store, hash, &new)?;
            Reply::Token(new)
        }
    })
}

/// Reads a token, after its columns its hash.
fn token(row: &Row) -> Result<(String, Token), StoreError> {
    Ok((row.text(10)?, tokens::token(row)?))
}

fn set_up(store: &impl Store, new: &NewUser, now: Timestamp) -> Result<Reply, StoreError> {
    if !store.run("SELECT 1 FROM users LIMIT 1", &[])?.is_empty() {
        return Ok(Reply::AlreadySetUp);
    }
    insert(store, new, Role::Admin, now).map(Reply::Standing)
}

fn redeem(store: &impl Store, token_hash: &str, new: &NewUser, now: Timestamp) -> Result<Reply, StoreError> {
    let Some(found) = find_unused(store, token_hash, now)? else { return Ok(Reply::Unusable) };
    let taken = store.run("SELECT 1 FROM users WHERE email = ?", &[(&new.email).into()])?;
    if found.email.is_some_and(|email| email != new.email) || !taken.is_empty() {
        return Ok(Reply::EmailMismatch);
    }
    let standing = insert(store, new, found.role, now)?;
    let used = store.run(
        "UPDATE invites SET status = 'used', used_by = ? WHERE id = ? AND status = 'unused' RETURNING 1",
        &[(&new.id).into(), (&found.id).into()],
    )?;
    // Nothing runs between the look and this; were it otherwise, the user would be taken back.
    if used.is_empty() {
        Err(StoreError("the invite was used meanwhile".to_owned()))
    } else {
        Ok(Reply::Standing(standing))
    }
}

fn find_unused(store: &impl Store, token_hash: &str, now: Timestamp) -> Result<Option<Invite>, StoreError> {
    let select = format!("SELECT {INVITE} FROM invites WHERE token_hash = ?");
    let rows = store.run(&select, &[token_hash.into()])?;
    let found = rows.first().map(|row| invite(row, now)).transpose()?;
    Ok(found.filter(|invite| invite.status == Status::Unused))
}

fn insert(store: &impl Store, new: &NewUser, role: Role, now: Timestamp) -> Result<Standing, StoreError> {
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
            later(0, now).into(),
        ],
    )?;
    Ok(Standing { role, active: true, version: later(0, now) })
}

fn change(
    store: &impl Store,
    id: &str,
    (role, active): (Option<Role>, Option<bool>),
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let rows = store.run("SELECT role, active, version FROM users WHERE id = ?", &[id.into()])?;
    let Some(known) = rows.first().map(|row| standing(row, 0)).transpose()? else {
        return Ok(Reply::NotFound);
    };
    let new = Standing {
        role: role.unwrap_or(known.role),
        active: active.unwrap_or(known.active),
        version: later(known.version, now),
    };
    if (new.role, new.active) == (known.role, known.active) {
        return Ok(Reply::Standing(known));
    }
    if is_admin(&known) && !is_admin(&new) && is_last_admin(store)? {
        return Ok(Reply::LastAdmin);
    }
    let values = [new.role.name().into(), i64::from(new.active).into(), new.version.into(), id.into()];
    store.run("UPDATE users SET role = ?, active = ?, version = ? WHERE id = ?", &values)?;
    if !is_admin(&new) {
        revoke_invites(store, id)?;
    }
    note_untold(store, id, &new)?;
    Ok(Reply::Standing(new))
}

fn delete(store: &impl Store, id: &str, now: Timestamp) -> Result<Reply, StoreError> {
    let rows = store.run("SELECT role, active, version FROM users WHERE id = ?", &[id.into()])?;
    let Some(known) = rows.first().map(|row| standing(row, 0)).transpose()? else {
        return Ok(Reply::NotFound);
    };
    if is_admin(&known) && is_last_admin(store)? {
        return Ok(Reply::LastAdmin);
    }
    store.run("DELETE FROM users WHERE id = ?", &[id.into()])?;
    revoke_invites(store, id)?;
    let gone = Standing { active: false, version: later(known.version, now), ..known };
    note_untold(store, id, &gone)?;
    Ok(Reply::Standing(gone))
}

/// Takes back what somebody has out who may invite no more: it would let them back in.
fn revoke_invites(store: &impl Store, creator: &str) -> Result<(), StoreError> {
    store.run(
        "UPDATE invites SET status = 'revoked' WHERE created_by = ? AND status IN ('unused', 'disabled')",
        &[creator.into()],
    )?;
    Ok(())
}

/// Numbers a change: by the time, so that it is later than what upstream said while it signed people in.
fn later(known: i64, now: Timestamp) -> i64 {
    known.saturating_add(1).max(now.0.saturating_mul(1_000))
}

fn is_admin(standing: &Standing) -> bool {
    standing.role == Role::Admin && standing.active
}

fn is_last_admin(store: &impl Store) -> Result<bool, StoreError> {
    let admins = store.run("SELECT 1 FROM users WHERE role = 'admin' AND active = 1 LIMIT 2", &[])?;
    Ok(admins.len() < 2)
}

fn note_untold(store: &impl Store, id: &str, new: &Standing) -> Result<(), StoreError> {
    store.run(
        "INSERT INTO untold (id, role, active, version) VALUES (?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET role = excluded.role, active = excluded.active,
            version = excluded.version",
        &[id.into(), new.role.name().into(), i64::from(new.active).into(), new.version.into()],
    )?;
    Ok(())
}

fn make_invite(store: &impl Store, new: &Invite, token_hash: &str) -> Result<Reply, StoreError> {
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
    Ok(Reply::Invite(new.clone()))
}

fn change_invite(
    store: &impl Store,
    id: &str,
    (role, status): (Option<Role>, Option<Status>),
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let select = format!("SELECT {INVITE} FROM invites WHERE id = ?");
    let rows = store.run(&select, &[id.into()])?;
    let Some(known) = rows.first().map(|row| invite(row, now)).transpose()? else {
        return Ok(Reply::NotFound);
    };
    // What was used or taken back is history.
    if matches!(known.status, Status::Used | Status::Revoked) {
        return Ok(Reply::Unusable);
    }
    store.run(
        "UPDATE invites SET role = coalesce(?, role), status = coalesce(?, status) WHERE id = ?",
        &[role.map(Role::name).into(), status.map(Status::name).into(), id.into()],
    )?;
    let rows = store.run(&select, &[id.into()])?;
    match rows.first() {
        Some(row) => invite(row, now).map(Reply::Invite),
        None => Ok(Reply::NotFound),
    }
}

const USER: &str = "id, email, name, role, active, created_at";

const INVITE: &str = "id, email, role, status, created_at, created_by, expires_at, used_by";

fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        id: row.text(0)?,
        email: row.text(1)?,
        name: row.optional_text(2)?,
        role: role(row, 3)?,
        active: row.integer(4)? == 1,
        created_at: Timestamp(row.integer(5)?),
    })
}

fn account(row: &Row) -> Result<Account, StoreError> {
    Ok(Account { id: row.text(0)?, password: row.text(1)?, standing: standing(row, 2)? })
}

fn invite(row: &Row, now: Timestamp) -> Result<Invite, StoreError> {
    let expires_at = row.optional_integer(6)?.map(Timestamp);
    let status = match row.text(3)?.as_str() {
        "unused" if expires_at.is_some_and(|end| end <= now) => Status::Expired,
        "unused" => Status::Unused,
        "used" => Status::Used,
        "revoked" => Status::Revoked,
        "disabled" => Status::Disabled,
        other => return Err(StoreError(format!("no status is called {other:?}"))),
    };
    Ok(Invite {
        id: row.text(0)?,
        email: row.optional_text(1)?,
        role: role(row, 2)?,
        status,
        created_at: Timestamp(row.integer(4)?),
        created_by: row.text(5)?,
        expires_at,
        used_by: row.optional_text(7)?,
    })
}

fn standing(row: &Row, first: usize) -> Result<Standing, StoreError> {
    let at = |offset: usize| first.saturating_add(offset);
    Ok(Standing { role: role(row, first)?, active: row.integer(at(1))? == 1, version: row.integer(at(2))? })
}

fn role(row: &Row, column: usize) -> Result<Role, StoreError> {
    let name = row.text(column)?;
    Role::parse(&name).ok_or_else(|| StoreError(format!("no role is called {name:?}")))
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "a test")]
mod tests {
    use super::*;
    use crate::store::sqlite::Sqlite;

    const NOW: Timestamp = Timestamp(1_700_000_000);
    const FIRST: i64 = 1_700_000_000_000;

    fn ask(store: &Sqlite, command: Command) -> Reply {
        store.handle::<Accounts>(&command, NOW).expect("a reply")
    }

    fn new(id: &str) -> NewUser {
        NewUser { id: id.into(), email: format!("{id}@example.com"), name: None, password: "1$a$b".into() }
    }

    fn invite(store: &Sqlite, id: &str, email: Option<&str>, role: Role, expires_at: Option<i64>) {
        let new = Invite {
            id: id.into(),
            email: email.map(str::to_owned),
            role,
            status: Status::Unused,
            created_at: NOW,
            created_by: "root".into(),
            expires_at: expires_at.map(Timestamp),
            used_by: None,
        };
        assert!(matches!(ask(store, Command::Invite(new, format!("hash of {id}"))), Reply::Invite(_)));
    }

    fn redeem(store: &Sqlite, invite: &str, user: &str) -> Reply {
        ask(store, Command::Redeem(format!("hash of {invite}"), new(user)))
    }

    fn set_up() -> Sqlite {
        let store = Sqlite::of::<Accounts>();
        let standing = Standing { role: Role::Admin, active: true, version: FIRST };
        assert_eq!(ask(&store, Command::SetUp(new("root"))), Reply::Standing(standing));
        store
    }

    fn users(store: &Sqlite) -> Vec<String> {
        match ask(store, Command::Users(None, 100)) {
            Reply::Users(users) => users.into_iter().map(|user| user.id).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn invite_status(store: &Sqlite, id: &str) -> Option<Status> {
        match ask(store, Command::Invites(None, 100)) {
            Reply::Invites(all) => all.into_iter().find(|invite| invite.id == id).map(|invite| invite.status),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn set_up_once() {
        let store = set_up();
        assert_eq!(ask(&store, Command::SetUp(new("mallory"))), Reply::AlreadySetUp);
        assert_eq!(users(&store), ["root"]);
    }

    #[test]
    fn an_invite_is_used_once_by_one() {
        let store = set_up();
        invite(&store, "i", None, Role::Admin, None);
        let standing = Standing { role: Role::Admin, active: true, version: FIRST };
        assert_eq!(redeem(&store, "i", "ada"), Reply::Standing(standing));
        assert_eq!(redeem(&store, "i", "bob"), Reply::Unusable);
        assert_eq!(redeem(&store, "i", "ada"), Reply::Unusable);
        assert_eq!(redeem(&store, "none", "bob"), Reply::Unusable);
        assert_eq!(users(&store), ["ada", "root"]);
        assert_eq!(invite_status(&store, "i"), Some(Status::Used));
        let change = Command::ChangeInvite("i".into(), None, Some(Status::Unused));
        assert_eq!(ask(&store, change), Reply::Unusable, "what was used stays used");
    }

    #[test]
    fn an_address_that_is_meant_or_taken() {
        let store = set_up();
        invite(&store, "for-ada", Some("ada@example.com"), Role::User, None);
        invite(&store, "for-all", None, Role::User, None);
        assert_eq!(redeem(&store, "for-ada", "bob"), Reply::EmailMismatch);
        assert_eq!(redeem(&store, "for-all", "root"), Reply::EmailMismatch, "taken");
        assert_eq!(users(&store), ["root"]);
        assert_eq!(invite_status(&store, "for-ada"), Some(Status::Unused), "nothing was used up");
        assert!(matches!(redeem(&store, "for-ada", "ada"), Reply::Standing(_)));
    }

    #[test]
    fn the_five_states() {
        let store = set_up();
        invite(&store, "old", None, Role::User, Some(NOW.0));
        invite(&store, "new", None, Role::User, Some(NOW.0 + 1));
        assert_eq!(invite_status(&store, "old"), Some(Status::Expired));
        assert_eq!(redeem(&store, "old", "ada"), Reply::Unusable);
        let set = |status| ask(&store, Command::ChangeInvite("new".into(), None, Some(status)));
        set(Status::Disabled);
        assert_eq!(redeem(&store, "new", "ada"), Reply::Unusable);
        set(Status::Unused);
        set(Status::Revoked);
        assert_eq!(redeem(&store, "new", "ada"), Reply::Unusable);
        assert_eq!(set(Status::Unused), Reply::Unusable, "for good");
        assert_eq!(ask(&store, Command::DeleteInvite("new".into())), Reply::Done(true));
        assert_eq!(ask(&store, Command::DeleteInvite("new".into())), Reply::NotFound);
        assert_eq!(users(&store), ["root"]);
    }

    #[test]
    fn there_is_always_an_admin() {
        let store = set_up();
        let last = [
            Command::Delete("root".into()),
            Command::Change("root".into(), Some(Role::User), None),
            Command::Change("root".into(), None, Some(false)),
        ];
        for command in &last {
            assert_eq!(ask(&store, command.clone()), Reply::LastAdmin);
        }
        invite(&store, "i", None, Role::Admin, None);
        redeem(&store, "i", "ada");
        ask(&store, Command::Change("ada".into(), None, Some(false)));
        for command in &last {
            assert_eq!(ask(&store, command.clone()), Reply::LastAdmin, "a disabled admin is none");
        }
        ask(&store, Command::Change("ada".into(), None, Some(true)));
        assert!(matches!(ask(&store, Command::Delete("root".into())), Reply::Standing(_)));
        assert_eq!(ask(&store, Command::Delete("ada".into())), Reply::LastAdmin);
        assert_eq!(ask(&store, Command::Delete("nobody".into())), Reply::NotFound);
    }

    #[test]
    fn the_registry_is_told_until_it_knows() {
        let store = set_up();
        invite(&store, "i", None, Role::User, None);
        redeem(&store, "i", "ada");
        assert_eq!(Accounts::wake(&store, Timestamp(0)).expect("none").len(), 0);
        let change = |active| ask(&store, Command::Change("ada".into(), None, Some(active)));
        let off = Standing { role: Role::User, active: false, version: FIRST + 1 };
        assert_eq!(change(false), Reply::Standing(off.clone()));
        assert_eq!(change(false), Reply::Standing(off), "again: the same");
        change(true);
        ask(&store, Command::Told("ada".into(), FIRST + 1));
        assert_eq!(
            Accounts::wake(&store, Timestamp(0)).expect("one").len(),
            1,
            "of the later one it does not know"
        );
        ask(&store, Command::Told("ada".into(), FIRST + 2));
        assert_eq!(Accounts::wake(&store, Timestamp(0)).expect("none").len(), 0);
        ask(&store, Command::Delete("ada".into()));
        let left = Accounts::wake(&store, Timestamp(0)).expect("one");
        let gone = Standing { role: Role::User, active: false, version: FIRST + 3 };
        let command = serde_json::to_string(&registry::Command::Apply(gone)).expect("JSON");
        assert!(
            matches!(&left[..], [Errand::Tell { name, command: told, .. }] if name == "ada" && *told == command),
            "{left:?}"
        );
    }

    #[test]
    fn page_by_page() {
        let store = set_up();
        for at in 0..5 {
            invite(&store, &format!("i{at}"), None, Role::User, None);
        }
        let page = |after: Option<&str>| match ask(&store, Command::Invites(after.map(str::to_owned), 2)) {
            Reply::Invites(all) => all.into_iter().map(|invite| invite.id).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!([page(None), page(Some("i1")), page(Some("i3"))].concat(), ["i0", "i1", "i2", "i3", "i4"]);
    }
}
