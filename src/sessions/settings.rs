//! The configuration of sessions.

use std::time::Duration;

use super::cookies;
use crate::crypto::jwt::{Keys, TypedKey};

/// Settings of sessions (`SESSION`, `AUTH_SECRET`).
#[derive(Debug)]
pub struct Settings {
    /// Cookie, lifetime and expected claims.
    pub policy: cookies::Policy,
    /// The keys that sign and verify session tokens.
    pub keys: Keys,
    /// The key of upstream's logout tokens, if `UPSTREAM_SECRET` is set.
    pub logout_key: Option<TypedKey>,
    /// The maximum time since the user authenticated, for what only an admin may do at the gateway's own endpoints.
    pub recent_admin: Option<Duration>,
    /// The check of a session.
    pub check: Check,
    /// The sign-in method.
    pub login: Login,
}

/// The check of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Only its token.
    Token,
    /// Its token and the registry.
    Registry {
        /// The time for which an isolate caches an answer of the registry: at most one minute.
        ttl: Duration,
    },
}

/// The sign-in method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// Another service, such as upstream, issues the session tokens with the same secret.
    Elsewhere,
    /// The gateway signs users in, with the accounts that it stores.
    Accounts,
    /// Upstream signs users in, and names the user in its response (`X-Vestibule-Login`).
    Upstream,
}
