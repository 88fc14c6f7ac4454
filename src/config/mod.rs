//! The configuration, parsed once per isolate from the Worker's variables.
//!
//! [`Config`] holds parsed values: none of its fields is a string that still has to be parsed. The parser reports all
//! mistakes at once, each with its path. A configuration with a mistake is rejected as a whole, and the gateway then
//! rejects every request.

mod catalogue;
mod checkouts;
mod credentials;
mod guards;
mod idempotency;
mod limits;
mod own;
mod parse;
mod reader;
mod rules;
pub mod schema;
mod secrets;
mod session;
mod slashes;
#[cfg(test)]
mod tests;
mod upstream;
mod warnings;
mod webhooks;

pub use parse::{Bindings, Variables, read_variables};
pub use reader::ConfigError;
pub use webhooks::webhook_secret;

use crate::{
    accounts::{Accounts, login::LoginContext, settings::Settings as AccountSettings},
    approvals::{confirmations::Confirmations, consent::ApprovalPolicy},
    audit::{Audit, settings::Settings as AuditSettings},
    checkouts::{Checkouts, settings::Settings as CheckoutSettings},
    guards::{GuardPolicy, limiter::Limiter, limits::Limit, settings::Settings as GuardSettings},
    idempotency::{ledger::Ledger, settings::Settings as IdempotencySettings},
    identity::csrf,
    platform::store::{Class, Object},
    redirects::site::Site,
    routing::rule::Table,
    sessions::{registry::Sessions, settings::Settings as SessionSettings},
    tokens::{Tokens, catalogue::Catalogue, settings::Settings as TokenSettings},
    upstream::settings::{Settings as UpstreamSettings, UpstreamContext},
    webhooks::{inbox::Inbox, settings::Webhook},
};

/// All Durable Object classes.
pub const CLASSES: [Class; 9] = [
    Accounts::CLASS,
    Audit::CLASS,
    Checkouts::CLASS,
    Confirmations::CLASS,
    Inbox::CLASS,
    Ledger::CLASS,
    Limiter::CLASS,
    Sessions::CLASS,
    Tokens::CLASS,
];

/// The configuration of a deployment: a section for each feature.
#[derive(Debug)]
pub struct Config {
    /// The public side: origins, paths, pages.
    pub site: Site,
    /// The application behind the gateway.
    pub upstream: UpstreamSettings,
    /// Sessions and the sign-in method.
    pub sessions: SessionSettings,
    /// Machine credentials.
    pub tokens: TokenSettings,
    /// Accounts.
    pub accounts: AccountSettings,
    /// The webhook endpoints (`WEBHOOKS`).
    pub webhooks: Vec<Webhook>,
    /// Checkouts and maintenance.
    pub checkouts: CheckoutSettings,
    /// The rate limits that rules may name (`RATE_LIMITS`).
    pub limits: Vec<Limit>,
    /// Bot check and external policy.
    pub guards: GuardSettings,
    /// Idempotency.
    pub idempotency: IdempotencySettings,
    /// The audit trail.
    pub audit: AuditSettings,
    /// The CSRF policy: the origins that may send state-changing requests.
    pub csrf: csrf::Policy,
    /// The route table.
    pub rules: Table,
    /// The catalogue of operations for agents.
    pub catalogue: Catalogue,
    /// The number of plain passes for which the log has one line (`LOG_SAMPLE`).
    pub log_sample: u32,
    /// Invalid entries that are refused while everything else works. The log and `check-config` list them.
    pub complaints: Vec<ConfigError>,
}

impl Config {
    /// Returns the settings by which sessions open and end.
    #[must_use]
    pub fn login_context(&self) -> LoginContext<'_> {
        LoginContext { site: &self.site, sessions: &self.sessions, csrf: &self.csrf }
    }

    /// Returns what requests to upstream need.
    #[must_use]
    pub fn upstream_context(&self) -> UpstreamContext<'_> {
        UpstreamContext { settings: &self.upstream, cookies: &self.sessions.policy, site: &self.site }
    }

    /// Returns what guards decide by.
    #[must_use]
    pub fn guard_policy(&self) -> GuardPolicy<'_> {
        GuardPolicy { settings: &self.guards, return_path: &self.site.return_path }
    }

    /// Returns what approvals need.
    #[must_use]
    pub fn approval_policy(&self) -> ApprovalPolicy<'_> {
        ApprovalPolicy { site: &self.site, session_cookie: self.sessions.policy.cookie.as_str() }
    }
}
