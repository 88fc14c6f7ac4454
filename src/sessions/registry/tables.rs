//! The tables of a user's registry, and their migrations.

use super::{authentication, backchannel, credentials, devices, ends, passwords, profile};
use crate::{
    identity::ended,
    platform::store::{Migration, Store, StoreError, add_column, run_all},
};

/// The migrations, in order.
pub(super) const MIGRATIONS: &[Migration] = &[
    |store| run_all(store, FIRST),
    add_authentication_time,
    add_place_and_logout_tokens,
    add_devices,
    passwords::add_password_version,
    add_required_credentials,
    authentication::add_replaced_by,
];

const FIRST: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS standing (
        one INTEGER PRIMARY KEY CHECK (one = 1), role TEXT NOT NULL, active INTEGER NOT NULL,
        version INTEGER NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS sessions (
        id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, last_seen_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL, user_agent TEXT, address TEXT) STRICT, WITHOUT ROWID",
    profile::TABLE,
    ended::TABLE,
    ends::DECIDING,
];

/// Adds the time of authentication. For a session from before, it is null, and the time at which it was opened counts.
fn add_authentication_time(store: &dyn Store) -> Result<(), StoreError> {
    add_column(store, "sessions", "authenticated_at", "INTEGER")
}

/// Adds the place of a session, and the logout tokens that were used.
fn add_place_and_logout_tokens(store: &dyn Store) -> Result<(), StoreError> {
    add_column(store, "sessions", "place", "TEXT")?;
    run_all(store, &[backchannel::TABLE])
}

/// Adds the devices with which the user has signed in.
fn add_devices(store: &dyn Store) -> Result<(), StoreError> {
    run_all(store, &[devices::TABLE])
}

/// Adds the clock that sign-ins must have read.
fn add_required_credentials(store: &dyn Store) -> Result<(), StoreError> {
    run_all(store, &[credentials::TABLE])
}
