//! A person's approval of a machine's request: step 10.
//!
//! Under `confirm = "human"`, a machine's request first creates an act that the machine's user or an admin has to
//! approve. The machine then sends the request again with `Confirmation-ID`. The approval is for this request only, and
//! the request uses it up.
//!
//! A request is identified by its host, method, path, query, body and headers. Headers of [`IGNORED_HEADERS`] do not
//! count: they differ from one attempt to the next or do not change what the request does. Headers that the gateway
//! does not forward do not count either: upstream gets exactly the request that was approved ([`ForwardedRequest`]).

use sha2::{Digest, Sha256};

use crate::{
    approvals::{
        confirmations::{
            self, AGENTS, ActorRef, Approval, ApprovalDetails, ApprovalRequest, Command, Confirmations,
            PrincipalRef, Reply, Use, cut,
        },
        ignored_headers::{IGNORED_HEADERS, MEANINGLESS_PREFIXES},
    },
    base::{encoding, outline::outlined, sorting::sorted, time::whole_seconds},
    guards::GuardContext,
    http::{
        cookie,
        header_filter::ForwardedRequest,
        origin::Origin,
        problem::{ApprovalError, Fault, RateLimit, Rejection},
        reply::{EarlyResponse, PendingApproval},
        request::Request,
    },
    idempotency::{self, Key},
    identity::{
        access::Admission,
        principal::{Actor, Principal, Role, Who},
    },
    platform::{
        effects::{Effects, HashedBody},
        step::Step,
    },
    redirects::site::Site,
    routing::{
        report::{ReportMode, Reports},
        rule::{Confirm, Rule},
    },
    sessions::{
        cookies,
        registry::{self, Sessions},
    },
};

/// Proof that a request needs no approval, that a person has approved it, or that its refusal was only reported.
#[derive(Debug)]
pub struct ApprovalPassed {
    _reported: Option<ReportMode>,
    by: Option<String>,
    id: String,
    is_expired: bool,
}

/// The ids of an approval, for the audit trail.
#[derive(Debug)]
pub struct ApprovalIds {
    /// The id of the user who approved.
    pub by: String,
    /// The id of the act.
    pub act: String,
}

impl ApprovalPassed {
    const NOT_NEEDED: Self = Self { _reported: None, by: None, id: String::new(), is_expired: false };

    /// Lets a request pass whose refusal was reported. Nobody has approved it.
    fn by_report(mode: ReportMode) -> Self {
        Self { _reported: Some(mode), ..Self::NOT_NEEDED }
    }

    /// Returns the id of the user who approved; `None` if no approval is needed.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.by.as_deref()
    }

    /// Returns the ids for the audit trail; `None` if no approval is needed.
    #[must_use]
    pub fn audit_ids(&self) -> Option<ApprovalIds> {
        self.by.clone().map(|by| ApprovalIds { by, act: self.id.clone() })
    }

    /// Returns whether the act has expired. The request may then only be replayed.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.is_expired
    }
}

/// What approvals need of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalPolicy<'a> {
    /// The public side of the deployment.
    pub site: &'a Site,
    /// The session cookie, which is not part of what is approved.
    pub cookies: &'a cookies::Policy,
}

/// What was read of a request's body for its approval.
#[derive(Clone, Copy, Debug)]
pub struct ApprovalBody<'a> {
    /// The hash, the length and the first bytes.
    pub preview: Option<&'a HashedBody>,
    /// The idempotency key in the body.
    pub key: Result<Option<&'a Key>, Rejection>,
}

/// Checks that a request has the approval that its rule requires.
///
/// # Errors
/// [`EarlyResponse::ApprovalRequired`] if a person has to decide first, [`Rejection::ConfirmationInvalid`] if the
/// presented act does not permit the request; not if that is only reported.
pub async fn check<E: Effects>(
    policy: ApprovalPolicy<'_>,
    effects: &E,
    rule: &Rule,
    context: GuardContext<'_>,
    body: ApprovalBody<'_>,
    reports: &Reports,
) -> Result<ApprovalPassed, EarlyResponse> {
    if !is_required(rule, context.admission) {
        return Ok(ApprovalPassed::NOT_NEEDED);
    }
    if let Some(mode) = reports.skip(Step::Confirmation) {
        return Ok(ApprovalPassed::by_report(mode));
    }
    let may_create = !reports.reports(Step::Confirmation);
    // Boxed, because most requests do not need this code.
    match outlined(ask(policy, effects, rule, context, body, may_create)).await {
        Ok(passed) => Ok(passed),
        Err(refusal) => reports.refuse(Step::Confirmation, refusal).map(ApprovalPassed::by_report),
    }
}

/// Returns whether a person has to approve an admitted request.
#[must_use]
pub fn is_required(rule: &Rule, admission: &Admission) -> bool {
    rule.confirm != Confirm::Never && !admission.is_by_a_person()
}

/// Checks for reasons to reject a request that an approval would not change.
///
/// # Errors
/// [`Rejection`].
pub fn check_eligible(rule: &Rule, request: &Request<'_>, admission: &Admission) -> Result<(), Rejection> {
    let principal = admission.principal().ok_or(Rejection::ForbiddenKind)?;
    // The gateway cannot tell which machine acts beside a person, or which data a WebSocket will carry.
    if (principal.is_human() && admission.may_have_machine_credential()) || request.is_upgrade() {
        return Err(Rejection::ForbiddenHumanOnly);
    }
    // Don't call another principal's object: that would create the object if it does not exist.
    let object = confirmations::object_of(&approval_scope(principal));
    if presented_id(request).is_some_and(|id| confirmations::object_of_id(id) != Some(object.as_str())) {
        return Err(unconfirmed(ApprovalError::Unknown));
    }
    // Don't ask a person about a request that would be rejected anyway.
    key(rule, request).map(drop)
}

/// Returns the act's id that a request presents in `Confirmation-ID`.
fn presented_id<'a>(request: &Request<'a>) -> Option<&'a str> {
    request.headers.value("confirmation-id").map(str::trim)
}

/// Returns the idempotency key of a request. A request with a safe method has none: it claims nothing.
fn key(rule: &Rule, request: &Request<'_>) -> Result<Option<Key>, Rejection> {
    let policy = rule.idempotency.filter(|_| !request.is_safe());
    Ok(policy.map(|policy| Key::read(&request.headers, &policy)).transpose()?.flatten())
}

/// Asks for a person's approval, or uses it up. In report mode (`may_create` is false), nobody is asked: the request runs
/// anyway.
async fn ask<E: Effects>(
    policy: ApprovalPolicy<'_>,
    effects: &E,
    rule: &Rule,
    context: GuardContext<'_>,
    body: ApprovalBody<'_>,
    may_create: bool,
) -> Result<ApprovalPassed, EarlyResponse> {
    check_eligible(rule, context.request, context.admission)?;
    let principal = context.admission.principal().ok_or(Rejection::ForbiddenKind)?;
    let offered = presented_id(context.request);
    let object = confirmations::object_of(&approval_scope(principal));
    if let Some(dry_run) = effects.as_dry_run() {
        // Without an id, a person would be asked. Whether an id is valid depends on the body, which a dry run lacks.
        offered.ok_or(Rejection::ConfirmationRequired)?;
        dry_run.assume(Step::Confirmation);
        return Ok(ApprovalPassed::NOT_NEEDED);
    }
    // The act stays created or used, whether or not the client stays connected.
    effects.survive_disconnect();
    let key = match key(rule, context.request)? {
        Some(key) => Some(key),
        None => body.key?.cloned(),
    };
    let body = body.preview.ok_or(Fault::Internal)?;
    if matches!(context.request.method, "GET" | "HEAD") && body.length > 0 {
        // The platform does not forward such a body after it was read: the request that runs would differ from the
        // approved one.
        return Err(Rejection::InvalidBody("(body)", "expected no body for GET and HEAD").into());
    }
    let headers = meaningful(policy.cookies, context.forwarded);
    if headers.len() > MOST_SHOWN {
        // A person must see everything that they approve.
        return Err(Rejection::InvalidBody(
            "(headers)",
            "expected at most 30 headers that a person has to read",
        )
        .into());
    }
    let fingerprint = fingerprint(context, &headers, &body.sha256);
    let requester = requester(principal);
    let command = if let Some(id) = offered {
        let kept = rule.idempotency.map_or(0, |policy| whole_seconds(policy.retention));
        let key = key.map(|key| (key.hashed(), kept));
        Command::Use(Use { id: id.to_owned(), requester, fingerprint, key })
    } else if !may_create {
        return Err(Rejection::ConfirmationRequired.into());
    } else {
        let id = effects.new_id(&format!("{}{object}.", confirmations::PREFIX));
        let shown = shown(rule, context, principal, body, headers);
        Command::Ask(Box::new(ApprovalRequest {
            id,
            requester,
            fingerprint,
            shown,
            created_at: context.meta.now,
        }))
    };
    match effects.call_object::<Confirmations>(&object, &command).await? {
        Reply::Approved(by, is_expired) => {
            still_counts(effects, &by, principal).await?;
            Ok(ApprovalPassed {
                _reported: None,
                by: Some(by),
                id: offered.unwrap_or_default().to_owned(),
                is_expired,
            })
        }
        Reply::Asked(approval) => {
            Err(EarlyResponse::ApprovalRequired(pending_approval(policy.site, &approval)))
        }
        Reply::Refused(why) => Err(unconfirmed(why).into()),
        Reply::Full(reset) => Err(Rejection::RateLimited { limit: OPEN, reset }.into()),
        Reply::Found(_) | Reply::All(_) | Reply::SessionEnded | Reply::Done => Err(Fault::Internal.into()),
    }
}

/// Returns the scope of a principal's acts: `user:<id>`, or [`AGENTS`] for all agents.
#[must_use]
pub fn approval_scope(principal: &Principal) -> String {
    match &principal.who {
        Who::User { id } => format!("user:{id}"),
        Who::Agent { .. } => AGENTS.to_owned(),
    }
}

/// Returns a name of the credential that is unique among all: its principal, and its id.
fn requester(principal: &Principal) -> String {
    let credential = match &principal.actor {
        Actor::Token { id, .. } | Actor::Session { id } => id,
    };
    format!("{}:{} {credential}", principal.kind(), principal.id())
}

/// Checks that the user who approved is still active and may still decide for this principal.
async fn still_counts<E: Effects>(effects: &E, by: &str, principal: &Principal) -> Result<(), EarlyResponse> {
    let registry::Reply::UserStatus(status) =
        effects.call_object::<Sessions>(by, &registry::Command::ReadUserStatus).await?
    else {
        return Err(Fault::Internal.into());
    };
    let may_decide = status.is_some_and(|status| {
        status.active && (status.role == Role::Admin || principal.user_id() == Some(by))
    });
    if may_decide { Ok(()) } else { Err(unconfirmed(ApprovalError::Withdrawn).into()) }
}

/// Returns the headers that identify a request, sorted by name.
fn meaningful(cookies: &cookies::Policy, forwarded: &ForwardedRequest<'_>) -> Vec<(String, String)> {
    let found: Vec<(String, String)> = forwarded
        .headers()
        .filter(|(name, _)| {
            !IGNORED_HEADERS.contains(name)
                && !MEANINGLESS_PREFIXES.iter().any(|start| name.starts_with(start))
        })
        .map(|(name, value)| match name {
            // The session cookie authenticates the client. It does not change what the request does.
            "cookie" => {
                let others = cookie::without(value, |name| cookies.is_session(name));
                (name.to_owned(), others.unwrap_or_default())
            }
            _ => (name.to_owned(), value.to_owned()),
        })
        .filter(|(name, value)| name != "cookie" || !value.is_empty())
        .collect();
    sorted(found)
}

/// Returns the fingerprint of a request, in hex: a hash over everything that identifies it.
fn fingerprint(context: GuardContext<'_>, headers: &[(String, String)], body: &str) -> String {
    let base = idempotency::fingerprint(context.forwarded, context.target, body);
    let mut hash = Sha256::new().chain_update(base);
    for part in headers.iter().flat_map(|(name, value)| [name, value]) {
        // No header contains a line feed.
        hash.update("\n");
        hash.update(part);
    }
    encoding::hex(&hash.finalize())
}

fn shown(
    rule: &Rule,
    context: GuardContext<'_>,
    principal: &Principal,
    body: &HashedBody,
    headers: Vec<(String, String)>,
) -> ApprovalDetails {
    let actor = match &principal.actor {
        Actor::Session { .. } => ActorRef::default(),
        Actor::Token { id, name, source, agent, task } => ActorRef {
            source: source.name().map(str::to_owned),
            token_id: Some(id.clone()),
            token_name: Some(name.clone()),
            agent_id: agent.clone(),
            task_id: task.clone(),
        },
    };
    let is_encoded =
        context.forwarded.header("content-encoding").is_some_and(|encoding| encoding != "identity");
    let (text, preview_cut) = confirmations::preview(&body.first, body.length);
    let preview = text.filter(|_| !is_encoded);
    // Cookies may be secrets of other applications.
    let shown = |(name, value): (String, String)| match name.as_str() {
        "cookie" => (name, "(not shown)".to_owned()),
        _ => (cut(&name, LONGEST_SHOWN), cut(&value, LONGEST_SHOWN)),
    };
    ApprovalDetails {
        operation: rule.operation.clone(),
        method: context.request.method.to_owned(),
        path: cut(context.target, LONGEST_TARGET),
        principal: PrincipalRef { kind: principal.kind().to_owned(), id: principal.id().to_owned() },
        actor,
        content_type: context.forwarded.header("content-type").map(|value| cut(value, LONGEST_SHOWN)),
        headers: headers.into_iter().map(shown).collect(),
        preview,
        preview_cut,
        body_sha256: body.sha256.clone(),
    }
}

fn pending_approval(site: &Site, approval: &Approval) -> PendingApproval {
    let origin = site.canonical_origin().map_or("", Origin::as_str);
    PendingApproval {
        approve_url: format!("{origin}{}/confirmations/{}", site.endpoints, approval.act.id),
        id: approval.act.id.clone(),
        expires_at: approval.expires_at,
    }
}

fn unconfirmed(why: ApprovalError) -> Rejection {
    Rejection::ConfirmationInvalid(why)
}

/// Maximum number of characters that a person sees of a header.
const LONGEST_SHOWN: usize = 255;
/// Maximum number of characters that a person sees of a path with its query.
const LONGEST_TARGET: usize = 2_048;
/// Maximum number of headers that a person sees. A request with more is rejected.
const MOST_SHOWN: usize = 30;

/// The rate limit in the response to a credential with too many open acts.
#[expect(clippy::cast_possible_truncation, reason = "OK because both are small")]
const OPEN: RateLimit = RateLimit {
    name: "confirmations",
    limit: confirmations::MAX_OPEN as u32,
    period: confirmations::OPEN as u32,
};
