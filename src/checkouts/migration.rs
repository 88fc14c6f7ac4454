//! Migrates early databases, in which the ref alone was the key.

use crate::platform::store::{Store, StoreError, has_column, run_all};

/// Moves the rows of `checkouts` to the tables that are keyed by provider and ref.
pub(super) fn run(store: &dyn Store) -> Result<(), StoreError> {
    if has_column(store, "checkouts", "reference")? { run_all(store, MOVE) } else { Ok(()) }
}

const MOVE: &[&str] = &[
    "INSERT INTO attempts (reference, provider, number, owner, status, late, event, event_type, confirmed_at,
        expires_at, released)
     SELECT reference, provider, 1, owner, status, late, event, event_type, confirmed_at, expires_at, released
     FROM checkouts WHERE begun = 1",
    "INSERT INTO early (reference, provider, event, event_type, at)
     SELECT reference, provider, event, event_type, confirmed_at FROM checkouts
     WHERE begun = 0 AND event IS NOT NULL",
    "DROP TABLE checkouts",
];
