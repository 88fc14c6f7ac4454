//! The configuration, parsed once per isolate from the Worker's variables.
//!
//! Nothing here is a string with a grammar any more. Every mistake is found in one go, named by its
//! path; a configuration with a mistake is no configuration, and the gateway then lets nothing through.

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
    audit::Audit,
    bot_check,
    catalogue::Catalogue,
    checkouts::Checkouts,
    confirmations::Confirmations,
    csrf,
    idempotency::Seals,
    inbox::Inbox,
    jwt::{Keys, TypedKey},
    ledger::Ledger,
    limiter::Limiter,
    origin::{self, Origin},
    problem::RateLimit,
    registry::Sessions,
    return_path,
    rule::Table,
    secret::{Opaque, Secret},
    store::{Class, Object},
    time::Timestamp,
    tokens::{Hash, Kind, Seed, Tokens},
    webhook::Verifier,
};

/// Every kind of object there is.
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

/// All that a deployment decides.
#[derive(Debug)]
pub struct Config {
    /// Whether this is a developer's machine.
    pub development: bool,
    /// What the paths of our own endpoints begin with, but for the well-known ones.
    pub endpoints: &'static str,
    /// Where the application is.
    pub upstream: Upstream,
    /// The origins by which it may call itself.
    pub upstream_names: Vec<Origin>,
    /// How sessions look and live.
    pub session: crate::session::Policy,
    /// What a session is held against.
    pub check: Check,
    /// Who signs people in.
    pub login: Login,
    /// The keys of sessions.
    pub keys: Keys,
    /// The kinds of tokens there are.
    pub credentials: Vec<Kind>,
    /// Error detail with the configured prefixes, for a request for a token that names no kind.
    pub prefixes: &'static str,
    /// Who may make tokens.
    pub token_makers: TokenMakers,
    /// What upstream gets about a user besides their id.
    pub user_headers: Vec<UserHeader>,
    /// The tokens of agents that are named here.
    pub seeds: Vec<Seed>,
    /// Invalid entries that are refused while everything else works. The log and `check-config` list them.
    pub complaints: Vec<ConfigError>,
    /// The webhooks that are received.
    pub webhooks: Vec<Webhook>,
    /// Which events confirm checkouts.
    pub confirmations: Vec<Confirmation>,
    /// Which paths of upstream's are called at each tick.
    pub maintenance: Vec<Maintained>,
    /// Whether there are checkouts: the binding `CHECKOUTS`.
    pub has_checkouts: bool,
    /// The limits that rules name.
    pub limits: Vec<Limit>,
    /// How bots are told from people, where a rule asks.
    pub bot_check: Option<bot_check::Policy>,
    /// Who is asked for decisions, where a rule asks.
    pub policy: Option<PolicyEndpoint>,
    /// Of so many plain passes one is logged.
    pub log_sample: u32,
    /// For how long the audit trail is kept.
    pub audit_retention: Duration,
    /// What it is chained by: the key of now, then that of before.
    pub audit_keys: Vec<Opaque>,
    /// What agents are told of the operations.
    pub catalogue: Catalogue,
    /// What the first account is made by.
    pub setup_token: Option<Secret>,
    /// What kept answers are sealed by.
    pub seals: Seals,
    /// Whether there is a place for long ones: the binding `KV`.
    pub keeps_long_answers: bool,
    /// The key of assertions; upstream gets none without it.
    pub upstream_key: Option<TypedKey>,
    /// What counts as the same site.
    pub csrf: csrf::Policy,
    /// Where the codes of refusals are explained.
    pub problem_base: String,
    /// Where browsers may be sent.
    pub return_path: return_path::Policy,
    /// Name of the cookie that counts redirects.
    pub hops_cookie: crate::cookie::CookieName,
    /// The route table.
    pub rules: Table,
    /// The clock of tests.
    pub fixed_now: Option<Timestamp>,
}

/// A webhook that is received.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What it is called.
    pub name: String,
    /// Whether the provider has sent a request.
    pub verifier: Verifier,
    /// Whether the types of events are signed.
    pub signs_type: bool,
    /// Whether events are told apart by their signed ids; else, and where there is none, by their content.
    pub by_event_id: bool,
    /// Whether an unsigned type makes an event distinct. Only a type of `events` does.
    pub by_type: bool,
    /// Whether events are accepted at once and delivered later.
    pub inbox: Option<Delivery>,
    /// The types that go on to upstream; none is all.
    pub events: Vec<String>,
    /// For how long an event is known.
    pub retention: Duration,
    /// Bytes of the longest body.
    pub body_limit: usize,
}

impl Webhook {
    /// Names what is done with its events, as rules do.
    #[must_use]
    pub fn operation(&self) -> String {
        format!("webhooks.{}", self.name.replace('-', "_"))
    }
}

/// How accepted events are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where in the body it says what an event is about: a JSON pointer. Such events are delivered in order.
    pub subject: Option<String>,
    /// How long upstream may take.
    pub timeout: Duration,
}

/// An event that confirms a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The webhook that it comes by.
    pub webhook: String,
    /// Its type.
    pub event: String,
    /// Where in it the checkout's ref is: a JSON pointer.
    pub reference: String,
    /// What else must be so: JSON pointers and values.
    pub equals: Vec<(String, serde_json::Value)>,
}

/// A path of upstream's that is called at each tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintained {
    /// The path.
    pub path: String,
    /// How long upstream may take.
    pub timeout: Duration,
}

/// A limit that rules name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub rate: RateLimit,
    /// What is counted.
    pub by: LimitBy,
    /// Whether requests pass where nobody can say how many there were.
    pub is_open: bool,
    /// The binding of the platform's own counter, which is asked first.
    pub gate: Option<&'static str>,
}

/// Who decides for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyEndpoint {
    /// Somebody across the network, at this URL.
    Url(String),
    /// The service binding `POLICY`.
    Binding,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitBy {
    /// Addresses; of IPv6, the /64.
    Address,
    /// Principals; of nobody, addresses.
    Principal,
}

/// What a session is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Its token alone.
    Token,
    /// The registry too; for how long its word counts.
    Registry {
        /// At most a minute.
        ttl: Duration,
    },
}

/// What upstream may get about a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserHeader {
    /// `X-User-Name`.
    Name,
    /// `X-User-Email`.
    Email,
}

/// Who may make tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMakers {
    /// Every user, for themselves. Only admins can make an agent's own token.
    Users,
    /// Admins alone.
    Admins,
}

/// Who signs people in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// Whoever shares the secret, by a token of its own making.
    Elsewhere,
    /// We do, by the accounts we keep.
    Accounts,
    /// Upstream, which names the user on its response.
    Upstream,
}

/// Where the application is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Over the network, under its own name.
    Origin(Origin),
    /// Over the network, under the public name: the platform resolves it to this origin's host, which is in the same zone.
    SameZone(Origin),
    /// The service binding `UPSTREAM`.
    Service,
    /// The static assets binding `ASSETS`.
    Assets,
}

impl Upstream {
    /// Tells whether it is asked under the public name, so that a URL that needs no change goes on byte for byte.
    #[must_use]
    pub fn keeps_public_name(&self) -> bool {
        match self {
            Self::Origin(_) => false,
            Self::SameZone(_) | Self::Service | Self::Assets => true,
        }
    }
}

impl Config {
    /// Finds the token that is named here and has this hash.
    #[must_use]
    pub fn seed(&self, hash: &Hash) -> Option<&Seed> {
        self.seeds.iter().find(|seed| seed.hash == *hash)
    }

    /// Tells whether cookies for this request must be `Secure`: always, but on plain http to the
    /// developer's own machine.
    #[must_use]
    pub fn secure_cookies(&self, scheme: &str, authority: &str) -> bool {
        !(self.development && scheme == "http" && origin::is_localhost(authority))
    }

    /// Tells whether a request came by a host that none of `PUBLIC_ORIGINS` has.
    #[must_use]
    pub fn is_unlisted_host(&self, authority: &str) -> bool {
        !self.return_path.public.iter().any(|origin| origin.authority() == authority)
    }

    /// Gives the public origin that a request asked for, or the canonical one where that is none of ours.
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
