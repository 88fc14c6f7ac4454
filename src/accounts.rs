//! The accounts: who may come in at all, and by whose invitation. One object a deployment.
//!
//! 1. The first account is made once, by whoever has the setup token, and is an admin's.
//! 2. Every other one is made by redeeming an invite. In one transaction the user appears and the invite is
//!    used by them: of any number who try, one succeeds, and nobody redeems twice.
//! 3. There is always an active admin: the last one is neither demoted, disabled nor deleted.
//! 4. An invite depends on its author: when an admin is demoted or a token is revoked, their invites are
//!    revoked. When one is redeemed, it is judged again whether its author is an active admin.
//! 5. What changes about a user has a new version. The registry is told (see [`crate::registry`]); that it
//!    still has to be is kept here until it was. The same goes for a token that was revoked and [`crate::tokens`].
//! 6. A change by a person carries its [`Author`], who is judged in the transaction that writes (see [`Write`]).

mod invites;
mod tokens;
mod users;
mod writes;

use serde::{Deserialize, Serialize};

use invites::{INVITE, find_unused, invite, revoke_invites};
pub use invites::{Invite, Status};
pub use users::{Account, NewUser, User};
use users::{USER, account, redeem, role, set_up, standing, user};
pub use writes::Write;

use crate::{
    author::{Author, Refusal},
    ended,
    registry::{self, Standing},
    store::{Class, Object, OutboxMessage, Store, StoreError, add_column, encode, run_all},
    time::Timestamp,
    tokens::{self as stored, COLUMNS, Hash, Token},
};

/// The `Accounts` object.
#[derive(Debug)]
pub struct Accounts;

/// The one name it has.
pub const NAME: &str = "accounts";

/// Most live tokens of a user at a time.
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
    /// Changes something, if its author may.
    Write(Author, Write),
    /// Notes sessions as ended: commands that were judged under them are refused.
    EndedSessions(ended::Ids),
    /// Notes that the registry knows this user's standing of that version.
    Told(String, i64),
    /// Lists invites by id, after the one named.
    Invites(Option<String>, i64),
    /// Keeps a token that the configuration names, unless it is there.
    SeedToken(String, Token),
    /// Keeps all tokens that the configuration names, without those whose name has another token.
    SeedTokens(Vec<(String, Token)>),
    /// Reads the names of users, by their ids.
    Names(Vec<String>),
    /// Lists tokens by id, after the one named; only this owner's, where one is named.
    Tokens(Option<String>, Option<String>, i64),
    /// Finds a token by its id; only this owner's, where one is named.
    Token(Option<String>, String),
    /// Forgets a revoked token, once its own object knows that it is.
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
    /// The author may not do this, or no longer.
    Refused(Refusal),
    /// Names of users, by their ids.
    Names(Vec<(String, Option<String>)>),
    /// There is none of that id.
    NotFound,
}

impl Object for Accounts {
    const CLASS: Class = Class { name: "Accounts", binding: "ACCOUNTS", migrations: &[create_tables] };
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
            Command::Write(author, write) => writes::write(store, &author, write, now),
            Command::EndedSessions(ids) => {
                ended::note(store, &ids, now)?;
                Ok(Reply::Done(true))
            }
            Command::Told(id, version) => {
                store.run(
                    "DELETE FROM untold WHERE id = ? AND version <= ?",
                    &[(&id).into(), version.into()],
                )?;
                Ok(Reply::Done(true))
            }
            Command::Invites(after, limit) => {
                let select = format!("SELECT {INVITE} FROM invites WHERE id > ? ORDER BY id LIMIT ?");
                let rows = store.run(&select, &[after.as_deref().unwrap_or("").into(), limit.into()])?;
                rows.iter().map(|row| invite(row, now)).collect::<Result<_, _>>().map(Reply::Invites)
            }
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
                let select =
                    format!("SELECT {COLUMNS}, hash FROM tokens WHERE owner = coalesce(?, owner) AND id = ?");
                let rows = store.run(&select, &[owner.as_deref().into(), (&id).into()])?;
                rows.iter().map(tokens::token).collect::<Result<_, _>>().map(Reply::Tokens)
            }
            Command::DeleteToken(id) => {
                tokens::forget(store, &id)?;
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
        let tokens = store.run("SELECT 1 FROM untold_tokens LIMIT 1", &[])?;
        Ok((!untold.is_empty() || !tokens.is_empty()).then_some(now))
    }

    /// Lists the users whose status the registry may not know yet, and the tokens that may not be revoked yet.
    fn wake(store: &impl Store, _now: Timestamp) -> Result<Vec<OutboxMessage>, StoreError> {
        let rows = store.run("SELECT id, role, active, version FROM untold ORDER BY id LIMIT 50", &[])?;
        let mut errands = Vec::with_capacity(rows.len());
        for row in &rows {
            let (name, standing) = (row.text(0)?, standing(row, 1)?);
            let done = encode(&Command::Told(name.clone(), standing.version))?;
            let command = encode(&registry::Command::Apply(standing))?;
            errands.push(OutboxMessage::Tell {
                binding: registry::Sessions::CLASS.binding,
                name,
                command,
                done,
            });
        }
        let select = format!(
            "SELECT {COLUMNS}, hash FROM tokens WHERE id IN (SELECT id FROM untold_tokens) ORDER BY id LIMIT 50"
        );
        for row in &store.run(&select, &[])? {
            let (hash, token) = tokens::token(row)?;
            let name = Hash(hash.clone()).object().to_owned();
            let done = encode(&Command::DeleteToken(token.id.clone()))?;
            let command = encode(&stored::Command::Revoke(hash, token))?;
            errands.push(OutboxMessage::Tell { binding: stored::Tokens::CLASS.binding, name, command, done });
        }
        Ok(errands)
    }
}

/// Creates the tables, or adds what they lacked before there were versions.
fn create_tables(store: &dyn Store) -> Result<(), StoreError> {
    stored::create_table(store)?;
    run_all(store, TABLES)?;
    add_column(store, "invites", "used_at", "INTEGER")
}

const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS users (
        id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT, password TEXT NOT NULL,
        role TEXT NOT NULL, active INTEGER NOT NULL, created_at INTEGER NOT NULL,
        version INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS invites (
        id TEXT PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, email TEXT, role TEXT NOT NULL,
        status TEXT NOT NULL, created_at INTEGER NOT NULL, created_by TEXT NOT NULL,
        expires_at INTEGER, used_by TEXT UNIQUE) STRICT, WITHOUT ROWID",
    tokens::INDEX_OWNER,
    // What the registry may not know yet. Of a deleted user, all that is left.
    "CREATE TABLE IF NOT EXISTS untold (
        id TEXT PRIMARY KEY, role TEXT NOT NULL, active INTEGER NOT NULL,
        version INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    // Which token made an invite, where one did. Of older invites it is not known.
    "CREATE TABLE IF NOT EXISTS invited_by_token (
        invite TEXT PRIMARY KEY, token TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS invited_by_token_token ON invited_by_token (token)",
    // Revoked tokens whose own objects may not know it yet.
    "CREATE TABLE IF NOT EXISTS untold_tokens (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    ended::TABLE,
];

#[cfg(test)]
mod tests;
