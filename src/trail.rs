//! What is written into the audit trail: who did what, on whose behalf, and what was decided.
//!
//! 1. What changes something of ours is written when it succeeded.
//! 2. Under a rule with `audit`, what was let through is written, and what somebody who is known was refused. What
//!    nobody asked for stays in the log: else anybody could fill the trail.
//! 3. `audit = "required"` writes before the operation runs too, and without that row it does not run.
//! 4. The row of an answer is written after it, so that nobody waits for it.
//!
//! A path is written as it was judged, without its query, and without the tokens of invites that may be in it.

use std::{borrow::Cow, time::Duration};

use serde::Serialize;

use crate::{
    audit::{self, Audit as Trail, Command, Entry},
    config::Config,
    effects::Effects,
    event::{Event, RequestMeta},
    outline::outlined,
    principal::{Actor, Principal},
    problem::Fault,
    rule::{Audit, Destination, Rule},
    step::Step,
    time::whole_seconds,
};

/// Proof that an operation may run as far as the trail is concerned.
#[derive(Debug)]
pub struct AuditRecorded(());

/// What a row is about.
#[derive(Clone, Copy, Debug)]
pub struct AuditRecord<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The method, raw.
    pub method: &'a str,
    /// The canonical path, with or without its query.
    pub target: &'a str,
    /// Who, where they are known.
    pub principal: Option<&'a Principal>,
    /// A user who has proved who they are by this very request.
    pub proved: Option<&'a str>,
    /// The address that the platform saw.
    pub address: Option<&'a str>,
    /// Who has consented, and to which act.
    pub confirmed: Option<(&'a str, &'a str)>,
    /// What was changed of ours.
    pub detail: Option<&'a str>,
}

/// Writes down that an operation is about to run, where its rule asks for that.
///
/// # Errors
/// [`Fault::StoreUnavailable`]: it must not.
pub async fn begin<E: Effects>(
    config: &Config,
    effects: &E,
    deed: AuditRecord<'_>,
    meta: RequestMeta<'_>,
) -> Result<AuditRecorded, Fault> {
    if deed.rule.audit == Audit::Off {
        return Ok(AuditRecorded(()));
    }
    // What came of it is written although the client goes away.
    effects.survive_disconnect();
    if deed.rule.audit == Audit::Required {
        if let Some(dry_run) = effects.as_dry_run() {
            dry_run.assume(Step::Audit);
            return Ok(AuditRecorded(()));
        }
        let begun = Event::new(meta.request_id, deed.method);
        let (object, append) = entry(config, (deed, "begun"), &begun, meta).ok_or(Fault::Internal)?;
        outlined(effects.call_object::<Trail>(&object, &append)).await?;
    }
    Ok(AuditRecorded(()))
}

/// Writes down what came of a request, after its answer.
pub fn end<E: Effects>(
    config: &Config,
    effects: &E,
    deed: AuditRecord<'_>,
    event: &Event<'_>,
    meta: RequestMeta<'_>,
) {
    let succeeded = event.decision == "allow" && (200..400).contains(&event.status);
    let is_told = match deed.rule.destination {
        _ if deed.rule.audit == Audit::Off => false,
        // Whoever signs out without having been in has changed nothing.
        Destination::Endpoint(_) => succeeded && (deed.principal.is_some() || deed.proved.is_some()),
        Destination::Upstream => event.decision == "allow" || deed.principal.is_some(),
    };
    if !is_told {
        return;
    }
    if let Some((object, append)) = entry(config, (deed, "done"), event, meta) {
        effects.call_after_response::<Trail>(&object, &append);
    }
}

fn entry(
    config: &Config,
    (deed, phase): (AuditRecord<'_>, &'static str),
    event: &Event<'_>,
    meta: RequestMeta<'_>,
) -> Option<(String, Command)> {
    let row = Row::of(deed, phase, event);
    // When it was done, and not when it began: rows come in the order of their times, give or take a moment.
    let at = meta.now.plus(Duration::from_millis(event.duration_ms));
    let object = audit::object_of(&audit::day_of(at), audit::shard_of(meta.request_id));
    let entry = Entry {
        name: object.clone(),
        key: config.audit_keys.first()?.clone(),
        at,
        principal: row.principal.as_ref().map(|principal| principal.id.to_owned()),
        operation: deed.rule.called().to_owned(),
        row: serde_json::to_string(&row).ok()?,
        kept: whole_seconds(config.audit_retention),
    };
    Some((object, Command::Append(entry)))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    phase: &'static str,
    request_id: &'a str,
    operation: &'a str,
    rule: &'a str,
    method: &'a str,
    path: Cow<'a, str>,
    decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// 0 where nothing was answered yet.
    status: u16,
    principal: Option<Whose<'a>>,
    actor: Option<Acting<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
}

#[derive(Serialize)]
struct Whose<'a> {
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Acting<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<&'a str>,
}

/// Leaves the tokens of invites out of a path, wherever they were put.
fn discreet(path: &str) -> Cow<'_, str> {
    if !path.contains(PREFIX) {
        return Cow::Borrowed(path);
    }
    let parts = path.split('/').map(|part| if part.contains(PREFIX) { "(invite)" } else { part });
    Cow::Owned(parts.collect::<Vec<_>>().join("/"))
}

/// How the tokens of invites begin.
const PREFIX: &str = "mki_";

impl<'a> Row<'a> {
    fn of(deed: AuditRecord<'a>, phase: &'static str, event: &'a Event<'a>) -> Self {
        let known = deed.principal.map(|principal| Whose {
            kind: principal.kind(),
            id: principal.id(),
            role: principal.role.map(crate::principal::Role::name),
        });
        let proved = deed.proved.map(|id| Whose { kind: "user", id, role: None });
        let path = deed.target.split('?').next().unwrap_or_default();
        Self {
            phase,
            request_id: event.request_id,
            operation: deed.rule.called(),
            rule: &deed.rule.path,
            method: deed.method,
            path: discreet(path),
            decision: event.decision,
            reason: event.reason,
            status: event.status,
            principal: known.or(proved),
            actor: deed.principal.map(Acting::of),
            confirmed_by: deed.confirmed.map(|(by, _)| by),
            confirmation_id: deed.confirmed.map(|(_, id)| id),
            detail: deed.detail,
            idempotency: event.idempotency,
            address: deed.address,
        }
    }
}

impl<'a> Acting<'a> {
    fn of(principal: &'a Principal) -> Self {
        match &principal.actor {
            Actor::Session { id } => Self { session_id: Some(id), ..Self::default() },
            Actor::Token { id, source, agent, task, .. } => Self {
                source: source.name(),
                token_id: Some(id),
                agent_id: agent.as_deref(),
                task_id: task.as_deref(),
                session_id: None,
            },
        }
    }
}
