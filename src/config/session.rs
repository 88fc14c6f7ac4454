//! Parses `SESSION`.

use std::time::Duration;

use super::{parse::ParseContext, reader::Table, rules::RECENT};
use crate::{
    accounts::{
        Accounts,
        settings::{RequiredFactor, UserHeader},
    },
    crypto::jwt::claims::{Expected, STARTED_AT},
    guards::limiter::Limiter,
    http::{
        cookie::CookieName,
        origin::{Origin, host_of},
    },
    platform::store::Object,
    sessions::{
        cookies,
        lifetime::Lifetime,
        registry::Sessions,
        settings::{Check, Login},
    },
    tokens::Tokens,
};

pub(super) fn parse(table: &Table<'_>, context: &ParseContext<'_>) -> Option<cookies::Policy> {
    let cookie = table.parse_shape("cookie", CookieName::parse);
    let previous = table.parse_shape("cookie_previous", CookieName::parse);
    if previous.is_some() && previous == cookie {
        table.report("cookie_previous", "expected a name other than SESSION.cookie");
    }
    if previous.is_some() && !table.has("login") {
        table.report(
            "cookie_previous",
            "requires login: without it, upstream sets the cookie under its own name",
        );
    }
    let domain = table.parse("domain", |text| cookie_domain(text, context.public_origins));
    if table.has("domain") && cookie.as_ref().is_some_and(CookieName::is_host_prefixed) {
        table.report("domain", "not allowed with a __Host- cookie");
    }
    let lifetime = lifetime(table);
    let leeway = table.duration("leeway");
    if leeway.is_some_and(|leeway| leeway > MAX_LEEWAY) {
        table.report("leeway", "expected 60s or less");
    }
    let user_claim = table.parse("user_claim", claim_name);
    let session_claim = table.parse("session_claim", claim_name);
    if user_claim.is_some() && user_claim == session_claim {
        table.report("session_claim", "expected a claim other than SESSION.user_claim");
    }
    let forward = table.flag("forward");
    let (issuer, audience) = (table.parse("issuer", non_empty), table.parse("audience", non_empty));
    let expected = Expected {
        user_claim: user_claim?,
        session_claim: session_claim?,
        issuer,
        audience,
        leeway: leeway?,
    };
    Some(cookies::Policy { cookie: cookie?, previous, domain, lifetime: lifetime?, expected, forward })
}

/// Parses `lifetime`, `refresh_after`, `max_lifetime` and `idle`.
fn lifetime(table: &Table<'_>) -> Option<Lifetime> {
    let lifetime = table.duration("lifetime");
    if lifetime == Some(Duration::ZERO) {
        table.report("lifetime", "expected more than 0s");
    }
    let refresh_after = table.duration("refresh_after");
    if let (Some(lifetime), Some(refresh_after)) = (lifetime, refresh_after)
        && refresh_after >= lifetime
    {
        table.report(
            "refresh_after",
            "expected less than SESSION.lifetime: otherwise sessions expire before they are refreshed",
        );
    }
    let (max_lifetime, idle) = (table.duration("max_lifetime"), table.duration("idle"));
    if max_lifetime.is_some_and(|max| max < MIN_LIMIT) {
        table.report("max_lifetime", "expected 5m or more");
    }
    if idle.is_some_and(|idle| idle < MIN_LIMIT) {
        table.report("idle", "expected 5m or more: the time of the last use is accurate to two minutes");
    }
    if let (Some(max), Some(idle)) = (max_lifetime, idle)
        && idle >= max
    {
        table.report("idle", "expected less than SESSION.max_lifetime: otherwise it has no effect");
    }
    Some(Lifetime { lifetime: lifetime?, refresh_after: refresh_after?, max_lifetime, idle })
}

/// Parses `check` and `check_ttl`.
pub(super) fn check(table: &Table<'_>, context: &ParseContext<'_>) -> Option<Check> {
    let ttl = table.duration("check_ttl");
    if ttl.is_some_and(|ttl| ttl > MAX_CHECK_TTL) {
        table.report("check_ttl", "expected 60s or less: an ended session may stay valid for this time");
    }
    let registry = table.choice("check", &[("registry", true), ("token", false)])?;
    if !registry {
        if table.has("check_ttl") {
            table.report("check_ttl", "not allowed with check = \"token\", which does not ask the registry");
        }
        return Some(Check::Token);
    }
    if !context.bindings.has(Sessions::CLASS.binding) {
        table.report("check", "expected a binding SESSIONS to the class Sessions for \"registry\", found none (see docs/sessions.md): add it, or set \"token\"");
    }
    Some(Check::Registry { ttl: ttl? })
}

/// Parses `recent_admin`: the maximum time since the user authenticated, for the gateway's own sensitive endpoints.
pub(super) fn recent_admin(table: &Table<'_>, check: Option<Check>) -> Option<Duration> {
    let recent = table.duration_within("recent_admin", RECENT, "expected a duration from 1m to 30d")?;
    if check == Some(Check::Token) {
        table.report(
            "recent_admin",
            "requires check = \"registry\": the registry stores when users authenticated",
        );
    }
    Some(recent)
}

/// Parses `login`: the sign-in method.
pub(super) fn login(table: &Table<'_>, check: Option<Check>, context: &ParseContext<'_>) -> Option<Login> {
    if !table.has("login") {
        if matches!(check, Some(Check::Registry { .. })) && !table.is_misspelt("login") {
            table.report(
                "login",
                "expected \"accounts\" or \"upstream\" (or check = \"token\"), found nothing: otherwise users cannot sign in",
            );
        }
        return Some(Login::Elsewhere);
    }
    let login = table.choice("login", &[("accounts", Login::Accounts), ("upstream", Login::Upstream)])?;
    if login == Login::Accounts {
        if check == Some(Check::Token) {
            table.report(
                "login",
                "\"accounts\" requires check = \"registry\": a disabled account must lose its sessions",
            );
        }
        for class in [Accounts::CLASS, Limiter::CLASS, Tokens::CLASS] {
            if !context.bindings.has(class.binding) {
                table.report("login", format!("expected a binding {} to the class {} for \"accounts\", found none (see docs/accounts.md)", class.binding, class.name));
            }
        }
    }
    Some(login)
}

/// Parses `require_second_factor`.
pub(super) fn required_factor(table: &Table<'_>, login: Option<Login>) -> Option<RequiredFactor> {
    let required = table.choice(
        "require_second_factor",
        &[
            ("nobody", RequiredFactor::Nobody),
            ("admins", RequiredFactor::Admins),
            ("everybody", RequiredFactor::Everybody),
        ],
    )?;
    if table.has("require_second_factor") && login.is_some_and(|login| login != Login::Accounts) {
        table.report(
            "require_second_factor",
            "requires SESSION.login = \"accounts\": second factors belong to accounts",
        );
    }
    Some(required)
}

/// Minimum of `max_lifetime` and `idle`.
const MIN_LIMIT: Duration = Duration::from_mins(5);

const MAX_CHECK_TTL: Duration = Duration::from_mins(1);

fn cookie_domain(text: &str, public: &[Origin]) -> Result<String, String> {
    let is_name = text.contains('.')
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-');
    if !is_name {
        return Err(format!("expected a domain name like \"example.com\", found {text:?}"));
    }
    let covers = |origin: &Origin| {
        let host = host_of(origin.authority());
        host == text || host.strip_suffix(text).is_some_and(|labels| labels.ends_with('.'))
    };
    match public.iter().find(|origin| !covers(origin)) {
        Some(other) => Err(format!("expected a domain that includes {:?}, found {text:?}", other.as_str())),
        None => Ok(text.to_owned()),
    }
}

fn claim_name(text: &str) -> Result<String, String> {
    if OTHER_CLAIMS.contains(&text) {
        return Err(format!("expected a claim that contains an id, found {text:?}"));
    }
    non_empty(text)
}

fn non_empty(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("expected a string, found an empty string".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// Claims with a meaning of their own, which contain no id.
pub(super) const OTHER_CLAIMS: &[&str] = &["exp", "iat", "nbf", "iss", "aud", STARTED_AT];

const MAX_LEEWAY: Duration = Duration::from_mins(1);

/// Parses `USER_HEADERS`.
pub(super) fn user_headers(top: &Table<'_>, login: Option<Login>) -> Vec<UserHeader> {
    if top.has("USER_HEADERS") && login.is_some_and(|login| login != Login::Accounts) {
        top.report("USER_HEADERS", "requires SESSION.login = \"accounts\": names belong to accounts");
    }
    top.list("USER_HEADERS", |text| match text {
        "name" => Ok(UserHeader::Name),
        "email" => Ok(UserHeader::Email),
        _ => Err(format!("expected \"name\" or \"email\", found {text:?}")),
    })
}
