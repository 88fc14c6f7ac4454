//! The configuration of idempotency.

use super::SealingKeys;

/// Settings of idempotency.
#[derive(Debug)]
pub struct Settings {
    /// The source of the keys that seal stored responses.
    pub seals: SealingKeys,
    /// Whether the binding `KV` exists. It stores responses that are too long for the ledger.
    pub has_kv: bool,
}
