//! The clock of `Accounts` at which a sign-in must have read the user's credentials.
//!
//! A sign-in may read a copy (see `accounts/logins`). It takes a while: the password is compared in between. So the
//! copy may be behind when the session is opened.

use super::Reply;
use crate::platform::store::{Store, StoreError};

/// Requires a clock, unless a later one is required.
pub(super) fn require(store: &impl Store, version: i64) -> Result<Reply, StoreError> {
    store.run(
        "INSERT INTO required_credentials (one, version) VALUES (1, ?)
         ON CONFLICT (one) DO UPDATE SET version = max(version, excluded.version)",
        &[version.into()],
    )?;
    Ok(Reply::Done(0))
}

/// Returns whether a sign-in read its credentials before the required clock. One that read no copy is never stale.
pub(super) fn is_stale(store: &impl Store, read_at: Option<i64>) -> Result<bool, StoreError> {
    let Some(read_at) = read_at else { return Ok(false) };
    let rows = store.run("SELECT 1 FROM required_credentials WHERE version > ?", &[read_at.into()])?;
    Ok(!rows.is_empty())
}

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS required_credentials (
    one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT";
