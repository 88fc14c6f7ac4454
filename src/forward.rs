//! The request as upstream gets it: what the client may not say is gone, what we decided is stamped on.

use std::{borrow::Cow, net::IpAddr, time::Duration};

use crate::{
    access::Admission,
    assertion::{self, Subject},
    config::{Config, Maintained, Upstream},
    context::Request,
    cookie,
    effects::{HeaderEdits, UpstreamRequest},
    event::RequestMeta,
    hygiene::ForwardedRequest,
    inbox,
    principal::{Actor, Principal},
    profile,
    registry::Profile,
    rule::{Access, Rule},
    session::SessionCookies,
    time::Timestamp,
};

/// What is stamped on a request beside whom it comes from.
#[derive(Clone, Copy, Debug)]
pub struct IdentityHeaders<'a> {
    /// The canonical path with the query.
    pub target: &'a str,
    /// The request's id.
    pub request_id: &'a str,
    /// The time of the request.
    pub now: Timestamp,
    /// The user's name and e-mail address.
    pub profile: Option<&'a Profile>,
}

/// More than most requests are stamped with.
const MOST_STAMPS: usize = 16;

/// Prepares an admitted request for upstream.
#[must_use]
pub fn outbound<'a>(
    config: &Config,
    rule: &'a Rule,
    forwarded: &ForwardedRequest<'a>,
    (presented, admission): (&SessionCookies<'_>, &'a Admission),
    (stamps, marks): (IdentityHeaders<'a>, Vec<(&'static str, String)>),
) -> UpstreamRequest<'a> {
    let request = forwarded.request;
    let mut edits = HeaderEdits {
        remove: Vec::with_capacity(forwarded.removed_count().saturating_add(2)),
        set: Vec::with_capacity(MOST_STAMPS),
        append: Vec::new(),
    };
    edits.remove.extend(forwarded.removed().map(Cow::Borrowed));
    if !config.session.forward {
        edits.remove.push(Cow::Borrowed("authorization"));
        rewrite_cookies(config, request, None, &mut edits);
    } else if presented.is_ambiguous() || presented.is_revoked() {
        // Of several copies upstream sees the one that counts: it might have picked another. One that was
        // ended would still look good to whoever knows the secret.
        rewrite_cookies(config, request, presented.token(), &mut edits);
    }
    let mut stamp = |name, value: &'a str| edits.set.push((name, Cow::Borrowed(value)));
    stamp("x-forwarded-host", request.authority);
    stamp("x-forwarded-proto", request.scheme);
    stamp("x-request-id", stamps.request_id);
    if let Some(operation) = &rule.operation {
        stamp("x-operation", operation);
    }
    if let Some(principal) = admission.principal() {
        stamp_principal(principal, &mut edits);
    }
    if let Some(profile) = stamps.profile {
        edits.set.extend(profile::headers(profile));
    }
    edits.set.extend(marks.into_iter().map(|(name, value)| (name, Cow::Owned(value))));
    if let Some(address) = address(request) {
        edits.set.push(("x-forwarded-for", Cow::Owned(address.to_string())));
    }
    stamp_assertion(config, admission.principal(), (request.method, stamps), &mut edits);
    // Only what goes across the network passes a cache; a binding is asked directly.
    let personal = rule.access != Access::Public
        && matches!(config.upstream, Upstream::Origin(_) | Upstream::SameZone(_));
    // The platform marks a request past its cache as `no-cache`, upon which many servers no longer answer
    // 304; `max-age=0` says the same to caches and leaves validation alone.
    if personal && forwarded.header("cache-control").is_none() {
        edits.set.push(("cache-control", Cow::Borrowed("max-age=0")));
    }
    UpstreamRequest { target: stamps.target, edits, personal, timeout: rule.timeout }
}

/// Prepares the question whose an entity is: of the client's request nothing goes along.
#[must_use]
pub fn asking_owner<'a>(
    config: &Config,
    rule: &Rule,
    request: &Request<'a>,
    principal: &'a Principal,
    stamps: IdentityHeaders<'a>,
) -> UpstreamRequest<'a> {
    let mut edits = ours((request.scheme, request.authority), stamps.request_id);
    stamp_principal(principal, &mut edits);
    stamp_assertion(config, Some(principal), ("HEAD", stamps), &mut edits);
    UpstreamRequest { target: stamps.target, edits, personal: true, timeout: rule.timeout }
}

/// Prepares an accepted event for upstream; `None` where its webhook is configured no more. The headers that it
/// came with go along beneath these.
#[must_use]
pub fn delivery<'a>(
    config: &'a Config,
    event: &'a inbox::Event,
    now: Timestamp,
) -> Option<UpstreamRequest<'a>> {
    let webhook = config.webhooks.iter().find(|webhook| webhook.name == event.received.provider)?;
    let timeout = webhook.inbox.as_ref()?.timeout;
    let mut edits = ours(canonical(config)?, &event.id);
    let marks =
        event.received.marks(webhook.signs_type).into_iter().chain([("x-operation", webhook.operation())]);
    edits.set.extend(marks.map(|(name, value)| (name, Cow::Owned(value))));
    let stamps = IdentityHeaders { target: &event.target, request_id: &event.id, now, profile: None };
    stamp_assertion(config, None, ("POST", stamps), &mut edits);
    Some(UpstreamRequest { target: &event.target, edits, personal: true, timeout })
}

/// Prepares the call of a maintenance path.
#[must_use]
pub fn maintenance<'a>(
    config: &'a Config,
    maintained: &'a Maintained,
    key: &'a str,
    meta: RequestMeta<'a>,
) -> Option<UpstreamRequest<'a>> {
    let mut edits = ours(canonical(config)?, meta.request_id);
    let more =
        [("content-type", "application/json"), ("x-operation", "maintenance"), ("idempotency-key", key)];
    edits.set.extend(more.map(|(name, value)| (name, Cow::Borrowed(value))));
    let RequestMeta { request_id, now, .. } = meta;
    let stamps = IdentityHeaders { target: &maintained.path, request_id, now, profile: None };
    stamp_assertion(config, None, ("POST", stamps), &mut edits);
    Some(UpstreamRequest { target: &maintained.path, edits, personal: true, timeout: maintained.timeout })
}

/// Prepares the question whether upstream has something at a path of ours. It asks for JSON, so that the page which an
/// application answers every unknown path with does not count.
#[must_use]
pub fn probe<'a>(config: &'a Config, path: &'a str, meta: RequestMeta<'a>) -> Option<UpstreamRequest<'a>> {
    let RequestMeta { request_id, now, .. } = meta;
    let mut edits = ours(canonical(config)?, request_id);
    let more = [("accept", "application/json"), ("x-operation", "vestibule.probe")];
    edits.set.extend(more.map(|(name, value)| (name, Cow::Borrowed(value))));
    stamp_assertion(
        config,
        None,
        ("HEAD", IdentityHeaders { target: path, request_id, now, profile: None }),
        &mut edits,
    );
    Some(UpstreamRequest { target: path, edits, personal: true, timeout: PROBE_TIMEOUT })
}

/// What a request of our own begins with.
fn ours<'a>((scheme, authority): (&'a str, &'a str), request_id: &'a str) -> HeaderEdits<'a> {
    let set = [("x-forwarded-host", authority), ("x-forwarded-proto", scheme), ("x-request-id", request_id)];
    HeaderEdits {
        set: set.map(|(name, value)| (name, Cow::Borrowed(value))).into(),
        ..HeaderEdits::default()
    }
}

/// Scheme and authority of the canonical origin.
fn canonical(config: &Config) -> Option<(&str, &str)> {
    config.return_path.public.first().map(|origin| (origin.scheme(), origin.authority()))
}

/// Says on whose behalf it is and what acts.
fn stamp_principal<'a>(principal: &'a Principal, edits: &mut HeaderEdits<'a>) {
    let mut stamp = |name, value: &'a str| edits.set.push((name, Cow::Borrowed(value)));
    if let Some(user_id) = principal.user_id() {
        stamp("x-user-id", user_id);
    }
    if let Some(role) = principal.role {
        stamp("x-user-role", role.name());
    }
    if let Some(session_id) = principal.session_id() {
        stamp("x-session-id", session_id);
    }
    if let Actor::Token { id, source, agent, task, .. } = &principal.actor {
        if let Some(agent) = agent {
            stamp("x-agent-id", agent);
        }
        if let Some(task) = task {
            stamp("x-task-id", task);
        }
        if principal.user_id().is_none() {
            stamp("x-agent-token-id", id);
        }
        if let Some(source) = source.name() {
            stamp("x-actor-source", source);
        }
    }
    stamp("x-author-id", principal.id());
    stamp("x-author-type", principal.kind());
}

/// Says it in a form that only we could have made.
fn stamp_assertion(
    config: &Config,
    principal: Option<&Principal>,
    (method, stamps): (&str, IdentityHeaders<'_>),
    edits: &mut HeaderEdits<'_>,
) {
    let Some(key) = &config.upstream_key else { return };
    let IdentityHeaders { target: path, request_id, profile, .. } = stamps;
    let name = profile.and_then(|profile| profile.name.as_deref());
    let email = profile.and_then(|profile| profile.email.as_deref());
    let subject = Subject { principal, name, email, method, path, request_id };
    edits.set.push(("x-vestibule-assertion", Cow::Owned(assertion::sign(key, subject, stamps.now))));
}

/// Takes every session cookie out and puts the one in that is to be seen, if any.
fn rewrite_cookies(config: &Config, request: &Request<'_>, token: Option<&str>, edits: &mut HeaderEdits<'_>) {
    let name = config.session.cookie.as_str();
    let cookies = request.headers.value("cookie").unwrap_or_default();
    if cookie::values(cookies, name).next().is_none() {
        return;
    }
    let kept = token.map(|token| format!("{name}={token}"));
    let cookies: Vec<String> = cookie::without(cookies, name).into_iter().chain(kept).collect();
    if cookies.is_empty() {
        edits.remove.push(Cow::Borrowed("cookie"));
    } else {
        edits.set.push(("cookie", Cow::Owned(cookies.join("; "))));
    }
}

/// The client's address, as the platform saw it. What the client says of it counts for nothing.
fn address(request: &Request<'_>) -> Option<IpAddr> {
    request.headers.value("cf-connecting-ip")?.parse().ok()
}

/// How long a developer's answer may wait for one of upstream's that only warns them.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
