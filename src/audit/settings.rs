//! The configuration of the audit trail.

use std::time::Duration;

use crate::crypto::secret::Opaque;

/// Settings of the audit trail.
#[derive(Debug)]
pub struct Settings {
    /// The time for which rows are kept.
    pub retention: Duration,
    /// The keys that chain the rows: the current key, then the previous one.
    pub keys: Vec<Opaque>,
}
