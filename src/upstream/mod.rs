//! Requests to upstream: identity headers, the signed assertion, and the lookup of an owner.
//!
//! | file | contents |
//! |---|---|
//! | `forward.rs` | builds requests to upstream: removes the headers that [`crate::http::header_filter`] names, adds the gateway's own |
//! | `assertion.rs` | the signed statement about a request that only the gateway can make |
//! | `ownership.rs` | sends the ownership lookup, the only request to upstream before step 12; `routing/owner.rs` describes it |
//! | `settings.rs` | the settings |

pub mod assertion;
pub mod forward;
pub mod ownership;
pub mod settings;
