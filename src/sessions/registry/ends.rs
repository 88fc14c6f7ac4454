//! Ends a user's sessions, on request of the user or of an admin.
//!
//! - Own sessions: this object checks the author, in the transaction that ends the sessions. The author's session must
//!   be live, or the user of the author's token must be active.
//! - Another user's sessions, with accounts: `Accounts` has checked that the author is an admin
//!   (`Write::AuthorizeEndingSessions`), and the command has no author. This object does not store an admin's role and
//!   status.
//! - Another user's sessions, without accounts: the gateway has checked the admin. The command must be recent
//!   ([`Author::check_age`]).
//!
//! The object keeps the ids of ended sessions for a while, and the names of the `Confirmations` objects to which a
//! session may have sent an approval or a rejection: see [`crate::identity::ended`].

use serde::{Deserialize, Serialize};

use super::{
    LastSeen, Reply,
    authentication::{ALL, LATEST},
    check, done, status,
};
use crate::{
    base::time::Timestamp,
    identity::{
        author::{Author, Credential},
        ended::{self, Ids, KEPT},
    },
    platform::store::{SqlRow, Store, StoreError, Value},
    sessions::lifetime::Limits,
};

/// A request to end sessions of a user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct End {
    /// The author; `None` if `Accounts` has checked the author.
    pub author: Option<Author>,
    /// The user whose sessions these are.
    pub of: String,
    /// The sessions to end.
    pub which: Which,
}

/// A selection of sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Which {
    /// The session with this id.
    One(String),
    /// All sessions.
    All,
    /// All sessions except the author's.
    Others,
}

/// The sessions of a user that ended a moment ago, and the objects to notify of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentlyEnded {
    /// The ids of the sessions, if there are any.
    pub sessions: Option<Ids>,
    /// The names of the `Confirmations` objects to which sessions of the user may have sent decisions, with spaces
    /// between them.
    pub objects: String,
}

/// The table of `Confirmations` objects to which a session may have sent an approval or a rejection.
pub(super) const DECIDING: &str = "CREATE TABLE IF NOT EXISTS deciding (
    object TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID";

pub(super) fn end(store: &impl Store, request: &End, now: Timestamp) -> Result<Reply, StoreError> {
    let End { author, of, which } = request;
    let mut own_session = "";
    if let Some(author) = author {
        author.check_age(now)?;
        let is_own = author.user.as_deref() == Some(of);
        let is_allowed = match &author.credential {
            Credential::Session(id) if is_own => {
                own_session = id;
                check(store, id, Limits::default(), now, LastSeen::Keep)? != Reply::Gone
            }
            Credential::Token(_) if is_own => status(store)?.is_some_and(|status| status.active),
            // Only without accounts: the gateway has checked that the author is an admin.
            Credential::Session(_) | Credential::Token(_) => true,
        };
        if !is_allowed {
            return Ok(Reply::Refused(author.refusal()));
        }
    }
    delete_selected(store, which, own_session, now).map(|ended| done(&ended))
}

/// Deletes a selection of sessions, and records that they ended.
pub(super) fn delete_selected(
    store: &impl Store,
    which: &Which,
    own_session: &str,
    now: Timestamp,
) -> Result<Vec<SqlRow>, StoreError> {
    // Replaced sessions are not listed, so they do not count.
    match which {
        Which::One(id) => delete_one(store, id, now),
        Which::All => {
            delete(store, "replaced_by IS NOT NULL", &[], now)?;
            delete(store, "1", &[], now)
        }
        Which::Others => {
            // A request that the browser sent before it had the new cookie must not end the new session.
            delete(
                store,
                &format!("replaced_by IS NOT NULL AND id NOT IN ({LATEST})"),
                &[own_session.into()],
                now,
            )?;
            delete(store, &format!("id NOT IN ({LATEST})"), &[own_session.into()], now)
        }
    }
}

/// Deletes a session, those that it has replaced, and those that have replaced it ([`ALL`]), and records that they
/// ended. Returns a row if the session itself was there.
pub(super) fn delete_one(store: &impl Store, id: &str, now: Timestamp) -> Result<Vec<SqlRow>, StoreError> {
    delete(store, &format!("id <> ?1 AND id IN ({ALL})"), &[id.into(), now.into()], now)?;
    delete(store, "id = ?", &[id.into()], now)
}

/// Deletes the sessions that meet a condition, and records that they ended.
pub(super) fn delete(
    store: &impl Store,
    condition: &str,
    values: &[Value<'_>],
    now: Timestamp,
) -> Result<Vec<SqlRow>, StoreError> {
    let rows = store.run(&format!("SELECT json_group_array(id) FROM sessions WHERE {condition}"), values)?;
    let ids = rows.first().map(|row| row.text(0)).transpose()?;
    ended::record(store, &ids.unwrap_or_default(), now)?;
    store.run(&format!("DELETE FROM sessions WHERE {condition} RETURNING 1"), values)
}

/// Records that a live session is about to send a decision to an object.
pub(super) fn deciding(
    store: &impl Store,
    session: &str,
    object: &str,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let live = check(store, session, Limits::default(), now, LastSeen::Keep)?;
    if live != Reply::Gone {
        store.run("DELETE FROM deciding WHERE until <= ?", &[now.into()])?;
        store.run(
            "INSERT OR REPLACE INTO deciding (object, until) VALUES (?, ?)",
            &[object.into(), now.0.saturating_add(KEPT).into()],
        )?;
    }
    Ok(live)
}

pub(super) fn recent(store: &impl Store, now: Timestamp) -> Result<RecentlyEnded, StoreError> {
    let rows = store.run(
        "SELECT (SELECT nullif(json_group_array(id), '[]') FROM ended_sessions WHERE until > ?1),
            (SELECT group_concat(object, ' ') FROM deciding WHERE until > ?1)",
        &[now.into()],
    )?;
    let text = |column| rows.first().map_or(Ok(None), |row| row.optional_text(column));
    Ok(RecentlyEnded { sessions: text(0)?, objects: text(1)?.unwrap_or_default() })
}
