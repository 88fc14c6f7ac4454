//! Copies of what a sign-in reads, in 256 objects, so that signing in does not need the one `Accounts` object.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | the `Logins` object: the copies of one shard |
//! | `outbox.rs` | in `Accounts`: which copies the shards lack, and what a user's sessions require |
//! | `tell.rs` | in the Worker: finding an account, telling a change |
//! | `tests.rs`, `tests/model.rs` | tests; `model.rs` tests random histories of changes, lost messages and sign-ins |
//!
//! 1. The truth is in `Accounts`, and so is everything that must hold in one transaction. A shard only has copies. Its
//!    name is the first byte of the SHA-256 of the e-mail address, in hex. A copy is found by the whole hash.
//! 2. Each copy has a version: the clock of `Accounts` when the copy was read. Each change that concerns signing in
//!    moves the clock. A shard never replaces a copy by an earlier one. A user who does not exist has a copy that says
//!    so.
//! 3. A shard answers once it is filled: until it has the copy of each user, it says so, and `Accounts` is asked.
//!    `Accounts` fills all shards when one is first asked, in bounded steps, by its alarm.
//! 4. **A copy that is behind lets nobody in whom `Accounts` no longer lets in.** A user's `Sessions` object knows the
//!    user's status, and the clock of the last change of the password or the factors. It opens no session for a sign-in
//!    that read an earlier copy. The gateway answers such a change only when `Sessions` has that clock. A sign-in that
//!    is refused for it is decided once more, by `Accounts`.
//! 5. After a change, the Worker tells `Sessions` and then the shard. If it dies in between, the alarm of `Accounts`
//!    tells them.

pub mod outbox;
pub mod tell;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Account, factors::Factors, users::read_role};
use crate::{
    base::{encoding, time::Timestamp},
    platform::store::{Class, Object, SqlRow, Store, StoreError, Value, run_all},
    sessions::registry::UserStatus,
};

/// The `Logins` object of one shard.
#[derive(Debug)]
pub struct Logins;

/// The SHA-256 of an e-mail address, in hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EmailHash(String);

/// What a shard has of an e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountCopy {
    /// The address.
    pub email: EmailHash,
    /// The account; `None` if the address has none.
    pub account: Option<Account>,
}

/// An account for a sign-in, and the clock of `Accounts` when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadAccount {
    /// The account, if it exists.
    pub account: Option<Account>,
    /// The clock; `None` if `Accounts` has none, because no shard was ever asked.
    pub version: Option<i64>,
}

/// Commands to a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Finds the account of an address.
    Find(EmailHash),
    /// Stores copies that were read at this clock, except those of which the shard has later ones.
    Put(i64, Vec<AccountCopy>),
    /// Records that the shard has the copies of all users.
    Filled,
}

/// Replies of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The account.
    Account(ReadAccount),
    /// The shard is not filled yet: only `Accounts` knows.
    Unfilled,
    /// Done.
    Done,
}

impl EmailHash {
    /// Hashes an e-mail address in lower case.
    #[must_use]
    pub fn of(email: &str) -> Self {
        Self(encoding::hex(&Sha256::digest(email)))
    }

    /// Returns the name of the address's shard.
    #[must_use]
    pub fn shard(&self) -> &str {
        self.0.get(..2).unwrap_or_default()
    }
}

impl Object for Logins {
    const CLASS: Class = Class {
        name: "Logins",
        binding: "LOGINS",
        alarm_delay: None,
        migrations: &[|store| run_all(store, TABLES)],
    };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, _now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Find(email) => find(store, &email),
            Command::Put(version, copies) => {
                for copy in &copies {
                    put(store, version, copy)?;
                }
                Ok(Reply::Done)
            }
            Command::Filled => {
                store.run("INSERT OR IGNORE INTO filled (one) VALUES (1)", &[])?;
                Ok(Reply::Done)
            }
        }
    }

    fn is_read_only(command: &Command) -> bool {
        matches!(command, Command::Find(_))
    }
}

fn find(store: &impl Store, email: &EmailHash) -> Result<Reply, StoreError> {
    if store.run("SELECT 1 FROM filled", &[])?.is_empty() {
        return Ok(Reply::Unfilled);
    }
    let rows = store.run(
        "SELECT version, id, password, role, active, status_version, totp, passkeys, recovery_codes FROM copies
         WHERE email = ?",
        &[(&email.0).into()],
    )?;
    rows.first()
        .map_or(Ok(ReadAccount { account: None, version: Some(0) }), |row| {
            let account = row.optional_text(1)?.map(|id| read(row, id)).transpose()?;
            Ok(ReadAccount { account, version: Some(row.integer(0)?) })
        })
        .map(Reply::Account)
}

fn read(row: &SqlRow, id: String) -> Result<Account, StoreError> {
    let has = |column| row.integer(column).map(|found| found == 1);
    Ok(Account {
        id,
        password: row.text(2)?,
        status: UserStatus { role: read_role(row, 3)?, active: has(4)?, version: row.integer(5)? },
        factors: Factors { totp: has(6)?, passkeys: has(7)?, recovery_codes: has(8)? },
    })
}

fn put(store: &impl Store, version: i64, copy: &AccountCopy) -> Result<(), StoreError> {
    let mut values = vec![Value::from(&copy.email.0), version.into()];
    match &copy.account {
        Some(Account { id, password, status, factors }) => {
            let flag = |is| Value::from(i64::from(is));
            values.extend([id.into(), password.into(), status.role.name().into(), flag(status.active)]);
            values.push(status.version.into());
            values.extend([factors.totp, factors.passkeys, factors.recovery_codes].map(flag));
        }
        None => values.extend([Value::Null; 8]),
    }
    store.run(
        "INSERT INTO copies
            (email, version, id, password, role, active, status_version, totp, passkeys, recovery_codes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (email) DO UPDATE SET version = excluded.version, id = excluded.id,
            password = excluded.password, role = excluded.role, active = excluded.active,
            status_version = excluded.status_version, totp = excluded.totp, passkeys = excluded.passkeys,
            recovery_codes = excluded.recovery_codes
         WHERE excluded.version >= copies.version",
        &values,
    )?;
    Ok(())
}

const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS copies (
        email TEXT PRIMARY KEY, version INTEGER NOT NULL, id TEXT, password TEXT, role TEXT, active INTEGER,
        status_version INTEGER, totp INTEGER, passkeys INTEGER, recovery_codes INTEGER) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS filled (one INTEGER PRIMARY KEY CHECK (one = 1)) STRICT",
];

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::needless_pass_by_value, reason = "a test may fail")]
mod tests;
