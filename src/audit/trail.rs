//! Which requests get a row in the audit trail, and what the row says: actor, principal, operation and decision.
//!
//! A request gets a row only under a rule with `audit`. Built-in routes that change state have it.
//!
//! 1. A request to a built-in route gets a row if it succeeded and concerned somebody: the principal, the user whom it
//!    authenticated or signed out, or what its detail names.
//! 2. A request to upstream gets a row if it was allowed, or if it was rejected and its principal is known. Other
//!    rejections are only logged: otherwise anyone could fill the trail.
//! 3. Under `audit = "required"`, a row is also written before the request runs. If that fails, the request does not
//!    run.
//! 4. In report mode, a request that was let through despite a refusal gets a row, also without a principal: it has run.
//!    Its decision is `would_refuse`. The row that `audit = "required"` demands is never in report mode: a request
//!    without it does not run.
//! 5. The row with the outcome is written after the answer, so that the client does not wait for it.
//!
//! A row has the canonical path without its query. Segments that contain an invite's token are replaced.

use std::{borrow::Cow, time::Duration};

use serde::Serialize;

use crate::{
    audit::{self, Audit as AuditObject, Command, Entry, settings::Settings},
    base::{outline::outlined, time::whole_seconds},
    http::problem::Fault,
    identity::principal::{Actor, Principal},
    platform::{
        effects::Effects,
        event::{ClaimState, Event, RequestMeta, WOULD_REFUSE, WouldRefuse},
        step::Step,
    },
    routing::rule::{Audit, Destination, Rule},
};

/// Proof that the required row was written, or that none is required.
#[derive(Debug)]
pub struct AuditRecorded(());

/// The contents of a row, except for the decision.
#[derive(Clone, Copy, Debug)]
pub struct AuditRecord<'a> {
    /// Rule of the request.
    pub rule: &'a Rule,
    /// Method as received.
    pub method: &'a str,
    /// Canonical path, with or without its query.
    pub target: &'a str,
    /// Principal, if known.
    pub principal: Option<&'a Principal>,
    /// Id of the user whom this request authenticated or signed out.
    pub user: Option<&'a str>,
    /// Client address from the platform (`CF-Connecting-IP`).
    pub address: Option<&'a str>,
    /// Id of the user who approved the request.
    pub confirmed_by: Option<&'a str>,
    /// Id of the act that the user approved.
    pub confirmation_id: Option<&'a str>,
    /// Details of what an endpoint changed.
    pub detail: Option<&'a str>,
    /// In report mode: the refusal of a request that was let through.
    pub would_refuse: Option<&'a WouldRefuse>,
}

/// Writes the row that `audit = "required"` needs before an operation runs.
///
/// # Errors
/// [`Fault::StoreUnavailable`] or [`Fault::Internal`] if the row cannot be written. The operation must not run then.
pub async fn begin<E: Effects>(
    settings: &Settings,
    effects: &E,
    record: AuditRecord<'_>,
    meta: RequestMeta<'_>,
) -> Result<AuditRecorded, Fault> {
    if record.rule.audit == Audit::Off {
        return Ok(AuditRecorded(()));
    }
    // The outcome is written even if the client disconnects.
    effects.survive_disconnect();
    if record.rule.audit == Audit::Required {
        if let Some(dry_run) = effects.as_dry_run() {
            dry_run.assume(Step::Audit);
            return Ok(AuditRecorded(()));
        }
        let mut begun = Event::new(meta.request_id, record.method);
        if record.would_refuse.is_some() {
            begun.decision = WOULD_REFUSE;
        }
        let (object, command) =
            append_command(settings, record, "begun", &begun, meta).ok_or(Fault::Internal)?;
        outlined(effects.call_object::<AuditObject>(&object, &command)).await?;
    }
    Ok(AuditRecorded(()))
}

/// Writes the outcome of a request to the trail, after the answer.
pub fn end<E: Effects>(
    settings: &Settings,
    effects: &E,
    record: AuditRecord<'_>,
    event: &Event<'_>,
    meta: RequestMeta<'_>,
) {
    let succeeded = event.decision == "allow" && (200..400).contains(&event.status);
    let is_recorded = match record.rule.destination {
        _ if record.rule.audit == Audit::Off => false,
        Destination::Pages | Destination::WrongMethod(_) | Destination::InternalOnly => false,
        // A sign-out without a session changes nothing, nor does asking for a reset link for an unknown address.
        Destination::Endpoint(_) => {
            succeeded && (record.principal.is_some() || record.user.is_some() || record.detail.is_some())
        }
        Destination::Upstream => {
            matches!(event.decision, "allow" | WOULD_REFUSE) || record.principal.is_some()
        }
    };
    if !is_recorded {
        return;
    }
    if let Some((object, command)) = append_command(settings, record, "done", event, meta) {
        effects.call_after_response::<AuditObject>(&object, &command);
    }
}

/// Returns the command that appends a row, and the name of the object for it. Returns `None` if no key is configured.
fn append_command(
    settings: &Settings,
    record: AuditRecord<'_>,
    phase: &'static str,
    event: &Event<'_>,
    meta: RequestMeta<'_>,
) -> Option<(String, Command)> {
    let row = Row::of(record, phase, event);
    // The time of completion, not of arrival: rows are appended at about this time, so they are nearly in order.
    let at = meta.now.plus(Duration::from_millis(event.duration_ms));
    let object = audit::object_of(&audit::day_of(at), audit::shard_of(meta.request_id));
    let entry = Entry {
        name: object.clone(),
        key: settings.keys.first()?.clone(),
        at,
        principal: row.principal.as_ref().map(|principal| principal.id.to_owned()),
        operation: record.rule.operation_or_path().to_owned(),
        row: serde_json::to_string(&row).ok()?,
        kept: whole_seconds(settings.retention),
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
    would_refuse: Option<&'a WouldRefuse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// 0 if there is no answer yet.
    status: u16,
    principal: Option<RowPrincipal<'a>>,
    actor: Option<RowActor<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency: Option<ClaimState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
}

#[derive(Serialize)]
struct RowPrincipal<'a> {
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct RowActor<'a> {
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

/// Replaces each path segment that contains an invite's token, wherever it is.
fn redact_invites(path: &str) -> Cow<'_, str> {
    if !path.contains(INVITE_PREFIX) {
        return Cow::Borrowed(path);
    }
    let parts = path.split('/').map(|part| if part.contains(INVITE_PREFIX) { "(invite)" } else { part });
    Cow::Owned(parts.collect::<Vec<_>>().join("/"))
}

/// Prefix of the tokens of invites.
const INVITE_PREFIX: &str = "mki_";

impl<'a> Row<'a> {
    fn of(record: AuditRecord<'a>, phase: &'static str, event: &'a Event<'a>) -> Self {
        let known = record.principal.map(|principal| RowPrincipal {
            kind: principal.kind(),
            id: principal.id(),
            role: principal.role.map(crate::identity::principal::Role::name),
        });
        let user = record.user.map(|id| RowPrincipal { kind: "user", id, role: None });
        let path = record.target.split('?').next().unwrap_or_default();
        Self {
            phase,
            request_id: event.request_id,
            operation: record.rule.operation_or_path(),
            rule: &record.rule.path,
            method: record.method,
            path: redact_invites(path),
            decision: event.decision,
            would_refuse: record.would_refuse,
            reason: event.reason,
            status: event.status,
            principal: known.or(user),
            actor: record.principal.map(RowActor::of),
            confirmed_by: record.confirmed_by,
            confirmation_id: record.confirmation_id,
            detail: record.detail,
            idempotency: event.idempotency,
            address: record.address,
        }
    }
}

impl<'a> RowActor<'a> {
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
