//! A person's consent to what a machine does: step 10.
//!
//! A machine's request under `confirm = "human"` is asked about, once, and comes again with `Confirmation-ID` when the
//! person whose machine it is has approved. What they approved is this request and no other, and it is used up by it.
//!
//! A request is what it says: host, method, path, query, body, and every header but those of [`MEANINGLESS`], which
//! differ from one attempt to the next or say nothing of what is asked for. Headers that do not pass to upstream are no
//! part of it: what was approved is what runs ([`ForwardedRequest`]).

use sha2::{Digest, Sha256};

use crate::{
    access::Admission,
    config::Config,
    confirmations::{
        self, AGENTS, Act, Acting, Command, Confirmations, Reply, Shown, Standing, Use, Whose, cut,
    },
    context::Request,
    cookie,
    effects::{Effects, HashedBody},
    encoding,
    guards::GuardContext,
    hygiene::ForwardedRequest,
    idempotency::{self, Key},
    origin::Origin,
    outline::outlined,
    principal::{Actor, Principal, Role, Who},
    problem::{Fault, RateLimit, Rejection, Unconfirmed},
    refusal::{EarlyResponse, PendingApproval},
    registry::{self, Sessions},
    rule::{Confirm, Rule},
    sorting::sorted,
    step::Step,
    time::whole_seconds,
};

/// Proof that nobody has to consent to a request, or that somebody has.
#[derive(Debug)]
pub struct Consented {
    by: Option<String>,
    id: String,
    is_over: bool,
}

impl Consented {
    const NEEDLESS: Self = Self { by: None, id: String::new(), is_over: false };

    /// Gives the user who has.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.by.as_deref()
    }

    /// Gives them and the act's id, for the trail.
    #[must_use]
    pub fn told(&self) -> Option<(String, String)> {
        self.by.clone().map(|by| (by, self.id.clone()))
    }

    /// Tells whether what was consented to may only be answered again, and not done: its time is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

/// Finds out whether there is the consent that a rule asks for.
///
/// # Errors
/// [`EarlyResponse::Unconfirmed`] where a person is asked now, [`Rejection::ConfirmationInvalid`] where what was offered is
/// none.
pub async fn establish<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    before: GuardContext<'_>,
) -> Result<Consented, EarlyResponse> {
    if !is_asked_for(rule, before.admission) {
        return Ok(Consented::NEEDLESS);
    }
    // Boxed: most requests do not carry it.
    outlined(ask(config, effects, rule, before)).await
}

/// Tells whether a person has to consent to what an admitted request does.
#[must_use]
pub fn is_asked_for(rule: &Rule, admission: &Admission) -> bool {
    rule.confirm != Confirm::Never && !admission.is_by_a_person()
}

/// Checks for reasons to refuse that a consent would not change.
///
/// # Errors
/// [`Rejection`].
pub fn check(rule: &Rule, request: &Request<'_>, admission: &Admission) -> Result<(), Rejection> {
    let principal = admission.principal().ok_or(Rejection::ForbiddenKind)?;
    // Nobody can tell which machine acts beside a person, or see what a WebSocket will carry.
    if (principal.is_human() && admission.has_machine_beside()) || request.is_upgrade() {
        return Err(Rejection::ForbiddenHumanOnly);
    }
    // Don't ask another principal's object: that would create it if it does not exist.
    let object = confirmations::object_of(&whose(principal));
    if offered(request).is_some_and(|id| confirmations::object_in(id) != Some(object.as_str())) {
        return Err(unconfirmed(Unconfirmed::Unknown));
    }
    // Don't ask a person about a request that would be refused anyway.
    key(rule, request).map(drop)
}

/// Finds the id of an act in a request.
fn offered<'a>(request: &Request<'a>) -> Option<&'a str> {
    request.headers.value("confirmation-id").map(str::trim)
}

/// Finds the key of a request. Under a safe method nothing is claimed.
fn key(rule: &Rule, request: &Request<'_>) -> Result<Option<Key>, Rejection> {
    let policy = rule.idempotency.filter(|_| !request.is_safe());
    Ok(policy.map(|policy| Key::read(&request.headers, &policy)).transpose()?.flatten())
}

/// Asks for a person's consent, or uses it.
async fn ask<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    before: GuardContext<'_>,
) -> Result<Consented, EarlyResponse> {
    check(rule, before.request, before.admission)?;
    let principal = before.admission.principal().ok_or(Rejection::ForbiddenKind)?;
    let offered = offered(before.request);
    let object = confirmations::object_of(&whose(principal));
    if let Some(dry_run) = effects.as_dry_run() {
        // Without one, a person is asked; whether one is good depends on a body that nobody has.
        offered.ok_or(Rejection::ConfirmationRequired)?;
        dry_run.assume(Step::Confirmation);
        return Ok(Consented::NEEDLESS);
    }
    // What is asked for here stays asked for, and what is used is used, whether or not the client stays.
    effects.survive_disconnect();
    let key = match key(rule, before.request)? {
        Some(key) => Some(key),
        None => before.body.key()?.cloned(),
    };
    let body = before.body.seen().ok_or(Fault::Internal)?;
    if matches!(before.request.method, "GET" | "HEAD") && body.length > 0 {
        // The platform sends none on, once it was read: another request would be run than was consented to.
        return Err(Rejection::InvalidBody("(body)", "expected none under GET and HEAD").into());
    }
    let headers = meaningful(config, before.forwarded);
    if headers.len() > MOST_SHOWN {
        // A person must see all that they consent to.
        return Err(Rejection::InvalidBody("(headers)", "expected at most 30 of a machine's own").into());
    }
    let fingerprint = fingerprint(before, &headers, &body.sha256);
    let requester = requester(principal);
    let command = if let Some(id) = offered {
        let kept = rule.idempotency.map_or(0, |policy| whole_seconds(policy.retention));
        let key = key.map(|key| (key.hashed(), kept));
        Command::Use(Use { id: id.to_owned(), requester, fingerprint, key })
    } else {
        let id = effects.new_id(&format!("{}{object}.", confirmations::PREFIX));
        let shown = shown(rule, before, principal, (body, headers));
        Command::Ask(Box::new(Act { id, requester, fingerprint, shown, created_at: before.meta.now }))
    };
    match effects.call_object::<Confirmations>(&object, &command).await? {
        Reply::Consented(by, is_over) => {
            still_counts(effects, &by, principal).await?;
            Ok(Consented { by: Some(by), id: offered.unwrap_or_default().to_owned(), is_over })
        }
        Reply::Asked(standing) => Err(EarlyResponse::Unconfirmed(asked(config, &standing))),
        Reply::Refused(why) => Err(unconfirmed(why).into()),
        Reply::Full(reset) => Err(Rejection::RateLimited { limit: OPEN, reset }.into()),
        Reply::Found(_) | Reply::All(_) | Reply::SessionEnded | Reply::Done => Err(Fault::Internal.into()),
    }
}

/// Names whose acts somebody decides: their own, or those of all agents.
#[must_use]
pub fn whose(principal: &Principal) -> String {
    match &principal.who {
        Who::User { id } => format!("user:{id}"),
        Who::Agent { .. } => AGENTS.to_owned(),
    }
}

/// Names the credential that asks, among all.
fn requester(principal: &Principal) -> String {
    let acts = match &principal.actor {
        Actor::Token { id, .. } | Actor::Session { id } => id,
    };
    format!("{}:{} {acts}", principal.kind(), principal.id())
}

/// Asks whether who has consented may still come in, and decide this.
async fn still_counts<E: Effects>(effects: &E, by: &str, principal: &Principal) -> Result<(), EarlyResponse> {
    let registry::Reply::Standing(standing) =
        effects.call_object::<Sessions>(by, &registry::Command::Stand).await?
    else {
        return Err(Fault::Internal.into());
    };
    let decides = standing.is_some_and(|standing| {
        standing.active && (standing.role == Role::Admin || principal.user_id() == Some(by))
    });
    if decides { Ok(()) } else { Err(unconfirmed(Unconfirmed::Withdrawn).into()) }
}

/// Lists what a request says in its headers, by their names.
fn meaningful(config: &Config, forwarded: &ForwardedRequest<'_>) -> Vec<(String, String)> {
    let session = config.session.cookie.as_str();
    let found: Vec<(String, String)> = forwarded
        .headers()
        .filter(|(name, _)| {
            !MEANINGLESS.contains(name) && !FAMILIES.iter().any(|start| name.starts_with(start))
        })
        .map(|(name, value)| match name {
            // What lets it in is no part of what it says.
            "cookie" => (name.to_owned(), cookie::without(value, session).unwrap_or_default()),
            _ => (name.to_owned(), value.to_owned()),
        })
        .filter(|(name, value)| name != "cookie" || !value.is_empty())
        .collect();
    sorted(found)
}

/// Tells a request from any other.
fn fingerprint(before: GuardContext<'_>, headers: &[(String, String)], body: &str) -> String {
    let said = idempotency::fingerprint(before.forwarded, before.target, body);
    let mut hash = Sha256::new().chain_update(said);
    for part in headers.iter().flat_map(|(name, value)| [name, value]) {
        // No header holds a line feed.
        hash.update("\n");
        hash.update(part);
    }
    encoding::hex(&hash.finalize())
}

fn shown(
    rule: &Rule,
    before: GuardContext<'_>,
    principal: &Principal,
    (body, headers): (&HashedBody, Vec<(String, String)>),
) -> Shown {
    let actor = match &principal.actor {
        Actor::Session { .. } => Acting::default(),
        Actor::Token { id, name, source, agent, task } => Acting {
            source: source.name().map(str::to_owned),
            token_id: Some(id.clone()),
            token_name: Some(name.clone()),
            agent_id: agent.clone(),
            task_id: task.clone(),
        },
    };
    let is_encoded =
        before.forwarded.header("content-encoding").is_some_and(|encoding| encoding != "identity");
    let (text, preview_cut) = confirmations::preview(&body.first, body.length);
    let preview = text.filter(|_| !is_encoded);
    // Other cookies may be secrets of other applications.
    let shown = |(name, value): (String, String)| match name.as_str() {
        "cookie" => (name, "(not shown)".to_owned()),
        _ => (cut(&name, LONGEST_SHOWN), cut(&value, LONGEST_SHOWN)),
    };
    Shown {
        operation: rule.operation.clone(),
        method: before.request.method.to_owned(),
        path: cut(before.target, LONGEST_TARGET),
        principal: Whose { kind: principal.kind().to_owned(), id: principal.id().to_owned() },
        actor,
        content_type: before.forwarded.header("content-type").map(|value| cut(value, LONGEST_SHOWN)),
        headers: headers.into_iter().map(shown).collect(),
        preview,
        preview_cut,
        body_sha256: body.sha256.clone(),
    }
}

fn asked(config: &Config, standing: &Standing) -> PendingApproval {
    let origin = config.return_path.public.first().map_or("", Origin::as_str);
    PendingApproval {
        approve_url: format!("{origin}{}/confirmations/{}", config.endpoints, standing.act.id),
        id: standing.act.id.clone(),
        expires_at: standing.expires_at,
    }
}

fn unconfirmed(why: Unconfirmed) -> Rejection {
    Rejection::ConfirmationInvalid(why)
}

/// Characters that are shown of a header, and of a path with its query; and how many headers.
const LONGEST_SHOWN: usize = 255;
const LONGEST_TARGET: usize = 2_048;
const MOST_SHOWN: usize = 30;

/// Headers that say nothing of what is asked for, or differ from one attempt to the next. `Content-Type` is told apart
/// by itself.
pub const MEANINGLESS: &[&str] = &[
    "authorization",
    "b3",
    "baggage",
    "cache-control",
    "cdn-loop",
    "confirmation-id",
    "connection",
    "content-length",
    "content-type",
    "date",
    "dnt",
    "expect",
    "host",
    "idempotency-key",
    "invocation-id",
    "keep-alive",
    "newrelic",
    "origin",
    "pragma",
    "priority",
    "referer",
    "sentry-trace",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "uber-trace-id",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
];

/// Whole families of them, by how they begin.
const FAMILIES: &[&str] = &["accept", "cf-", "sec-", "x-amzn-trace-", "x-b3-", "x-datadog-", "x-stainless-"];

/// What a credential is told that has asked for too much.
#[expect(clippy::cast_possible_truncation, reason = "OK because both are small")]
const OPEN: RateLimit = RateLimit {
    name: "confirmations",
    limit: confirmations::MOST_OPEN as u32,
    period: confirmations::OPEN as u32,
};
