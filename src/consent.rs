//! A person's consent to what a machine does: step 10.
//!
//! A machine's request under `confirm = "human"` is asked about, once, and comes again with `Confirmation-ID` when the
//! person whose machine it is has approved. What they approved is this request and no other, and it is used up by it.

use sha2::{Digest, Sha256};

use crate::{
    access::Admission,
    config::Config,
    confirmations::{self, AGENTS, Act, Acting, Command, Confirmations, Reply, Shown, Standing, Use, Whose},
    effects::Effects,
    encoding,
    guards::Before,
    idempotency::{self, Key},
    origin::Origin,
    principal::{Actor, Principal, Who},
    problem::{Fault, RateLimit, Rejection, Unconfirmed},
    refusal::{Asked, Turned},
    rule::{Confirm, Rule},
    time::whole_seconds,
};

/// Proof that nobody has to consent to a request, or that somebody has.
#[derive(Debug)]
pub struct Consented(Option<String>);

impl Consented {
    /// Gives the user who has.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Finds out whether there is the consent that a rule asks for.
///
/// # Errors
/// [`Turned::Unconfirmed`] where a person is asked now, [`Rejection::ConfirmationInvalid`] where what was offered is
/// none.
pub async fn establish<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    before: Before<'_>,
) -> Result<Consented, Turned> {
    if rule.confirm == Confirm::Never || before.admission.is_by_a_person() {
        return Ok(Consented(None));
    }
    // Boxed: most requests do not carry it.
    Box::pin(ask(config, effects, rule, before)).await
}

/// Asks for a person's consent, or uses it.
async fn ask<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    before: Before<'_>,
) -> Result<Consented, Turned> {
    let principal = before.admission.principal().ok_or(Rejection::ForbiddenKind)?;
    let offered = before.request.headers.value("confirmation-id").map(str::trim);
    let object = match offered {
        Some(id) => confirmations::object_in(id).ok_or(unconfirmed(Unconfirmed::Unknown))?.to_owned(),
        None => confirmations::object_of(&whose(principal)),
    };
    if let Some(rehearsal) = effects.rehearsal() {
        // Without one, a person is asked; whether one is good depends on a body that nobody has.
        offered.ok_or(Rejection::ConfirmationRequired)?;
        rehearsal.assume("confirmation");
        return Ok(Consented(None));
    }
    // What is asked for here stays asked for, and what is used is used, whether or not the client stays.
    effects.outlive();
    let body = effects.bytes(rule.body_limit).await.map_err(Rejection::from)?;
    if matches!(before.request.method, "GET" | "HEAD") && !body.is_empty() {
        // The platform sends none on, once it was read: another request would be run than was consented to.
        return Err(Rejection::InvalidBody("(body)", "expected none under GET and HEAD").into());
    }
    let hash = encoding::hex(&Sha256::digest(&body));
    let fingerprint = idempotency::fingerprint(before.request, before.target, &hash);
    let requester = requester(principal, before.admission);
    let command = if let Some(id) = offered {
        let key = rule.idempotency.map(|policy| Key::read(&before.request.headers, &policy)).transpose()?;
        let kept = rule.idempotency.map_or(0, |policy| whole_seconds(policy.retention));
        let key = key.flatten().map(|key| (key.hashed(), kept));
        Command::Use(Use { id: id.to_owned(), requester, fingerprint, key })
    } else {
        let id = effects.new_id(&format!("{}{object}.", confirmations::PREFIX));
        let shown = shown(rule, before, principal, (&body, hash));
        Command::Ask(Box::new(Act { id, requester, fingerprint, shown, created_at: before.moment.now }))
    };
    match effects.ask::<Confirmations>(&object, &command).await? {
        Reply::Consented(by) => Ok(Consented(Some(by))),
        Reply::Asked(standing) => Err(Turned::Unconfirmed(asked(config, &standing))),
        Reply::Refused(why) => Err(unconfirmed(why).into()),
        Reply::Full(reset) => Err(Rejection::RateLimited { limit: OPEN, reset }.into()),
        Reply::Found(_) | Reply::All(_) => Err(Fault::Internal.into()),
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
fn requester(principal: &Principal, admission: &Admission) -> String {
    let acts = match &principal.actor {
        Actor::Token { id, .. } | Actor::Session { id } => id,
    };
    let beside = if admission.has_machine_beside() { " with a machine" } else { "" };
    format!("{}:{} {acts}{beside}", principal.kind(), principal.id())
}

fn shown(rule: &Rule, before: Before<'_>, principal: &Principal, (body, hash): (&[u8], String)) -> Shown {
    let actor = match &principal.actor {
        Actor::Session { .. } => Acting::default(),
        Actor::Token { id, source, agent, task } => Acting {
            source: source.name().map(str::to_owned),
            token_id: Some(id.clone()),
            agent_id: agent.clone(),
            task_id: task.clone(),
        },
    };
    let (preview, preview_cut) = confirmations::preview(body);
    Shown {
        operation: rule.operation.clone(),
        method: before.request.method.to_owned(),
        path: before.target.to_owned(),
        principal: Whose { kind: principal.kind().to_owned(), id: principal.id().to_owned() },
        actor,
        content_type: before.request.headers.value("content-type").map(str::to_owned),
        preview,
        preview_cut,
        body_sha256: hash,
    }
}

fn asked(config: &Config, standing: &Standing) -> Asked {
    let origin = config.return_path.public.first().map_or("", Origin::as_str);
    Asked {
        approve_url: format!("{origin}/api/confirmations/{}", standing.act.id),
        id: standing.act.id.clone(),
        expires_at: standing.expires_at,
    }
}

fn unconfirmed(why: Unconfirmed) -> Rejection {
    Rejection::ConfirmationInvalid(why)
}

/// What a credential is told that has asked for too much.
#[expect(clippy::cast_possible_truncation, reason = "OK because both are small")]
const OPEN: RateLimit = RateLimit {
    name: "confirmations",
    limit: confirmations::MOST_OPEN as u32,
    period: confirmations::OPEN as u32,
};
