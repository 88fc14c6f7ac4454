//! `/api/checkouts/{ref}`: whether a checkout was paid. Only a verified webhook proves a payment. The parameters with
//! which a provider redirects the browser back prove nothing.
//!
//! - `GET` returns `{ref, provider, status, late, evidence, expiresAt, history}`.
//! - `POST /api/checkouts/{ref}/cancel` cancels a `pending` checkout and returns the same members. Any other status is
//!   left as it is.
//!
//! `?provider=` names the provider. It is needed only if several providers have a checkout with this ref, and the
//! caller began none or more than one of them. A ref that cannot be in a path (with `/`, `\` or `%`) goes into `?ref=`;
//! the path has `-` instead.
//!
//! If a known principal began a checkout, only that principal and admins see it. Any other checkout is visible to
//! every caller that knows its ref. This applies to each attempt: another user's earlier attempt is not shown.

use serde::Serialize;

use crate::{
    checkouts::{self, Attempt, Checkout, Checkouts, Command},
    http::{
        problem::{Fault, Rejection},
        reply::EarlyResponse,
    },
    identity::{
        call::{self, EndpointResponse, json},
        principal::Role,
        scope,
    },
    platform::effects::Effects,
};

type Call<'a> = call::Call<'a>;

pub(crate) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let reference = reference(call, call.last_segment())?;
    let attempts = visible_attempts(call, attempts(effects, reference).await?)?;
    respond(&attempts)
}

pub(crate) async fn cancel<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let reference = reference(call, call.segment_before("cancel"))?;
    let before = visible_attempts(call, attempts(effects, reference.clone()).await?)?;
    let Some(Checkout { attempt, .. }) = before.into_iter().next() else {
        return Err(Rejection::NotFound.into());
    };
    let Attempt { provider, .. } = attempt.clone();
    let group = checkouts::group_of(&reference);
    effects.call_object::<Checkouts>(&group, &Command::Cancel(call.author().ok(), attempt)).await?;
    let mut after = attempts(effects, reference).await?;
    after.retain(|checkout| checkout.attempt.provider == provider);
    respond(&visible_attempts(call, after)?)
}

/// Returns the ref that the request names: the path segment, or `?ref=` if the segment is `-`.
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

/// Returns the attempts that the caller may see, of one provider, the latest first.
///
/// # Errors
/// [`Rejection`]: no attempt is visible, or the provider is ambiguous.
fn visible_attempts(call: Call<'_>, mut found: Vec<Checkout>) -> Result<Vec<Checkout>, Rejection> {
    let principal = call.admission.principal();
    let caller = principal.map(|principal| scope::of(Some(principal), call.request));
    let is_admin = principal.is_some_and(|principal| principal.role == Some(Role::Admin));
    // A checkout of another user gets the same response as an unknown one.
    found.retain(|checkout| checkout.owner.is_none() || checkout.owner == caller || is_admin);
    if let Some(provider) = call.request.parameter("provider") {
        found.retain(|checkout| checkout.attempt.provider == provider);
    }
    let mut providers: Vec<String> = found.iter().map(|checkout| checkout.attempt.provider.clone()).collect();
    providers.dedup();
    if providers.len() > 1 {
        let is_own = |name: &String| {
            found.iter().any(|checkout| {
                checkout.attempt.provider == *name && checkout.owner.is_some() && checkout.owner == caller
            })
        };
        providers.retain(is_own);
    }
    match (&providers[..], found.is_empty()) {
        ([provider], _) => {
            found.retain(|checkout| checkout.attempt.provider == *provider);
            Ok(found)
        }
        (_, true) => Err(Rejection::NotFound),
        (_, false) => {
            Err(Rejection::InvalidBody("provider", "required: checkouts of several providers have this ref"))
        }
    }
}

fn respond(attempts: &[Checkout]) -> Result<EndpointResponse, EarlyResponse> {
    let (last, earlier) = attempts.split_first().ok_or(Rejection::NotFound)?;
    let history = earlier.iter().map(Outcome::of).collect();
    let Attempt { provider, reference, .. } = &last.attempt;
    Ok(json(200, &CheckoutView { r#ref: reference, provider, outcome: Outcome::of(last), history }).into())
}

#[derive(Serialize)]
struct CheckoutView<'a> {
    r#ref: &'a str,
    provider: &'a str,
    #[serde(flatten)]
    outcome: Outcome<'a>,
    /// The earlier attempts, the latest first.
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
