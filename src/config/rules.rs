//! From `ROUTES` to the route table, our own endpoints and the login page included.

use std::time::Duration;

use serde_json::Value;

use super::{
    Check, Confirmation, Limit, Login, Maintained, checkouts, idempotency,
    parse::Variables,
    reader::{Mistakes, Table, expected},
    schema::RULE,
};
use crate::{
    owner::OwnerFrom,
    rule::{self, Access, Csrf, Destination, Endpoint, Redirects, Rule, RuleError},
};

pub(super) fn parse(
    variables: &Variables,
    login: Option<&str>,
    served: Served,
    (webhooks, limits, confirmations, maintenance): (Vec<Rule>, &[Limit], &[Confirmation], &[Maintained]),
    mistakes: &Mistakes,
) -> Option<rule::Table> {
    let mut table = rule::Table::new(rule("(no rule)", Access::Authenticated, Destination::Upstream));
    for (path, methods, access, endpoint) in own_rules(served) {
        let access = *access;
        let mut own = rule(path, access, Destination::Endpoint(*endpoint));
        own.methods = methods.iter().map(|method| (*method).to_owned()).collect();
        own.operation = endpoint.operation().map(str::to_owned);
        own.idempotency = endpoint.creates().then_some(idempotency::OWN).filter(|_| served.has_ledger);
        // The list is ours and free of ties, as the tests of this file show.
        table.add(own).ok()?;
    }
    let providers: Vec<String> = confirmations.iter().map(|one| one.webhook.clone()).collect();
    let mut names: Vec<&String> = variables.keys().filter(|name| is_routes(name)).collect();
    names.sort();
    for name in names {
        let Some(value) = variables.get(name) else { continue };
        let Some(entries) = value.as_array() else {
            mistakes.note(name.as_str(), expected("list of rules", value));
            continue;
        };
        for (index, entry) in entries.iter().enumerate() {
            add_rule(
                &mut table,
                (&format!("{name}[{index}]"), entry),
                (login, served, limits, &providers),
                mistakes,
            );
        }
    }
    for (index, webhook) in webhooks.into_iter().enumerate() {
        let at = format!("WEBHOOKS[{index}].path");
        if endpoints(served).contains(&webhook.path.as_str()) {
            mistakes.note(at, "expected a path that is not an endpoint of Vestibule's own");
            continue;
        }
        match table.add(webhook) {
            Ok(()) => {}
            Err(RuleError::Pattern(wanted)) => mistakes.note(at, format!("expected {wanted}")),
            Err(RuleError::Tie(other, _)) => {
                mistakes.note(at, format!("ties with the rule for {other:?} under POST"));
            }
        }
    }
    for (index, maintained) in maintenance.iter().enumerate() {
        let inward = rule(&maintained.path, Access::Public, Destination::Endpoint(Endpoint::Inward));
        if table.add(inward).is_err() {
            mistakes.note(
                format!("MAINTENANCE[{index}].path"),
                "expected a path of its own: clients are kept away from it",
            );
        }
    }
    let login = login?;
    if table.exact("GET", login).is_none() {
        let mut page = rule(login, Access::Public, Destination::Upstream);
        page.methods = vec!["GET".to_owned()];
        table.add(page).ok()?;
    }
    table.seal();
    Some(table)
}

fn add_rule(
    table: &mut rule::Table,
    (at, entry): (&str, &Value),
    (login, served, limits, providers): (Option<&str>, Served, &[Limit], &[String]),
    mistakes: &Mistakes,
) {
    let Served { check, login_by, has_ledger, .. } = served;
    let members = Table::open(at, Some(entry), RULE, mistakes);
    if !entry.is_object() {
        return;
    }
    for name in ["path", "access"] {
        if !members.has(name) {
            members.demand(name);
        }
    }
    let path = members.parse("path", |text| Ok(text.to_owned()));
    let access = members.choice("access", ACCESS);
    let methods = members.list("methods", method);
    if members.value("methods").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        members.note(
            "methods",
            "expected at least one method, or no such member for any: this rule can never match",
        );
    }
    let strict = members.choice("csrf", &[("strict", Csrf::Strict)]);
    let csrf = match (members.flag("insecure_skip_csrf"), strict) {
        (true, Some(_)) => {
            members.note("insecure_skip_csrf", "expected nothing beside csrf = \"strict\"");
            return;
        }
        (true, None) => Csrf::InsecureSkip,
        (false, strict) => strict.unwrap_or(Csrf::Standard),
    };
    let timeout = members.span("timeout");
    if timeout.is_some_and(|timeout| timeout.is_zero() || timeout > MOST_TIMEOUT) {
        members.note("timeout", "expected from 1s to 10m");
    }
    let operation = members.parse_shape("operation", operation);
    let idempotency = idempotency::parse(&members, &methods, has_ledger);
    let limit = members.parse("limit", |text| {
        let found = limits.iter().position(|limit| limit.rate.name == text);
        found.ok_or_else(|| format!("expected the name of one of RATE_LIMITS, found {text:?}"))
    });
    let checkout =
        checkouts::of_rule(&members, at, (idempotency.as_ref(), served.has_checkouts, providers), mistakes);
    let redirects = members.choice("redirects", &[("strict", Redirects::Strict)]);
    let (Some(path), Some(access), Some(timeout)) = (path, access, timeout) else { return };
    let serves_pages = methods.is_empty() || methods.iter().any(|method| method == "GET" || method == "HEAD");
    if login == Some(path.as_str()) && serves_pages && !matches!(access, Access::Public | Access::Optional) {
        members.note("access", "expected public: the login page would redirect to itself");
    }
    if access == Access::Agent && login_by.is_some_and(|login| login != Login::Accounts) {
        members.note(
            "access",
            "expected SESSION.login = \"accounts\" beside \"agent\": without it there are no tokens",
        );
    }
    if access == Access::Admin && check == Some(Check::Token) {
        members.note("access", "expected SESSION.check = \"registry\" beside \"admin\": a token alone tells no role, so nobody would ever come in");
    }
    let from = members.parse("owner_from", |text| OwnerFrom::parse(text, &path));
    if (access == Access::Owner) != members.has("owner_from") {
        members.note(
            "owner_from",
            "expected beside access = \"owner\", and only there: upstream is asked there whose it is",
        );
    }
    if endpoints(served).contains(&path.as_str()) {
        members.note("path", "expected a path that is not an endpoint of Vestibule's own");
        return;
    }
    let added = table.add(Rule {
        path,
        methods,
        operation,
        access,
        owner_from: from,
        csrf,
        timeout,
        redirects: redirects.unwrap_or(Redirects::Standard),
        limit,
        idempotency,
        checkout,
        webhook: None,
        destination: Destination::Upstream,
    });
    match added {
        Ok(()) => {}
        Err(RuleError::Pattern(wanted)) => {
            members.note("path", format!("expected {wanted}: this rule can never match"));
        }
        Err(RuleError::Tie(other, method)) => {
            let under = method.map(|method| format!(" under {method}")).unwrap_or_default();
            members.note("path", format!("ties with the rule for {other:?}{under}"));
        }
    }
}

pub(super) fn rule(path: &str, access: Access, destination: Destination) -> Rule {
    Rule {
        path: path.to_owned(),
        methods: Vec::new(),
        operation: None,
        access,
        owner_from: None,
        csrf: Csrf::Standard,
        timeout: DEFAULT_TIMEOUT,
        redirects: Redirects::Standard,
        limit: None,
        idempotency: None,
        checkout: None,
        webhook: None,
        destination,
    }
}

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
            Self::SetUp => Some("vestibule.setup"),
            Self::LogIn => Some("vestibule.login"),
            Self::ListUsers => Some("vestibule.users.list"),
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
            Self::ListSessions => Some("vestibule.sessions.list"),
            Self::RevokeSessions => Some("vestibule.sessions.revoke_others"),
            Self::RevokeSession => Some("vestibule.sessions.revoke"),
            Self::ReadCheckout => Some("vestibule.checkouts.read"),
            Self::CancelCheckout => Some("vestibule.checkouts.cancel"),
            Self::ListEvents => Some("vestibule.webhooks.list"),
            Self::Redeliver => Some("vestibule.webhooks.redeliver"),
            Self::ListUnresolved => Some("vestibule.idempotency.list"),
            Self::Resolve => Some("vestibule.idempotency.resolve"),
            Self::Inward | Self::WrongMethod(_) => None,
        }
    }
}

fn is_routes(name: &str) -> bool {
    name == "ROUTES" || name.starts_with("ROUTES_")
}

fn method(text: &str) -> Result<String, String> {
    if METHODS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "expected a method that the platform lets through, in upper case, found {text:?}: this rule can never match"
    ))
}

fn operation(text: &str) -> Option<String> {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    (text.len() <= 64 && text.split('.').all(is_part)).then(|| text.to_owned())
}

const ACCESS: &[(&str, Access)] = &[
    ("public", Access::Public),
    ("optional", Access::Optional),
    ("authenticated", Access::Authenticated),
    ("user", Access::User),
    ("human", Access::Human),
    ("agent", Access::Agent),
    ("admin", Access::Admin),
    ("owner", Access::Owner),
];

/// What workerd lets in (it answers 501 to other verbs) and the Fetch standard lets out.
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "PURGE",
    "COPY",
    "LOCK",
    "MKCOL",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "SEARCH",
    "UNLOCK",
    "ACL",
    "REPORT",
    "MKACTIVITY",
    "CHECKOUT",
    "MERGE",
    "MSEARCH",
    "NOTIFY",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "QUERY",
];

/// What decides which endpoints of our own there are.
#[derive(Clone, Copy)]
pub(super) struct Served {
    pub(super) check: Option<Check>,
    pub(super) login_by: Option<Login>,
    pub(super) has_ledger: bool,
    pub(super) has_inbox: bool,
    pub(super) has_checkouts: bool,
}

/// Lists the paths of our own endpoints under this configuration.
pub(super) fn endpoints(served: Served) -> Vec<&'static str> {
    let mut paths: Vec<&str> = own_rules(served).map(|(path, ..)| *path).collect();
    paths.dedup();
    paths
}

fn own_rules(served: Served) -> impl Iterator<Item = &'static Own> {
    let has_registry = served.check != Some(Check::Token);
    let sets = [
        Some(OWN_RULES),
        has_registry.then_some(SESSION_RULES),
        (has_registry && served.has_ledger).then_some(LEDGER_RULES),
        (has_registry && served.has_inbox).then_some(INBOX_RULES),
        served.has_checkouts.then_some(CHECKOUT_RULES),
        (served.login_by == Some(Login::Accounts)).then_some(ACCOUNT_RULES),
    ];
    sets.into_iter().flatten().flatten()
}

/// A rule of our own: path, methods (none is any), access, endpoint.
type Own = (&'static str, &'static [&'static str], Access, Endpoint);

/// Our own endpoints are rules like any other: the same matcher, the same door.
pub(super) const OWN_RULES: &[Own] = &[
    ("/api/auth/me", &["GET"], Access::Authenticated, Endpoint::Me),
    ("/api/auth/me", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/auth/logout", &["POST"], Access::Public, Endpoint::Logout),
    ("/api/auth/logout", &[], Access::Public, Endpoint::WrongMethod("POST")),
    ("/.well-known/vestibule", &["GET"], Access::Public, Endpoint::WellKnown),
    ("/.well-known/vestibule", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
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

/// Those of the inboxes, likewise.
pub(super) const INBOX_RULES: &[Own] = &[
    ("/api/webhooks", &["GET"], Access::Admin, Endpoint::ListEvents),
    ("/api/webhooks", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/webhooks/{id}/redeliver", &["POST"], Access::Admin, Endpoint::Redeliver),
    ("/api/webhooks/{id}/redeliver", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

/// Those of accounts. Without them, their paths are upstream's.
pub(super) const ACCOUNT_RULES: &[Own] = &[
    ("/api/auth/setup", &["POST"], Access::Public, Endpoint::SetUp),
    ("/api/auth/setup", &[], Access::Public, Endpoint::WrongMethod("POST")),
    ("/api/auth/login", &["POST"], Access::Public, Endpoint::LogIn),
    ("/api/auth/login", &[], Access::Public, Endpoint::WrongMethod("POST")),
    ("/api/users", &["GET"], Access::AdminInPerson, Endpoint::ListUsers),
    ("/api/users", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD")),
    ("/api/users/{id}", &["GET"], Access::AdminInPerson, Endpoint::ReadUser),
    ("/api/users/{id}", &["PATCH"], Access::AdminInPerson, Endpoint::ChangeUser),
    ("/api/users/{id}", &["DELETE"], Access::AdminInPerson, Endpoint::DeleteUser),
    ("/api/users/{id}", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, PATCH, DELETE")),
    ("/api/agent-tokens", &["GET"], Access::Human, Endpoint::ListTokens),
    ("/api/agent-tokens", &["POST"], Access::Human, Endpoint::CreateToken),
    ("/api/agent-tokens", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, POST")),
    ("/api/agent-tokens/{id}", &["DELETE"], Access::Human, Endpoint::DeleteToken),
    ("/api/agent-tokens/{id}", &[], Access::Public, Endpoint::WrongMethod("DELETE")),
    ("/api/invites", &["GET"], Access::AdminInPerson, Endpoint::ListInvites),
    ("/api/invites", &["POST"], Access::AdminInPerson, Endpoint::CreateInvite),
    ("/api/invites", &[], Access::Public, Endpoint::WrongMethod("GET, HEAD, POST")),
    ("/api/invites/{id}", &["PATCH"], Access::AdminInPerson, Endpoint::ChangeInvite),
    ("/api/invites/{id}", &["DELETE"], Access::AdminInPerson, Endpoint::DeleteInvite),
    ("/api/invites/{id}", &[], Access::Public, Endpoint::WrongMethod("PATCH, DELETE")),
    ("/api/invites/{token}/redeem", &["POST"], Access::Public, Endpoint::RedeemInvite),
    ("/api/invites/{token}/redeem", &[], Access::Public, Endpoint::WrongMethod("POST")),
];

const MOST_TIMEOUT: Duration = Duration::from_mins(10);

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
