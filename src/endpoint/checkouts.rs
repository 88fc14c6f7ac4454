//! `/api/checkouts/{ref}`: was it paid? What the browser brings back from a provider proves nothing; only a
//! verified webhook does.
//!
//! - `GET` answers `{ref, status, late, evidence, expiresAt}`.
//! - `POST /api/checkouts/{ref}/cancel` gives it up and answers the same: `pending` becomes `cancelled`, anything
//!   else stays what it is.
//!
//! A checkout that somebody began who was known is theirs and an admin's to see; any other, whoever's who knows
//! its ref.

use serde::Serialize;

use super::{Answered, Call, json};
use crate::{
    checkouts::{self, Checkout, Checkouts, Command},
    effects::Effects,
    idempotency,
    principal::Role,
    problem::{Fault, Rejection},
    refusal::Turned,
};

pub(super) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, Turned> {
    let reference = call.last_segment().ok_or(Rejection::NotFound)?;
    let checkout = seen(call, ask(effects, &reference, Command::Read(reference.clone())).await?)?;
    Ok(json(200, &Shown::of(&checkout)).into())
}

pub(super) async fn cancel<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, Turned> {
    let reference = call.segment_before("cancel").ok_or(Rejection::NotFound)?;
    seen(call, ask(effects, &reference, Command::Read(reference.clone())).await?)?;
    let cancel = Command::Cancel(call.author().ok(), reference.clone());
    let checkout = seen(call, ask(effects, &reference, cancel).await?)?;
    Ok(json(200, &Shown::of(&checkout)).into())
}

async fn ask<E: Effects>(effects: &E, reference: &str, command: Command) -> Result<Option<Checkout>, Fault> {
    match effects.ask::<Checkouts>(&checkouts::group_of(reference), &command).await? {
        checkouts::Reply::Checkout(found) => Ok(found),
        checkouts::Reply::Refs(_) => Err(Fault::Internal),
    }
}

/// Somebody else's is not there.
fn seen(call: Call<'_>, found: Option<Checkout>) -> Result<Checkout, Rejection> {
    let principal = call.admission.principal();
    let asking = principal.map(|principal| idempotency::scope(Some(principal), call.request));
    let is_admin = principal.is_some_and(|principal| principal.role == Some(Role::Admin));
    let found = found.ok_or(Rejection::NotFound)?;
    let is_theirs = found.owner.is_none() || found.owner == asking || is_admin;
    if is_theirs { Ok(found) } else { Err(Rejection::NotFound) }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    r#ref: &'a str,
    status: &'static str,
    late: bool,
    evidence: Option<Evidence<'a>>,
    expires_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Evidence<'a> {
    webhook: &'a str,
    event: &'a str,
    event_type: &'a str,
    at: String,
}

impl<'a> Shown<'a> {
    fn of(checkout: &'a Checkout) -> Self {
        let evidence = checkout.evidence.as_ref().map(|evidence| Evidence {
            webhook: &evidence.webhook,
            event: &evidence.event,
            event_type: &evidence.event_type,
            at: evidence.at.to_string(),
        });
        Self {
            r#ref: &checkout.reference,
            status: checkout.status.name(),
            late: checkout.late,
            evidence,
            expires_at: checkout.expires_at.to_string(),
        }
    }
}
