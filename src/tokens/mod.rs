//! Records of machine credentials (tokens). One `Tokens` object for each first byte of a token's hash.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | kinds of tokens, and the `Tokens` object with their records |
//! | `catalogue.rs` | the catalogue of operations for agents |
//! | `endpoints.rs`, `settings.rs` | `/.well-known/agent-operations` (`/api/agent-tokens` is in `accounts`); the settings |
//!
//! 1. A token is looked up by the SHA-256 of its whole value. The value is shown once, when the token is
//!    created, and is not stored.
//! 2. The token's prefix says what it may do (`CREDENTIALS`). Its record says which user or agent it acts for.
//! 3. The configuration may also define tokens of agents (`AGENT_TOKENS`). Such a [`ConfiguredToken`] is listed from
//!    the first request on. Its record is created when it is first used. If it was revoked, it stays revoked.
//! 4. A token that another token created is valid only while that token is valid. This is checked on each use.
//! 5. When a token is added, up to [`MAX_SWEPT`] tokens that expired [`EXPIRED_KEPT`] seconds ago or earlier are
//!    deleted.
//! 6. A record may have a scope, which cuts what its token may do. It never changes.
//! 7. The time of last use is written after the answer, at most once in [`USED_EVERY`] seconds.

pub mod catalogue;
pub mod endpoints;
pub mod settings;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    base::{cache::Cache, encoding, time::Timestamp},
    identity::{principal::ActorSource, token_scope::TokenScope},
    platform::store::{Class, Object, SqlRow, Store, StoreError, Value, add_column, run_all},
};

/// The `Tokens` object of one first byte of the hashes.
#[derive(Debug)]
pub struct Tokens;

/// Seconds between two writes of a token's time of last use.
pub const USED_EVERY: i64 = 60;

/// Seconds for which an expired token is kept, and answered with `token_expired`.
pub const EXPIRED_KEPT: i64 = 30 * 86_400;

/// Maximum number of expired tokens that are deleted at a time.
pub const MAX_SWEPT: i64 = 100;

/// A kind of machine credential, recognized by its prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Prefix of the tokens, such as `mul_`.
    pub prefix: String,
    /// Whether the tokens act for an agent. Otherwise they act for their owner.
    pub is_agent: bool,
    /// Kind of program that uses the tokens.
    pub source: ActorSource,
    /// Whether tokens of this kind may create tokens for tasks of their user.
    pub delegate: bool,
}

/// An agent's token that the configuration defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredToken {
    /// Name of the token and of its agent.
    pub name: String,
    /// Prefix of the token.
    pub prefix: String,
    /// Hash of the token's value.
    pub hash: Hash,
}

/// Owner of the tokens that the configuration defines.
pub const CONFIG_OWNER: &str = "AGENT_TOKENS";

/// The record of a token. It does not contain the token's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Id: `tok_…`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Prefix of the token.
    pub prefix: String,
    /// Id of the owner: the user for whom it acts, or who created it for an agent.
    pub owner: String,
    /// Agent for which it acts.
    pub agent: Option<String>,
    /// Task for which it was created.
    pub task: Option<String>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of expiry, if it expires.
    pub expires_at: Option<Timestamp>,
    /// Time of revocation, if it is revoked.
    pub revoked_at: Option<Timestamp>,
    /// Time of last use, accurate to [`USED_EVERY`] seconds.
    pub last_used_at: Option<Timestamp>,
    /// Hash of the token that created it, if a token did.
    #[serde(default)]
    pub made_by_token: Option<String>,
    /// Number of takeovers.
    #[serde(default)]
    pub takeovers: i64,
    /// Scope; `None` does not cut what it may do.
    #[serde(default)]
    pub scope: Option<TokenScope>,
}

/// Commands of a `Tokens` object. Each takes the token's hash and replies with the stored token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Stores a token, unless the hash already has one. Also deletes some expired tokens.
    Put(String, Token),
    /// Returns the token.
    Find(String),
    /// Revokes the token. Stores the given token first if the hash has none.
    Revoke(String, Token),
    /// Sets the owner, unless a later takeover is stored. Stores the given token first if the hash has none.
    Own(String, Token),
    /// Writes the time of last use.
    Used(String),
}

/// SHA-256 of a token's value, in hex. It also names the token's object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash(pub String);

impl Hash {
    /// Hashes the whole value of a token.
    #[must_use]
    pub fn of(value: &str) -> Self {
        Self(encoding::hex(&Sha256::digest(value)))
    }

    /// Returns the name of the token's object: the first byte, in hex.
    #[must_use]
    pub fn object(&self) -> &str {
        self.0.get(..2).unwrap_or_default()
    }
}

impl ConfiguredToken {
    /// Makes the token's record.
    #[must_use]
    pub fn token(&self, id: String, now: Timestamp) -> Token {
        Token {
            id,
            name: self.name.clone(),
            prefix: self.prefix.clone(),
            owner: CONFIG_OWNER.to_owned(),
            agent: Some(self.name.clone()),
            task: None,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            made_by_token: None,
            takeovers: 0,
            scope: None,
        }
    }
}

impl Token {
    /// Checks that the token is neither revoked nor expired.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }

    /// Checks whether the time of last use must be written again.
    #[must_use]
    pub fn must_record_use(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|last| now.seconds_since(last) >= USED_EVERY)
    }
}

impl Object for Tokens {
    const CLASS: Class = Class {
        name: "Tokens",
        binding: "TOKENS",
        alarm_delay: None,
        migrations: &[create_table, add_scope],
    };
    type Command = Command;
    type Reply = Option<Token>;

    fn is_read_only(command: &Command) -> bool {
        matches!(command, Command::Find(_))
    }

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Option<Token>, StoreError> {
        let hash = match &command {
            Command::Put(hash, token) => {
                sweep(store, Timestamp(now.0.saturating_sub(EXPIRED_KEPT)))?;
                put(store, hash, token)?;
                hash
            }
            Command::Find(hash) => hash,
            Command::Revoke(hash, token) => {
                put(store, hash, token)?;
                let revoke = "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE hash = ?";
                store.run(revoke, &[now.into(), hash.into()])?;
                hash
            }
            Command::Own(hash, token) => {
                put(store, hash, token)?;
                // Two takeovers at the same time may arrive here in the reverse order.
                let own = "UPDATE tokens SET owner = ?1, takeovers = ?2 WHERE hash = ?3 AND takeovers < ?2";
                store.run(own, &[(&token.owner).into(), token.takeovers.into(), hash.into()])?;
                hash
            }
            Command::Used(hash) => {
                store.run("UPDATE tokens SET last_used_at = ? WHERE hash = ?", &[now.into(), hash.into()])?;
                hash
            }
        };
        let rows = store.run(&format!("SELECT {COLUMNS} FROM tokens WHERE hash = ?"), &[hash.into()])?;
        rows.first().map(token).transpose()
    }
}

/// Columns of a token's record, in order.
pub const COLUMNS: &str = "id, name, prefix, owner, agent, task, created_at, expires_at, revoked_at, last_used_at, \
                           made_by_token, takeovers, scope";

/// Creates the table of tokens, or adds the columns that a table without a version lacks.
pub(crate) fn create_table(store: &dyn Store) -> Result<(), StoreError> {
    let create = "CREATE TABLE IF NOT EXISTS tokens (
        hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL,
        owner TEXT NOT NULL, agent TEXT, task TEXT, created_at INTEGER NOT NULL, expires_at INTEGER,
        revoked_at INTEGER, last_used_at INTEGER) STRICT, WITHOUT ROWID";
    run_all(store, &[create])?;
    add_column(store, "tokens", "made_by_token", "TEXT")?;
    add_column(store, "tokens", "takeovers", "INTEGER NOT NULL DEFAULT 0")?;
    let index =
        "CREATE INDEX IF NOT EXISTS tokens_by_expiry ON tokens (expires_at) WHERE expires_at IS NOT NULL";
    run_all(store, &[index])
}

/// Adds the column of the scope: JSON, or null for a token without a scope.
pub(crate) fn add_scope(store: &dyn Store) -> Result<(), StoreError> {
    add_column(store, "tokens", "scope", "TEXT")
}

/// Deletes up to [`MAX_SWEPT`] tokens that expired at or before a time.
pub(crate) fn sweep(store: &impl Store, before: Timestamp) -> Result<(), StoreError> {
    let some = "SELECT hash FROM tokens WHERE expires_at IS NOT NULL AND expires_at <= ? LIMIT ?";
    store.run(&format!("DELETE FROM tokens WHERE hash IN ({some})"), &[before.into(), MAX_SWEPT.into()])?;
    Ok(())
}

/// Inserts a token, unless it is stored. Works for each object that has this table.
pub(crate) fn put(store: &impl Store, hash: &str, token: &Token) -> Result<(), StoreError> {
    let time = |time: Option<Timestamp>| time.map_or(Value::Null, Value::from);
    let scope = token.scope.as_ref().map(serde_json::to_string).transpose();
    let scope = scope.map_err(|error| StoreError(error.to_string()))?;
    store.run(
        &format!(
            "INSERT OR IGNORE INTO tokens (hash, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ),
        &[
            hash.into(),
            (&token.id).into(),
            (&token.name).into(),
            (&token.prefix).into(),
            (&token.owner).into(),
            token.agent.as_deref().into(),
            token.task.as_deref().into(),
            token.created_at.into(),
            time(token.expires_at),
            time(token.revoked_at),
            time(token.last_used_at),
            token.made_by_token.as_deref().into(),
            token.takeovers.into(),
            scope.as_deref().into(),
        ],
    )?;
    Ok(())
}

/// Reads a token from a row of [`COLUMNS`].
pub(crate) fn token(row: &SqlRow) -> Result<Token, StoreError> {
    let time = |column| Ok(row.optional_integer(column)?.map(Timestamp));
    Ok(Token {
        id: row.text(0)?,
        name: row.text(1)?,
        prefix: row.text(2)?,
        owner: row.text(3)?,
        agent: row.optional_text(4)?,
        task: row.optional_text(5)?,
        created_at: Timestamp(row.integer(6)?),
        expires_at: time(7)?,
        revoked_at: time(8)?,
        last_used_at: time(9)?,
        made_by_token: row.optional_text(10)?,
        takeovers: row.integer(11)?,
        scope: row.optional_text(12)?.as_deref().map(read_scope).transpose()?,
    })
}

/// Reads a stored scope. One that cannot be read is an error: without it, the token would have all rights.
fn read_scope(text: &str) -> Result<TokenScope, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError(format!("a token's scope: {error}")))
}

/// Tokens that an isolate remembers, by their hash.
#[derive(Debug)]
pub struct TokenCache(pub Cache<Token>);

impl Default for TokenCache {
    fn default() -> Self {
        Self(Cache::new(5_000))
    }
}

#[cfg(test)]
mod tests;
