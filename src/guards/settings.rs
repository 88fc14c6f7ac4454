//! The configuration of guards.

use super::bot_check;

/// Settings of guards.
#[derive(Debug)]
pub struct Settings {
    /// The policy of bot checks. `None` without `TURNSTILE_SECRET`.
    pub bot_check: Option<bot_check::Policy>,
    /// The external policy service, if one is configured.
    pub policy: Option<PolicyEndpoint>,
}

/// The service that decides for rules with `policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyEndpoint {
    /// A service on the network, at this URL.
    Url(String),
    /// The service binding `POLICY`.
    Binding,
}
