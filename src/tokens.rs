//! The tokens: what a credential's secret stands for. One object for each first byte of a token's hash.
//!
//! 1. A token is looked up by the SHA-256 of its whole value. The value itself is shown once, when it is
//!    made, and kept nowhere.
//! 2. What it may do is its prefix's to say (`CREDENTIALS`); whom it acts for stands in its record.
//! 3. The configuration may also name tokens of agents (`AGENT_TOKENS`). Such a [`Seed`] is listed from the
//!    first request on, and becomes a token like any other when it is first used; revoked, it stays revoked.
//! 4. A token that was made by a token ends with it: each time it is used, the token that made it must be valid too.
//! 5. A token that expired [`EXPIRED_KEPT`] ago is deleted when another one is added.
//! 6. When it was last used is written at most once in [`USED_EVERY`] seconds, after the answer.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    encoding,
    principal::ActorSource,
    store::{Class, Object, SqlRow, Store, StoreError, Value, add_column, run_all},
    time::Timestamp,
};

/// The `Tokens` object of one first byte.
#[derive(Debug)]
pub struct Tokens;

/// Seconds between two notes that a token was used.
pub const USED_EVERY: i64 = 60;

/// Seconds for which an expired token is still answered `token_expired`.
pub const EXPIRED_KEPT: i64 = 30 * 86_400;

/// Most expired tokens that are deleted at a time.
pub const SWEPT: i64 = 100;

/// A kind of credential, known by how its tokens begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// How they begin: `mul_`.
    pub prefix: String,
    /// Whether they are an agent's own; else they act for the user they belong to.
    pub is_agent: bool,
    /// What acts by them.
    pub source: ActorSource,
    /// Whether tokens of this kind may make tokens for tasks of the user they act for.
    pub delegate: bool,
}

/// An agent's token that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// What it is called, and its agent.
    pub name: String,
    /// How it begins.
    pub prefix: String,
    /// Its value's hash.
    pub hash: Hash,
}

/// Whom a seed belongs to.
pub const SEEDED_BY: &str = "AGENT_TOKENS";

/// A token, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The id: `tok_…`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How it begins.
    pub prefix: String,
    /// The user it belongs to: whom it acts for, or who made it for an agent.
    pub owner: String,
    /// The agent it is for.
    pub agent: Option<String>,
    /// The task it is for.
    pub task: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<Timestamp>,
    /// The hash of the token that made it, if a token did.
    #[serde(default)]
    pub made_by_token: Option<String>,
    /// How often it was taken over.
    #[serde(default)]
    pub takeovers: i64,
}

/// What tokens can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Keeps a token under its hash, unless it has one already.
    Put(String, Token),
    /// Finds it.
    Find(String),
    /// Takes it back; this token, where there is none under that hash.
    Revoke(String, Token),
    /// Sets its owner, unless it was taken over again since; stores this token if there is none under that hash.
    Own(String, Token),
    /// Notes that it was used.
    Used(String),
}

/// A token's hash, and the object that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash(pub String);

impl Hash {
    /// Hashes a whole value.
    #[must_use]
    pub fn of(value: &str) -> Self {
        Self(encoding::hex(&Sha256::digest(value)))
    }

    /// Names the object: the first byte.
    #[must_use]
    pub fn object(&self) -> &str {
        self.0.get(..2).unwrap_or_default()
    }
}

impl Seed {
    /// Makes the token of it.
    #[must_use]
    pub fn token(&self, id: String, now: Timestamp) -> Token {
        Token {
            id,
            name: self.name.clone(),
            prefix: self.prefix.clone(),
            owner: SEEDED_BY.to_owned(),
            agent: Some(self.name.clone()),
            task: None,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            made_by_token: None,
            takeovers: 0,
        }
    }
}

impl Token {
    /// Tells whether it is neither revoked nor expired.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| end > now)
    }

    /// Tells whether it is time to note that it was used.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.last_used_at.is_none_or(|last| now.seconds_since(last) >= USED_EVERY)
    }
}

impl Object for Tokens {
    const CLASS: Class = Class { name: "Tokens", binding: "TOKENS", migrations: &[create_table] };
    type Command = Command;
    type Reply = Option<Token>;

    fn only_asks(command: &Command) -> bool {
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
                // Two who take it over at once may arrive here in the other order.
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

/// The columns of a token, in order.
pub const COLUMNS: &str = "id, name, prefix, owner, agent, task, created_at, expires_at, revoked_at, last_used_at, \
                           made_by_token, takeovers";

/// Creates the table of tokens, or adds what it lacked before there were versions.
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

/// Removes some of the tokens that expired before a point in time.
pub(crate) fn sweep(store: &impl Store, before: Timestamp) -> Result<(), StoreError> {
    let some = "SELECT hash FROM tokens WHERE expires_at IS NOT NULL AND expires_at <= ? LIMIT ?";
    store.run(&format!("DELETE FROM tokens WHERE hash IN ({some})"), &[before.into(), SWEPT.into()])?;
    Ok(())
}

/// Writes a token, whoever keeps the table, unless it is there.
pub(crate) fn put(store: &impl Store, hash: &str, token: &Token) -> Result<(), StoreError> {
    let time = |point: Option<Timestamp>| point.map_or(Value::Null, Value::from);
    store.run(
        &format!(
            "INSERT OR IGNORE INTO tokens (hash, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
        ],
    )?;
    Ok(())
}

/// Reads a token.
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
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::Sqlite;

    #[test]
    fn from_making_to_taking_back() {
        let store = Sqlite::of::<Tokens>();
        let ask = |at, command| store.handle::<Tokens>(&command, Timestamp(at)).expect("a reply");
        let hash = Hash::of("mul_x");
        assert_eq!((hash.0.len(), hash.object()), (64, &hash.0[..2]));
        let new = Token {
            id: "tok_1".into(),
            name: "laptop".into(),
            prefix: "mul_".into(),
            owner: "usr_1".into(),
            agent: None,
            task: Some("t".into()),
            created_at: Timestamp(5),
            expires_at: Some(Timestamp(9)),
            revoked_at: None,
            last_used_at: None,
            made_by_token: Some("hash of another".into()),
            takeovers: 0,
        };
        let find = || Command::Find(hash.0.clone());
        assert_eq!(ask(5, find()), None);
        assert_eq!(ask(5, Command::Put(hash.0.clone(), new.clone())), Some(new.clone()));
        assert_eq!(ask(5, find()), Some(new.clone()));
        assert!(new.is_due(Timestamp(5)));
        let used = ask(6, Command::Used(hash.0.clone())).expect("a token");
        assert_eq!(used.last_used_at, Some(Timestamp(6)));
        assert!(!used.is_due(Timestamp(65)) && used.is_due(Timestamp(66)));
        ask(7, Command::Revoke(hash.0.clone(), new.clone()));
        let revoked = ask(8, Command::Revoke(hash.0.clone(), new.clone())).expect("a token");
        assert_eq!(revoked.revoked_at, Some(Timestamp(7)), "when it was first taken back");
        assert_eq!(ask(9, Command::Put(hash.0.clone(), new.clone())), Some(revoked), "once and for all");
        let lost =
            ask(9, Command::Revoke("other".into(), Token { id: "tok_2".into(), ..new })).expect("a token");
        assert_eq!(lost.revoked_at, Some(Timestamp(9)), "even if it was never kept");
    }

    #[test]
    fn expired_tokens_are_swept_some_at_a_time() {
        let store = Sqlite::of::<Tokens>();
        let ask = |at, command| store.handle::<Tokens>(&command, Timestamp(at)).expect("a reply");
        let token = |id: &str, expires_at: Option<i64>| Token {
            id: id.into(),
            name: "x".into(),
            prefix: "mat_".into(),
            owner: "usr_1".into(),
            agent: None,
            task: None,
            created_at: Timestamp(0),
            expires_at: expires_at.map(Timestamp),
            revoked_at: None,
            last_used_at: None,
            made_by_token: None,
            takeovers: 0,
        };
        let count = || store.run("SELECT count(*) FROM tokens", &[]).expect("rows")[0].integer(0);
        for number in 0..250 {
            let id = format!("t{number}");
            ask(0, Command::Put(id.clone(), token(&id, Some(10))));
        }
        ask(0, Command::Put("kept".into(), token("kept", None)));
        ask(EXPIRED_KEPT + 9, Command::Put("a".into(), token("a", None)));
        assert_eq!(count(), Ok(252), "they expired less than the span ago");
        for (name, left) in [("b", 153), ("c", 54), ("d", 5), ("e", 6)] {
            ask(EXPIRED_KEPT + 10, Command::Put(name.into(), token(name, None)));
            assert_eq!(count(), Ok(left), "{name}");
        }
        assert!(ask(EXPIRED_KEPT + 10, Command::Find("kept".into())).is_some());
    }

    #[test]
    fn the_latest_of_two_who_take_it_over_owns_it() {
        let store = Sqlite::of::<Tokens>();
        let seed = Seed { name: "x".into(), prefix: "mk_".into(), hash: Hash("h".into()) };
        let taken = |owner: &str, takeovers| Token {
            owner: owner.into(),
            takeovers,
            ..seed.token("tok_1".into(), Timestamp(0))
        };
        let own = |token| {
            let own = Command::Own("h".into(), token);
            store.handle::<Tokens>(&own, Timestamp(1)).expect("a reply").expect("a token").owner
        };
        store.handle::<Tokens>(&Command::Put("h".into(), taken("root", 0)), Timestamp(0)).expect("a reply");
        assert_eq!(own(taken("ada", 1)), "ada");
        assert_eq!(own(taken("root", 3)), "root");
        assert_eq!(own(taken("bee", 2)), "root", "it was delayed on its way");
        assert_eq!(own(taken("ada", 4)), "ada");
    }

    #[test]
    fn a_database_of_an_earlier_version_opens() {
        let before = "CREATE TABLE IF NOT EXISTS tokens (
            hash TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL,
            owner TEXT NOT NULL, agent TEXT, task TEXT, created_at INTEGER NOT NULL, expires_at INTEGER,
            revoked_at INTEGER, last_used_at INTEGER) STRICT, WITHOUT ROWID";
        let row =
            "INSERT INTO tokens VALUES ('h', 'tok_1', 'x', 'mul_', 'usr_1', NULL, NULL, 5, NULL, NULL, NULL)";
        let store = Sqlite::of_earlier::<Tokens>(&[before, row]);
        let found = store.handle::<Tokens>(&Command::Find("h".into()), Timestamp(9)).expect("a reply");
        let found = found.expect("a token");
        assert_eq!((found.id.as_str(), found.made_by_token, found.takeovers), ("tok_1", None, 0));
    }
}
