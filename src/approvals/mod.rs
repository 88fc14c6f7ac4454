//! A person's approval of a machine's request. In paths, headers and the class's name, it is a *confirmation*.
//!
//! | file | contents |
//! |---|---|
//! | `approval.rs` | step 10 of a request: asks a person for an approval, or uses up the one that a person gave |
//! | `ignored_headers.rs` | headers that do not count when a request is compared with the approved one |
//! | `confirmations.rs` | acts (requests that wait for an approval), their states, and the decisions of people |
//! | `confirmations/object.rs` | the `Confirmations` objects, which store acts and decisions |
//! | `endpoints.rs` | `/api/confirmations` |
//! | `confirmations/tests.rs` | tests |

pub mod approval;
pub mod confirmations;
pub mod endpoints;
pub mod ignored_headers;
