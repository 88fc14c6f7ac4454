//! Request ids. They are unique, and do not reveal the next id or the number of requests.
//!
//! Each isolate gets random bytes once. Each id is a hash over them and a counter. That costs one SHA-256 block
//! instead of a call to the platform for each request.

use std::cell::Cell;

use sha2::{Digest, Sha256};

use crate::base::encoding;

/// A generator of request ids.
pub(super) struct RequestIds {
    seed: String,
    count: Cell<u64>,
}

impl RequestIds {
    /// Creates a generator from a text with at least 122 random bits.
    pub(super) fn new(seed: String) -> Self {
        Self { seed, count: Cell::new(0) }
    }

    /// Returns the next id: `req_` and 32 hex digits.
    pub(super) fn next(&self) -> String {
        let count = self.count.replace(self.count.get().wrapping_add(1));
        let digest = Sha256::new().chain_update(&self.seed).chain_update(count.to_le_bytes()).finalize();
        format!("req_{}", encoding::hex(digest.get(..16).unwrap_or_default()))
    }
}
