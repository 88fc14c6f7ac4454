//! Migration of databases of 0.1, in which the ref alone was the key.

use super::Checkouts;
use crate::store::{Object, Store, StoreError, has_column};

/// Moves the rows of `checkouts` to the tables that are keyed by provider and ref.
pub(super) fn run(store: &impl Store) -> Result<(), StoreError> {
    if !has_column(store, "checkouts", "reference")? {
        return Ok(());
    }
    for statement in Checkouts::CLASS.schema.iter().chain(MOVE) {
        store.run(statement, &[])?;
    }
    Ok(())
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
