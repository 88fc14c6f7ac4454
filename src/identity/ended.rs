//! Recently ended sessions. Commands that the gateway accepted from such a session can still arrive after its end.
//!
//! 1. `Sessions` keeps the ids of ended sessions for [`KEPT`] seconds.
//! 2. Before the gateway reports that a session has ended, it notifies every object to which that session can have sent
//!    a command: `Accounts`, and each `Confirmations` object for which `Sessions` recorded a decision (see
//!    [`crate::accounts::login::notify_ended_sessions`]).
//! 3. In the transaction that writes, such an object rejects an author whose session is recorded as ended. When the
//!    record is deleted, such a command is already too old (see [`Author::check_age`]).

use crate::{
    base::time::Timestamp,
    identity::author::{Author, Credential, FRESH},
    platform::store::{Store, StoreError},
};

/// Seconds for which an ended session is recorded. This is much longer than [`FRESH`], because clocks can differ, and
/// because a client can repeat a request that failed halfway.
pub const KEPT: i64 = 60;

const _: () = assert!(KEPT > FRESH, "a record must outlive the commands that it rejects");

/// The table of ended sessions.
pub const TABLE: &str = "CREATE TABLE IF NOT EXISTS ended_sessions (
    id TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID";

/// Session ids as a JSON array. Only `SQLite` parses it, so that objects need no code for that.
pub type Ids = String;

/// Records sessions as ended, and deletes expired records.
///
/// # Errors
/// [`StoreError`].
pub fn record(store: &impl Store, ids: &Ids, now: Timestamp) -> Result<(), StoreError> {
    store.run("DELETE FROM ended_sessions WHERE until <= ?", &[now.into()])?;
    store.run(
        "INSERT OR REPLACE INTO ended_sessions SELECT value, ? FROM json_each(?)",
        &[now.0.saturating_add(KEPT).into(), ids.into()],
    )?;
    Ok(())
}

/// Checks whether the author's session is recorded as ended. A token is never recorded.
///
/// # Errors
/// [`StoreError`].
pub fn is_recorded(store: &impl Store, author: &Author) -> Result<bool, StoreError> {
    let Credential::Session(id) = &author.credential else { return Ok(false) };
    Ok(!store.run("SELECT 1 FROM ended_sessions WHERE id = ?", &[id.into()])?.is_empty())
}
