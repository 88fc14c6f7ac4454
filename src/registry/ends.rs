//! Ending a user's sessions, by the user or by an admin.
//!
//! Of one's own, the author is judged here, in the transaction that ends them: the session that asks is live, or
//! the user of the token that asks may come in. An admin's standing is not kept here. With accounts, `Accounts` has judged
//! the admin (see [`Write::EndSessions`](crate::accounts::Write::EndSessions)) and the command has no author; without, see
//! [`Author::check_age`].
//!
//! The ids of ended sessions are kept for a while, and so are the objects that a session may have sent a decision to:
//! see [`crate::ended`].

use serde::{Deserialize, Serialize};

use super::{Reply, Seen, check, done, standing};
use crate::{
    author::{Author, Credential},
    ended::{self, Ids, KEPT},
    store::{SqlRow, Store, StoreError, Value},
    time::Timestamp,
};

/// Which sessions of a user are to be ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct End {
    /// Who asks; `None` if they were judged in `Accounts`.
    pub author: Option<Author>,
    /// The user whose sessions these are.
    pub of: String,
    /// Which.
    pub which: Which,
}

/// Which sessions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Which {
    /// The one with this id.
    One(String),
    /// All.
    All,
    /// All but the one that asks.
    Others,
}

/// What has to be told that sessions of a user ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentlyEnded {
    /// The sessions, if there are any.
    pub sessions: Option<Ids>,
    /// The names of the `Confirmations` objects to which sessions of the user may have sent decisions, with spaces
    /// between them.
    pub objects: String,
}

/// The objects that a session may have sent a decision to.
pub(super) const DECIDING: &str = "CREATE TABLE IF NOT EXISTS deciding (
    object TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID";

pub(super) fn end(store: &impl Store, asked: &End, now: Timestamp) -> Result<Reply, StoreError> {
    let End { author, of, which } = asked;
    let mut kept = "";
    if let Some(author) = author {
        author.check_age(now)?;
        let is_own = author.user.as_deref() == Some(of);
        let may = match &author.credential {
            Credential::Session(id) if is_own => {
                kept = id;
                check(store, id, now, Seen::Not)? != Reply::Gone
            }
            Credential::Token(_) if is_own => standing(store)?.is_some_and(|standing| standing.active),
            // The gateway has checked that the author is an admin.
            Credential::Session(_) | Credential::Token(_) => true,
        };
        if !may {
            return Ok(Reply::Refused(author.is_gone()));
        }
    }
    let ended = match which {
        Which::One(id) => delete(store, "id = ?", &[id.into()], now)?,
        Which::All => delete(store, "1", &[], now)?,
        Which::Others => delete(store, "id <> ?", &[kept.into()], now)?,
    };
    Ok(done(&ended))
}

/// Deletes the sessions that meet a condition, and notes that they ended.
pub(super) fn delete(
    store: &impl Store,
    condition: &str,
    values: &[Value<'_>],
    now: Timestamp,
) -> Result<Vec<SqlRow>, StoreError> {
    let rows = store.run(&format!("SELECT json_group_array(id) FROM sessions WHERE {condition}"), values)?;
    let ids = rows.first().map(|row| row.text(0)).transpose()?;
    ended::note(store, &ids.unwrap_or_default(), now)?;
    store.run(&format!("DELETE FROM sessions WHERE {condition} RETURNING 1"), values)
}

/// Notes that a live session is about to send a decision to an object.
pub(super) fn deciding(
    store: &impl Store,
    session: &str,
    object: &str,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let live = check(store, session, now, Seen::Not)?;
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
