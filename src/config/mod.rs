//! The configuration, parsed once per isolate from the Worker's variables.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | `Config`: a section for each feature |
//! | `parse.rs` | from variables, secrets and bindings to a `Config` |
//! | `schema.rs` | all names, with shape and default; parser, messages and `docs/configuration.md` share them |
//! | `json_schema.rs`, `json_schema/conditions.rs` | the JSON Schema for editors, from the same names; what the members of a table require of each other |
//! | `reader.rs` | reads values by name |
//! | `mistake.rs` | collects mistakes |
//! | `rules.rs` | builds the route table |
//! | `built_in.rs` | adds the built-in routes whose feature is enabled |
//! | `session.rs`, `mailer.rs`, `pages.rs`, `passwords.rs`, `secrets.rs`, `upstream.rs`, `credentials.rs`, `limits.rs`, `guards.rs`, `approvals.rs`, `audit.rs`, `idempotency.rs`, `webhooks.rs`, `checkouts.rs`, `catalogue.rs`, `slashes.rs`, `report.rs` | a parser each, of the variables or members that their name says |
//! | `shown.rs` | what admins see: the variables without secrets |
//! | `unusable.rs` | variables that cannot be used: broken JSON, unknown names |
//! | `classes.rs` | the list of Durable Object classes |
//! | `warnings.rs` | warnings for `check-config` |
//! | `tests.rs`, `tests/mistakes.rs`, `tests/feature_mistakes.rs`, `tests/messages.rs`, `tests/json_schema.rs`, `tests/endpoints.rs`, `tests/pages.rs`, `tests/slashes.rs` | tests |
//!
//! [`Config`] holds parsed values: none of its fields is a string that still has to be parsed. The parser reports all
//! mistakes at once, each with its path. A configuration with a mistake is rejected as a whole, and the gateway then
//! rejects every request.

mod approvals;
mod audit;
mod built_in;
mod catalogue;
mod checkouts;
pub(crate) mod classes;
mod credentials;
mod guards;
mod idempotency;
pub mod json_schema;
mod limits;
mod mailer;
mod mistake;
mod pages;
mod parse;
mod passwords;
mod reader;
mod report;
mod rules;
pub mod schema;
mod secrets;
mod session;
mod shown;
mod slashes;
#[cfg(test)]
mod tests;
mod unusable;
mod upstream;
mod warnings;
mod webhooks;

pub use classes::CLASSES;
pub use mistake::ConfigError;
pub use parse::{Bindings, Variables, read_variables};
pub use shown::ShownConfig;
pub use webhooks::webhook_secret;

use crate::{
    accounts::{login::LoginContext, settings::Settings as AccountSettings},
    approvals::approval::ApprovalPolicy,
    audit::settings::Settings as AuditSettings,
    checkouts::settings::Settings as CheckoutSettings,
    guards::{GuardPolicy, limits::Limit, settings::Settings as GuardSettings},
    http::{path::CanonicalPath, request::Request},
    idempotency::settings::Settings as IdempotencySettings,
    identity::csrf,
    metrics::Settings as MetricsSettings,
    redirects::site::Site,
    routing::{
        development::DevelopmentServer,
        report::Mode,
        rule::{Names, RuleMatch, Table},
    },
    sessions::settings::Settings as SessionSettings,
    tokens::{catalogue::Catalogue, settings::Settings as TokenSettings},
    upstream::settings::{Settings as UpstreamSettings, UpstreamContext},
    webhooks::settings::Webhook,
};

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
    /// The numbers about requests.
    pub metrics: MetricsSettings,
    /// The CSRF policy: the origins that may send state-changing requests.
    pub csrf: csrf::Policy,
    /// The route table.
    pub rules: Table,
    /// The rule for the modules of a development server; `None` except in local development.
    pub development_server: Option<DevelopmentServer>,
    /// The catalogue of operations for agents.
    pub catalogue: Catalogue,
    /// Whether refusals are enforced or only reported, unless a rule says otherwise (`MODE`).
    pub mode: Mode,
    /// The number of plain passes for which the log has one line (`LOG_SAMPLE`).
    pub log_sample: u32,
    /// Invalid entries that are refused while everything else works. The log and `check-config` list them.
    pub entry_errors: Vec<ConfigError>,
    /// What admins see of the configuration.
    pub shown: ShownConfig,
}

impl Config {
    /// Returns the rule for the path as written, and the rule that decides about the request.
    #[must_use]
    pub fn match_rule(&self, request: &Request<'_>, path: &CanonicalPath<'_>, names: Names) -> RuleMatch<'_> {
        let server = self.development_server.as_ref();
        match server.and_then(|server| server.rule_for(request, path, &self.rules)) {
            Some(rule) => RuleMatch { as_written: rule, deciding: Ok(rule), reports: rule.reported_steps() },
            None => self.rules.match_request(request.method, path, names),
        }
    }

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
        ApprovalPolicy { site: &self.site, cookies: &self.sessions.policy }
    }
}
