//! Builds requests to upstream: removes headers that a client must not set, and adds the gateway's own.

use std::{borrow::Cow, net::IpAddr, time::Duration};

use super::settings::UpstreamContext;
use crate::{
    accounts::profile,
    base::time::Timestamp,
    http::{cookie, header_filter::ForwardedRequest, reply::HeaderEdits, request::Request},
    identity::{
        access::Admission,
        principal::{Actor, Principal},
    },
    platform::{effects::UpstreamRequest, event::RequestMeta},
    routing::rule::{Access, Rule},
    sessions::{cookies::SessionCookies, registry::Profile},
    upstream::{
        assertion::{self, Subject},
        settings::Upstream,
    },
};

/// Values for the identity headers and the assertion, except for the principal.
#[derive(Clone, Copy, Debug)]
pub struct IdentityHeaders<'a> {
    /// The canonical path with the query.
    pub target: &'a str,
    /// The id of the request.
    pub request_id: &'a str,
    /// The time of the request.
    pub now: Timestamp,
    /// The user's name and e-mail address, if upstream gets them.
    pub profile: Option<&'a Profile>,
}

/// Initial capacity for added headers. Most requests get fewer.
const ADDED_HEADERS: usize = 16;

/// Builds the upstream request of an admitted request.
#[must_use]
pub fn for_admitted<'a>(
    cx: UpstreamContext<'_>,
    rule: &'a Rule,
    forwarded: &ForwardedRequest<'a>,
    session_cookies: &SessionCookies<'_>,
    admission: &'a Admission,
    identity: IdentityHeaders<'a>,
    more_headers: Vec<(&'static str, String)>,
) -> UpstreamRequest<'a> {
    let request = forwarded.request;
    let mut edits = HeaderEdits {
        remove: Vec::with_capacity(forwarded.removed_count().saturating_add(2)),
        set: Vec::with_capacity(ADDED_HEADERS),
        append: Vec::new(),
    };
    edits.remove.extend(forwarded.removed().map(Cow::Borrowed));
    if !cx.cookies.forward {
        edits.remove.push(Cow::Borrowed("authorization"));
        rewrite_cookies(cx, request, None, &mut edits);
    } else if session_cookies.must_be_rewritten() {
        rewrite_cookies(cx, request, session_cookies.token(), &mut edits);
    }
    let mut set = |name, value: &'a str| edits.set.push((name, Cow::Borrowed(value)));
    set("x-forwarded-host", request.authority);
    set("x-forwarded-proto", request.scheme);
    set("x-request-id", identity.request_id);
    if let Some(operation) = &rule.operation {
        set("x-operation", operation);
    }
    if let Some(principal) = admission.principal() {
        add_principal(principal, &mut edits);
    }
    if let Some(profile) = identity.profile {
        edits.set.extend(profile::headers(profile));
    }
    edits.set.extend(more_headers.into_iter().map(|(name, value)| (name, Cow::Owned(value))));
    if let Some(address) = address(request) {
        edits.set.push(("x-forwarded-for", Cow::Owned(address.to_string())));
    }
    add_assertion(cx, admission.principal(), request.method, identity, &mut edits);
    // Only requests over the network pass a cache. A service binding is called directly.
    let personal = rule.access != Access::Public
        && matches!(cx.settings.application, Upstream::Origin(_) | Upstream::SameZone(_));
    // The platform sends `no-cache` with a request that bypasses its cache, and then many servers never answer
    // 304. `max-age=0` means the same to caches and keeps validation.
    if personal && forwarded.header("cache-control").is_none() {
        edits.set.push(("cache-control", Cow::Borrowed("max-age=0")));
    }
    UpstreamRequest { target: identity.target, edits, personal, timeout: rule.timeout }
}

/// Builds the `HEAD` request that asks upstream for the owner of an entity. It has none of the client's headers.
#[must_use]
pub fn owner_lookup<'a>(
    cx: UpstreamContext<'_>,
    rule: &Rule,
    request: &Request<'a>,
    principal: &'a Principal,
    identity: IdentityHeaders<'a>,
) -> UpstreamRequest<'a> {
    let mut edits = own_headers(request.scheme, request.authority, identity.request_id);
    add_principal(principal, &mut edits);
    add_assertion(cx, Some(principal), "HEAD", identity, &mut edits);
    UpstreamRequest { target: identity.target, edits, personal: true, timeout: rule.timeout }
}

/// Builds a `POST` request of the gateway's own. Returns `None` if there is no public origin.
#[must_use]
pub fn own_post<'a>(
    cx: UpstreamContext<'a>,
    identity: IdentityHeaders<'a>,
    headers: impl IntoIterator<Item = (&'static str, Cow<'a, str>)>,
    timeout: Duration,
) -> Option<UpstreamRequest<'a>> {
    let origin = cx.site.canonical_origin()?;
    let mut edits = own_headers(origin.scheme(), origin.authority(), identity.request_id);
    edits.set.extend(headers);
    add_assertion(cx, None, "POST", identity, &mut edits);
    Some(UpstreamRequest { target: identity.target, edits, personal: true, timeout })
}

/// Builds the `HEAD` request that checks whether upstream serves the path of a built-in route. It accepts only JSON, so
/// that an application's page for unknown paths does not count.
#[must_use]
pub fn probe<'a>(
    cx: UpstreamContext<'a>,
    path: &'a str,
    meta: RequestMeta<'a>,
) -> Option<UpstreamRequest<'a>> {
    let RequestMeta { request_id, now, .. } = meta;
    let origin = cx.site.canonical_origin()?;
    let mut edits = own_headers(origin.scheme(), origin.authority(), request_id);
    let more = [("accept", "application/json"), ("x-operation", "vestibule.probe")];
    edits.set.extend(more.map(|(name, value)| (name, Cow::Borrowed(value))));
    let identity = IdentityHeaders { target: path, request_id, now, profile: None };
    add_assertion(cx, None, "HEAD", identity, &mut edits);
    Some(UpstreamRequest { target: path, edits, personal: true, timeout: PROBE_TIMEOUT })
}

/// Returns the first headers of every request that the gateway itself makes.
fn own_headers<'a>(scheme: &'a str, authority: &'a str, request_id: &'a str) -> HeaderEdits<'a> {
    let set = [("x-forwarded-host", authority), ("x-forwarded-proto", scheme), ("x-request-id", request_id)];
    HeaderEdits {
        set: set.map(|(name, value)| (name, Cow::Borrowed(value))).into(),
        ..HeaderEdits::default()
    }
}

/// Adds the headers about the principal and the actor.
fn add_principal<'a>(principal: &'a Principal, edits: &mut HeaderEdits<'a>) {
    let mut set = |name, value: &'a str| edits.set.push((name, Cow::Borrowed(value)));
    if let Some(user_id) = principal.user_id() {
        set("x-user-id", user_id);
    }
    if let Some(role) = principal.role {
        set("x-user-role", role.name());
    }
    if let Some(session_id) = principal.session_id() {
        set("x-session-id", session_id);
    }
    if let Actor::Token { id, source, agent, task, .. } = &principal.actor {
        if let Some(agent) = agent {
            set("x-agent-id", agent);
        }
        if let Some(task) = task {
            set("x-task-id", task);
        }
        if principal.user_id().is_none() {
            set("x-agent-token-id", id);
        }
        if let Some(source) = source.name() {
            set("x-actor-source", source);
        }
    }
    set("x-author-id", principal.id());
    set("x-author-type", principal.kind());
}

/// Adds the signed assertion about the principal and the request, if a key is configured.
fn add_assertion(
    cx: UpstreamContext<'_>,
    principal: Option<&Principal>,
    method: &str,
    identity: IdentityHeaders<'_>,
    edits: &mut HeaderEdits<'_>,
) {
    let Some(key) = &cx.settings.key else { return };
    let IdentityHeaders { target: path, request_id, profile, .. } = identity;
    let name = profile.and_then(|profile| profile.name.as_deref());
    let email = profile.and_then(|profile| profile.email.as_deref());
    let subject = Subject { principal, name, email, method, path, request_id };
    edits.set.push(("x-vestibule-assertion", Cow::Owned(assertion::sign(key, subject, identity.now))));
}

/// Removes all session cookies, and adds one with this token, if there is one.
fn rewrite_cookies(
    cx: UpstreamContext<'_>,
    request: &Request<'_>,
    token: Option<&str>,
    edits: &mut HeaderEdits<'_>,
) {
    let cookies = request.headers.value("cookie").unwrap_or_default();
    if cx.cookies.names().all(|name| cookie::values(cookies, name.as_str()).next().is_none()) {
        return;
    }
    let name = cx.cookies.cookie.as_str();
    let kept = token.map(|token| format!("{name}={token}"));
    let others = cookie::without(cookies, |found| cx.cookies.is_session(found));
    let cookies: Vec<String> = others.into_iter().chain(kept).collect();
    if cookies.is_empty() {
        edits.remove.push(Cow::Borrowed("cookie"));
    } else {
        edits.set.push(("cookie", Cow::Owned(cookies.join("; "))));
    }
}

/// Returns the client's address as the platform reports it. Addresses that the client claims are ignored.
fn address(request: &Request<'_>) -> Option<IpAddr> {
    request.headers.value("cf-connecting-ip")?.parse().ok()
}

/// Timeout of a probe: a developer's response waits for it, but it only gives a warning.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
