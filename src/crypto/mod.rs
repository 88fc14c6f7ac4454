//! Key material, JSON Web Tokens and passwords. The primitives are those of well-known crates.

pub mod jwt;
pub mod password;
pub mod secret;
