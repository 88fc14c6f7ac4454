//! Accounts: users, their invites, signing in, and the list of tokens. One object per deployment.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | the `Accounts` object: its commands, its tables, its outbox |
//! | `users.rs` | users: adding, changing and deleting them |
//! | `invites.rs` | invites |
//! | `listing.rs` | lists of users, invites and tokens |
//! | `search.rs` | the words by which a user is found |
//! | `tokens.rs` | the list of tokens and their owners |
//! | `logins/` | copies of what a sign-in reads, in many objects |
//! | `transfer/` | export and import of users |
//! | `writes.rs` | commands by which people make changes, and the check of their authors |
//! | `factors/` | second factors |
//! | `passwords/` | changing passwords, reset links |
//! | `mailer.rs` | mail to users, by a service of the operator |
//! | `login.rs` | opens, extends and ends sessions |
//! | `rotation.rs` | a new session for a user who has authenticated again |
//! | `profile.rs` | a user's name and e-mail address for upstream |
//! | `provision.rs` | the tokens of `AGENT_TOKENS` |
//! | `pages.rs` | the pages of Vestibule: their paths, their headers |
//! | `settings.rs` | the settings |
//! | `endpoints/` | `/api/auth`, `/api/users`, `/api/invites`, `/api/sessions`, `/api/agent-tokens` |
//! | `tests.rs`, `writes/tests.rs`, `writes/tests/model.rs` | tests; `model.rs` tests random histories of commands |
//!
//! What holds of the object:
//!
//! 1. The first account is made once, by a client that has the setup token. Its user is an admin.
//! 2. Every other account is made by redeeming an invite. One transaction adds the user and marks the invite as used:
//!    of several concurrent attempts one succeeds, and an invite is never used twice.
//! 3. There is always an active admin: the last one cannot be demoted, disabled or deleted.
//! 4. An invite depends on its author. When an admin is demoted, disabled or deleted, the admin's unused invites are
//!    revoked; when a token is revoked, those that it made. When an invite is redeemed, its author must be an active
//!    admin.
//! 5. Each change of a user gets a new version and is sent to the registry (see [`crate::sessions::registry`]). A row
//!    here records the change until the registry has applied it. Revoked tokens, and the owners of tokens that were
//!    taken over, are sent to [`crate::tokens`] likewise.
//! 6. What proves a second factor is used once, in one transaction (see [`factors`]).
//! 7. A new password ends the sessions of sign-ins with the earlier one (see [`passwords`]).
//! 8. A change by a person carries its [`Author`]. The transaction that writes checks the author (see [`Write`]).

pub mod endpoints;
pub mod factors;
pub mod login;
pub mod logins;
pub mod mailer;
pub mod pages;
pub mod passwords;
pub mod profile;
pub mod provision;
pub mod settings;
pub mod transfer;

mod invites;
mod listing;
mod rotation;
mod search;
mod tokens;
mod users;
mod writes;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use factors::{FactorCommand, FactorReply, HAS_FACTORS};
use invites::{INVITE, find_unused, read_invite, revoke_invites};
pub use invites::{Invite, Status};
pub use listing::{Cursor, UserPage, UserQuery};
use logins::{
    ReadAccount,
    outbox::{self, Told, Untold},
};
use passwords::{PasswordCommand, PasswordReply};
use transfer::{Outcome, UserRecord};
pub use users::{Account, NewUser, User};
use users::{USER, read_account, read_role, read_status, read_user, redeem, set_up};
pub use writes::Write;

use crate::{
    base::time::Timestamp,
    identity::{
        author::{Author, Refusal},
        ended,
    },
    platform::store::{Class, Object, OutboxMessage, Store, StoreError, add_column, encode, run_all},
    sessions::registry::{self, UserStatus},
    tokens::{self as stored, Hash, Token},
};
use std::cell::Cell;

/// The `Accounts` object.
#[derive(Debug)]
pub struct Accounts;

/// What an isolate remembers of accounts.
#[derive(Debug, Default)]
pub struct AccountsMemory {
    /// Whether an account exists. This never changes back, because the last admin cannot be deleted.
    pub is_set_up: Cell<bool>,
    /// Whether this isolate has sent the tokens of the configuration to `Accounts`.
    pub has_sent_configured_tokens: Cell<bool>,
}

/// The name of the single object.
pub const NAME: &str = "accounts";

/// Maximum number of live tokens of a user.
pub const MOST_TOKENS: i64 = 100;

/// Commands to the `Accounts` object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Makes the first account.
    SetUp(NewUser),
    /// Finds an account by its email address, for a login.
    Find(String),
    /// Returns the user with this id.
    User(String),
    /// Lists users.
    Users(UserQuery),
    /// Makes a change, if its author may do so.
    Write(Author, Write),
    /// Records sessions as ended. Commands from them that are still on their way are refused.
    EndedSessions(ended::Ids),
    /// Records that the registry has this user's status, up to this version.
    StatusDelivered(String, i64),
    /// Lists invites by id: those after this id, at most this many.
    Invites(Option<String>, i64),
    /// Adds a token of the configuration (its hash and the token), unless the hash or the name is in use.
    SeedToken(String, Token),
    /// Adds all tokens of the configuration, except those whose hash or name is in use.
    SeedTokens(Vec<(String, Token)>),
    /// Returns the names of the users with these ids.
    Names(Vec<String>),
    /// Lists tokens that are not revoked, by id: of this owner or of all, after this id, at most this many.
    Tokens(Option<String>, Option<String>, i64),
    /// Finds a token by its id, if it belongs to this owner; `None` allows any owner.
    Token(Option<String>, String),
    /// Deletes a revoked token, once its own object has recorded the revocation.
    DeleteToken(String),
    /// Checks whether the invite whose token has this hash can be used.
    Usable(String),
    /// Redeems the invite whose token has this hash, for this new user.
    Redeem(String, NewUser),
    /// A command about second factors.
    Factor(FactorCommand),
    /// A command about passwords.
    Password(PasswordCommand),
    /// Finds an account by its email address, for a sign-in whose shard is not filled. Begins to fill the shards.
    FindForShards(String),
    /// Returns what is to be told about the user with this id.
    Untold(String),
    /// Records what was told.
    Told(Told),
    /// Records that a shard knows that it is filled.
    ShardFilled(String),
    /// Records that a token's own object has its owner, up to this number of takeovers.
    TakeoverDelivered(String, i64),
}

/// Replies of the `Accounts` object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done. The user's status now.
    UserStatus(UserStatus),
    /// An account, for a login.
    Account(Option<Account>),
    /// A user, if there is one.
    User(Option<User>),
    /// A page of users.
    Users(UserPage),
    /// An invite in its present state.
    Invite(Invite),
    /// A list of invites.
    Invites(Vec<Invite>),
    /// Tokens, with their hashes.
    Tokens(Vec<(String, Token)>),
    /// A token of the configuration: the one just added, or the stored one with the same hash.
    Token(Token),
    /// Another token of the configuration has this name.
    NameTaken,
    /// `true`: done. `false`: not done, because the owner has reached the token limit.
    Done(bool),
    /// An account exists already.
    AlreadySetUp,
    /// The invite is for another email address, or the address has an account.
    EmailMismatch,
    /// The email address has an account.
    EmailTaken,
    /// The invite is unknown, used, revoked, disabled or expired, or its author or token is no longer valid.
    Unusable,
    /// The change would leave no active admin.
    LastAdmin,
    /// The author may not do this, or may no longer do it.
    Refused(Refusal),
    /// Ids and names of users; `None` for a user without a name.
    Names(Vec<(String, Option<String>)>),
    /// Nothing has this id.
    NotFound,
    /// The reply to a command about second factors.
    Factor(FactorReply),
    /// The policy requires a second factor of an admin, and the user has none.
    SecondFactorMissing,
    /// An account, for a sign-in whose shard is not filled.
    Login(ReadAccount),
    /// What is to be told about a user, if there is something.
    Untold(Option<Untold>),
    /// Records of users.
    Exported(Vec<UserRecord>),
    /// The results of an import, with the numbers of the lines.
    Imported(Vec<(u32, Outcome)>),
    /// The reply to a command about passwords.
    Password(PasswordReply),
}

impl Object for Accounts {
    const CLASS: Class = Class {
        name: "Accounts",
        binding: "ACCOUNTS",
        alarm_delay: Some(Duration::from_secs(2)),
        migrations: &[
            create_tables,
            factors::add_factors,
            stored::add_scope,
            listing::add_indexes,
            passwords::add_passwords,
            outbox::add_tables,
            users::add_last_deletion,
        ],
    };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::SetUp(user) => set_up(store, &user, now),
            Command::Find(email) => {
                let select = format!(
                    "SELECT id, password, role, active, version, {HAS_FACTORS} FROM users WHERE email = ?"
                );
                let rows = store.run(&select, &[(&email).into()])?;
                rows.first().map(read_account).transpose().map(Reply::Account)
            }
            Command::User(id) => {
                let rows = store.run(&format!("SELECT {USER} FROM users WHERE id = ?"), &[(&id).into()])?;
                rows.first().map(read_user).transpose().map(Reply::User)
            }
            Command::Users(query) => listing::users(store, &query),
            Command::Write(author, write) => writes::write(store, &author, write, now),
            Command::EndedSessions(ids) => {
                ended::record(store, &ids, now)?;
                Ok(Reply::Done(true))
            }
            Command::StatusDelivered(id, version) => {
                store.run(
                    "DELETE FROM untold WHERE id = ? AND version <= ?",
                    &[(&id).into(), version.into()],
                )?;
                Ok(Reply::Done(true))
            }
            Command::Invites(after, limit) => listing::invites(store, after.as_deref(), limit, now),
            Command::SeedToken(hash, token) => tokens::seed(store, &hash, token),
            Command::SeedTokens(all) => {
                for (hash, token) in all {
                    tokens::seed(store, &hash, token)?;
                }
                Ok(Reply::Done(true))
            }
            Command::Names(ids) => users::names(store, &ids),
            Command::Tokens(owner, after, limit) => {
                listing::tokens(store, owner.as_deref(), after.as_deref(), limit)
            }
            Command::Token(owner, id) => listing::token(store, owner.as_deref(), &id),
            Command::DeleteToken(id) => {
                tokens::delete_revoked(store, &id)?;
                Ok(Reply::Done(true))
            }
            Command::Usable(token_hash) => {
                let found = find_unused(store, &token_hash, now)?;
                Ok(if found.is_some() { Reply::Done(true) } else { Reply::Unusable })
            }
            Command::Redeem(token_hash, user) => redeem(store, &token_hash, &user, now),
            Command::Factor(command) => factors::handle(store, command, now).map(Reply::Factor),
            Command::Password(command) => passwords::handle(store, command, now).map(Reply::Password),
            Command::FindForShards(email) => outbox::find(store, &email, now),
            Command::Untold(user) => outbox::untold(store, &user),
            Command::Told(told) => outbox::told(store, &told).map(|()| Reply::Done(true)),
            Command::ShardFilled(name) => outbox::shard_filled(store, &name).map(|()| Reply::Done(true)),
            Command::TakeoverDelivered(id, takeovers) => {
                tokens::takeover_delivered(store, &id, takeovers).map(|()| Reply::Done(true))
            }
        }
    }

    fn next_alarm(store: &impl Store, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let users = store.run("SELECT 1 FROM untold LIMIT 1", &[])?;
        let tokens = store.run("SELECT 1 FROM untold_tokens LIMIT 1", &[])?;
        let passwords = store.run("SELECT 1 FROM untold_passwords LIMIT 1", &[])?;
        let is_told = [users, tokens, passwords].iter().all(Vec::is_empty);
        let is_due = !is_told || search::is_incomplete(store)? || outbox::is_due(store)?;
        Ok(is_due.then_some(now))
    }

    /// Returns messages with statuses and changes of passwords that the registry may not have yet, and with revocations
    /// and takeovers that the tokens' objects may not have yet: at most 50 of each.
    fn alarm(store: &impl Store, _now: Timestamp) -> Result<Vec<OutboxMessage>, StoreError> {
        search::complete_some(store)?;
        let logins = outbox::messages(store)?;
        let rows = store.run("SELECT id, role, active, version FROM untold ORDER BY id LIMIT 50", &[])?;
        let mut messages = Vec::with_capacity(rows.len());
        for row in &rows {
            let (name, status) = (row.text(0)?, read_status(row, 1)?);
            let done = encode(&Command::StatusDelivered(name.clone(), status.version))?;
            let command = encode(&registry::Command::Apply(status))?;
            messages.push(OutboxMessage::Tell {
                binding: registry::Sessions::CLASS.binding,
                name,
                command,
                done,
            });
        }
        for row in &store.run(passwords::UNTOLD, &[])? {
            let (name, change) = passwords::untold(row)?;
            let done = PasswordCommand::Delivered(name.clone(), change.version);
            let done = encode(&Command::Password(done))?;
            let command = encode(&registry::Command::PasswordChanged(change))?;
            messages.push(OutboxMessage::Tell {
                binding: registry::Sessions::CLASS.binding,
                name,
                command,
                done,
            });
        }
        for (hash, token) in tokens::untold(store)? {
            let name = Hash(hash.clone()).object().to_owned();
            let (command, done) = if token.revoked_at.is_some() {
                let done = Command::DeleteToken(token.id.clone());
                (stored::Command::Revoke(hash, token), done)
            } else {
                let done = Command::TakeoverDelivered(token.id.clone(), token.takeovers);
                (stored::Command::Own(hash, token), done)
            };
            messages.push(OutboxMessage::Tell {
                binding: stored::Tokens::CLASS.binding,
                name,
                command: encode(&command)?,
                done: encode(&done)?,
            });
        }
        messages.extend(logins);
        Ok(messages)
    }
}

/// Creates the tables. In databases from before schema versions, adds the tables and columns that they lack.
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
    // Statuses that the registry may not have yet. For a deleted user, this row is the only one left.
    "CREATE TABLE IF NOT EXISTS untold (
        id TEXT PRIMARY KEY, role TEXT NOT NULL, active INTEGER NOT NULL,
        version INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    // The token that made an invite, if a token did. Unknown for older invites.
    "CREATE TABLE IF NOT EXISTS invited_by_token (
        invite TEXT PRIMARY KEY, token TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS invited_by_token_token ON invited_by_token (token)",
    // Tokens whose own objects may not have their revocation, or their takeover, yet.
    "CREATE TABLE IF NOT EXISTS untold_tokens (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    ended::TABLE,
];

#[cfg(test)]
mod tests;
