//! The session registry: which sessions of a user exist. One object a user.
//!
//! 1. A session is live while its row is there, its expiry lies ahead and its user is active.
//! 2. Deleting the row is a forced logout. A user who is disabled or deleted has no rows.
//! 3. Role and status are copies of what `Accounts` holds or upstream says, each with a version that only
//!    grows (milliseconds since 1970, or more): a copy that arrives late changes nothing.
//! 4. A user has at most [`MOST_SESSIONS`]; opening one more ends the one unused for longest.
//! 5. The author of an [`End`] is judged in the transaction that ends sessions. To sign out or to be prolonged, a
//!    session needs no more than to be there.
//! 6. When a session was last seen is written at most once in [`SEEN_EVERY`] seconds.

mod ends;

mod profile;

use serde::{Deserialize, Serialize};

pub use ends::{End, RecentlyEnded, Which};
pub use profile::Profile;

use crate::{
    author::Refusal,
    ended,
    principal::Role,
    store::{Class, Object, SqlRow, Store, StoreError, run_all},
    time::Timestamp,
};

/// The `Sessions` object of one user.
#[derive(Debug)]
pub struct Sessions;

/// Sessions that a user may have.
pub const MOST_SESSIONS: i64 = 100;

/// Seconds between two notes that a session was seen.
pub const SEEN_EVERY: i64 = 60;

/// What the registry can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Opens a session, for a user who stands like this.
    Open(Standing, Session),
    /// Asks whether a session is live, and notes that it was seen.
    Check(String),
    /// The same without the note.
    Look(String),
    /// Asks how the user stands, for a credential that acts as them.
    Stand,
    /// Moves a live session's expiry.
    Extend(String, Timestamp),
    /// Lists the live ones, the last seen first.
    List,
    /// Ends the session of a browser that signs out.
    SignOut(String),
    /// Ends some, if their author may.
    End(End),
    /// Lists what has to be told that sessions ended.
    RecentlyEnded,
    /// Notes that a session is about to decide about an act in this `Confirmations` object, if it is live.
    Deciding {
        /// The session's id.
        session: String,
        /// The object's name.
        object: String,
    },
    /// Says how the user stands from now on.
    Apply(Standing),
    /// Runs one of these commands, and adds the copy of the user's name and address to its reply.
    Named(Box<Command>),
    /// Keeps that copy.
    Profile(Profile),
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The session is live, its user has this role, and this is when it ends.
    Live(Role, Timestamp),
    /// It is not: never was, was ended, or its user may not come in.
    Gone,
    /// How the user stands, where anything is known of them.
    Standing(Option<Standing>),
    /// Those that are live.
    Sessions(Vec<Session>),
    /// So many sessions were opened, moved or ended.
    Done(u64),
    /// The author may not do this, or no longer.
    Refused(Refusal),
    /// The sessions that ended a moment ago.
    RecentlyEnded(RecentlyEnded),
    /// A reply, and the copy of the user's name and address where there is one.
    Named(Box<Reply>, Option<Profile>),
}

/// How a user stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What they may do.
    pub role: Role,
    /// Whether they may come in at all.
    pub active: bool,
    /// Grows with every change.
    pub version: i64,
}

/// A row of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The session's id.
    pub id: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last seen, give or take a minute.
    pub last_seen_at: Timestamp,
    /// When it ends unless it is used.
    pub expires_at: Timestamp,
    /// The browser's `User-Agent`, cut off at [`LONGEST_AGENT`] characters.
    pub user_agent: Option<String>,
    /// The address it was opened from.
    pub address: Option<String>,
}

/// Characters that are kept of a `User-Agent`.
pub const LONGEST_AGENT: usize = 256;

/// Names a session among all users', for what an isolate remembers.
#[must_use]
pub fn remembered_as(user: &str, session: &str) -> String {
    // Ids are visible ASCII: a space is in neither.
    format!("{user} {session}")
}

impl Object for Sessions {
    const CLASS: Class =
        Class { name: "Sessions", binding: "SESSIONS", migrations: &[|store| run_all(store, TABLES)] };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Open(standing, session) => open(store, &standing, &session, now),
            Command::Check(id) => check(store, &id, now, Seen::Now),
            Command::Look(id) => check(store, &id, now, Seen::Not),
            Command::Stand => Ok(Reply::Standing(standing(store)?)),
            Command::Extend(id, expires_at) => {
                let found = store.run(
                    "UPDATE sessions SET expires_at = max(expires_at, ?) WHERE id = ? AND expires_at > ? RETURNING 1",
                    &[expires_at.into(), (&id).into(), now.into()],
                )?;
                Ok(done(&found))
            }
            Command::List => {
                let rows = store.run(
                    "SELECT id, created_at, last_seen_at, expires_at, user_agent, address FROM sessions
                     WHERE expires_at > ? ORDER BY last_seen_at DESC, id",
                    &[now.into()],
                )?;
                rows.iter().map(session).collect::<Result<_, _>>().map(Reply::Sessions)
            }
            Command::SignOut(id) => Ok(done(&ends::delete(store, "id = ?", &[(&id).into()], now)?)),
            Command::End(asked) => ends::end(store, &asked, now),
            Command::RecentlyEnded => ends::recent(store, now).map(Reply::RecentlyEnded),
            Command::Deciding { session, object } => ends::deciding(store, &session, &object, now),
            Command::Apply(new) => {
                apply(store, &new, now)?;
                Ok(Reply::Standing(standing(store)?))
            }
            Command::Named(command) => {
                let reply = Self::handle(store, *command, now)?;
                Ok(Reply::Named(Box::new(reply), profile::find(store)?))
            }
            Command::Profile(new) => {
                // Keep nothing of a user who was deleted or disabled meanwhile.
                if standing(store)?.is_some_and(|standing| standing.active) {
                    profile::put(store, &new)?;
                }
                Ok(Reply::Done(0))
            }
        }
    }

    fn only_asks(command: &Command) -> bool {
        match command {
            Command::Look(_) | Command::Stand | Command::List | Command::RecentlyEnded => true,
            Command::Named(command) => Self::only_asks(command),
            _ => false,
        }
    }
}

/// The tables of version 1.
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS standing (
        one INTEGER PRIMARY KEY CHECK (one = 1), role TEXT NOT NULL, active INTEGER NOT NULL,
        version INTEGER NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS sessions (
        id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, last_seen_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL, user_agent TEXT, address TEXT) STRICT, WITHOUT ROWID",
    profile::TABLE,
    ended::TABLE,
    ends::DECIDING,
];

fn open(
    store: &impl Store,
    stands: &Standing,
    session: &Session,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    apply(store, stands, now)?;
    if !standing(store)?.is_some_and(|standing| standing.active) {
        return Ok(Reply::Gone);
    }
    store.run("DELETE FROM sessions WHERE expires_at <= ?", &[now.into()])?;
    ends::delete(
        store,
        "id IN (SELECT id FROM sessions ORDER BY last_seen_at DESC, id LIMIT -1 OFFSET ?)",
        &[MOST_SESSIONS.saturating_sub(1).into()],
        now,
    )?;
    let opened = store.run(
        "INSERT INTO sessions (id, created_at, last_seen_at, expires_at, user_agent, address)
         VALUES (?, ?, ?, ?, ?, ?) RETURNING 1",
        &[
            (&session.id).into(),
            session.created_at.into(),
            session.last_seen_at.into(),
            session.expires_at.into(),
            session.user_agent.as_deref().into(),
            session.address.as_deref().into(),
        ],
    )?;
    Ok(done(&opened))
}

/// Whether a check is a visit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Now,
    Not,
}

fn check(store: &impl Store, id: &str, now: Timestamp, seen: Seen) -> Result<Reply, StoreError> {
    let found = store.run(
        "SELECT expires_at, last_seen_at FROM sessions WHERE id = ? AND expires_at > ?",
        &[id.into(), now.into()],
    )?;
    let (Some(row), Some(standing)) = (found.first(), standing(store)?.filter(|standing| standing.active))
    else {
        return Ok(Reply::Gone);
    };
    if seen == Seen::Now && now.seconds_since(Timestamp(row.integer(1)?)) >= SEEN_EVERY {
        store.run("UPDATE sessions SET last_seen_at = ? WHERE id = ?", &[now.into(), id.into()])?;
    }
    Ok(Reply::Live(standing.role, Timestamp(row.integer(0)?)))
}

/// Takes a standing over unless a later one is known; who may no longer come in loses every session.
fn apply(store: &impl Store, new: &Standing, now: Timestamp) -> Result<(), StoreError> {
    if standing(store)?.is_some_and(|known| known.version > new.version) {
        return Ok(());
    }
    store.run(
        "INSERT INTO standing (one, role, active, version) VALUES (1, ?, ?, ?)
         ON CONFLICT (one) DO UPDATE SET role = excluded.role, active = excluded.active,
            version = excluded.version",
        &[new.role.name().into(), i64::from(new.active).into(), new.version.into()],
    )?;
    if !new.active {
        ends::delete(store, "1", &[], now)?;
        store.run("DELETE FROM profile", &[])?;
    }
    Ok(())
}

fn standing(store: &impl Store) -> Result<Option<Standing>, StoreError> {
    let rows = store.run("SELECT role, active, version FROM standing", &[])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let name = row.text(0)?;
    let role = Role::parse(&name).ok_or_else(|| StoreError(format!("no role is called {name:?}")))?;
    Ok(Some(Standing { role, active: row.integer(1)? == 1, version: row.integer(2)? }))
}

fn session(row: &SqlRow) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.text(0)?,
        created_at: Timestamp(row.integer(1)?),
        last_seen_at: Timestamp(row.integer(2)?),
        expires_at: Timestamp(row.integer(3)?),
        user_agent: row.optional_text(4)?,
        address: row.optional_text(5)?,
    })
}

fn done(rows: &[SqlRow]) -> Reply {
    Reply::Done(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
