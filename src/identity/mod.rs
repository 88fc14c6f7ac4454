//! Who makes a request, and whether they may: principals, authors of commands, access levels, the CSRF check.
//!
//! | file | contents |
//! |---|---|
//! | `principal.rs` | the principal of a request, and the actor that sends the request for it |
//! | `csrf.rs` | the CSRF check |
//! | `access.rs` | whether a principal may use a rule: roles, owners, and rules that no machine may use |
//! | `step_up.rs` | whether a person has authenticated recently enough |
//! | `author.rs` | the author of a command that writes |
//! | `ended.rs` | recently ended sessions, whose commands are refused |
//! | `scope.rs` | the scope of keys, limits and flags: one for each principal |
//! | `token_scope.rs` | the scope of a token: which of its owner's rights it has |
//! | `call.rs` | the call that an endpoint gets, and the answer that it gives |

pub mod access;
pub mod author;
pub mod call;
pub mod csrf;
pub mod ended;
pub mod principal;
pub mod scope;
pub mod step_up;
pub mod token_scope;
