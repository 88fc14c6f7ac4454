//! Session cookies, the registry of live sessions, and the loop breaker.

pub mod cache;
pub mod cookies;
pub mod loop_breaker;
pub mod registry;
pub mod sent_to_login;
pub mod settings;
