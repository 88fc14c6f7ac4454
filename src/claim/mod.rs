//! The right to run a request once: asked of the ledger before anything leaves for upstream, given back with
//! what came of it.
//!
//! There are two kinds: a client's request under its idempotency key, and a provider's event.

mod event;
mod key;

pub(crate) use key::UNREGISTERED;

use std::time::Duration;

use crate::{
    access::Admission,
    config::Config,
    context::Request,
    effects::{Effects, Reply, UpstreamResponse},
    event::RequestMeta,
    hygiene::ForwardedRequest,
    idempotency::Key,
    intake::Body,
    ledger::{self, About, Claim, Ledger, Order, Verdict},
    problem::{Fault, Rejection},
    refusal::EarlyResponse,
    rule::{Idempotency, Rule},
};

/// What is to be done with a request.
#[derive(Debug)]
pub enum Taken<R> {
    /// Run it: there is nothing to claim.
    Free,
    /// Run it, and settle this.
    Ours(Claimed),
    /// It has run: this was the answer.
    Ran(UpstreamResponse<R>),
    /// There is nothing to run: this is the answer.
    Known(Reply),
}

/// A claim of ours.
#[derive(Debug)]
pub struct Claimed {
    about: About,
    fence: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Key(key::Keyed),
    Event(event::Event),
}

/// Tells whether there is something to claim.
#[must_use]
pub fn is_asked_for(rule: &Rule, request: &Request<'_>) -> bool {
    rule.webhook.is_some() || (rule.idempotency.is_some() && !request.is_safe())
}

/// Tells whether a request has an idempotency key that counts: its body is part of what is claimed.
#[must_use]
pub fn has_key(rule: &Rule, request: &Request<'_>) -> bool {
    let policy = rule.idempotency.filter(|_| rule.webhook.is_none() && is_asked_for(rule, request));
    policy.is_some_and(|policy| matches!(Key::read(&request.headers, &policy), Ok(Some(_))))
}

/// Tells what would be refused before anything is claimed.
///
/// # Errors
/// [`Rejection`].
pub fn foresee(rule: &Rule, request: &Request<'_>) -> Result<(), Rejection> {
    match rule.idempotency.filter(|_| is_asked_for(rule, request)) {
        Some(policy) => Key::read(&request.headers, &policy).map(drop),
        None => Ok(()),
    }
}

/// Returns the policy of a rule by which the key may be in the body, of a request that has none in its headers.
#[must_use]
pub fn key_to_read(rule: &Rule, request: &Request<'_>) -> Option<Idempotency> {
    let policy = rule.idempotency.filter(|_| rule.webhook.is_none() && is_asked_for(rule, request))?;
    let is_in_body =
        policy.invocation_pointer.is_some() && matches!(Key::read(&request.headers, &policy), Ok(None));
    is_in_body.then_some(policy)
}

/// Claims what a request asks for.
///
/// # Errors
/// [`EarlyResponse`]: it cannot be run now, or not again.
pub async fn take<E: Effects>(
    config: &Config,
    effects: &E,
    rule: &Rule,
    asked: (&ForwardedRequest<'_>, &str, RequestMeta<'_>),
    admission: &Admission,
    body: &Body,
) -> Result<Taken<E::Response>, EarlyResponse> {
    match (rule.webhook.and_then(|at| config.webhooks.get(at)), rule.idempotency) {
        (Some(webhook), _) => event::take(config, effects, (rule, webhook), asked).await,
        (None, Some(policy)) => key::take(config, effects, (rule, policy), asked, admission, body).await,
        (None, None) => Ok(Taken::Free),
    }
}

/// Asks for a claim. One whose grant is not heard is given back: nothing was run under it.
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
    /// Gives what upstream is told of it.
    #[must_use]
    pub fn marks(&self) -> Vec<(&'static str, String)> {
        match &self.kind {
            Kind::Key(keyed) => keyed.marks(),
            Kind::Event(event) => event.marks(),
        }
    }

    /// Settles it with what came of it, of which the body may be read for that. Gives what became of the claim,
    /// for the log.
    ///
    /// # Errors
    /// [`EarlyResponse`]: upstream failed, its answer broke off, or it began another owner's checkout.
    pub async fn settle<E: Effects>(
        &self,
        effects: &E,
        inbound: Result<&UpstreamResponse<E::Response>, Fault>,
    ) -> Result<&'static str, EarlyResponse> {
        match (&self.kind, inbound) {
            (Kind::Key(keyed), Ok(inbound)) => keyed.settle(self, effects, inbound).await,
            // Whether it ran is not known: the claim runs out.
            (Kind::Key(_), Err(fault)) => Err(fault.into()),
            (Kind::Event(_), inbound) => {
                event::settle(self, effects, inbound).await.map_err(EarlyResponse::from)
            }
        }
    }

    /// Settles it with an answer of our own. What was refused was not done; of what failed it is not known.
    pub async fn settle_own<E: Effects>(
        &self,
        effects: &E,
        reply: Result<&Reply, &EarlyResponse>,
    ) -> &'static str {
        match (&self.kind, reply) {
            (_, Err(EarlyResponse::Failed(_))) => UNSETTLED,
            (Kind::Key(keyed), Ok(reply)) => keyed.settle_own(self, effects, reply).await,
            (Kind::Event(_), _) | (_, Err(_)) => self.release(effects).await,
        }
    }

    /// Gives a claim back under which nothing was run.
    pub async fn give_back<E: Effects>(&self, effects: &E) {
        self.release(effects).await;
    }

    /// Says that it may be run again.
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

/// Says whether the ledger knows. Where it does not, the claim runs out and the outcome is unknown.
fn settled(told: &Result<ledger::Reply, Fault>) -> &'static str {
    if *told == Ok(ledger::Reply::Verdict(Verdict::Done)) { SETTLED } else { UNSETTLED }
}

const SETTLED: &str = "settled";
const UNSETTLED: &str = "unsettled";

/// How much longer than upstream may take a claim is held.
const SETTLING: Duration = Duration::from_secs(15);
