//! Claims for a client's request with an idempotency key.
//!
//! A repeated request gets the stored answer, or an error: the first request is in flight, or its outcome is unknown.
//! All checks of the repeated request ran before: a stored answer is replayed only if the client passes them again.
//!
//! If upstream fails or hangs, nothing is stored: the claim stays until its lease ends, and then the outcome is
//! unknown.

use std::time::Duration;

use super::claim::{self, ClaimResult, Claimed, GrantedClaim, SETTLING_TIME, Started};
use super::settings::Settings;
use crate::{
    base::{json, time::whole_seconds},
    checkouts::{self, Begin, BeginOutcome, Checkouts},
    http::{
        problem::{Fault, OutcomeInfo, Rejection},
        reply::{EarlyResponse, Reply},
    },
    idempotency::{
        self, Key,
        ledger::{self, About, AnswerLocation, ClaimRequest, Earlier, Ledger, Outcome, Spans, Verdict},
    },
    identity::{access::Admission, scope},
    platform::{
        effects::{
            Buffered, BufferedResponse, Effects, KvEntry, SealedBody, Sealing, StoredAnswer, UpstreamResponse,
        },
        event::ClaimState,
    },
    redirects::site::Site,
    routing::{
        routed::RoutedRequest,
        rule::{Checkout, Hold, Idempotency},
    },
};

/// The idempotency key's part of a claim.
#[derive(Debug)]
pub struct KeyClaim {
    policy: Idempotency,
    sealing_key: String,
    /// Maximum size of a stored answer, in bytes.
    max_answer: usize,
    /// Whether the request may have run before, and upstream is asked about it.
    is_recovery: bool,
    checkout: Option<Box<NewCheckout>>,
}

/// The checkout that a request starts.
#[derive(Debug)]
struct NewCheckout {
    checkout: Checkout,
    /// Scope of the user or agent who starts it. Every client that knows the ref can see an anonymous checkout.
    owner: Option<String>,
}

/// The outcome of registering a checkout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Registered {
    /// The checkout is registered, or the answer does not start one.
    Yes,
    /// The checkout is not registered. The client gets the answer anyway.
    No,
    /// The checkout belongs to another owner.
    Conflict,
}

/// What claims under a key need of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct KeyContext<'a> {
    /// The settings of idempotency.
    pub settings: &'a Settings,
    /// The public side of the deployment.
    pub site: &'a Site,
}

/// What was read of a request's body for its claim.
#[derive(Clone, Copy, Debug)]
pub struct KeyedBody<'a> {
    /// The idempotency key in the body.
    pub key: Result<Option<&'a Key>, Rejection>,
    /// The SHA-256 of the body, in hex.
    pub sha256: Option<&'a str>,
}

/// Claims the right to run a request under its idempotency key, or returns the stored answer.
///
/// # Errors
/// [`EarlyResponse`] if the request cannot run now, or must not run again.
pub async fn acquire<E: Effects>(
    cx: KeyContext<'_>,
    effects: &E,
    routed: RoutedRequest<'_>,
    policy: Idempotency,
    admission: &Admission,
    body: KeyedBody<'_>,
) -> Result<ClaimResult<E::Response, Claimed<KeyClaim>>, EarlyResponse> {
    let RoutedRequest { rule, forwarded, target, meta } = routed;
    let request = forwarded.request;
    let key = match Key::read(&request.headers, &policy)? {
        Some(key) => key,
        None => match body.key? {
            Some(key) => key.clone(),
            None => return Ok(ClaimResult::NotNeeded),
        },
    };
    let body = body.sha256.ok_or(Fault::Internal)?;
    let scope = scope::of_claim(admission, request);
    let about = About { key: key.hashed(), scope, operation: rule.operation_or_path().to_owned() };
    let fingerprint = idempotency::fingerprint(forwarded, target, body);
    let lease = rule.timeout.saturating_add(BUFFERING_TIME).saturating_add(SETTLING_TIME);
    let spans = Spans { lease, retention: policy.retention };
    let again = policy.hold != Hold::Conflict;
    let earlier = Earlier {
        fingerprint: idempotency::fingerprint_without_host(request, target, body),
        is_same: is_only_origin(cx.site, request.authority),
    };
    let claim = ClaimRequest::new(meta.request_id, fingerprint, spans, again).with_earlier(earlier);
    let Started { verdict, attachment } = claim::start(effects, &about, claim).await?;
    let keys = cx.settings.seals.keys(&about.scope, &key);
    match verdict {
        Verdict::Granted { may_have_run } => {
            let kind = KeyClaim {
                policy,
                sealing_key: keys.into_iter().next().ok_or(Fault::Internal)?,
                max_answer: if cx.settings.has_kv { MAX_ANSWER } else { MAX_ANSWER_IN_ROW },
                is_recovery: may_have_run && policy.hold == Hold::Ask,
                checkout: rule.checkout.clone().map(|checkout| {
                    let owner = admission.principal().map(|_| about.scope.clone());
                    Box::new(NewCheckout { checkout, owner })
                }),
            };
            let granted = GrantedClaim { about, fencing_token: meta.request_id.to_owned() };
            Ok(ClaimResult::Granted(Claimed { granted, kind }))
        }
        Verdict::Ran(Outcome { kept: AnswerLocation::InRow, status }) => {
            let stored = StoredAnswer::Attached(attachment.ok_or(Fault::StoreUnavailable)?);
            replayed(effects.load_sealed(&keys, stored).await?, status)
        }
        Verdict::Ran(Outcome { kept: AnswerLocation::InKv(name), status }) => {
            replayed(effects.load_sealed(&keys, StoredAnswer::Kv(&name)).await?, status)
        }
        Verdict::Ran(Outcome { kept: AnswerLocation::NotStored, status }) => {
            Err(Rejection::IdempotencyOutcomeUnknown(OutcomeInfo::Status(status)).into())
        }
        Verdict::Ran(Outcome { kept: AnswerLocation::ResolvedByOperator, .. }) => {
            Err(Rejection::IdempotencyOutcomeUnknown(OutcomeInfo::Ran).into())
        }
        Verdict::InFlight(left) => {
            let soon = left.clamp(1, 2).unsigned_abs();
            Err(Rejection::IdempotencyInFlight(u32::try_from(soon).unwrap_or(1)).into())
        }
        Verdict::Unknown => Err(Rejection::IdempotencyOutcomeUnknown(OutcomeInfo::Nothing).into()),
        Verdict::Reused => Err(Rejection::IdempotencyKeyReused.into()),
        Verdict::Done | Verdict::Lost => Err(Fault::Internal.into()),
    }
}

/// Checks whether the only public origin has this host. Records of version 0.1, which have no host, then belong to it.
fn is_only_origin(site: &Site, authority: &str) -> bool {
    matches!(site.return_path.public.as_slice(), [only] if only.authority() == authority)
}

/// Returns the stored answer as the result. If no key decrypts it, the outcome is unknown.
fn replayed<R, C>(
    answer: Option<UpstreamResponse<R>>,
    status: u16,
) -> Result<ClaimResult<R, C>, EarlyResponse> {
    let unknown = Rejection::IdempotencyOutcomeUnknown(OutcomeInfo::Status(status));
    answer.map(ClaimResult::Replay).ok_or(unknown.into())
}

impl NewCheckout {
    /// Logs what happened to the checkout.
    fn log<E: Effects>(&self, effects: &E, claimed: &GrantedClaim, event: &str, reason: Option<&str>) {
        let (provider, request_id) = (&self.checkout.provider, &claimed.fencing_token);
        let line = serde_json::json!({ "event": event, "requestId": request_id, "provider": provider, "reason": reason });
        effects.log(&line.to_string());
    }
}

impl KeyClaim {
    /// Returns the headers that tell upstream about the claim.
    #[must_use]
    pub fn upstream_headers(&self) -> Vec<(&'static str, String)> {
        if self.is_recovery { vec![("x-idempotency-recovery", "1".to_owned())] } else { Vec::new() }
    }

    /// Settles the claim with upstream's response, stores the answer if possible, and registers the checkout.
    ///
    /// # Errors
    /// [`EarlyResponse`] if the response breaks off, or starts a checkout that belongs to another owner.
    pub async fn settle<E: Effects>(
        &self,
        claimed: &GrantedClaim,
        effects: &E,
        response: &UpstreamResponse<E::Response>,
    ) -> Result<ClaimState, EarlyResponse> {
        if !idempotency::is_kept(self.policy.save, response.status) {
            return Ok(claimed.release(effects).await);
        }
        let head = idempotency::head(response.status, response.headers().iter());
        let buffered = match effects.buffer_response(self.max_answer, BUFFERING_TIME).await {
            Ok(BufferedResponse::Whole(buffered)) => buffered,
            Ok(BufferedResponse::Stream) => {
                let state = self.settle_without_answer(claimed, effects, response.status).await;
                let lost = self.checkout.as_deref().filter(|_| (200..300).contains(&response.status));
                if let Some(new) = lost {
                    new.log(effects, claimed, "checkout_unregistered", Some("stream"));
                }
                return Ok(if lost.is_some() { ClaimState::Unregistered } else { state });
            }
            // The request ran, although its answer is lost.
            Err(fault) => {
                self.settle_without_answer(claimed, effects, response.status).await;
                return Err(fault.into());
            }
        };
        let registered = self.register_checkout(claimed, effects, response.status, buffered).await;
        if registered == Registered::Conflict {
            // Upstream's answer is about another user's checkout: no client gets it, now or in a replay.
            self.settle_without_answer(claimed, effects, response.status).await;
            return Err(Rejection::CheckoutConflict.into());
        }
        let length = buffered.length.saturating_add(head.len());
        let mut state = ClaimState::Unsettled;
        if length <= self.max_answer {
            let answer =
                StoredHead { status: response.status, head: &head, body: SealedBody::Upstream(buffered) };
            state = self.store_answer(claimed, effects, answer, length > MAX_ANSWER_IN_ROW).await;
        }
        // If the answer cannot be stored, at least store that the request ran.
        if state == ClaimState::Unsettled {
            state = self.settle_without_answer(claimed, effects, response.status).await;
        }
        Ok(if registered == Registered::Yes { state } else { ClaimState::Unregistered })
    }

    /// Registers the checkout that upstream's answer names. Logs the reason if that is not possible.
    async fn register_checkout<E: Effects>(
        &self,
        claimed: &GrantedClaim,
        effects: &E,
        status: u16,
        buffered: Buffered,
    ) -> Registered {
        let Some(new) = self.checkout.as_deref().filter(|_| (200..300).contains(&status)) else {
            return Registered::Yes;
        };
        let NewCheckout { checkout, owner } = new;
        let log = |event, reason: Option<&str>| new.log(effects, claimed, event, reason);
        let body = effects.buffered_body(buffered).await.unwrap_or_default();
        let reference = match checkouts::reference_in(json::find(&body, &checkout.reference)) {
            Ok(reference) => reference,
            Err(unusable) => {
                log("checkout_unregistered", Some(unusable.code()));
                return Registered::No;
            }
        };
        let group = checkouts::group_of(&reference);
        let (provider, reserve) = (checkout.provider.clone(), whole_seconds(checkout.reserve));
        let begin = checkouts::Command::Begin(Begin { provider, reference, owner: owner.clone(), reserve });
        match effects.call_object::<Checkouts>(&group, &begin).await {
            Ok(checkouts::Reply::Begun(BeginOutcome::Started)) => Registered::Yes,
            Ok(checkouts::Reply::Begun(BeginOutcome::Continued)) => {
                log("checkout_continued", None);
                Registered::Yes
            }
            Ok(checkouts::Reply::Begun(BeginOutcome::Conflict)) => {
                log("checkout_conflict", None);
                Registered::Conflict
            }
            Ok(_) | Err(_) => {
                log("checkout_unregistered", Some("store"));
                Registered::No
            }
        }
    }

    /// Settles the claim with the reply of an endpoint.
    pub async fn settle_reply<E: Effects>(
        &self,
        claimed: &GrantedClaim,
        effects: &E,
        reply: &Reply,
    ) -> ClaimState {
        if !idempotency::is_kept(self.policy.save, reply.status) {
            return claimed.release(effects).await;
        }
        let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let head = idempotency::head(reply.status, headers);
        let body = reply.body.as_deref().unwrap_or_default();
        let answer = StoredHead { status: reply.status, head: &head, body: SealedBody::Own(body) };
        self.store_answer(claimed, effects, answer, false).await
    }

    /// Settles the claim without the answer: the request will not run again, and its answer cannot be replayed.
    async fn settle_without_answer<E: Effects>(
        &self,
        claimed: &GrantedClaim,
        effects: &E,
        status: u16,
    ) -> ClaimState {
        let outcome = Outcome { status, kept: AnswerLocation::NotStored };
        claimed.send(effects, ledger::Transition::Settle(claimed.fencing_token.clone(), outcome)).await
    }

    /// Settles the claim with the sealed answer, stored with the record or, if it is long, in KV.
    async fn store_answer<E: Effects>(
        &self,
        claimed: &GrantedClaim,
        effects: &E,
        StoredHead { status, head, body }: StoredHead<'_>,
        is_long: bool,
    ) -> ClaimState {
        let kv_name = is_long.then(|| effects.new_id("idempotent:"));
        let kept = kv_name.clone().map_or(AnswerLocation::InRow, AnswerLocation::InKv);
        let sealing = Sealing {
            key: &self.sealing_key,
            head,
            body,
            kv_entry: kv_name
                .as_deref()
                .map(|name| KvEntry { name, lifetime: whole_seconds(self.policy.retention) }),
        };
        let settle = ledger::Transition::Settle(claimed.fencing_token.clone(), Outcome { status, kept });
        let command = ledger::Command::Transition(claimed.about.key.clone(), settle);
        claim::settled(&effects.seal_and_store::<Ledger>(&claimed.about.scope, &command, sealing).await)
    }
}

/// A response to store.
struct StoredHead<'a> {
    status: u16,
    head: &'a str,
    body: SealedBody<'a>,
}

/// Time for upstream's body after its headers have arrived.
const BUFFERING_TIME: Duration = Duration::from_secs(30);

/// Maximum size of an answer that is stored with its record, in bytes. A row can hold 2 MB.
const MAX_ANSWER_IN_ROW: usize = 1_048_576;

/// Maximum size of an answer that is stored at all, in bytes.
const MAX_ANSWER: usize = 8 * 1_048_576;
