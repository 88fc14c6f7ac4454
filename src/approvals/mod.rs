//! A person's approval of a machine's request.
//!
//! | file | contents |
//! |---|---|
//! | `approval.rs` | step 10 of a request: asks for an approval, or uses it up |
//! | `confirmations.rs` | the `Confirmations` objects: requests that wait, and what people decide |
//! | `endpoints.rs` | `/api/confirmations` |
//! | `confirmations/tests.rs` | tests |

pub mod approval;
pub mod confirmations;
pub mod endpoints;
