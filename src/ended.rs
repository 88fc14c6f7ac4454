//! Sessions that ended a moment ago: commands that were judged under them before may still be on their way.
//!
//! 1. `Sessions` keeps the ids of the sessions that it ended for [`KEPT`] seconds.
//! 2. Before the gateway says that a session is ended, it tells every object to which that session can have sent a
//!    command: `Accounts`, and each `Confirmations` object for which `Sessions` noted a decision (see
//!    [`crate::login::tell_ended`]).
//! 3. Such an object refuses an author whose session is noted, in the transaction that writes. Once a note is swept, the
//!    command is too old (see [`Author::check_age`]).

use crate::{
    author::{Author, Credential, FRESH},
    store::{Store, StoreError},
    time::Timestamp,
};

/// Seconds for which an ended session is noted: much longer than [`FRESH`], so that clocks may differ, and a request that
/// failed halfway can be sent again.
pub const KEPT: i64 = 60;

const _: () = assert!(KEPT > FRESH, "a note outlives the commands that it refuses");

/// The table of notes.
pub const TABLE: &str = "CREATE TABLE IF NOT EXISTS ended_sessions (
    id TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID";

/// Ids of sessions, as a JSON array: only `SQLite` reads it, so that no object brings code to do so.
pub type Ids = String;

/// Notes sessions as ended, and sweeps old notes.
///
/// # Errors
/// [`StoreError`].
pub fn note(store: &impl Store, ids: &Ids, now: Timestamp) -> Result<(), StoreError> {
    store.run("DELETE FROM ended_sessions WHERE until <= ?", &[now.into()])?;
    store.run(
        "INSERT OR REPLACE INTO ended_sessions SELECT value, ? FROM json_each(?)",
        &[now.0.saturating_add(KEPT).into(), ids.into()],
    )?;
    Ok(())
}

/// Tells whether the author's session is noted as ended.
///
/// # Errors
/// [`StoreError`].
pub fn is_noted(store: &impl Store, author: &Author) -> Result<bool, StoreError> {
    let Credential::Session(id) = &author.credential else { return Ok(false) };
    Ok(!store.run("SELECT 1 FROM ended_sessions WHERE id = ?", &[id.into()])?.is_empty())
}
