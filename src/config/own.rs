//! The built-in routes. They are rules like any other: the same route table matches them, and the same checks apply.
//!
//! A route exists only if its feature is enabled. Otherwise its path belongs to upstream. All paths except the
//! well-known ones begin with a prefix that the operator chooses (`ENDPOINTS`). This file writes the prefix as
//! [`DEFAULT_PREFIX`].

use serde_json::Value;

use super::{idempotency, parse::Variables, rules::is_routes};
use crate::{
    http::path::CanonicalPath,
    routing::rule::{self, Access, Audit, Destination, Endpoint, Rule},
    sessions::settings::{Check, Login},
};

/// The settings that decide which built-in routes exist, and their prefix.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "one for each kind of store")]
pub(super) struct Features {
    pub(super) prefix: &'static str,
    pub(super) check: Option<Check>,
    pub(super) login_by: Option<Login>,
    pub(super) has_ledger: bool,
    pub(super) has_inbox: bool,
    pub(super) has_checkouts: bool,
    pub(super) has_confirmations: bool,
    pub(super) has_audit: bool,
    pub(super) has_flags: bool,
    pub(super) uses: Uses,
}

/// The features that the configuration uses. A feature needs its bindings, too.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each feature")]
pub(super) struct Uses {
    /// Idempotency keys of requests, or deduplication keys of webhooks.
    idempotency: bool,
    inbox: bool,
    checkouts: bool,
    confirmations: bool,
    features: bool,
    tokens: bool,
}

impl Uses {
    /// Finds the features in variables that are not parsed yet. An invalid value does no harm here: the parser rejects
    /// such a configuration as a whole.
    pub(super) fn detect(variables: &Variables, has_tokens: bool) -> Self {
        let mut uses = Self { tokens: has_tokens, ..Self::default() };
        for (name, value) in variables {
            for item in value.as_array().into_iter().flatten() {
                match name.as_str() {
                    "WEBHOOKS" => uses.add_webhook(item),
                    "CHECKOUT_PROVIDERS" => uses.checkouts = true,
                    name if is_routes(name) => uses.add_rule(item),
                    _ => {}
                }
            }
        }
        uses
    }

    fn add_webhook(&mut self, webhook: &Value) {
        self.idempotency = true;
        self.inbox |= webhook.get("delivery").is_some_and(|delivery| delivery == "inbox");
    }

    fn add_rule(&mut self, rule: &Value) {
        for member in rule.as_object().into_iter().flat_map(|members| members.keys()) {
            match member.as_str() {
                "idempotency" => self.idempotency = true,
                "checkout" => self.checkouts = true,
                "confirm" => self.confirmations = true,
                "feature" => self.features = true,
                _ => {}
            }
        }
    }
}

impl Features {
    /// Returns a value that enables all features, below a prefix.
    pub(super) const fn all(prefix: &'static str) -> Self {
        Self {
            prefix,
            check: None,
            login_by: Some(Login::Accounts),
            has_ledger: true,
            has_inbox: true,
            has_checkouts: true,
            has_confirmations: true,
            has_audit: true,
            has_flags: true,
            uses: Uses {
                idempotency: true,
                inbox: true,
                checkouts: true,
                confirmations: true,
                features: true,
                tokens: true,
            },
        }
    }

    /// Returns the path of a built-in route, with the configured prefix.
    fn path(self, route: &BuiltInRoute) -> String {
        route
            .0
            .strip_prefix(DEFAULT_PREFIX)
            .map_or_else(|| route.0.to_owned(), |rest| format!("{}{rest}", self.prefix))
    }
}

/// Parses the prefix of the built-in routes. The text is leaked: the configuration lives as long as the isolate.
pub(super) fn parse_prefix(text: &str) -> Option<&'static str> {
    let is_allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~')
    };
    let is_canonical = CanonicalPath::judge(text).is_ok_and(|path| path.as_str() == text);
    let is_valid =
        is_canonical && text.bytes().all(is_allowed) && !text.contains("//") && !text.ends_with('/');
    is_valid.then(|| &*text.to_owned().leak())
}

/// Returns whether a pattern is the path of an enabled built-in route.
pub(super) fn is_built_in(features: Features, pattern: &str) -> bool {
    enabled_routes(features).into_iter().any(|route| features.path(route) == pattern)
}

/// Lists the paths of built-in routes to which the gateway must not redirect a browser: all except pages.
pub(super) fn forbidden_return_paths(features: Features) -> Vec<String> {
    let routes = enabled_routes(features);
    let is_page = |path: &str| routes.iter().any(|route| route.0 == path && route.3.is_page());
    let mut paths: Vec<String> =
        routes.iter().filter(|route| !is_page(route.0)).map(|route| features.path(route)).collect();
    paths.dedup();
    paths
}

/// Adds the enabled built-in routes to the route table.
pub(super) fn add_built_in_routes(
    table: &mut rule::Table,
    features: Features,
) -> Result<(), rule::RuleError> {
    for route in enabled_routes(features) {
        let (_, methods, access, endpoint) = route;
        let mut rule = Rule::new(&features.path(route), *access, Destination::Endpoint(*endpoint));
        rule.methods = methods.iter().map(|method| (*method).to_owned()).collect();
        rule.operation = endpoint.operation().map(str::to_owned);
        if features.has_audit && endpoint.changes_state() {
            rule.audit = Audit::BestEffort;
        }
        rule.idempotency =
            endpoint.creates().then_some(idempotency::BUILT_IN).filter(|_| features.has_ledger);
        table.add(rule)?;
    }
    Ok(())
}

fn enabled_routes(features: Features) -> Vec<&'static BuiltInRoute> {
    let has_registry = features.check != Some(Check::Token);
    let has_accounts = features.login_by == Some(Login::Accounts);
    let uses = features.uses;
    let sets = [
        Some(CORE_RULES),
        has_registry.then_some(SESSION_RULES),
        (has_registry && features.has_ledger && uses.idempotency).then_some(LEDGER_RULES),
        (has_registry && features.has_inbox && uses.inbox).then_some(INBOX_RULES),
        (features.has_checkouts && uses.checkouts).then_some(CHECKOUT_RULES),
        has_accounts.then_some(ACCOUNT_RULES),
        (has_accounts && uses.tokens).then_some(TOKEN_RULES),
        (has_accounts && features.has_confirmations && uses.confirmations).then_some(CONFIRMATION_RULES),
        (has_registry && features.has_flags && uses.features).then_some(FEATURE_RULES),
        (has_registry && features.has_audit).then_some(AUDIT_RULES),
        has_registry.then_some(EXPLAIN_RULES),
    ];
    sets.into_iter().flatten().flatten().collect()
}

/// Default prefix of the built-in routes. The lists below are written with it.
pub(super) const DEFAULT_PREFIX: &str = "/api";

/// A built-in route: path, methods (empty means any), access, endpoint.
type BuiltInRoute = (&'static str, &'static [&'static str], Access, Endpoint);

/// Routes that always exist.
pub(super) const CORE_RULES: &[BuiltInRoute] = &[
    ("/api/auth/me", &["GET"], Access::Authenticated, Endpoint::Me),
    ("/api/auth/me", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/auth/logout", &["POST"], Access::Public, Endpoint::Logout),
    ("/api/auth/logout", &[], Access::Public, Endpoint::WrongMethod("POST")),
    ("/.well-known/agent-operations", &["GET"], Access::Public, Endpoint::Catalogue),
    ("/.well-known/agent-operations", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/.well-known/agent-operations/openapi.json", &["GET"], Access::Public, Endpoint::CatalogueAsOpenApi),
    ("/.well-known/agent-operations/openapi.json", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/.well-known/vestibule", &["GET"], Access::Public, Endpoint::WellKnown),
    ("/.well-known/vestibule", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
];

/// Routes for approvals: a person consents to the act of a machine.
pub(super) const CONFIRMATION_RULES: &[BuiltInRoute] = &[
    ("/api/confirmations", &["GET"], Access::Human, Endpoint::ListConfirmations),
    ("/api/confirmations", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/confirmations/{id}", &["GET"], Access::Human, Endpoint::ReadConfirmation),
    ("/api/confirmations/{id}", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/confirmations/{id}/approve", &["POST"], Access::Human, Endpoint::Approve),
    ("/api/confirmations/{id}/approve", &[], Access::Public, Endpoint::WrongMethod("POST")),
    ("/api/confirmations/{id}/reject", &["POST"], Access::Human, Endpoint::Reject),
    ("/api/confirmations/{id}/reject", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Routes for feature gates, for admins.
pub(super) const FEATURE_RULES: &[BuiltInRoute] = &[
    ("/api/features/{name}", &["GET"], Access::Admin, Endpoint::ReadFeature),
    ("/api/features/{name}", &["PUT"], Access::Admin, Endpoint::WriteFeature),
    ("/api/features/{name}", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, PUT")),
];

/// Routes for the audit trail, for admins.
pub(super) const AUDIT_RULES: &[BuiltInRoute] = &[
    ("/api/audit", &["GET"], Access::Admin, Endpoint::ListAudit),
    ("/api/audit", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/audit/verify", &["GET"], Access::Admin, Endpoint::VerifyAudit),
    ("/api/audit/verify", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
];

/// Route for dry runs: it explains to an admin how a request would be decided.
pub(super) const EXPLAIN_RULES: &[BuiltInRoute] = &[
    ("/api/explain", &["POST"], Access::Admin, Endpoint::Explain),
    ("/api/explain", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Routes for sessions. Without the registry, these paths belong to upstream.
pub(super) const SESSION_RULES: &[BuiltInRoute] = &[
    ("/api/sessions", &["GET"], Access::Human, Endpoint::ListSessions),
    ("/api/sessions", &["DELETE"], Access::Human, Endpoint::RevokeSessions),
    ("/api/sessions", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, DELETE")),
    ("/api/sessions/{id}", &["DELETE"], Access::Human, Endpoint::RevokeSession),
    ("/api/sessions/{id}", &[], Access::Public, Endpoint::WrongMethod("DELETE")),
];

/// Routes for idempotency keys, for admins. Without the registry there are no roles: the paths belong to upstream.
pub(super) const LEDGER_RULES: &[BuiltInRoute] = &[
    ("/api/idempotency", &["GET"], Access::Admin, Endpoint::ListUnresolved),
    ("/api/idempotency", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/idempotency/{id}/resolve", &["POST"], Access::Admin, Endpoint::Resolve),
    ("/api/idempotency/{id}/resolve", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Routes for checkouts. The endpoint decides who may see a checkout.
pub(super) const CHECKOUT_RULES: &[BuiltInRoute] = &[
    ("/api/checkouts/{ref}", &["GET"], Access::Optional, Endpoint::ReadCheckout),
    ("/api/checkouts/{ref}", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/checkouts/{ref}/cancel", &["POST"], Access::Optional, Endpoint::CancelCheckout),
    ("/api/checkouts/{ref}/cancel", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Routes for webhook inboxes, for admins.
pub(super) const INBOX_RULES: &[BuiltInRoute] = &[
    ("/api/webhooks", &["GET"], Access::Admin, Endpoint::ListEvents),
    ("/api/webhooks", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/webhooks/{id}/redeliver", &["POST"], Access::Admin, Endpoint::Redeliver),
    ("/api/webhooks/{id}/redeliver", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Routes for accounts. Without accounts, these paths belong to upstream.
pub(super) const ACCOUNT_RULES: &[BuiltInRoute] = &[
    ("/api/auth/setup", &["GET"], Access::Public, Endpoint::SetUpState),
    ("/api/auth/setup", &["POST"], Access::Public, Endpoint::SetUp),
    ("/api/auth/setup", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, POST")),
    ("/api/auth/login", &["POST"], Access::Public, Endpoint::LogIn),
    ("/api/auth/login", &[], Access::Public, Endpoint::WrongMethod("POST")),
    ("/api/users", &["GET"], Access::AdminInPerson, Endpoint::ListUsers),
    ("/api/users", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/users/names", &["GET"], Access::Authenticated, Endpoint::ReadNames),
    ("/api/users/names", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/users/{id}", &["GET"], Access::AdminInPerson, Endpoint::ReadUser),
    ("/api/users/{id}", &["PATCH"], Access::AdminInPerson, Endpoint::ChangeUser),
    ("/api/users/{id}", &["DELETE"], Access::AdminInPerson, Endpoint::DeleteUser),
    ("/api/users/{id}", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, PATCH, DELETE")),
    ("/api/invites", &["GET"], Access::AdminInPerson, Endpoint::ListInvites),
    ("/api/invites", &["POST"], Access::AdminInPerson, Endpoint::CreateInvite),
    ("/api/invites", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, POST")),
    ("/api/invites/{id}", &["PATCH"], Access::AdminInPerson, Endpoint::ChangeInvite),
    ("/api/invites/{id}", &["DELETE"], Access::AdminInPerson, Endpoint::DeleteInvite),
    ("/api/invites/{id}", &[], Access::Public, Endpoint::WrongMethod("PATCH, DELETE")),
    ("/api/invites/{token}/redeem", &["POST"], Access::Public, Endpoint::RedeemInvite),
    ("/api/invites/{token}/redeem", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Routes for tokens. Without accounts or kinds of tokens, these paths belong to upstream.
pub(super) const TOKEN_RULES: &[BuiltInRoute] = &[
    ("/api/agent-tokens", &["GET"], Access::UserInPerson, Endpoint::ListTokens),
    ("/api/agent-tokens", &["POST"], Access::UserInPerson, Endpoint::CreateToken),
    ("/api/agent-tokens", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, POST")),
    ("/api/agent-tokens/{id}", &["DELETE"], Access::UserInPerson, Endpoint::DeleteToken),
    ("/api/agent-tokens/{id}", &[], Access::Public, Endpoint::WrongMethod("DELETE")),
    ("/api/agent-tokens/{id}/take-over", &["POST"], Access::AdminInPerson, Endpoint::TakeOverToken),
    ("/api/agent-tokens/{id}/take-over", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

impl Endpoint {
    /// Returns whether the endpoint creates something, so that a repeated request would create another one.
    fn creates(self) -> bool {
        matches!(self, Self::CreateInvite | Self::CreateToken)
    }

    fn operation(self) -> Option<&'static str> {
        match self {
            Self::Me => Some("vestibule.me"),
            Self::Logout => Some("vestibule.logout"),
            Self::WellKnown => Some("vestibule.well_known"),
            Self::SetUpState => Some("vestibule.setup.read"),
            Self::SetUp => Some("vestibule.setup"),
            Self::LogIn => Some("vestibule.login"),
            Self::ListUsers => Some("vestibule.users.list"),
            Self::ReadNames => Some("vestibule.users.names"),
            Self::ReadUser => Some("vestibule.users.read"),
            Self::ChangeUser => Some("vestibule.users.change"),
            Self::DeleteUser => Some("vestibule.users.delete"),
            Self::CreateInvite => Some("vestibule.invites.create"),
            Self::ListInvites => Some("vestibule.invites.list"),
            Self::ChangeInvite => Some("vestibule.invites.change"),
            Self::DeleteInvite => Some("vestibule.invites.delete"),
            Self::RedeemInvite => Some("vestibule.invites.redeem"),
            Self::CreateToken => Some("vestibule.tokens.create"),
            Self::ListTokens => Some("vestibule.tokens.list"),
            Self::DeleteToken => Some("vestibule.tokens.revoke"),
            Self::TakeOverToken => Some("vestibule.tokens.take_over"),
            Self::ListSessions => Some("vestibule.sessions.list"),
            Self::RevokeSessions => Some("vestibule.sessions.revoke_others"),
            Self::RevokeSession => Some("vestibule.sessions.revoke"),
            Self::ReadCheckout => Some("vestibule.checkouts.read"),
            Self::CancelCheckout => Some("vestibule.checkouts.cancel"),
            Self::ListEvents => Some("vestibule.webhooks.list"),
            Self::Redeliver => Some("vestibule.webhooks.redeliver"),
            Self::ListUnresolved => Some("vestibule.idempotency.list"),
            Self::Resolve => Some("vestibule.idempotency.resolve"),
            Self::ListConfirmations => Some("vestibule.confirmations.list"),
            Self::ReadConfirmation => Some("vestibule.confirmations.read"),
            Self::Approve => Some("vestibule.confirmations.approve"),
            Self::Reject => Some("vestibule.confirmations.reject"),
            Self::ReadFeature => Some("vestibule.features.read"),
            Self::WriteFeature => Some("vestibule.features.write"),
            Self::ListAudit => Some("vestibule.audit.list"),
            Self::VerifyAudit => Some("vestibule.audit.verify"),
            Self::Explain => Some("vestibule.explain"),
            Self::Catalogue => Some("vestibule.catalogue"),
            Self::CatalogueAsOpenApi => Some("vestibule.catalogue.openapi"),
            Self::InternalOnly | Self::WrongMethod(_) => None,
        }
    }
}
