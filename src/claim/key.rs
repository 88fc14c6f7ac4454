//! A client's request under its idempotency key.
//!
//! Who asks again is answered with what is kept, told that it is in flight, or told that nobody knows. All that
//! is judged of a request was judged before, now: nothing is answered again to somebody who may not ask.

use std::time::Duration;

use super::{Claimed, Kind, SETTLING, Taken};
use crate::{
    access::Admission,
    checkouts::{self, Begin, Beginning, Checkouts},
    config::Config,
    effects::{BufferedResponse, Effects, Reply, Sealing, UpstreamResponse},
    event::RequestMeta,
    hygiene::ForwardedRequest,
    idempotency::{self, Key},
    intake::Body,
    json,
    ledger::{self, About, Claim, Earlier, Kept, Ledger, Order, Outcome, Verdict},
    problem::{Fault, Known, Rejection},
    refusal::EarlyResponse,
    rule::{Checkout, Hold, Idempotency, Rule},
    time::whole_seconds,
};

/// What a claim under a key is settled by.
#[derive(Debug)]
pub(super) struct Keyed {
    policy: Idempotency,
    sealing_key: String,
    longest: usize,
    /// Whether it may have run before, and upstream is to be asked.
    is_question: bool,
    checkout: Option<Box<NewCheckout>>,
}

/// The checkout that a request begins.
#[derive(Debug)]
struct NewCheckout {
    checkout: Checkout,
    /// The scope of the user or agent who begins it. An anonymous checkout is visible to every client that knows the ref.
    owner: Option<String>,
}

/// The outcome of registering a checkout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Registered {
    /// It is registered, or there is none.
    Yes,
    /// It is not registered. The client gets the answer anyway.
    No,
    /// It is another owner's.
    Conflict,
}

/// Claims what a request asks for.
///
/// # Errors
/// [`EarlyResponse`]: it cannot be run now, or not again.
pub(super) async fn take<E: Effects>(
    config: &Config,
    effects: &E,
    (rule, policy): (&Rule, Idempotency),
    (forwarded, target, meta): (&ForwardedRequest<'_>, &str, RequestMeta<'_>),
    admission: &Admission,
    body: &Body,
) -> Result<Taken<E::Response>, EarlyResponse> {
    let request = forwarded.request;
    let key = match Key::read(&request.headers, &policy)? {
        Some(key) => key,
        None => match body.key()? {
            Some(key) => key.clone(),
            None => return Ok(Taken::Free),
        },
    };
    let body = body.sha256().ok_or(Fault::Internal)?;
    let scope = idempotency::scope(admission.principal(), request);
    let about = About { key: key.hashed(), scope, operation: rule.called().to_owned() };
    let fingerprint = idempotency::fingerprint(forwarded, target, body);
    let lease = rule.timeout.saturating_add(COLLECTING).saturating_add(SETTLING);
    let again = policy.hold != Hold::Conflict;
    let earlier = Earlier {
        fingerprint: idempotency::fingerprint_without_host(request, target, body),
        is_same: is_only_origin(config, request.authority),
    };
    let claim =
        Claim::new(meta.request_id, fingerprint, (lease, policy.retention), again).or_earlier(earlier);
    let verdict = super::start(effects, &about, claim).await?;
    let keys = config.seals.keys(&about.scope, &key);
    match verdict {
        Verdict::Granted { may_have_run } => {
            let kind = Kind::Key(Keyed {
                policy,
                sealing_key: keys.into_iter().next().ok_or(Fault::Internal)?,
                longest: if config.keeps_long_answers { LONGEST } else { LONGEST_BESIDE },
                is_question: may_have_run && policy.hold == Hold::Ask,
                checkout: rule.checkout.clone().map(|checkout| {
                    let owner = admission.principal().map(|_| about.scope.clone());
                    Box::new(NewCheckout { checkout, owner })
                }),
            });
            Ok(Taken::Ours(Claimed { about, fence: meta.request_id.to_owned(), kind }))
        }
        Verdict::Ran(Outcome { kept: Kept::Here, status }) => {
            opened(effects.load_sealed(&keys, None).await?, status)
        }
        Verdict::Ran(Outcome { kept: Kept::Elsewhere(name), status }) => {
            opened(effects.load_sealed(&keys, Some(&name)).await?, status)
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

/// Tells whether this host's is the only public origin: then records without a host belong to it.
fn is_only_origin(config: &Config, authority: &str) -> bool {
    matches!(config.return_path.public.as_slice(), [only] if only.authority() == authority)
}

/// An answer that no key opens is not known.
fn opened<R>(answer: Option<UpstreamResponse<R>>, status: u16) -> Result<Taken<R>, EarlyResponse> {
    let unknown = Rejection::IdempotencyOutcomeUnknown(Known::Status(status));
    answer.map(Taken::Ran).ok_or(unknown.into())
}

impl Keyed {
    pub(super) fn marks(&self) -> Vec<(&'static str, String)> {
        if self.is_question { vec![("x-idempotency-recovery", "1".to_owned())] } else { Vec::new() }
    }

    pub(super) async fn settle<E: Effects>(
        &self,
        claimed: &Claimed,
        effects: &E,
        inbound: &UpstreamResponse<E::Response>,
    ) -> Result<&'static str, EarlyResponse> {
        if !idempotency::is_kept(self.policy.save, inbound.status) {
            return Ok(claimed.release(effects).await);
        }
        let head = idempotency::head(inbound.status, inbound.headers().iter());
        let length = match effects.buffer_response(self.longest, COLLECTING).await {
            Ok(BufferedResponse::Whole(length)) => length,
            Ok(BufferedResponse::Stream) => return Ok(self.leave(claimed, effects, inbound.status).await),
            // It has run, whatever has become of its answer.
            Err(fault) => {
                self.leave(claimed, effects, inbound.status).await;
                return Err(fault.into());
            }
        };
        let registered = self.begin(claimed, effects, inbound.status).await;
        if registered == Registered::Conflict {
            // Upstream's answer is about another user's checkout: no client gets it, now or in a replay.
            self.leave(claimed, effects, inbound.status).await;
            return Err(Rejection::CheckoutConflict.into());
        }
        let length = length.saturating_add(head.len());
        let mut became = super::UNSETTLED;
        if length <= self.longest {
            let answer = (inbound.status, head.as_str(), None);
            became = self.keep(claimed, effects, answer, length > LONGEST_BESIDE).await;
        }
        // One ending: what cannot be kept is at least known to have run.
        if became == super::UNSETTLED {
            became = self.leave(claimed, effects, inbound.status).await;
        }
        Ok(if registered == Registered::Yes { became } else { UNREGISTERED })
    }

    /// Registers the checkout that upstream's answer names, or logs why it cannot.
    async fn begin<E: Effects>(&self, claimed: &Claimed, effects: &E, status: u16) -> Registered {
        let Some(new) = self.checkout.as_deref().filter(|_| (200..300).contains(&status)) else {
            return Registered::Yes;
        };
        let NewCheckout { checkout, owner } = new;
        let told = |event, reason: Option<&str>| {
            let (provider, request_id) = (&checkout.provider, &claimed.fence);
            let line = serde_json::json!({ "event": event, "requestId": request_id, "provider": provider, "reason": reason });
            effects.log(&line.to_string());
        };
        let body = effects.buffered_body().await.unwrap_or_default();
        let reference = match checkouts::reference_in(json::find(&body, &checkout.reference)) {
            Ok(reference) => reference,
            Err(unusable) => {
                told("checkout_unregistered", Some(unusable.code()));
                return Registered::No;
            }
        };
        let group = checkouts::group_of(&reference);
        let (provider, reserve) = (checkout.provider.clone(), whole_seconds(checkout.reserve));
        let begin = checkouts::Command::Begin(Begin { provider, reference, owner: owner.clone(), reserve });
        match effects.call_object::<Checkouts>(&group, &begin).await {
            Ok(checkouts::Reply::Begun(Beginning::Anew)) => Registered::Yes,
            Ok(checkouts::Reply::Begun(Beginning::Again)) => {
                told("checkout_continued", None);
                Registered::Yes
            }
            Ok(checkouts::Reply::Begun(Beginning::Conflict)) => {
                told("checkout_conflict", None);
                Registered::Conflict
            }
            Ok(_) | Err(_) => {
                told("checkout_unregistered", Some("store"));
                Registered::No
            }
        }
    }

    pub(super) async fn settle_own<E: Effects>(
        &self,
        claimed: &Claimed,
        effects: &E,
        reply: &Reply,
    ) -> &'static str {
        if !idempotency::is_kept(self.policy.save, reply.status) {
            return claimed.release(effects).await;
        }
        let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let head = idempotency::head(reply.status, headers);
        let body = reply.body.as_deref().unwrap_or_default();
        self.keep(claimed, effects, (reply.status, &head, Some(body)), false).await
    }

    /// Settles it without the answer: it is not run again, and nobody gets it again.
    async fn leave<E: Effects>(&self, claimed: &Claimed, effects: &E, status: u16) -> &'static str {
        let outcome = Outcome { status, kept: Kept::Not };
        claimed.step(effects, ledger::Command::Settle(claimed.fence.clone(), outcome)).await
    }

    async fn keep<E: Effects>(
        &self,
        claimed: &Claimed,
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
        let settle = ledger::Command::Settle(claimed.fence.clone(), Outcome { status, kept });
        let step = Order::Step(claimed.about.key.clone(), settle);
        super::settled(&effects.seal_and_store::<Ledger>(&claimed.about.scope, &step, sealing).await)
    }
}

/// Value for the log and the client's header if an answer begins a checkout that could not be registered.
pub(crate) const UNREGISTERED: &str = "unregistered";

/// How long upstream's body may take, once its headers are there.
const COLLECTING: Duration = Duration::from_secs(30);

/// Bytes of the longest answer that is kept beside its record: a row holds 2 MB.
const LONGEST_BESIDE: usize = 1_048_576;

/// Bytes of the longest answer that is kept at all.
const LONGEST: usize = 8 * 1_048_576;
