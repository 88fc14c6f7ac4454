//! Workers KV.

use crate::http::problem::Fault;

/// Workers KV.
#[expect(async_fn_in_trait, reason = "one thread: a Worker's futures need not be Send")]
pub trait Kv {
    /// Reads a value from KV.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`].
    async fn kv_get(&self, name: &str) -> Result<Option<String>, Fault>;

    /// Writes a value to KV.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`]: it is unknown whether the value was written.
    async fn kv_put(&self, name: &str, value: &str) -> Result<(), Fault>;
}
