//! The right to run a request once: asked of the ledger before anything leaves for upstream, given back with
//! what came of it.
//!
//! Who asks again is answered with what is kept, told that it is in flight, or told that nobody knows. All that
//! is judged of a request was judged before, now: nothing is answered again to somebody who may not ask.

use std::time::Duration;

use crate::{
    access::Admission,
    config::Config,
    context::Request,
    effects::{BodyError, Collected, Effects, Inbound, Reply, Sealing},
    event::Moment,
    idempotency::{self, Key},
    ledger::{self, About, Claim, Kept, Ledger, Order, Outcome, Verdict},
    problem::{Fault, Known, Rejection},
    refusal::Turned,
    rule::{Hold, Idempotency, Rule},
    time::whole_seconds,
};

/// What is to be done with a request.
#[derive(Debug)]
pub enum Taken<R> {
    /// Run it: it has no key, or its rule knows none.
    Free,
    /// Run it, and settle this.
    Ours(Claimed),
    /// It has run: this was the answer.
    Ran(Inbound<R>),
}

/// A claim of ours.
#[derive(Debug)]
pub struct Claimed {
    policy: Idempotency,
    about: About,
    fence: String,
    sealing_key: String,
    longest: usize,
    /// Whether it may have run before, and upstream is to be asked.
    pub is_question: bool,
}

/// Tells what a rule says of keys, where a request is of the kind that has one: a safe one needs none.
#[must_use]
pub fn of(rule: &Rule, request: &Request<'_>) -> Option<Idempotency> {
    rule.idempotency.filter(|_| !request.is_safe())
}

/// Claims what a request asks for.
///
/// # Errors
/// [`Turned`]: it cannot be run now, or not again.
pub async fn take<E: Effects>(
    config: &Config,
    effects: &E,
    (rule, policy): (&Rule, Idempotency),
    (request, target, moment): (&Request<'_>, &str, Moment<'_>),
    admission: &Admission,
) -> Result<Taken<E::Response>, Turned> {
    let Some(key) = Key::read(&request.headers, &policy)? else { return Ok(Taken::Free) };
    let body = effects.digest(policy.body_limit).await.map_err(|error| match error {
        BodyError::TooLarge => Rejection::BodyTooLarge,
        BodyError::NotText | BodyError::BrokenOff => {
            Rejection::InvalidBody("(body)", "expected the whole of it")
        }
    })?;
    let scope = idempotency::scope(admission.principal(), request);
    let operation = rule.operation.clone().unwrap_or_else(|| rule.path.clone());
    let about = About { key: key.hashed(), scope, operation };
    let fingerprint = idempotency::fingerprint(request, target, &body);
    let lease = rule.timeout.saturating_add(COLLECTING).saturating_add(SETTLING);
    let again = policy.hold != Hold::Conflict;
    let claim = Claim::new(moment.request_id, fingerprint, (lease, policy.retention), again);
    let start = Order::Start(about.clone(), claim);
    let ledger::Reply::Verdict(verdict) = effects.ask::<Ledger>(&about.scope, &start).await? else {
        return Err(Fault::Internal.into());
    };
    let keys = config.seals.keys(&about.scope, &key);
    match verdict {
        Verdict::Granted { may_have_run } => Ok(Taken::Ours(Claimed {
            policy,
            about,
            fence: moment.request_id.to_owned(),
            sealing_key: keys.into_iter().next().ok_or(Fault::Internal)?,
            longest: if config.keeps_long_answers { LONGEST } else { LONGEST_BESIDE },
            is_question: may_have_run && policy.hold == Hold::Ask,
        })),
        Verdict::Ran(Outcome { kept: Kept::Here, status }) => {
            opened(effects.open(&keys, None).await?, status)
        }
        Verdict::Ran(Outcome { kept: Kept::Elsewhere(name), status }) => {
            opened(effects.open(&keys, Some(&name)).await?, status)
        }
        Verdict::Ran(Outcome { kept: Kept::Not, status }) => {
            Err(Rejection::IdempotencyOutcomeUnknown(Known::Status(status)).into())
        }
        Verdict::Ran(Outcome { kept: Kept::BySomebodysWord, .. }) => {
            Err(Rejection::IdempotencyOutcomeUnknown(Known::Ran).into())
        }
        Verdict::InFlight(left) => {
            let soon = left.clamp(1, 2).unsigned_abs();
            Err(Rejection::IdempotencyInFlight(u32::try_from(soon).unwrap_or(1)).into())
        }
        Verdict::Unknown => Err(Rejection::IdempotencyOutcomeUnknown(Known::Nothing).into()),
        Verdict::Reused => Err(Rejection::IdempotencyKeyReused.into()),
        Verdict::Done | Verdict::Lost => Err(Fault::Internal.into()),
    }
}

/// An answer that no key opens is not known.
fn opened<R>(answer: Option<Inbound<R>>, status: u16) -> Result<Taken<R>, Turned> {
    let unknown = Rejection::IdempotencyOutcomeUnknown(Known::Status(status));
    answer.map(Taken::Ran).ok_or(unknown.into())
}

impl Claimed {
    /// Settles it with upstream's answer, whose body is read for that. Gives what became of it, for the log.
    ///
    /// # Errors
    /// [`Fault::UpstreamFailed`], [`Fault::UpstreamTimeout`]: the answer broke off, so what came of it is not known.
    pub async fn settle<E: Effects>(
        &self,
        effects: &E,
        inbound: &Inbound<E::Response>,
    ) -> Result<&'static str, Fault> {
        if !idempotency::is_kept(self.policy.save, inbound.status) {
            return Ok(self.release(effects).await);
        }
        let head = idempotency::head(inbound.status, inbound.headers().iter());
        let length = match effects.collect(self.longest, COLLECTING).await? {
            Collected::Whole(length) => length,
            Collected::Stream => {
                let step = self.settled(inbound.status, Kept::Not);
                return Ok(settled(&effects.ask::<Ledger>(&self.about.scope, &step).await));
            }
        };
        let is_long = length.saturating_add(head.len()) > LONGEST_BESIDE;
        Ok(self.keep(effects, (inbound.status, &head, None), is_long).await)
    }

    /// Settles it with an answer of our own. What was refused was not done; of what failed it is not known.
    pub async fn settle_own<E: Effects>(&self, effects: &E, reply: Result<&Reply, &Turned>) -> &'static str {
        let reply = match reply {
            Ok(reply) => reply,
            Err(Turned::Failed(_)) => return UNSETTLED,
            Err(Turned::Rejected(_) | Turned::SignedIn(_)) => return self.release(effects).await,
        };
        if !idempotency::is_kept(self.policy.save, reply.status) {
            return self.release(effects).await;
        }
        let head = idempotency::head(
            reply.status,
            reply.headers.iter().map(|(name, value)| (*name, value.as_str())),
        );
        let body = reply.body.as_deref().unwrap_or_default();
        self.keep(effects, (reply.status, &head, Some(body)), false).await
    }

    /// Says that it may be run again.
    async fn release<E: Effects>(&self, effects: &E) -> &'static str {
        let step = Order::Step(self.about.key.clone(), ledger::Command::Release(self.fence.clone()));
        match settled(&effects.ask::<Ledger>(&self.about.scope, &step).await) {
            SETTLED => "released",
            other => other,
        }
    }

    async fn keep<E: Effects>(
        &self,
        effects: &E,
        (status, head, body): (u16, &str, Option<&str>),
        is_long: bool,
    ) -> &'static str {
        let elsewhere = is_long.then(|| effects.new_id("idempotent:"));
        let kept = elsewhere.clone().map_or(Kept::Here, Kept::Elsewhere);
        let sealing = Sealing {
            key: &self.sealing_key,
            head,
            body,
            elsewhere: elsewhere.as_deref().map(|name| (name, whole_seconds(self.policy.retention))),
        };
        let settled = self.settled(status, kept);
        self::settled(&effects.keep::<Ledger>(&self.about.scope, &settled, sealing).await)
    }

    fn settled(&self, status: u16, kept: Kept) -> Order {
        let outcome = Outcome { status, kept };
        Order::Step(self.about.key.clone(), ledger::Command::Settle(self.fence.clone(), outcome))
    }
}

/// Says whether the ledger knows. Where it does not, the claim runs out and the outcome is unknown.
fn settled(told: &Result<ledger::Reply, Fault>) -> &'static str {
    if *told == Ok(ledger::Reply::Verdict(Verdict::Done)) { SETTLED } else { UNSETTLED }
}

const SETTLED: &str = "settled";
const UNSETTLED: &str = "unsettled";

/// How long upstream's body may take, once its headers are there.
const COLLECTING: Duration = Duration::from_secs(30);

/// How much longer than upstream may take a claim is held.
const SETTLING: Duration = Duration::from_secs(15);

/// Bytes of the longest answer that is kept beside its record: a row holds 2 MB.
const LONGEST_BESIDE: usize = 1_048_576;

/// Bytes of the longest answer that is kept at all.
const LONGEST: usize = 8 * 1_048_576;
