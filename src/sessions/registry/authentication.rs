//! A user who authenticates again gets a new session, which replaces the present one.
//!
//! The gateway has checked a password or a factor. This object checks the author in the transaction that writes: a
//! session that has ended in the meantime stays ended.
//!
//! 1. The new session has the sign-in, the device and the limits of the replaced one, and authenticated now. So
//!    somebody who has copied the cookie before gains nothing by it, and loses the session.
//! 2. The replaced session lives on for [`REPLACED_FOR`], because other tabs of the browser may have sent requests with
//!    its cookie already. In that time it is not recent, not extended and not listed.
//! 3. A replaced session that authenticates again gets the latest session that has replaced it. That one does not become
//!    more recent by it, because somebody may have copied its cookie, too.
//! 4. Ending a replaced session on request ends those that have replaced it: its browser has their cookie, or gets it.

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

/// The session `?1`, and those that have replaced it.
pub(super) const LATEST: &str = "WITH RECURSIVE latest (id) AS (
    VALUES (?1) UNION
    SELECT replaced_by FROM sessions JOIN latest USING (id) WHERE replaced_by IS NOT NULL
) SELECT id FROM latest";

/// The session `?1`, those that it has replaced, and those that have replaced it if it is live at `?2`: who has the
/// cookie of an expired session cannot end the present one.
pub(super) const ALL: &str = "WITH RECURSIVE line (id) AS (
    VALUES (?1) UNION
    SELECT iif(sessions.id = line.id, sessions.replaced_by, sessions.id) FROM sessions JOIN line
        ON (sessions.id = line.id AND sessions.replaced_by IS NOT NULL AND sessions.expires_at > ?2)
            OR sessions.replaced_by = line.id
) SELECT id FROM line";

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
    let latest = store.run(
        &format!("SELECT id FROM sessions WHERE id IN ({LATEST}) AND replaced_by IS NULL"),
        &[old.into()],
    )?;
    // The latest one may have ended: it reached the maximum number of sessions.
    let Some(latest) = latest.first() else { return Ok(Reply::Refused(author.refusal())) };
    let mut id = latest.text(0)?;
    if id == *old {
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
        id.clone_from(new_session);
    }
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
