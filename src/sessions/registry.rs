//! The session registry: one object per user, with the user's sessions.
//!
//! 1. A session is live while its row exists, its expiry is in the future, its user is active, and it is within the
//!    limits that the gateway sends ([`Limits`]): the maximum time since it was opened, and since it was last seen.
//! 2. Deleting the row is a forced logout. A user who is disabled or deleted has no rows.
//! 3. Role and status are copies of the ones in `Accounts` or from upstream. Each copy has a version that only grows
//!    (milliseconds since 1970, or more), so a copy that arrives late changes nothing.
//! 4. A user has at most [`MOST_SESSIONS`]. Opening another one ends the one that was unused for longest.
//! 5. The author of an [`End`] is checked in the transaction that ends sessions. To sign out or to be extended, a
//!    session only has to exist.
//! 6. The time at which a session was last seen is written at most once in [`SEEN_EVERY`] seconds.
//! 7. A sign-in that read an outdated copy of its user opens no session ([`Command::RequireCredentials`]).
//! 8. A user who authenticates again gets a new session, which replaces the present one ([`Reauthentication`]).
//! 9. A change of the user's password ends the sessions of earlier sign-ins, and refuses to open one for a sign-in that
//!    read the user before the change ([`PasswordChange`]).

mod authentication;
mod backchannel;
mod credentials;
mod devices;
mod ends;
mod passwords;
mod profile;
mod tables;

use serde::{Deserialize, Serialize};

pub use authentication::{REPLACED_FOR, Reauthentication, Replacement};
pub use backchannel::Logout;
pub use ends::{End, RecentlyEnded, Which};
pub use passwords::PasswordChange;
pub use profile::Profile;

use crate::{
    base::time::Timestamp,
    identity::{author::Refusal, principal::Role},
    platform::store::{Class, Object, SqlRow, Store, StoreError},
    sessions::lifetime::Limits,
};

/// The `Sessions` object of one user.
#[derive(Debug)]
pub struct Sessions;

/// The maximum number of sessions of a user.
pub const MOST_SESSIONS: i64 = 100;

/// The minimum time between two updates of `last_seen_at`, in seconds.
pub const SEEN_EVERY: i64 = 60;

/// A command to the registry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Applies the user's role and status, and opens a session.
    Open(UserStatus, Session),
    /// Checks whether a session is live, and updates the time at which it was last seen.
    Check(String, Limits),
    /// Checks whether a session is live, without an update.
    CheckReadOnly(String, Limits),
    /// Returns the user's role and status, for a credential that acts for the user.
    ReadUserStatus,
    /// Moves a live session's expiry.
    Extend(String, Timestamp),
    /// Lists the live sessions, the last seen first.
    List(Limits),
    /// Ends the session of a browser that signs out.
    SignOut(String),
    /// Ends sessions, if the author may do so.
    End(End),
    /// Returns the sessions that ended a moment ago, and the objects to notify of that.
    RecentlyEnded,
    /// Records that a session is about to decide an approval in this `Confirmations` object, if the session is live.
    Deciding {
        /// The session's id.
        session: String,
        /// The object's name.
        object: String,
    },
    /// Sets the user's role and status.
    Apply(UserStatus),
    /// Runs one of these commands, and adds the copy of the user's name and address to its reply.
    WithProfile(Box<Command>),
    /// Stores that copy.
    Profile(Profile),
    /// Replaces the author's session, if it is live: the author has authenticated again.
    Reauthenticate(Reauthentication),
    /// Ends sessions for upstream, unless the logout token was used before.
    LogOut(Logout),
    /// Ends the sessions of sign-ins before a change of the user's password.
    PasswordChanged(PasswordChange),
    /// From now on, opens no session for a sign-in that read the user's credentials at an earlier clock of `Accounts`.
    RequireCredentials(i64),
}

/// A reply of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The session is live.
    Live(LiveSession),
    /// The session is not live: it never existed, was ended or has expired, or its user may not sign in.
    Gone,
    /// The user's role and status, if known.
    UserStatus(Option<UserStatus>),
    /// The live sessions.
    Sessions(Vec<Session>),
    /// The number of sessions that were opened, extended or ended.
    Done(u64),
    /// The author may not do this, or may no longer do it.
    Refused(Refusal),
    /// The sessions that ended a moment ago.
    RecentlyEnded(RecentlyEnded),
    /// A reply, and the copy of the user's name and address, if there is one.
    WithProfile(Box<Reply>, Option<Profile>),
    /// The logout token was used before.
    AlreadyUsed,
    /// The sign-in read credentials that have changed since.
    Stale,
    /// A session was opened, on a device with which the user has not signed in before.
    OpenedOnNewDevice,
    /// The session that replaces the author's.
    Replacement(Replacement),
}

/// What the registry knows of a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSession {
    /// The user's role.
    pub role: Role,
    /// The time at which the session expires if it is not extended.
    pub expires_at: Timestamp,
    /// The time at which it was opened.
    pub created_at: Timestamp,
    /// The time at which the user last authenticated: signed in, or gave a password or a factor again.
    pub authenticated_at: Timestamp,
}

/// The role and status of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserStatus {
    /// The role.
    pub role: Role,
    /// Whether the user may sign in at all.
    pub active: bool,
    /// Grows with every change.
    pub version: i64,
}

/// A row of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The session's id.
    pub id: String,
    /// The time at which it was opened.
    pub created_at: Timestamp,
    /// The time at which it was last seen, accurate to a minute.
    pub last_seen_at: Timestamp,
    /// The time at which it expires if it is not extended.
    pub expires_at: Timestamp,
    /// The browser's `User-Agent`, cut off at [`LONGEST_AGENT`] characters.
    pub user_agent: Option<String>,
    /// The client's IP address when the session was opened.
    pub address: Option<String>,
    /// The time at which the user last authenticated.
    pub authenticated_at: Timestamp,
    /// The approximate place of the client when the session was opened, such as `Berlin, DE`.
    pub place: Option<String>,
    /// The device by which a later sign-in is recognized. Only for opening.
    pub device: Option<String>,
    /// The clock of `Accounts` at which the credentials were read, if the sign-in read a copy. Only for opening.
    pub credentials: Option<i64>,
}

impl Session {
    /// Returns a session that is opened now by a user who has just authenticated, without details of the client.
    #[must_use]
    pub fn opened(id: &str, now: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            created_at: now,
            last_seen_at: now,
            expires_at,
            user_agent: None,
            address: None,
            authenticated_at: now,
            place: None,
            device: None,
            credentials: None,
        }
    }
}

/// The maximum number of characters that are stored of a `User-Agent`.
pub const LONGEST_AGENT: usize = 256;

/// Returns the cache key of a session in an isolate's memory, unique among all users.
#[must_use]
pub fn cache_key(user: &str, session: &str) -> String {
    // Ids are visible ASCII, so neither contains a space.
    format!("{user} {session}")
}

impl Object for Sessions {
    const CLASS: Class =
        Class { name: "Sessions", binding: "SESSIONS", alarm_delay: None, migrations: tables::MIGRATIONS };
    type Command = Command;
    type Reply = Reply;

    fn handle(store: &impl Store, command: Command, now: Timestamp) -> Result<Reply, StoreError> {
        match command {
            Command::Open(status, session) => open(store, &status, &session, now),
            Command::Check(id, limits) => check(store, &id, limits, now, LastSeen::Update),
            Command::CheckReadOnly(id, limits) => check(store, &id, limits, now, LastSeen::Keep),
            Command::ReadUserStatus => Ok(Reply::UserStatus(status(store)?)),
            Command::Extend(id, expires_at) => {
                let found = store.run(
                    "UPDATE sessions SET expires_at = max(expires_at, ?)
                     WHERE id = ? AND expires_at > ? AND replaced_by IS NULL RETURNING 1",
                    &[expires_at.into(), (&id).into(), now.into()],
                )?;
                Ok(done(&found))
            }
            Command::List(limits) => list(store, limits, now),
            Command::SignOut(id) => Ok(done(&ends::delete_one(store, &id, now)?)),
            Command::End(request) => ends::end(store, &request, now),
            Command::RecentlyEnded => ends::recent(store, now).map(Reply::RecentlyEnded),
            Command::Deciding { session, object } => ends::deciding(store, &session, &object, now),
            Command::Apply(new) => {
                apply(store, &new, now)?;
                Ok(Reply::UserStatus(status(store)?))
            }
            Command::WithProfile(command) => {
                let reply = Self::handle(store, *command, now)?;
                Ok(Reply::WithProfile(Box::new(reply), profile::find(store)?))
            }
            Command::Profile(new) => {
                // Store nothing for a user who was deleted or disabled in the meantime.
                if status(store)?.is_some_and(|status| status.active) {
                    profile::put(store, &new)?;
                }
                Ok(Reply::Done(0))
            }
            Command::LogOut(logout) => backchannel::log_out(store, &logout, now),
            Command::PasswordChanged(change) => passwords::changed(store, &change, now),
            Command::RequireCredentials(version) => credentials::require(store, version),
            Command::Reauthenticate(request) => authentication::replace(store, &request, now),
        }
    }

    fn is_read_only(command: &Command) -> bool {
        match command {
            Command::CheckReadOnly(..)
            | Command::ReadUserStatus
            | Command::List(_)
            | Command::RecentlyEnded => true,
            Command::WithProfile(command) => Self::is_read_only(command),
            _ => false,
        }
    }
}

fn open(
    store: &impl Store,
    new: &UserStatus,
    session: &Session,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    if credentials::is_stale(store, session.credentials)? {
        return Ok(Reply::Stale);
    }
    apply(store, new, now)?;
    if !status(store)?.is_some_and(|status| status.active) || passwords::is_replaced(store, new)? {
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
        "INSERT INTO sessions
            (id, created_at, last_seen_at, expires_at, user_agent, address, authenticated_at, place, user_version)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING 1",
        &[
            (&session.id).into(),
            session.created_at.into(),
            session.last_seen_at.into(),
            session.expires_at.into(),
            session.user_agent.as_deref().into(),
            session.address.as_deref().into(),
            session.authenticated_at.into(),
            session.place.as_deref().into(),
            new.version.into(),
        ],
    )?;
    match &session.device {
        Some(device) if devices::record(store, device, now)? => Ok(Reply::OpenedOnNewDevice),
        _ => Ok(done(&opened)),
    }
}

/// Whether a check updates the time at which a session was last seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastSeen {
    Update,
    Keep,
}

/// Returns a session if it is live. One that has passed a limit ends here.
fn check(
    store: &impl Store,
    id: &str,
    limits: Limits,
    now: Timestamp,
    last_seen: LastSeen,
) -> Result<Reply, StoreError> {
    let found = store.run(
        "SELECT expires_at, last_seen_at, created_at, coalesce(authenticated_at, created_at) FROM sessions
         WHERE id = ? AND expires_at > ?",
        &[id.into(), now.into()],
    )?;
    let (Some(row), Some(status)) = (found.first(), status(store)?.filter(|status| status.active)) else {
        return Ok(Reply::Gone);
    };
    let time = |column| row.integer(column).map(Timestamp);
    let (created_at, last_seen_at) = (time(2)?, time(1)?);
    let expires_at = limits.end(created_at, last_seen_at, time(0)?);
    if expires_at <= now {
        if last_seen == LastSeen::Update {
            ends::delete(store, "id = ?", &[id.into()], now)?;
        }
        return Ok(Reply::Gone);
    }
    if last_seen == LastSeen::Update && now.seconds_since(last_seen_at) >= SEEN_EVERY {
        store.run("UPDATE sessions SET last_seen_at = ? WHERE id = ?", &[now.into(), id.into()])?;
    }
    Ok(Reply::Live(LiveSession { role: status.role, expires_at, created_at, authenticated_at: time(3)? }))
}

/// Lists the sessions that have not passed a limit.
fn list(store: &impl Store, limits: Limits, now: Timestamp) -> Result<Reply, StoreError> {
    let rows = store.run(
        "SELECT id, created_at, last_seen_at, expires_at, user_agent, address,
            coalesce(authenticated_at, created_at), place FROM sessions
         WHERE expires_at > ? AND replaced_by IS NULL ORDER BY last_seen_at DESC, id",
        &[now.into()],
    )?;
    let mut sessions = rows.iter().map(session).collect::<Result<Vec<_>, _>>()?;
    for session in &mut sessions {
        session.expires_at = limits.end(session.created_at, session.last_seen_at, session.expires_at);
    }
    sessions.retain(|session| session.expires_at > now);
    Ok(Reply::Sessions(sessions))
}

/// Stores a role and status, unless a later version is known. Ends every session of a user who may no longer sign in.
fn apply(store: &impl Store, new: &UserStatus, now: Timestamp) -> Result<(), StoreError> {
    if status(store)?.is_some_and(|known| known.version > new.version) {
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
        store.run("DELETE FROM devices", &[])?;
    }
    Ok(())
}

fn status(store: &impl Store) -> Result<Option<UserStatus>, StoreError> {
    let rows = store.run("SELECT role, active, version FROM standing", &[])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let name = row.text(0)?;
    let role = Role::parse(&name).ok_or_else(|| StoreError(format!("unknown role {name:?}")))?;
    Ok(Some(UserStatus { role, active: row.integer(1)? == 1, version: row.integer(2)? }))
}

fn session(row: &SqlRow) -> Result<Session, StoreError> {
    Ok(Session {
        last_seen_at: Timestamp(row.integer(2)?),
        user_agent: row.optional_text(4)?,
        address: row.optional_text(5)?,
        authenticated_at: Timestamp(row.integer(6)?),
        place: row.optional_text(7)?,
        ..Session::opened(&row.text(0)?, Timestamp(row.integer(1)?), Timestamp(row.integer(3)?))
    })
}

fn done(rows: &[SqlRow]) -> Reply {
    Reply::Done(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
