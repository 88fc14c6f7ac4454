//! The configuration of machine credentials.

use std::time::Duration;

use super::{ConfiguredToken, Hash, Kind};

/// Settings of tokens.
#[derive(Debug)]
pub struct Settings {
    /// The kinds of tokens (`CREDENTIALS`). Empty unless `SESSION.login` is `"accounts"`.
    pub kinds: Vec<Kind>,
    /// Error detail that lists the configured prefixes, for a request to create a token of a missing or unknown kind.
    pub prefixes_detail: &'static str,
    /// The users who may create tokens.
    pub makers: TokenMakers,
    /// The longest lifetime of a new token (`TOKEN_MAX_EXPIRY`). With it, every new token must expire.
    pub max_expiry: Option<MaxExpiry>,
    /// The agent tokens that the configuration names (`AGENT_TOKENS`).
    pub configured: Vec<ConfiguredToken>,
}

impl Settings {
    /// Finds the token of `AGENT_TOKENS` that has this hash.
    #[must_use]
    pub fn configured_token(&self, hash: &Hash) -> Option<&ConfiguredToken> {
        self.configured.iter().find(|token| token.hash == *hash)
    }
}

/// The longest lifetime of a token.
#[derive(Clone, Copy, Debug)]
pub struct MaxExpiry {
    /// The lifetime.
    pub lifetime: Duration,
    /// Error detail that names the lifetime.
    pub detail: &'static str,
}

/// The users who may create tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMakers {
    /// Every user, for themselves. Only admins can create an agent's own token.
    Users,
    /// Only admins.
    Admins,
}
