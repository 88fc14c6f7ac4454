//! A user who authenticates again gets a new session, which replaces the present one.
//!
//! The gateway has checked a password or a factor. This object checks the author in the transaction that writes: a
//! session that has ended in the meantime stays ended.
//!
//! 1. The new session has the sign-in, the device and the limits of the replaced one, and authenticated now. So
//!    somebody who has copied the cookie before gains nothing by it, and loses the session.
//! 2. The replaced session lives on for [`REPLACED_FOR`], because other tabs of the browser may have sent requests with
//!    its cookie already. In that time it is not recent, not extended and not listed.
//! 3. A replaced session that authenticates again gets the session that has replaced it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LastSeen, LiveSession, Reply, check};
use crate::{
    base::time::Timestamp,
    identity::author::{Author, Credential, Refusal},
    platform::store::{Store, StoreError, add_column},
    sessions::lifetime::Limits,
};

/// How long a replaced session lives on: as long as a client may take for its body.
pub const REPLACED_FOR: Duration = Duration::from_secs(30);

/// A request to replace the session of a user who has authenticated again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reauthentication {
    /// The author. Its session is replaced.
    pub author: Author,
    /// The id for the new session.
    pub new_session: String,
    /// The time at which the new session expires if it is not extended.
    pub expires_at: Timestamp,
}

/// The session that replaces another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replacement {
    /// The id.
    pub id: String,
    /// What the registry knows of it.
    pub live: LiveSession,
}

/// Replaces the session of the author. Its time of authentication is now, even if a wrong clock had set a later one.
pub(super) fn replace(
    store: &impl Store,
    request: &Reauthentication,
    now: Timestamp,
) -> Result<Reply, StoreError> {
    let Reauthentication { author, new_session, expires_at } = request;
    author.check_age(now)?;
    let Credential::Session(old) = &author.credential else { return Ok(Reply::Refused(Refusal::Kind)) };
    if check(store, old, Limits::default(), now, LastSeen::Keep)? == Reply::Gone {
        return Ok(Reply::Refused(author.refusal()));
    }
    let rows = store.run("SELECT replaced_by FROM sessions WHERE id = ?", &[old.into()])?;
    let known = rows.first().map_or(Ok(None), |row| row.optional_text(0))?;
    let id = if let Some(known) = known {
        store.run("UPDATE sessions SET authenticated_at = ? WHERE id = ?", &[now.into(), (&known).into()])?;
        known
    } else {
        store.run(
            "INSERT INTO sessions
                (id, created_at, last_seen_at, expires_at, user_agent, address, authenticated_at, place, user_version)
             SELECT ?1, created_at, ?2, ?3, user_agent, address, ?2, place, user_version
             FROM sessions WHERE id = ?4",
            &[new_session.into(), now.into(), (*expires_at).into(), old.into()],
        )?;
        store.run(
            "UPDATE sessions SET replaced_by = ?, expires_at = min(expires_at, ?) WHERE id = ?",
            &[new_session.into(), now.plus(REPLACED_FOR).into(), old.into()],
        )?;
        new_session.clone()
    };
    match check(store, &id, Limits::default(), now, LastSeen::Keep)? {
        Reply::Live(live) => Ok(Reply::Replacement(Replacement { id, live })),
        // The user has signed out of it.
        _ => Ok(Reply::Refused(author.refusal())),
    }
}

/// Adds the session that has replaced another one.
pub(super) fn add_replaced_by(store: &dyn Store) -> Result<(), StoreError> {
    add_column(store, "sessions", "replaced_by", "TEXT")
}
