//! Key material, JSON Web Tokens and passwords. The primitives are those of well-known crates.
//!
//! | file | contents |
//! |---|---|
//! | `secret.rs` | secrets as an operator configures them |
//! | `derive.rs` | keys for one purpose each, derived from a secret |
//! | `password.rs` | password hashes (Argon2id) |
//! | `public_key.rs` | public keys of passkeys (ES256, Ed25519) |
//! | `webhook_key.rs` | signs the gateway's own messages (Standard Webhooks) |
//! | `jwt/mod.rs` | the signature layer of a token: HS256 only |
//! | `jwt/claims.rs` | the claims of a session token, and the checks for them |
//! | `jwt/members.rs` | JSON objects, read member by member |

pub mod derive;
pub mod jwt;
pub mod password;
pub mod public_key;
pub mod secret;
pub mod webhook_key;
