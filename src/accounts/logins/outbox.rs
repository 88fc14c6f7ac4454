//! In `Accounts`: which copies the shards of [`Logins`] lack, and which clock the sessions of a user require.
//!
//! 1. Triggers record each change, in the transaction that makes it. So no command can forget it. They do nothing until
//!    a shard was asked for the first time: a deployment without shards has no rows here.
//! 2. A record has the clock of its change. It is deleted when its receivers have a state that was read at that clock
//!    or later, unless another change came after.
//! 3. The shards are filled by recording all users, some at a time. When all records are told, the shards are told that
//!    they are filled.

use serde::{Deserialize, Serialize};

use super::{AccountCopy, Command, EmailHash, Logins, ReadAccount};
use crate::{
    accounts::{self, Reply, factors::HAS_FACTORS, users::read_account},
    base::time::Timestamp,
    platform::store::{Object, OutboxMessage, Store, StoreError, encode, run_all},
    sessions::registry::{self, Sessions},
};

/// The most copies of one alarm, and the most users that are recorded at a time to fill the shards.
const BATCH: i64 = 500;

/// The most requirements of one alarm.
const REQUIREMENTS: i64 = 50;

/// The number of shards: one for each byte.
const SHARDS: i64 = 256;

/// What is to be told about one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    /// The clock when this was read.
    pub version: i64,
    /// The clock that the sessions of the user require from now on.
    pub required: Option<i64>,
    /// The copies that the shards lack.
    pub copies: Vec<AccountCopy>,
    /// Their addresses, for [`Told`].
    pub emails: Vec<String>,
}

/// What was told: states that were read at this clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The clock.
    pub version: i64,
    /// The addresses whose shards have their copies.
    pub emails: Vec<String>,
    /// The user whose sessions have the required clock.
    pub user: Option<String>,
}

/// Finds an account for a sign-in, for a Worker whose shard is not filled. The first such call begins to fill the
/// shards.
pub(in crate::accounts) fn find(
    store: &impl Store,
    email: &str,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let known = clock(store)?;
    let version = known.unwrap_or_else(|| now.0.saturating_mul(1_000));
    if known.is_none() {
        store.run(
            "INSERT INTO credentials_clock (one, version, walked_to) VALUES (1, ?, '')",
            &[version.into()],
        )?;
    }
    let account = copy(store, email)?.account;
    Ok(Reply::Login(ReadAccount { account, version: Some(version) }))
}

/// Returns what is to be told about a user.
pub(in crate::accounts) fn untold(store: &impl Store, user: &str) -> Result<Reply, StoreError> {
    let Some(version) = clock(store)? else { return Ok(Reply::Untold(None)) };
    let required = store.run("SELECT mark FROM untold_requirements WHERE id = ?", &[user.into()])?;
    let required = required.first().map(|row| row.integer(0)).transpose()?;
    let rows = store.run("SELECT email FROM untold_credentials WHERE id = ? LIMIT 10", &[user.into()])?;
    let emails = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
    let copies = emails.iter().map(|email| copy(store, email)).collect::<Result<Vec<_>, _>>()?;
    let is_empty = required.is_none() && copies.is_empty();
    Ok(Reply::Untold((!is_empty).then_some(Untold { version, required, copies, emails })))
}

/// Deletes the records of what was told.
pub(in crate::accounts) fn told(store: &impl Store, told: &Told) -> Result<(), StoreError> {
    let Told { version, emails, user } = told;
    for email in emails {
        store.run(
            "DELETE FROM untold_credentials WHERE email = ? AND mark <= ?",
            &[email.into(), (*version).into()],
        )?;
    }
    if let Some(user) = user {
        store.run(
            "DELETE FROM untold_requirements WHERE id = ? AND mark <= ?",
            &[user.into(), (*version).into()],
        )?;
    }
    Ok(())
}

/// Records that a shard was told that it is filled.
pub(in crate::accounts) fn shard_filled(store: &impl Store, shard: &str) -> Result<(), StoreError> {
    store.run("INSERT OR IGNORE INTO filled_shards (name) VALUES (?)", &[shard.into()])?;
    store.run(
        "UPDATE credentials_clock SET is_filled = 1 WHERE (SELECT count(*) FROM filled_shards) = ?",
        &[SHARDS.into()],
    )?;
    Ok(())
}

/// Returns whether something is to be told, or shards are to be filled.
pub(in crate::accounts) fn is_due(store: &impl Store) -> Result<bool, StoreError> {
    let rows = store.run(
        "SELECT 1 FROM credentials_clock WHERE walked_to IS NOT NULL
            OR EXISTS (SELECT 1 FROM untold_credentials) OR EXISTS (SELECT 1 FROM untold_requirements)
            OR is_filled = 0",
        &[],
    )?;
    Ok(!rows.is_empty())
}

/// Returns the messages that are due: copies for the shards, clocks for sessions, or that the shards are filled.
pub(in crate::accounts) fn messages(store: &impl Store) -> Result<Vec<OutboxMessage>, StoreError> {
    let Some(version) = clock(store)? else { return Ok(Vec::new()) };
    record_next_users(store)?;
    let mut messages = requirements(store, version)?;
    let rows = store.run("SELECT email FROM untold_credentials LIMIT ?", &[BATCH.into()])?;
    let mut copies = Vec::with_capacity(rows.len());
    for row in &rows {
        let email = row.text(0)?;
        copies.push((copy(store, &email)?, email));
    }
    copies.sort_unstable_by(|(one, _), (other, _)| one.email.cmp(&other.email));
    for group in copies.chunk_by(|(one, _), (other, _)| one.email.shard() == other.email.shard()) {
        let Some((first, _)) = group.first() else { continue };
        let emails = group.iter().map(|(_, email)| email.clone()).collect();
        let put = Command::Put(version, group.iter().map(|(copy, _)| copy.clone()).collect());
        let told = Told { version, emails, user: None };
        messages.push(to_shard(first.email.shard(), &put, &accounts::Command::Told(told))?);
    }
    let select = "SELECT 1 FROM credentials_clock WHERE walked_to IS NULL AND is_filled = 0";
    if copies.is_empty() && !store.run(select, &[])?.is_empty() {
        let rows = store.run("SELECT name FROM filled_shards", &[])?;
        let filled = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
        for shard in (0..SHARDS).map(|byte| format!("{byte:02x}")).filter(|shard| !filled.contains(shard)) {
            messages.push(to_shard(
                &shard,
                &Command::Filled,
                &accounts::Command::ShardFilled(shard.clone()),
            )?);
        }
    }
    Ok(messages)
}

/// Records some users whose copies the shards lack, while the shards are being filled.
fn record_next_users(store: &impl Store) -> Result<(), StoreError> {
    let rows = store.run("SELECT walked_to FROM credentials_clock", &[])?;
    let after = rows.first().map_or(Ok(None), |row| row.optional_text(0))?;
    let Some(after) = after else { return Ok(()) };
    let rows = store
        .run("SELECT id FROM users WHERE id > ? ORDER BY id LIMIT ?", &[(&after).into(), BATCH.into()])?;
    let last = rows.last().map(|row| row.text(0)).transpose()?;
    if let Some(last) = &last {
        store.run(
            "INSERT OR IGNORE INTO untold_credentials (email, id, mark)
             SELECT email, id, 0 FROM users WHERE id > ? AND id <= ?",
            &[(&after).into(), last.into()],
        )?;
    }
    store.run("UPDATE credentials_clock SET walked_to = ?", &[last.as_deref().into()])?;
    Ok(())
}

fn requirements(store: &impl Store, version: i64) -> Result<Vec<OutboxMessage>, StoreError> {
    let rows = store.run("SELECT id, mark FROM untold_requirements LIMIT ?", &[REQUIREMENTS.into()])?;
    let message = |row: &crate::platform::store::SqlRow| {
        let (user, mark) = (row.text(0)?, row.integer(1)?);
        let told = Told { version, emails: Vec::new(), user: Some(user.clone()) };
        Ok(OutboxMessage::Tell {
            binding: Sessions::CLASS.binding,
            command: encode(&registry::Command::RequireCredentials(mark))?,
            done: encode(&accounts::Command::Told(told))?,
            name: user,
        })
    };
    rows.iter().map(message).collect()
}

fn to_shard(shard: &str, command: &Command, done: &accounts::Command) -> Result<OutboxMessage, StoreError> {
    Ok(OutboxMessage::Tell {
        binding: Logins::CLASS.binding,
        name: shard.to_owned(),
        command: encode(command)?,
        done: encode(done)?,
    })
}

/// Reads the present state of an address.
fn copy(store: &impl Store, email: &str) -> Result<AccountCopy, StoreError> {
    let select =
        format!("SELECT id, password, role, active, version, {HAS_FACTORS} FROM users WHERE email = ?");
    let rows = store.run(&select, &[email.into()])?;
    let account = rows.first().map(read_account).transpose()?;
    Ok(AccountCopy { email: EmailHash::of(email), account })
}

/// Returns the clock, if shards are in use.
fn clock(store: &impl Store) -> Result<Option<i64>, StoreError> {
    let rows = store.run("SELECT version FROM credentials_clock", &[])?;
    rows.first().map(|row| row.integer(0)).transpose()
}

/// Adds the tables, and the triggers that record changes.
pub(in crate::accounts) fn add_tables(store: &dyn Store) -> Result<(), StoreError> {
    run_all(store, TABLES)?;
    for trigger in TRIGGERS {
        run_all(store, &[trigger.statement().as_str()])?;
    }
    Ok(())
}

/// A trigger that records a change of what a sign-in reads.
struct Trigger {
    /// The name, without its prefix.
    name: &'static str,
    /// The event, with a condition after `WHEN`.
    event: &'static str,
    /// Selects the addresses and ids of the users whom it concerns.
    users: &'static str,
    /// Whether no session may be opened any more by an earlier copy.
    requires: bool,
}

impl Trigger {
    /// Returns a trigger after which an earlier copy may still be used: `Sessions` judges the user's status itself.
    const fn new(name: &'static str, event: &'static str, users: &'static str) -> Self {
        Self { name, event, users, requires: false }
    }

    /// Returns a trigger after which a sign-in by an earlier copy opens no session.
    const fn requiring(name: &'static str, event: &'static str, users: &'static str) -> Self {
        Self { name, event, users, requires: true }
    }

    /// Returns the statement that creates it. It moves the clock, and records the users.
    fn statement(&self) -> String {
        let Self { name, event, users, requires } = *self;
        let condition = "EXISTS (SELECT 1 FROM credentials_clock)";
        let (event, condition) = match event.split_once(" WHEN ") {
            Some((event, also)) => (event, format!("{also} AND {condition}")),
            None => (event, condition.to_owned()),
        };
        let requirement = format!(
            "INSERT INTO untold_requirements (id, mark) SELECT u.id, c.version FROM ({users}) AS u, credentials_clock AS c
             WHERE 1 ON CONFLICT (id) DO UPDATE SET mark = excluded.mark;"
        );
        format!(
            "CREATE TRIGGER IF NOT EXISTS credentials_{name} AFTER {event} FOR EACH ROW WHEN {condition} BEGIN
                UPDATE credentials_clock SET version = max(version + 1, unixepoch() * 1000);
                INSERT INTO untold_credentials (email, id, mark)
                    SELECT u.email, u.id, c.version FROM ({users}) AS u, credentials_clock AS c
                    WHERE 1 ON CONFLICT (email) DO UPDATE SET id = excluded.id, mark = excluded.mark;
                {}
            END",
            if requires { &requirement } else { "" }
        )
    }
}

const TRIGGERS: &[Trigger] = &[
    Trigger::new("user_added", "INSERT ON users", NEW_USER),
    Trigger::new("user_deleted", "DELETE ON users", OLD_USER),
    Trigger::new("status_changed", "UPDATE OF role, active, version ON users", NEW_USER),
    Trigger::requiring(
        "password_changed",
        "UPDATE OF password ON users WHEN NEW.password IS NOT OLD.password",
        NEW_USER,
    ),
    Trigger::requiring(
        "address_changed",
        "UPDATE OF id, email ON users",
        "SELECT OLD.email AS email, OLD.id AS id UNION SELECT NEW.email, NEW.id",
    ),
    Trigger::requiring("totp_added", "INSERT ON totp WHEN NEW.state = 'confirmed'", OF_NEW_FACTOR),
    Trigger::requiring("totp_changed", "UPDATE OF id, user, state ON totp", OF_NEW_FACTOR),
    Trigger::requiring("totp_removed", "DELETE ON totp WHEN OLD.state = 'confirmed'", OF_OLD_FACTOR),
    Trigger::requiring("passkey_added", "INSERT ON passkeys", OF_NEW_FACTOR),
    Trigger::requiring("passkey_removed", "DELETE ON passkeys", OF_OLD_FACTOR),
    Trigger::new("code_added", "INSERT ON recovery_codes", OF_NEW_FACTOR),
    Trigger::new("code_removed", "DELETE ON recovery_codes", OF_OLD_FACTOR),
];

const NEW_USER: &str = "SELECT NEW.email AS email, NEW.id AS id";
const OLD_USER: &str = "SELECT OLD.email AS email, OLD.id AS id";
const OF_NEW_FACTOR: &str = "SELECT email, id FROM users WHERE id = NEW.user";
const OF_OLD_FACTOR: &str = "SELECT email, id FROM users WHERE id = OLD.user";

const TABLES: &[&str] = &[
    // Has a row since a shard was first asked. Users after `walked_to` are still to be recorded; null: all are.
    "CREATE TABLE IF NOT EXISTS credentials_clock (
        one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, walked_to TEXT,
        is_filled INTEGER NOT NULL DEFAULT 0) STRICT",
    "CREATE TABLE IF NOT EXISTS untold_credentials (
        email TEXT PRIMARY KEY, id TEXT NOT NULL, mark INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS untold_credentials_by_user ON untold_credentials (id)",
    "CREATE TABLE IF NOT EXISTS untold_requirements (
        id TEXT PRIMARY KEY, mark INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS filled_shards (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
];
