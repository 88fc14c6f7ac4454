//! The devices with which the user has signed in, so that a sign-in with another one can be told to the user.
//!
//! A device is the name of its browser and system, and the country. So it is recognized although its version or its
//! address changes. This is a hint for the user, and proves nothing: an attacker may have the same browser in the same
//! country.

use crate::{
    base::time::Timestamp,
    platform::store::{Store, StoreError},
};

pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS devices (
    name TEXT PRIMARY KEY, used_at INTEGER NOT NULL) STRICT, WITHOUT ROWID";

/// The maximum number of devices that are remembered. The one that was unused for longest is forgotten first.
const MOST_DEVICES: i64 = 50;

/// Records a sign-in. Returns whether its device is new for a user who has signed in before.
pub(super) fn record(store: &impl Store, device: &str, now: Timestamp) -> Result<bool, StoreError> {
    let known = store.run("SELECT name = ? FROM devices", &[device.into()])?;
    let is_known = known.iter().any(|row| row.integer(0) == Ok(1));
    store
        .run("INSERT OR REPLACE INTO devices (name, used_at) VALUES (?, ?)", &[device.into(), now.into()])?;
    store.run(
        "DELETE FROM devices WHERE name IN (SELECT name FROM devices ORDER BY used_at DESC, name LIMIT -1 OFFSET ?)",
        &[MOST_DEVICES.into()],
    )?;
    Ok(!known.is_empty() && !is_known)
}
