//! Claims: the right to run a request once. The gateway claims a key in the ledger before it forwards the request, and
//! settles the claim with the outcome.
//!
//! There are two kinds of claims: for a client's request with an idempotency key, and for a provider's event.

mod event;
mod key;

pub(crate) use key::UNREGISTERED;

use std::time::Duration;

use crate::{
    config::Config,
    gateway::intake::Body,
    http::{
        hygiene::ForwardedRequest,
        problem::{Fault, Rejection},
        request::Request,
    },
    idempotency::{
        Key,
        ledger::{self, About, Claim, Ledger, Order, Verdict},
    },
    identity::access::Admission,
    platform::{
        effects::{Effects, Reply, UpstreamResponse},
        event::RequestMeta,
    },
    responses::refusal::EarlyResponse,
    routing::rule::{Idempotency, Rule},
};

/// The result of claiming: what to do with the request.
#[derive(Debug)]
pub enum Taken<R> {
    /// Run the request. It needs no claim.
    Free,
    /// Run the request, then settle this claim.
    Ours(Claimed),
    /// The request ran before. This is the stored answer.
    Ran(UpstreamResponse<R>),
    /// Do not run the request. This is the answer.
    Known(Reply),
}

/// A claim that was granted to this request.
#[derive(Debug)]
pub struct Claimed {
    about: About,
    fence: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Key(key::KeyClaim),
    Event(event::EventClaim),
}

/// Checks whether a request needs a claim.
#[must_use]
pub fn is_asked_for(rule: &Rule, request: &Request<'_>) -> bool {
    rule.webhook.is_some() || (rule.idempotency.is_some() && !request.is_safe())
}

/// Checks whether a request has a valid idempotency key in its headers. The body's hash is then part of the claim.
#[must_use]
pub fn has_key(rule: &Rule, request: &Request<'_>) -> bool {
    let policy = rule.idempotency.filter(|_| rule.webhook.is_none() && is_asked_for(rule, request));
    policy.is_some_and(|policy| matches!(Key::read(&request.headers, &policy), Ok(Some(_))))
}

/// Runs the checks of [`take`] that need no store, for a dry run.
///
/// # Errors
/// [`Rejection`] if the idempotency key is missing or invalid.
pub fn foresee(rule: &Rule, request: &Request<'_>) -> Result<(), Rejection> {
    match rule.idempotency.filter(|_| is_asked_for(rule, request)) {
        Some(policy) => Key::read(&request.headers, &policy).map(drop),
        None => Ok(()),
    }
}

/// Returns the rule's policy if the key may be in the body, and the request has no key in its headers.
#[must_use]
pub fn key_to_read(rule: &Rule, request: &Request<'_>) -> Option<Idempotency> {
    let policy = rule.idempotency.filter(|_| rule.webhook.is_none() && is_asked_for(rule, request))?;
    let is_in_body =
        policy.invocation_pointer.is_some() && matches!(Key::read(&request.headers, &policy), Ok(None));
    is_in_body.then_some(policy)
}

/// Claims the right to run a request.
///
/// # Errors
/// [`EarlyResponse`] if the request cannot run now, or must not run again.
pub async fn take<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    incoming: (&ForwardedRequest<'_>, &str, RequestMeta<'_>),
    admission: &Admission,
    body: &Body,
) -> Result<Taken<E::Response>, EarlyResponse> {
    match (rule.webhook.and_then(|at| config.webhooks.get(at)), rule.idempotency) {
        (Some(webhook), _) => event::take(config, effects, (rule, webhook), incoming).await,
        (None, Some(policy)) => key::take(config, effects, (rule, policy), incoming, admission, body).await,
        (None, None) => Ok(Taken::Free),
    }
}

/// Claims a key. If the ledger's reply is lost, releases the claim after the response: nothing ran under it.
async fn start<E: Effects>(effects: &E, about: &About, claim: Claim) -> Result<Verdict, Fault> {
    let release = Order::Step(about.key.clone(), ledger::Command::Release(claim.fence.clone()));
    match effects.call_object::<Ledger>(&about.scope, &Order::Start(about.clone(), claim)).await {
        Ok(ledger::Reply::Verdict(verdict)) => Ok(verdict),
        Ok(_) => Err(Fault::Internal),
        Err(fault) => {
            effects.call_after_response::<Ledger>(&about.scope, &release);
            Err(fault)
        }
    }
}

impl Claimed {
    /// Returns the headers that tell upstream about the claim.
    #[must_use]
    pub fn marks(&self) -> Vec<(&'static str, String)> {
        match &self.kind {
            Kind::Key(key_claim) => key_claim.upstream_headers(),
            Kind::Event(event) => event.upstream_headers(),
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
    ) -> Result<&'static str, EarlyResponse> {
        match (&self.kind, response) {
            (Kind::Key(key_claim), Ok(response)) => key_claim.settle(self, effects, response).await,
            // Whether the request ran is unknown: leave the claim until its lease ends.
            (Kind::Key(_), Err(fault)) => Err(fault.into()),
            (Kind::Event(_), response) => {
                event::settle(self, effects, response).await.map_err(EarlyResponse::from)
            }
        }
    }

    /// Settles the claim with the reply of an endpoint. A rejected request did not run: its claim is released. After a
    /// fault, the outcome is unknown.
    pub async fn settle_own<E: Effects>(
        &self,
        effects: &E,
        reply: Result<&Reply, &EarlyResponse>,
    ) -> &'static str {
        match (&self.kind, reply) {
            (_, Err(EarlyResponse::Failed(_))) => UNSETTLED,
            (Kind::Key(key_claim), Ok(reply)) => key_claim.settle_own(self, effects, reply).await,
            (Kind::Event(_), _) | (_, Err(_)) => self.release(effects).await,
        }
    }

    /// Releases a claim under which nothing ran.
    pub async fn give_back<E: Effects>(&self, effects: &E) {
        self.release(effects).await;
    }

    /// Releases the claim, so that the request may run again.
    async fn release<E: Effects>(&self, effects: &E) -> &'static str {
        match self.step(effects, ledger::Command::Release(self.fence.clone())).await {
            SETTLED => "released",
            other => other,
        }
    }

    async fn step<E: Effects>(&self, effects: &E, command: ledger::Command) -> &'static str {
        let step = Order::Step(self.about.key.clone(), command);
        settled(&effects.call_object::<Ledger>(&self.about.scope, &step).await)
    }
}

/// Returns [`SETTLED`] if the ledger stored the outcome. Otherwise, the outcome becomes unknown when the lease ends.
fn settled(reply: &Result<ledger::Reply, Fault>) -> &'static str {
    if *reply == Ok(ledger::Reply::Verdict(Verdict::Done)) { SETTLED } else { UNSETTLED }
}

const SETTLED: &str = "settled";
const UNSETTLED: &str = "unsettled";

/// Time for settling a claim. It is added to the timeout of upstream for the lease.
const SETTLING_TIME: Duration = Duration::from_secs(15);
