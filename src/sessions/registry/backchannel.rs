//! Ends sessions of the user for upstream, which has signed a logout token. Each token is accepted once.

use serde::{Deserialize, Serialize};

use super::{Reply, Which, done, ends};
use crate::{
    base::time::Timestamp,
    platform::store::{Store, StoreError},
};

/// A verified logout token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Logout {
    /// The token's id.
    pub token: String,
    /// The time until which the id is remembered: when the token has expired for every clock.
    pub until: Timestamp,
    /// The sessions to end.
    pub which: Which,
}

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS logout_tokens (
    id TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID";

/// Ends sessions, unless the token was used before.
pub(super) fn log_out(store: &impl Store, logout: &Logout, now: Timestamp) -> Result<Reply, StoreError> {
    store.run("DELETE FROM logout_tokens WHERE until <= ?", &[now.into()])?;
    let is_new = store.run(
        "INSERT OR IGNORE INTO logout_tokens (id, until) VALUES (?, ?) RETURNING 1",
        &[(&logout.token).into(), logout.until.into()],
    )?;
    if is_new.is_empty() {
        return Ok(Reply::AlreadyUsed);
    }
    ends::delete_selected(store, &logout.which, "", now).map(|ended| done(&ended))
}
