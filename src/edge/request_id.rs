//! Ids of requests: unique, and of no use to whoever wants to guess the next one or count.
//!
//! Randomness is fetched once per isolate; each id is a hash over it and a counter. That is one SHA-256
//! block in place of a crossing for every request.

use std::cell::{Cell, OnceCell};

use sha2::{Digest, Sha256};

use super::glue;
use crate::encoding;

thread_local! {
    static SEED: OnceCell<String> = const { OnceCell::new() };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Makes the next id: `req_` and 32 hex digits.
pub(super) fn next() -> String {
    let count = COUNT.replace(COUNT.get().wrapping_add(1));
    let digest = SEED.with(|seed| {
        let seed = seed.get_or_init(glue::random_text);
        Sha256::new().chain_update(seed).chain_update(count.to_le_bytes()).finalize()
    });
    format!("req_{}", encoding::hex(digest.get(..16).unwrap_or_default()))
}
