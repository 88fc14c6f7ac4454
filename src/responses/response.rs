//! The format of responses: refusals for scripts and for people, and the changes to upstream's responses.

mod caching;
mod echo;

use std::borrow::Cow;

use self::{caching::Restriction, echo::is_echo};
use crate::{
    base::time::Timestamp,
    config::Config,
    guards::limits::RateLimitState,
    http::{
        cookie, header_filter,
        problem::{ApprovalMembers, BotCheck, Fault, ForbiddenBy, Problem, RateLimit, Rejection, SecondStep},
        reply::{HeaderEdits, PendingSignIn, Reply},
        request::{Headers, Request},
    },
    redirects::return_path,
    routing::rule::{Redirects, Rule},
    sessions::cookies::CookieChanges,
};

/// The members of a problem document that do not depend on the problem.
#[derive(Clone, Copy, Debug)]
pub struct ProblemContext<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// The base URI of `type`.
    pub base: &'a str,
    /// The URL of the login page with the return path, if signing in would help.
    pub login_url: Option<&'a str>,
}

/// Returns the reply for a rejection.
#[must_use]
pub fn refused(rejection: Rejection, context: ProblemContext<'_>) -> Reply {
    let mut reply = problem(rejection.problem(context.request_id), context);
    let login_url = context.login_url.map(|url| (LOGIN_URL, url.to_owned()));
    reply.headers.extend(login_url);
    match rejection {
        // RFC 9110 §11.6.1: every 401 has a challenge.
        Rejection::Unauthorized(_)
        | Rejection::InvalidCredentials
        | Rejection::SecondFactorRequired
        | Rejection::EmailMismatch
        | Rejection::InvalidSignature(_) => {
            reply.headers.push(("www-authenticate", "Bearer".to_owned()));
        }
        // RFC 9470 §3.
        Rejection::ReauthenticationRequired { max_age } => {
            let challenge =
                format!("Bearer error=\"insufficient_user_authentication\", max_age=\"{max_age}\"");
            reply.headers.push(("www-authenticate", challenge));
        }
        Rejection::WebhookInFlight => reply.headers.push(("retry-after", "1".to_owned())),
        Rejection::IdempotencyInFlight(seconds) => {
            reply.headers.push(("retry-after", seconds.to_string()));
            reply.headers.push(about_idempotency());
        }
        Rejection::IdempotencyKeyMissing
        | Rejection::IdempotencyKeyInvalid
        | Rejection::IdempotencyKeyReused => reply.headers.push(about_idempotency()),
        Rejection::Overloaded => reply.headers.push(("retry-after", "5".to_owned())),
        Rejection::MethodNotAllowed(allowed) => reply.headers.push(("allow", allowed.to_owned())),
        Rejection::RateLimited { limit, reset } => {
            // draft-ietf-httpapi-ratelimit-headers-10
            reply.headers.push(("retry-after", reset.to_string()));
            let counted = RateLimitState { limit, remaining: 0, reset };
            reply.headers.extend(rate_limits(Some(counted)));
        }
        // A temporary failure.
        Rejection::BotCheckFailed(BotCheck::Unavailable)
        | Rejection::ForbiddenPolicy(ForbiddenBy::Unavailable) => {
            reply.headers.push(("retry-after", "1".to_owned()));
        }
        Rejection::AmbiguousPath
        | Rejection::InvalidToken
        | Rejection::InviteUnusable
        | Rejection::SecondFactorEnrollmentRequired
        | Rejection::TicketUnusable
        | Rejection::CeremonyUnusable
        | Rejection::AlreadySetUp
        | Rejection::EmailTaken
        | Rejection::ForbiddenOrigin { .. }
        | Rejection::ForbiddenKind
        | Rejection::ForbiddenRole
        | Rejection::ForbiddenOwner
        | Rejection::ForbiddenHumanOnly
        | Rejection::ForbiddenScope(_)
        | Rejection::LogoutTokenInvalid(_)
        | Rejection::IdempotencyOutcomeUnknown(_)
        | Rejection::CheckoutConflict
        | Rejection::BotCheckFailed(_)
        | Rejection::FeatureDisabled
        | Rejection::ForbiddenPolicy(_)
        | Rejection::ConfirmationRequired
        | Rejection::ConfirmationInvalid(_)
        | Rejection::NotFound
        | Rejection::InvalidBody(..)
        | Rejection::BodyTooLarge
        | Rejection::MethodNotSupported
        | Rejection::ResetUnusable
        | Rejection::PasswordTooCommon(_)
        | Rejection::UnsupportedMediaType => {}
    }
    reply
}

/// Returns the reply to a request that a person must approve first, with the URL for the approval.
#[must_use]
pub fn unconfirmed(id: &str, approve_url: &str, expires_at: Timestamp, context: ProblemContext<'_>) -> Reply {
    let mut document = Rejection::ConfirmationRequired.problem(context.request_id);
    document.approval = Some(ApprovalMembers {
        confirmation_id: id,
        approve_url: approve_url.to_owned(),
        expires_at: expires_at.to_string(),
    });
    let mut reply = problem(document, context);
    // A person needs some time to decide.
    reply.headers.push(("retry-after", "5".to_owned()));
    reply
}

/// Returns the reply to a right password that needs a second factor.
#[must_use]
pub fn second_factor_needed(pending: &PendingSignIn, context: ProblemContext<'_>) -> Reply {
    let rejection = pending_rejection(pending);
    let mut document = rejection.problem(context.request_id);
    document.second_step = Some(SecondStep {
        ticket: &pending.ticket,
        methods: pending.methods.as_deref(),
        expires_at: pending.expires_at.to_string(),
    });
    let mut reply = problem(document, context);
    if rejection == Rejection::SecondFactorRequired {
        reply.headers.push(("www-authenticate", "Bearer".to_owned()));
    }
    reply
}

/// Returns the rejection of a sign-in that needs a second factor.
#[must_use]
pub fn pending_rejection(pending: &PendingSignIn) -> Rejection {
    if pending.methods.is_some() {
        Rejection::SecondFactorRequired
    } else {
        Rejection::SecondFactorEnrollmentRequired
    }
}

/// Returns the reply for a fault.
#[must_use]
pub fn failed(fault: Fault, context: ProblemContext<'_>) -> Reply {
    let mut reply = problem(fault.problem(context.request_id), context);
    let retry_after = match fault {
        Fault::Misconfigured => Some("30"),
        Fault::StoreUnavailable => Some("1"),
        Fault::UpstreamFailed
        | Fault::UpstreamTimeout
        | Fault::InviteRedeemFailed
        | Fault::PagesMissing
        | Fault::Internal => None,
    };
    reply.headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_owned())));
    reply
}

/// Returns a redirect.
#[must_use]
pub fn redirect(status: u16, location: String) -> Reply {
    Reply { status, headers: vec![("location", location)], body: None }
}

/// Completes a reply of the gateway: adds `Vary`, forbids caching unless the reply allows it, adds cookies, and removes
/// the body for `HEAD`. A reply that is no page runs and loads nothing, should a browser show it.
pub fn finalize(reply: &mut Reply, request: &Request<'_>, cookies: Vec<String>) {
    let allows_caching = reply.headers.iter().any(|(name, _)| *name == "cache-control");
    if allows_caching && !cookies.is_empty() {
        reply.headers.retain(|(name, _)| *name != "cache-control");
    }
    if !allows_caching || !cookies.is_empty() {
        let cache = if cookies.is_empty() { "no-store" } else { PRIVATE };
        reply.headers.push(("cache-control", cache.to_owned()));
    }
    reply.headers.push(("vary", VARY.to_owned()));
    reply.headers.push(("x-content-type-options", "nosniff".to_owned()));
    let is_page = |(name, value): &(&str, String)| {
        *name == "content-type" && value.trim_start().starts_with("text/html")
    };
    if !reply.headers.iter().any(is_page) {
        reply.headers.push(("content-security-policy", NO_PAGE.to_owned()));
    }
    reply.headers.extend(cookies.into_iter().map(|line| ("set-cookie", line)));
    if request.method == "HEAD" {
        reply.body = None;
    }
}

/// Returns the changes to upstream's response. Most responses need none.
///
/// 1. Headers that only the gateway may set are removed.
/// 2. A `Location` is restricted as the rule requires, or rewritten if it names upstream itself.
/// 3. Only the browser may cache a response that sets a cookie, that is under a guarded rule, or that is for a
///    principal whom upstream knows from the identity headers (`is_known`): see `response/caching.rs`.
#[must_use]
pub fn edit_upstream_response(
    config: &Config,
    rule: &Rule,
    request: &Request<'_>,
    is_known: bool,
    status: u16,
    upstream: &Headers<'_>,
    cookies: CookieChanges,
) -> HeaderEdits<'static> {
    let mut edits = HeaderEdits::default();
    let is_personal = rule.access.requires_principal() || is_known;
    let without_cookies = if is_personal { Restriction::Personal } else { Restriction::None };
    let mut restriction = if cookies.lines.is_empty() { without_cookies } else { Restriction::SessionCookie };
    for (name, value) in upstream.iter() {
        if header_filter::is_gateway_header(name) {
            edits.remove.push(Cow::Owned(name.to_owned()));
        }
        match name {
            // `Refresh` redirects a browser as well.
            "refresh" if rule.redirects == Redirects::Strict => edits.remove.push(Cow::Borrowed("refresh")),
            "set-cookie" => restriction = restriction.max(Restriction::ApplicationCookie),
            "location" => {
                let rewritten = location(config, rule, request, value).filter(|new| new != value);
                edits.set.extend(rewritten.map(|new| ("location", Cow::Owned(new))));
            }
            _ => {}
        }
    }
    if restriction < Restriction::SessionCookie && sets_session(config, upstream) {
        restriction = Restriction::SessionCookie;
    }
    caching::restrict(&mut edits, upstream, status, restriction);
    if cookies.is_new_session && sets_session(config, upstream) {
        // The gateway has opened a session: drop upstream's own cookie with the same name.
        let is_session = |line: &str| config.sessions.policy.is_session(cookie::name_set_by(line));
        let other_cookies =
            upstream.iter().filter(|(name, value)| *name == "set-cookie" && !is_session(value));
        edits.append.extend(other_cookies.map(|(_, line)| ("set-cookie", line.to_owned())));
        edits.remove.push(Cow::Borrowed("set-cookie"));
    }
    edits.append.extend(cookies.lines.into_iter().map(|line| ("set-cookie", line)));
    edits
}

/// Returns the rate limit headers of a request (draft-ietf-httpapi-ratelimit-headers-10).
#[must_use]
pub fn rate_limits(counted: Option<RateLimitState>) -> Vec<(&'static str, String)> {
    let Some(RateLimitState { limit: RateLimit { name, limit, period }, remaining, reset }) = counted else {
        return Vec::new();
    };
    vec![
        ("ratelimit-policy", format!("\"{name}\";q={limit};w={period}")),
        ("ratelimit", format!("\"{name}\";r={remaining};t={reset}")),
    ]
}

/// Marks a replayed response. If the response allows other origins (CORS), their scripts can read the mark.
pub fn mark_replayed(edits: &mut HeaderEdits<'static>, stored: &Headers<'_>, is_own_endpoint: bool) {
    edits.set.push(("idempotent-replayed", Cow::Borrowed("true")));
    if stored.value("access-control-allow-origin").is_some() {
        edits.append.push(("access-control-expose-headers", "Idempotent-Replayed".to_owned()));
    }
    if is_own_endpoint && !edits.set.iter().any(|(name, _)| *name == "cache-control") {
        edits.set.push(("cache-control", Cow::Borrowed("no-store")));
    }
}

/// Checks whether upstream's response sets or clears the session cookie itself.
#[must_use]
pub fn sets_session(config: &Config, upstream: &Headers<'_>) -> bool {
    let policy = &config.sessions.policy;
    upstream.iter().any(|(name, value)| match name {
        "set-cookie" => policy.is_session(cookie::name_set_by(value)),
        "clear-site-data" => value.contains("\"cookies\"") || value.contains("\"*\""),
        _ => false,
    })
}

/// In development, returns a `Server-Timing` header, in milliseconds, for the browser's network panel.
#[must_use]
pub fn timing(config: &Config, elapsed: u64, upstream_ms: Option<u64>) -> Option<(&'static str, String)> {
    if !config.site.development {
        return None;
    }
    let upstream_part = upstream_ms.map(|ms| format!("upstream;dur={ms}, ")).unwrap_or_default();
    let own = elapsed.saturating_sub(upstream_ms.unwrap_or_default());
    Some(("server-timing", format!("{upstream_part}vestibule;dur={own}")))
}

/// Returns a rewritten `Location` of upstream's for the browser, or `None` if it stays unchanged.
#[must_use]
pub fn location(config: &Config, rule: &Rule, request: &Request<'_>, value: &str) -> Option<String> {
    let public = config.site.public_origin(request.scheme, request.authority);
    let published = config.upstream.origins.iter().find_map(|name| return_path::publish(value, name, public));
    match rule.redirects {
        Redirects::Standard if !is_echo(request.path, value) => published,
        Redirects::Standard | Redirects::Strict => {
            let restricted = config.site.return_path.hold(published.as_deref().unwrap_or(value));
            Some(restricted.as_str().to_owned())
        }
    }
}

fn problem<'a>(mut problem: Problem<'a>, context: ProblemContext<'a>) -> Reply {
    problem.login_url = context.login_url;
    let document = problem.with_base(context.base);
    Reply {
        status: document.status,
        headers: vec![("content-type", "application/problem+json".to_owned())],
        body: Some(document.to_json()),
    }
}

/// Returns the header that links a refusal to the specification of keys
/// (draft-ietf-httpapi-idempotency-key-header-07 §2.7).
fn about_idempotency() -> (&'static str, String) {
    ("link", format!("<{IDEMPOTENCY_KEY}>; rel=\"describedby\""))
}

const IDEMPOTENCY_KEY: &str = "https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/";

const PRIVATE: &str = "private, no-store";

/// The `Content-Security-Policy` of a reply that is no page.
const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'";

const LOGIN_URL: &str = "x-vestibule-login-url";

/// The headers that decide between a page, a redirect and a problem document, and whether the request is admitted.
const VARY: &str = "Cookie, Authorization, Sec-Fetch-Mode, Sec-Fetch-Dest, Accept";

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(content_type: Option<&str>) -> Vec<String> {
        let headers = content_type.map(|value| ("content-type", value.to_owned())).into_iter().collect();
        let mut reply = Reply { status: 200, headers, body: None };
        let request = Request::read("GET\nhttps://a.example/").expect("a request");
        finalize(&mut reply, &request, Vec::new());
        let policies = reply.headers.into_iter().filter(|(name, _)| *name == "content-security-policy");
        policies.map(|(_, value)| value).collect()
    }

    #[test]
    fn a_reply_that_is_no_page_loads_nothing_and_is_never_framed() {
        for content_type in [None, Some("application/problem+json"), Some("application/json")] {
            assert_eq!(finished(content_type), ["default-src 'none'; frame-ancestors 'none'"]);
        }
        // Pages have policies of their own.
        assert!(finished(Some("text/html; charset=utf-8")).is_empty());
    }

    #[test]
    fn refusals_about_keys_link_to_the_specification() {
        let context = ProblemContext { request_id: "req_1", base: "about:blank", login_url: None };
        for rejection in [
            Rejection::IdempotencyKeyMissing,
            Rejection::IdempotencyKeyInvalid,
            Rejection::IdempotencyKeyReused,
            Rejection::IdempotencyInFlight(1),
        ] {
            let reply = refused(rejection, context);
            let links = reply.headers.iter().filter(|(name, value)| {
                *name == "link"
                    && value.contains("draft-ietf-httpapi-idempotency-key-header")
                    && value.ends_with("; rel=\"describedby\"")
            });
            assert_eq!(links.count(), 1, "{:?}", reply.headers);
        }
    }
}
