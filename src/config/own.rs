//! The endpoints of our own: rules like any other, the same matcher, the same door.
//!
//! Only those of features that are on exist: the others' paths are the application's. All but the well-known ones begin
//! with a prefix that the operator chooses, [`DEFAULT_PREFIX`] as they are written here.

use serde_json::Value;

use super::{Check, Login, idempotency, parse::Variables, rules::is_routes};
use crate::{
    path::CanonicalPath,
    rule::{self, Access, Audit, Destination, Endpoint, Rule},
};

/// What decides which endpoints of our own there are, and where.
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

/// Which features the configuration uses, beside having what they need.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each feature")]
pub(super) struct Uses {
    /// Keys, of requests or of webhooks.
    keys: bool,
    inbox: bool,
    checkouts: bool,
    confirmations: bool,
    features: bool,
    tokens: bool,
}

impl Uses {
    /// Looks for them in variables that are not parsed yet. Where a value is a mistake, nothing is served at all.
    pub(super) fn of(variables: &Variables, has_tokens: bool) -> Self {
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
        self.keys = true;
        self.inbox |= webhook.get("delivery").is_some_and(|delivery| delivery == "inbox");
    }

    fn add_rule(&mut self, rule: &Value) {
        for member in rule.as_object().into_iter().flat_map(|members| members.keys()) {
            match member.as_str() {
                "idempotency" => self.keys = true,
                "checkout" => self.checkouts = true,
                "confirm" => self.confirmations = true,
                "feature" => self.features = true,
                _ => {}
            }
        }
    }
}

impl Features {
    /// Everything that there may be, below a prefix.
    pub(super) const fn everything(prefix: &'static str) -> Self {
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
                keys: true,
                inbox: true,
                checkouts: true,
                confirmations: true,
                features: true,
                tokens: true,
            },
        }
    }

    /// Writes the path of an endpoint of ours.
    fn path(self, own: &Own) -> String {
        own.0
            .strip_prefix(DEFAULT_PREFIX)
            .map_or_else(|| own.0.to_owned(), |rest| format!("{}{rest}", self.prefix))
    }
}

/// Reads what the paths of our own endpoints begin with. It lives as long as the configuration, which is the isolate's.
pub(super) fn prefix(text: &str) -> Option<&'static str> {
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~')
    };
    let is_canonical = CanonicalPath::judge(text).is_ok_and(|path| path.as_str() == text);
    let fits = is_canonical && text.bytes().all(is_plain) && !text.contains("//") && !text.ends_with('/');
    fits.then(|| &*text.to_owned().leak())
}

/// Tells whether a pattern is the path of an endpoint of ours.
pub(super) fn has(served: Features, pattern: &str) -> bool {
    own_rules(served).into_iter().any(|own| served.path(own) == pattern)
}

/// Lists the paths of our own endpoints that nobody may be led to: all but the pages.
pub(super) fn not_led_to(served: Features) -> Vec<String> {
    let own_rules = own_rules(served);
    let is_page = |path: &str| own_rules.iter().any(|own| own.0 == path && own.3.is_page());
    let mut paths: Vec<String> =
        own_rules.iter().filter(|own| !is_page(own.0)).map(|own| served.path(own)).collect();
    paths.dedup();
    paths
}

/// Adds those that this configuration serves.
pub(super) fn add(table: &mut rule::Table, served: Features) -> Result<(), rule::RuleError> {
    for entry in own_rules(served) {
        let (_, methods, access, endpoint) = entry;
        let mut own = Rule::new(&served.path(entry), *access, Destination::Endpoint(*endpoint));
        own.methods = methods.iter().map(|method| (*method).to_owned()).collect();
        own.operation = endpoint.operation().map(str::to_owned);
        if served.has_audit && endpoint.changes_state() {
            own.audit = Audit::BestEffort;
        }
        own.idempotency = endpoint.creates().then_some(idempotency::OWN).filter(|_| served.has_ledger);
        table.add(own)?;
    }
    Ok(())
}

fn own_rules(served: Features) -> Vec<&'static Own> {
    let has_registry = served.check != Some(Check::Token);
    let has_accounts = served.login_by == Some(Login::Accounts);
    let uses = served.uses;
    let sets = [
        Some(OWN_RULES),
        has_registry.then_some(SESSION_RULES),
        (has_registry && served.has_ledger && uses.keys).then_some(LEDGER_RULES),
        (has_registry && served.has_inbox && uses.inbox).then_some(INBOX_RULES),
        (served.has_checkouts && uses.checkouts).then_some(CHECKOUT_RULES),
        has_accounts.then_some(ACCOUNT_RULES),
        (has_accounts && uses.tokens).then_some(TOKEN_RULES),
        (has_accounts && served.has_confirmations && uses.confirmations).then_some(CONFIRMATION_RULES),
        (has_registry && served.has_flags && uses.features).then_some(FEATURE_RULES),
        (has_registry && served.has_audit).then_some(AUDIT_RULES),
        has_registry.then_some(EXPLAIN_RULES),
    ];
    sets.into_iter().flatten().flatten().collect()
}

/// What the paths of our own endpoints begin with where nothing else is configured, and below.
pub(super) const DEFAULT_PREFIX: &str = "/api";

/// A rule of our own: path, methods (none is any), access, endpoint.
type Own = (&'static str, &'static [&'static str], Access, Endpoint);

/// Those that are always there.
pub(super) const OWN_RULES: &[Own] = &[
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

/// Those by which people consent to what machines do.
pub(super) const CONFIRMATION_RULES: &[Own] = &[
    ("/api/confirmations", &["GET"], Access::Human, Endpoint::ListConfirmations),
    ("/api/confirmations", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/confirmations/{id}", &["GET"], Access::Human, Endpoint::ReadConfirmation),
    ("/api/confirmations/{id}", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/confirmations/{id}/approve", &["POST"], Access::Human, Endpoint::Approve),
    ("/api/confirmations/{id}/approve", &[], Access::Public, Endpoint::WrongMethod("POST")),
    ("/api/confirmations/{id}/reject", &["POST"], Access::Human, Endpoint::Reject),
    ("/api/confirmations/{id}/reject", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Those of feature gates, for operators.
pub(super) const FEATURE_RULES: &[Own] = &[
    ("/api/features/{name}", &["GET"], Access::Admin, Endpoint::ReadFeature),
    ("/api/features/{name}", &["PUT"], Access::Admin, Endpoint::WriteFeature),
    ("/api/features/{name}", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, PUT")),
];

/// Those of the audit trail, likewise.
pub(super) const AUDIT_RULES: &[Own] = &[
    ("/api/audit", &["GET"], Access::Admin, Endpoint::ListAudit),
    ("/api/audit", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/audit/verify", &["GET"], Access::Admin, Endpoint::VerifyAudit),
    ("/api/audit/verify", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
];

/// What tells an operator why.
pub(super) const EXPLAIN_RULES: &[Own] = &[
    ("/api/explain", &["POST"], Access::Admin, Endpoint::Explain),
    ("/api/explain", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Those of the registry. Without it, their paths are upstream's.
pub(super) const SESSION_RULES: &[Own] = &[
    ("/api/sessions", &["GET"], Access::Human, Endpoint::ListSessions),
    ("/api/sessions", &["DELETE"], Access::Human, Endpoint::RevokeSessions),
    ("/api/sessions", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, DELETE")),
    ("/api/sessions/{id}", &["DELETE"], Access::Human, Endpoint::RevokeSession),
    ("/api/sessions/{id}", &[], Access::Public, Endpoint::WrongMethod("DELETE")),
];

/// Those of the ledger, for operators. Without roles, their paths are upstream's.
pub(super) const LEDGER_RULES: &[Own] = &[
    ("/api/idempotency", &["GET"], Access::Admin, Endpoint::ListUnresolved),
    ("/api/idempotency", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/idempotency/{id}/resolve", &["POST"], Access::Admin, Endpoint::Resolve),
    ("/api/idempotency/{id}/resolve", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Those of checkouts. Who may see one is decided there.
pub(super) const CHECKOUT_RULES: &[Own] = &[
    ("/api/checkouts/{ref}", &["GET"], Access::Optional, Endpoint::ReadCheckout),
    ("/api/checkouts/{ref}", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/checkouts/{ref}/cancel", &["POST"], Access::Optional, Endpoint::CancelCheckout),
    ("/api/checkouts/{ref}/cancel", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Those of the inboxes, for operators.
pub(super) const INBOX_RULES: &[Own] = &[
    ("/api/webhooks", &["GET"], Access::Admin, Endpoint::ListEvents),
    ("/api/webhooks", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/webhooks/{id}/redeliver", &["POST"], Access::Admin, Endpoint::Redeliver),
    ("/api/webhooks/{id}/redeliver", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Those of accounts. Without them, their paths are upstream's.
pub(super) const ACCOUNT_RULES: &[Own] = &[
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

/// Those of tokens. Without kinds of tokens, likewise.
pub(super) const TOKEN_RULES: &[Own] = &[
    ("/api/agent-tokens", &["GET"], Access::UserInPerson, Endpoint::ListTokens),
    ("/api/agent-tokens", &["POST"], Access::UserInPerson, Endpoint::CreateToken),
    ("/api/agent-tokens", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, POST")),
    ("/api/agent-tokens/{id}", &["DELETE"], Access::UserInPerson, Endpoint::DeleteToken),
    ("/api/agent-tokens/{id}", &[], Access::Public, Endpoint::WrongMethod("DELETE")),
    ("/api/agent-tokens/{id}/take-over", &["POST"], Access::AdminInPerson, Endpoint::TakeOverToken),
    ("/api/agent-tokens/{id}/take-over", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

impl Endpoint {
    /// Tells whether it makes something, so that a request sent again would make another.
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
