//! Keeps code that few requests need out of the functions that every request runs.
//!
//! The compiler inlines a future into the future that awaits it. Without this, one WebAssembly function of 175 KB holds
//! the gateway and everything that it calls. V8 compiles a function as a whole when it first runs, and again when it
//! runs often, so new isolates paid for features that they never used.

use std::pin::Pin;

/// Boxes a future behind a call that is never inlined.
#[inline(never)]
pub fn outlined<'a, T>(future: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    Box::pin(future)
}
