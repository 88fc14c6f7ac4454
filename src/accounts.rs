//! The accounts: who may come in at all, and by whose invitation. One object a deployment.
//!
//! 1. The first account is made once, by whoever has the setup token, and is an admin's.
//! 2. Every other one is made by redeeming an invite. In one transaction the user appears and the invite is
//!    used by them: of any number who try, one succeeds, and nobody redeems twice.
//! 3. There is always an active admin: the last one is neither demoted, disabled nor deleted.
//! 4. An invite is as good as whoever made it: an admin who is one no more has none out.
//! 5. What changes about a user has a new version. The registry is told (see [`crate::registry`]); that it
//!    still has to be is kept here until it was.

mod invites;
mod tokens;
mod users;

use serde::{Deserialize, Serialize};

use invites::{INVITE, change_invite, find_unused, invite, make_invite, revoke_invites};
pub use invites::{Invite, Status};
pub use users::{Account, NewUser, User};
use users::{USER, account, change, delete, redeem, role, set_up, standing, user};

use crate::{
    principal::Role,
    registry::{self, Standing},
    store::{Class, Errand, Object, Store, StoreError},
    time::Timestamp,
    tokens::{ADD_MADE_BY_TOKEN, COLUMNS, INDEX_EXPIRY, Token},
};

/// The `Accounts` object.
#[derive(Debug)]
pub struct Accounts;

/// The one name it has.
pub const NAME: &str = "accounts";

/// Live tokens that somebody may have at a time.
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
    /// Keeps a token's metadata, and its hash, unless its owner has [`MOST_TOKENS`] that are live.
    PutToken(String, Token),
    /// The same of one that the configuration names, unless it is there.
    SeedToken(String, Token),
    /// The same of all that it names; one whose name has another token is left out.
    SeedTokens(Vec<(String, Token)>),
    /// Reads the names of users, by their ids.
    Names(Vec<String>),
    /// Lists tokens by id, after the one named; only this owner's, where one is named.
    Tokens(Option<String>, Option<String>, i64),
    /// Finds a token by its id; only this owner's, where one is named.
    Token(Option<String>, String),
    /// Forgets a token that was revoked, and those that it made.
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
    /// Names of users, by their ids.
    Names(Vec<(String, Option<String>)>),
    /// There is none of that id.
    NotFound,
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
            ADD_MADE_BY_TOKEN,
            INDEX_EXPIRY,
            tokens::INDEX_OWNER,
            "ALTER TABLE invites ADD COLUMN used_at INTEGER",
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
            Command::PutToken(hash, token) => tokens::put(store, &hash, &token, now),
            Command::SeedToken(hash, token) => tokens::seed(store, &hash, token),
            Command::SeedTokens(all) => {
                for (hash, token) in all {
                    tokens::seed(store, &hash, token)?;
                }
                Ok(Reply::Done(true))
            }
            Command::Names(ids) => users::names(store, &ids),
            Command::Tokens(owner, after, limit) => {
                let select = format!(
                    "SELECT {COLUMNS}, hash FROM tokens
                     WHERE owner = coalesce(?, owner) AND id > ? AND revoked_at IS NULL ORDER BY id LIMIT ?"
                );
                let values = [owner.as_deref().into(), after.as_deref().unwrap_or("").into(), limit.into()];
                let rows = store.run(&select, &values)?;
                rows.iter().map(tokens::token).collect::<Result<_, _>>().map(Reply::Tokens)
            }
            Command::Token(owner, id) => {
                let select = format!(
                    "SELECT {COLUMNS}, hash FROM tokens
                     WHERE owner = coalesce(?, owner) AND id = ? AND revoked_at IS NULL"
                );
                let rows = store.run(&select, &[owner.as_deref().into(), (&id).into()])?;
                rows.iter().map(tokens::token).collect::<Result<_, _>>().map(Reply::Tokens)
            }
            Command::DeleteToken(id) => tokens::delete(store, &id, now),
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

#[cfg(test)]
mod tests;
