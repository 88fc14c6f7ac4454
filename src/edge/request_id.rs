//! Ids of requests: unique, and of no use to whoever wants to guess the next one or count.
//!
//! Randomness is handed over once per isolate; each id is a hash over it and a counter. That is one
//! SHA-256 block in place of a crossing for every request.

use std::cell::Cell;

use sha2::{Digest, Sha256};

use crate::encoding;

/// A source of ids.
pub(super) struct RequestIds {
    seed: String,
    count: Cell<u64>,
}

impl RequestIds {
    /// Starts from a text of at least 122 random bits.
    pub(super) fn new(seed: String) -> Self {
        Self { seed, count: Cell::new(0) }
    }

    /// Makes the next id: `req_` and 32 hex digits.
    pub(super) fn next(&self) -> String {
        let count = self.count.replace(self.count.get().wrapping_add(1));
        let digest = Sha256::new().chain_update(&self.seed).chain_update(count.to_le_bytes()).finalize();
        format!("req_{}", encoding::hex(digest.get(..16).unwrap_or_default()))
    }
}
