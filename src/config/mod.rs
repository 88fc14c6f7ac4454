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

use std::time::Duration;

use crate::{
    accounts::Accounts,
    approvals::confirmations::Confirmations,
    audit::Audit,
    base::time::Timestamp,
    checkouts::Checkouts,
    crypto::{
        jwt::{Keys, TypedKey},
        secret::{Opaque, Secret},
    },
    guards::{bot_check, limiter::Limiter},
    http::{
        origin::{self, Origin},
        problem::RateLimit,
    },
    idempotency::{Seals, ledger::Ledger},
    identity::csrf,
    platform::store::{Class, Object},
    redirects::return_path,
    routing::rule::Table,
    sessions::registry::Sessions,
    tokens::{Hash, Kind, Seed, Tokens, catalogue::Catalogue},
    webhooks::{Verifier, inbox::Inbox},
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

/// The configuration of a deployment.
#[derive(Debug)]
pub struct Config {
    /// Whether `ENVIRONMENT` is `"development"`.
    pub development: bool,
    /// Path prefix of the built-in routes (`ENDPOINTS`), except the well-known ones.
    pub endpoints: &'static str,
    /// The application behind the gateway.
    pub upstream: Upstream,
    /// The origins by which upstream may name itself in a `Location`.
    pub upstream_names: Vec<Origin>,
    /// Cookie, lifetime and expected claims of sessions.
    pub session: crate::sessions::cookies::Policy,
    /// The check of a session.
    pub check: Check,
    /// The sign-in method.
    pub login: Login,
    /// The keys that sign and verify session tokens.
    pub keys: Keys,
    /// The kinds of tokens (`CREDENTIALS`). Empty unless `SESSION.login` is `"accounts"`.
    pub credentials: Vec<Kind>,
    /// Error detail that lists the configured prefixes, for a request to create a token of a missing or unknown kind.
    pub prefixes: &'static str,
    /// The users who may create tokens.
    pub token_makers: TokenMakers,
    /// The details about a user that upstream receives in addition to the id.
    pub user_headers: Vec<UserHeader>,
    /// The agent tokens that the configuration names (`AGENT_TOKENS`).
    pub seeds: Vec<Seed>,
    /// Invalid entries that are refused while everything else works. The log and `check-config` list them.
    pub complaints: Vec<ConfigError>,
    /// The webhook endpoints (`WEBHOOKS`).
    pub webhooks: Vec<Webhook>,
    /// The events that confirm checkouts (`CHECKOUT_PROVIDERS`).
    pub confirmations: Vec<Confirmation>,
    /// The upstream paths that the gateway calls at each tick of the cron trigger (`MAINTENANCE`).
    pub maintenance: Vec<Maintained>,
    /// Whether the binding `CHECKOUTS` exists.
    pub has_checkouts: bool,
    /// The rate limits that rules may name (`RATE_LIMITS`).
    pub limits: Vec<Limit>,
    /// The policy of bot checks. `None` without `TURNSTILE_SECRET`.
    pub bot_check: Option<bot_check::Policy>,
    /// The external policy service, if one is configured.
    pub policy: Option<PolicyEndpoint>,
    /// The number of plain passes for which the log has one line (`LOG_SAMPLE`).
    pub log_sample: u32,
    /// The time for which rows of the audit trail are kept.
    pub audit_retention: Duration,
    /// The keys that chain the rows of the audit trail: the current key, then the previous one.
    pub audit_keys: Vec<Opaque>,
    /// The catalogue of operations for agents.
    pub catalogue: Catalogue,
    /// The secret that authorizes the creation of the first account.
    pub setup_token: Option<Secret>,
    /// The source of the keys that seal stored responses.
    pub seals: Seals,
    /// Whether the binding `KV` exists. It stores responses that are too long for the ledger.
    pub keeps_long_answers: bool,
    /// The key that signs assertions. Without it, upstream gets no assertion.
    pub upstream_key: Option<TypedKey>,
    /// The CSRF policy: the origins that may send state-changing requests.
    pub csrf: csrf::Policy,
    /// Base of `type` in problem documents (RFC 9457). The code follows as the fragment, except after `about:blank`.
    pub problem_base: String,
    /// The targets to which the gateway may redirect browsers.
    pub return_path: return_path::Policy,
    /// Name of the cookie that counts redirects to and from the login page.
    pub hops_cookie: crate::http::cookie::CookieName,
    /// The route table.
    pub rules: Table,
    /// The fixed time of tests (`DANGER_FIXED_NOW`).
    pub fixed_now: Option<Timestamp>,
}

/// A webhook endpoint.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name. Upstream receives it as `X-Webhook-Provider`.
    pub name: String,
    /// The verifier of the provider's signature.
    pub verifier: Verifier,
    /// Whether the signature covers the event type.
    pub signs_type: bool,
    /// Whether the signed event id is the deduplication key. Otherwise, or without an id, the key is the content's hash.
    pub by_event_id: bool,
    /// Whether the deduplication key includes an unsigned event type. Only types that `events` lists count.
    pub by_type: bool,
    /// The delivery through the inbox. `None` means direct delivery.
    pub inbox: Option<Delivery>,
    /// The event types that upstream receives. Empty means all.
    pub events: Vec<String>,
    /// The time for which a deduplication key is kept.
    pub retention: Duration,
    /// The body limit, in bytes.
    pub body_limit: usize,
}

impl Webhook {
    /// Returns the operation name of its rule: `webhooks.` and the name, with `_` for `-`.
    #[must_use]
    pub fn operation(&self) -> String {
        format!("webhooks.{}", self.name.replace('-', "_"))
    }
}

/// The delivery of accepted events through the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// JSON pointer to the event's subject in the body. Events that have a subject are delivered in order.
    pub subject: Option<String>,
    /// The time that upstream may take to answer.
    pub timeout: Duration,
}

/// An event that confirms a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Name of the webhook that receives it.
    pub webhook: String,
    /// The event type.
    pub event: String,
    /// JSON pointer to the checkout's ref in the event.
    pub reference: String,
    /// Further conditions: JSON pointers, and the values that the event must have there.
    pub equals: Vec<(String, serde_json::Value)>,
}

/// An upstream path that the gateway calls at each tick of the cron trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintained {
    /// The path.
    pub path: String,
    /// The time that upstream may take to answer.
    pub timeout: Duration,
}

/// A rate limit that rules may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The name, the number of requests, and the period in seconds.
    pub rate: RateLimit,
    /// The subject that is counted.
    pub by: LimitBy,
    /// Whether requests pass while the exact count is unavailable.
    pub is_open: bool,
    /// The platform's rate-limit binding, which is asked before the exact count.
    pub gate: Option<&'static str>,
}

/// The service that decides for rules with `policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyEndpoint {
    /// A service on the network, at this URL.
    Url(String),
    /// The service binding `POLICY`.
    Binding,
}

/// The subject that a rate limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitBy {
    /// The client's address. An IPv6 address counts as its /64.
    Address,
    /// The principal. A request without a principal counts by address.
    Principal,
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

/// A detail about a user that upstream may receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserHeader {
    /// `X-User-Name`.
    Name,
    /// `X-User-Email`.
    Email,
}

/// The users who may create tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMakers {
    /// Every user, for themselves. Only admins can create an agent's own token.
    Users,
    /// Only admins.
    Admins,
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

/// The application behind the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Over the network, with its own name as `Host`.
    Origin(Origin),
    /// Over the network, with the public name as `Host`. The platform resolves that name to the host of this origin,
    /// which is in the same zone.
    SameZone(Origin),
    /// The service binding `UPSTREAM`.
    Service,
    /// The static assets binding `ASSETS`.
    Assets,
}

impl Upstream {
    /// Returns whether upstream gets the public name. Then a URL that needs no change is forwarded byte for byte.
    #[must_use]
    pub fn keeps_public_name(&self) -> bool {
        match self {
            Self::Origin(_) => false,
            Self::SameZone(_) | Self::Service | Self::Assets => true,
        }
    }
}

impl Config {
    /// Finds the token of `AGENT_TOKENS` that has this hash.
    #[must_use]
    pub fn seed(&self, hash: &Hash) -> Option<&Seed> {
        self.seeds.iter().find(|seed| seed.hash == *hash)
    }

    /// Returns whether cookies for this request must be `Secure`: always, except in development over plain http to
    /// `localhost`, `127.0.0.1` or `[::1]`.
    #[must_use]
    pub fn secure_cookies(&self, scheme: &str, authority: &str) -> bool {
        !(self.development && scheme == "http" && origin::is_localhost(authority))
    }

    /// Returns whether no origin in `PUBLIC_ORIGINS` has the request's host and port.
    #[must_use]
    pub fn is_unlisted_host(&self, authority: &str) -> bool {
        !self.return_path.public.iter().any(|origin| origin.authority() == authority)
    }

    /// Returns the public origin that the request names, or the canonical (first) one if it names another origin.
    #[must_use]
    pub fn public_origin(&self, scheme: &str, authority: &str) -> &str {
        let origins = &self.return_path.public;
        origins
            .iter()
            .find(|origin| origin.scheme() == scheme && origin.authority() == authority)
            .or_else(|| origins.first())
            .map_or("", Origin::as_str)
    }
}
