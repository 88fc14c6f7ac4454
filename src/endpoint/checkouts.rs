//! `/api/checkouts/{ref}`: was it paid? What the browser brings back from a provider proves nothing; only a
//! verified webhook does.
//!
//! - `GET` answers `{ref, provider, status, late, evidence, expiresAt, history}`.
//! - `POST /api/checkouts/{ref}/cancel` gives it up and answers the same: `pending` becomes `cancelled`, anything
//!   else stays what it is.
//!
//! `?provider=` names the provider. It is needed only where the same ref was begun for several, and who asks has begun
//! none of them or more than one. A ref that no path can have (with `/`, `\` or `%`) is named by `?ref=`, with `-` in
//! its place.
//!
//! A checkout that a known principal began is visible to them and to admins; any other, to everybody who knows its
//! ref. That holds for each attempt: another user's earlier attempt is not shown.

use serde::Serialize;

use super::{Answered, Call, json};
use crate::{
    checkouts::{self, Attempt, Checkout, Checkouts, Command},
    effects::Effects,
    idempotency,
    principal::Role,
    problem::{Fault, Rejection},
    refusal::EarlyResponse,
};

pub(super) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let reference = reference(call, call.last_segment())?;
    let attempts = chosen(call, attempts(effects, reference).await?)?;
    shown(&attempts)
}

pub(super) async fn cancel<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let reference = reference(call, call.segment_before("cancel"))?;
    let before = chosen(call, attempts(effects, reference.clone()).await?)?;
    let Some(Checkout { attempt, .. }) = before.into_iter().next() else {
        return Err(Rejection::NotFound.into());
    };
    let Attempt { provider, .. } = attempt.clone();
    let group = checkouts::group_of(&reference);
    effects.call_object::<Checkouts>(&group, &Command::Cancel(call.author().ok(), attempt)).await?;
    let mut after = attempts(effects, reference).await?;
    after.retain(|one| one.attempt.provider == provider);
    shown(&chosen(call, after)?)
}

/// Returns the ref that a request names.
fn reference(call: Call<'_>, segment: Option<String>) -> Result<String, Rejection> {
    let named = call.request.parameter("ref");
    named.filter(|_| segment.as_deref() == Some("-")).or(segment).ok_or(Rejection::NotFound)
}

async fn attempts<E: Effects>(effects: &E, reference: String) -> Result<Vec<Checkout>, Fault> {
    match effects
        .call_object::<Checkouts>(&checkouts::group_of(&reference), &Command::Read(reference))
        .await?
    {
        checkouts::Reply::Checkouts(found) => Ok(found),
        _ => Err(Fault::Internal),
    }
}

/// Chooses the provider whose checkout is meant: its attempts that the caller may see, the last one first.
fn chosen(call: Call<'_>, mut found: Vec<Checkout>) -> Result<Vec<Checkout>, Rejection> {
    let principal = call.admission.principal();
    let asking = principal.map(|principal| idempotency::scope(Some(principal), call.request));
    let is_admin = principal.is_some_and(|principal| principal.role == Some(Role::Admin));
    // Another user's checkout looks like a missing one.
    found.retain(|one| one.owner.is_none() || one.owner == asking || is_admin);
    if let Some(provider) = call.request.parameter("provider") {
        found.retain(|one| one.attempt.provider == provider);
    }
    let mut providers: Vec<String> = found.iter().map(|one| one.attempt.provider.clone()).collect();
    providers.dedup();
    if providers.len() > 1 {
        let is_theirs = |name: &String| {
            found
                .iter()
                .any(|one| one.attempt.provider == *name && one.owner.is_some() && one.owner == asking)
        };
        providers.retain(is_theirs);
    }
    match (&providers[..], found.is_empty()) {
        ([provider], _) => {
            found.retain(|one| one.attempt.provider == *provider);
            Ok(found)
        }
        (_, true) => Err(Rejection::NotFound),
        (_, false) => Err(Rejection::InvalidBody("provider", "expected ?provider=: several have this ref")),
    }
}

fn shown(attempts: &[Checkout]) -> Result<Answered, EarlyResponse> {
    let (last, earlier) = attempts.split_first().ok_or(Rejection::NotFound)?;
    let history = earlier.iter().map(Outcome::of).collect();
    let Attempt { provider, reference, .. } = &last.attempt;
    Ok(json(200, &Shown { r#ref: reference, provider, outcome: Outcome::of(last), history }).into())
}

#[derive(Serialize)]
struct Shown<'a> {
    r#ref: &'a str,
    provider: &'a str,
    #[serde(flatten)]
    outcome: Outcome<'a>,
    /// Of earlier attempts, the last one first.
    history: Vec<Outcome<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
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

impl<'a> Outcome<'a> {
    fn of(checkout: &'a Checkout) -> Self {
        let evidence = checkout.evidence.as_ref().map(|evidence| Evidence {
            webhook: &evidence.webhook,
            event: &evidence.event,
            event_type: &evidence.event_type,
            at: evidence.at.to_string(),
        });
        Self {
            status: checkout.status.name(),
            late: checkout.late,
            evidence,
            expires_at: checkout.expires_at.to_string(),
        }
    }
}
