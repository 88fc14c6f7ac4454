//! Picks the kind of claim: for a client's request with an idempotency key, or for a provider's event. Decides what a
//! failure of upstream means for it.

use super::intake::Body;
use crate::{
    config::Config,
    http::{
        problem::{Fault, Rejection},
        reply::{EarlyResponse, Reply},
        request::Request,
    },
    idempotency::{
        Key,
        claim::{ClaimResult, Claimed, GrantedClaim},
        key_claim::{self, KeyClaim, KeyContext},
    },
    identity::access::Admission,
    platform::{
        effects::{Effects, UpstreamResponse},
        event::ClaimState,
    },
    routing::{
        routed::RoutedRequest,
        rule::{Idempotency, Rule},
    },
    webhooks::event_claim::{self, EventClaim, EventContext},
};

/// The claim under which a request runs: the granted claim, and the part of its kind.
#[derive(Debug)]
pub struct RequestClaim {
    granted: GrantedClaim,
    kind: ClaimKind,
}

#[derive(Debug)]
enum ClaimKind {
    Key(KeyClaim),
    Event(EventClaim),
}

/// Checks whether a request needs a claim.
#[must_use]
pub fn is_needed(rule: &Rule, request: &Request<'_>) -> bool {
    rule.webhook.is_some() || (rule.idempotency.is_some() && !request.is_safe())
}

/// Checks whether a request under a rule with `idempotency` has a valid key in its headers. The body's hash is then
/// part of the claim. Always false for webhooks.
#[must_use]
pub fn has_key_in_headers(rule: &Rule, request: &Request<'_>) -> bool {
    let policy = rule.idempotency.filter(|_| rule.webhook.is_none() && is_needed(rule, request));
    policy.is_some_and(|policy| matches!(Key::read(&request.headers, &policy), Ok(Some(_))))
}

/// Runs the checks of [`acquire`] that need no store, for a dry run.
///
/// # Errors
/// [`Rejection`] if the idempotency key is missing or invalid.
pub fn check_in_dry_run(rule: &Rule, request: &Request<'_>) -> Result<(), Rejection> {
    match rule.idempotency.filter(|_| is_needed(rule, request)) {
        Some(policy) => Key::read(&request.headers, &policy).map(drop),
        None => Ok(()),
    }
}

/// Returns the rule's policy if the key may be in the body, and the request has no key in its headers.
#[must_use]
pub fn policy_for_key_in_body(rule: &Rule, request: &Request<'_>) -> Option<Idempotency> {
    let policy = rule.idempotency.filter(|_| rule.webhook.is_none() && is_needed(rule, request))?;
    let is_in_body =
        policy.invocation_pointer.is_some() && matches!(Key::read(&request.headers, &policy), Ok(None));
    is_in_body.then_some(policy)
}

/// Claims the right to run a request.
///
/// # Errors
/// [`EarlyResponse`] if the request cannot run now, or must not run again.
pub async fn acquire<E: Effects>(
    config: &Config,
    effects: &E,
    routed: RoutedRequest<'_>,
    admission: &Admission,
    body: &Body,
) -> Result<ClaimResult<E::Response, RequestClaim>, EarlyResponse> {
    let rule = routed.rule;
    match (rule.webhook.and_then(|at| config.webhooks.get(at)), rule.idempotency) {
        (Some(webhook), _) => {
            let cx = EventContext { site: &config.site, checkouts: &config.checkouts };
            let result = event_claim::acquire(cx, effects, routed, webhook).await?;
            Ok(result.map(|Claimed { granted, kind }| RequestClaim { granted, kind: ClaimKind::Event(kind) }))
        }
        (None, Some(policy)) => {
            let cx = KeyContext { settings: &config.idempotency, site: &config.site };
            let result = key_claim::acquire(cx, effects, routed, policy, admission, body.for_claim()).await?;
            Ok(result.map(|Claimed { granted, kind }| RequestClaim { granted, kind: ClaimKind::Key(kind) }))
        }
        (None, None) => Ok(ClaimResult::NotNeeded),
    }
}

impl RequestClaim {
    /// Returns the headers that tell upstream about the claim.
    #[must_use]
    pub fn upstream_headers(&self) -> Vec<(&'static str, String)> {
        match &self.kind {
            ClaimKind::Key(key_claim) => key_claim.upstream_headers(),
            ClaimKind::Event(event) => event.upstream_headers(),
        }
    }

    /// Settles the claim with upstream's response, and buffers its body if it is stored. Returns the claim's new
    /// state for the log.
    ///
    /// # Errors
    /// [`EarlyResponse`] if upstream failed, its response broke off, or it started a checkout of another owner.
    pub async fn settle<E: Effects>(
        &self,
        effects: &E,
        response: Result<&UpstreamResponse<E::Response>, Fault>,
    ) -> Result<ClaimState, EarlyResponse> {
        match (&self.kind, response) {
            (ClaimKind::Key(key_claim), Ok(response)) => {
                key_claim.settle(&self.granted, effects, response).await
            }
            // Whether the request ran is unknown: leave the claim until its lease ends.
            (ClaimKind::Key(_), Err(fault)) => Err(fault.into()),
            (ClaimKind::Event(_), response) => {
                event_claim::settle(&self.granted, effects, response).await.map_err(EarlyResponse::from)
            }
        }
    }

    /// Settles the claim with the reply of an endpoint. A rejected request did not run: its claim is released. After a
    /// fault, the outcome is unknown.
    pub async fn settle_reply<E: Effects>(
        &self,
        effects: &E,
        reply: Result<&Reply, &EarlyResponse>,
    ) -> ClaimState {
        match (&self.kind, reply) {
            (_, Err(EarlyResponse::Failed(_))) => ClaimState::Unsettled,
            (ClaimKind::Key(key_claim), Ok(reply)) => {
                key_claim.settle_reply(&self.granted, effects, reply).await
            }
            (ClaimKind::Event(_), _) | (_, Err(_)) => self.granted.release(effects).await,
        }
    }

    /// Releases a claim under which nothing ran.
    pub async fn release<E: Effects>(&self, effects: &E) {
        self.granted.release(effects).await;
    }
}
