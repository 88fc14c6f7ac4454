//! Claims for a provider's event: verifies the received bytes, then runs the event once.
//!
//! The claim's key consists of signed data. An event that ran before is answered as a duplicate. For an event in
//! flight, the provider is asked to retry. If upstream did not accept an event, the claim is released for the next
//! attempt. Events that the operator does not list are answered, but not forwarded.
//!
//! An unsigned header does not make an event new, with one limited exception: some providers send the same bytes
//! with several types. Then the type is part of the key, if the operator has listed it ([`Webhook::by_type`]).

use sha2::{Digest, Sha256};

use crate::{
    base::{encoding, json, time::whole_seconds},
    checkouts::{
        self, Checkouts, Evidence,
        settings::{ConfirmingEvent, Settings as CheckoutSettings},
    },
    http::{
        header_filter::ForwardedRequest,
        origin::Origin,
        problem::{Fault, Rejection},
        reply::{EarlyResponse, Reply},
        request::HeaderLines,
    },
    idempotency::{
        claim::{self, ClaimResult, Claimed, GrantedClaim, SETTLING_TIME},
        ledger::{self, About, AnswerLocation, ClaimRequest, Ledger, Outcome, Spans, Verdict},
    },
    platform::{
        effects::{BodyWasRead, Effects, ReadBody, UpstreamResponse},
        event::{ClaimState, RequestMeta},
    },
    redirects::site::Site,
    routing::routed::RoutedRequest,
    webhooks::{
        Arrival, Delivery, EventType, Received, Signed,
        inbox::{self, Inbox},
        settings::Webhook,
    },
};

/// An event's part of a claim.
#[derive(Debug)]
pub struct EventClaim {
    received: Received,
    /// Whether the event's type is signed.
    signs_type: bool,
}

impl EventClaim {
    /// Returns the headers that tell upstream about the event.
    #[must_use]
    pub fn upstream_headers(&self) -> Vec<(&'static str, String)> {
        self.received.upstream_headers(self.signs_type)
    }
}

/// What claims of events need of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct EventContext<'a> {
    /// The public side of the deployment.
    pub site: &'a Site,
    /// The settings of checkouts.
    pub checkouts: &'a CheckoutSettings,
}

/// Verifies an event and claims it, or stores it in the inbox if its webhook has one.
///
/// # Errors
/// [`EarlyResponse`] if the signature or the body is invalid, the event is in flight, or a store fails.
pub async fn acquire<E: Effects>(
    cx: EventContext<'_>,
    effects: &E,
    routed: RoutedRequest<'_>,
    webhook: &Webhook,
) -> Result<ClaimResult<E::Response, Claimed<EventClaim>>, EarlyResponse> {
    let RoutedRequest { rule, forwarded, target, meta } = routed;
    let request = forwarded.request;
    // Don't read the body if the headers cannot contain a current signature.
    if let Err(invalid) = webhook.verifier.glance(&request.headers, meta.now) {
        return Err(Rejection::InvalidSignature(invalid.code()).into());
    }
    let ReadBody { bytes: body, was_read } =
        effects.bytes(webhook.body_limit).await.map_err(Rejection::from)?;
    // The URL for signatures has the canonical public origin, whatever host the request was sent to.
    let origin = cx.site.canonical_origin().map_or("", Origin::as_str);
    let url = format!("{origin}{target}");
    let signed = Signed { headers: &request.headers, body: &body, url: &url };
    // A test's fixed clock stays fixed.
    let arrived = cx.site.fixed_now.unwrap_or(meta.after(effects.elapsed()).now);
    let delivery = webhook
        .verifier
        .verify(signed, Arrival { head: meta.now, body: arrived })
        .map_err(|invalid| Rejection::InvalidSignature(invalid.code()))?;
    // Reject JSON that two parsers can read differently.
    if json::is_ambiguous(&body) {
        return Err(Rejection::InvalidBody(
            "(body)",
            "expected JSON without duplicate members, nested at most 128 levels deep",
        )
        .into());
    }
    confirm(cx.checkouts, effects, webhook, &delivery, &body, meta).await?;
    let pointer = webhook.inbox.as_ref().and_then(|inbox| inbox.subject.as_deref());
    let subject = pointer.and_then(|pointer| subject(&body, pointer));
    // The platform still has the body. Free this copy before waiting for the stores.
    drop(body);
    let Identified { received, hashed, earlier } = identify(webhook, delivery);
    let kind = received.event_type.as_deref().unwrap_or_default();
    if !webhook.events.is_empty() && !webhook.events.iter().any(|listed| listed == kind) {
        return Ok(ClaimResult::Answer(acknowledge("x-webhook-ignored")));
    }
    if webhook.inbox.is_some() {
        let event = inbox::Event {
            id: effects.new_id(&format!("{}{}.", inbox::PREFIX, webhook.name)),
            received,
            subject,
            target: target.to_owned(),
            header_lines: HeaderLines(headers_to_store(forwarded)),
        };
        return accept(effects, webhook, event, was_read).await;
    }
    let about =
        About { scope: scope(webhook, &hashed), key: hashed, operation: rule.operation_or_path().to_owned() };
    // The fingerprint is empty: an event's bytes can differ between attempts, because providers count attempts in them.
    let spans = Spans { lease: rule.timeout.saturating_add(SETTLING_TIME), retention: webhook.retention };
    let claim = ClaimRequest::new(meta.request_id, String::new(), spans, true);
    match claim::start(effects, &about, claim).await?.verdict {
        Verdict::Granted { .. } => {
            let fencing_token = meta.request_id.to_owned();
            let kind = EventClaim { received, signs_type: webhook.signs_type };
            let granted = GrantedClaim { about, fencing_token };
            if ran_earlier(effects, webhook, &granted, earlier).await? {
                return Ok(ClaimResult::Answer(acknowledge(DUPLICATE)));
            }
            Ok(ClaimResult::Granted(Claimed { granted, kind }))
        }
        Verdict::Ran(_) => Ok(ClaimResult::Answer(acknowledge(DUPLICATE))),
        Verdict::InFlight(_) => Err(Rejection::WebhookInFlight.into()),
        Verdict::Unknown | Verdict::Reused | Verdict::Done | Verdict::Lost => Err(Fault::Internal.into()),
    }
}

/// An event with its deduplication key.
struct Identified {
    received: Received,
    /// Key in the ledger.
    hashed: String,
    /// Key in the ledger by version 0.1, if it was different.
    earlier: Option<String>,
}

/// Returns an event's deduplication keys: the one for upstream, and the hashed ones for the ledger.
fn identify(webhook: &Webhook, delivery: Delivery) -> Identified {
    let Delivery { event_id, event_type, payload_hash, content_hash } = delivery;
    let unsigned = match &event_type {
        Some(EventType::Unsigned(kind)) => Some(hash(kind, &content_hash)),
        Some(EventType::Signed(_)) | None => None,
    };
    let (key, hashed, earlier) = match (event_id.clone().filter(|_| webhook.by_event_id), unsigned) {
        (Some(id), _) => (id.clone(), hash("id", &id), None),
        // Types that `events` does not list are not forwarded.
        (None, Some(with_type)) if webhook.by_type => (with_type.clone(), with_type, None),
        (None, earlier) => (content_hash.clone(), hash("content", &content_hash), earlier),
    };
    let event_type = event_type.map(|kind| kind.as_str().to_owned());
    let (provider, earlier_key) = (webhook.name.clone(), earlier.clone());
    let received = Received { provider, key, event_id, event_type, payload_hash, earlier_key };
    Identified { received, hashed, earlier }
}

/// Returns the name of an event's `Ledger` object.
fn scope(webhook: &Webhook, hashed: &str) -> String {
    format!("webhook:{}:{}", webhook.name, hashed.get(..1).unwrap_or_default())
}

/// Checks whether an event ran under its key of version 0.1. If so, settles its claim with that outcome.
async fn ran_earlier<E: Effects>(
    effects: &E,
    webhook: &Webhook,
    claimed: &GrantedClaim,
    earlier: Option<String>,
) -> Result<bool, Fault> {
    let Some(earlier) = earlier else { return Ok(false) };
    match effects
        .call_object::<Ledger>(&scope(webhook, &earlier), &ledger::Command::ReadOutcome(earlier))
        .await
    {
        Ok(ledger::Reply::Verdict(Verdict::Ran(outcome))) => {
            claimed.send(effects, ledger::Transition::Settle(claimed.fencing_token.clone(), outcome)).await;
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(fault) => {
            claimed.release(effects).await;
            Err(fault)
        }
    }
}

/// Confirms the checkouts that an event is about. Only a verified event confirms a checkout. The confirmation does not
/// depend on the later outcome of the event.
async fn confirm<E: Effects>(
    checkouts: &CheckoutSettings,
    effects: &E,
    webhook: &Webhook,
    delivery: &Delivery,
    body: &[u8],
    meta: RequestMeta<'_>,
) -> Result<(), Fault> {
    // An unsigned type proves nothing.
    let Some(EventType::Signed(kind)) = &delivery.event_type else { return Ok(()) };
    let confirms = |one: &&ConfirmingEvent| one.webhook == webhook.name && one.event == *kind;
    if !checkouts.confirming_events.iter().any(|one| confirms(&one)) {
        return Ok(());
    }
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { return Ok(()) };
    for confirmation in checkouts.confirming_events.iter().filter(confirms) {
        if !confirmation.equals.iter().all(|(pointer, wanted)| value.pointer(pointer) == Some(wanted)) {
            continue;
        }
        let reference = match checkouts::reference_in(json::find(body, &confirmation.reference)) {
            Ok(reference) => reference,
            Err(unusable) => {
                let line = serde_json::json!({
                    "event": "checkout_unconfirmed", "requestId": meta.request_id, "provider": webhook.name,
                    "reason": unusable.code(),
                });
                effects.log(&line.to_string());
                continue;
            }
        };
        let evidence = Evidence {
            webhook: webhook.name.clone(),
            event: delivery.event_id.clone().unwrap_or_else(|| delivery.content_hash.clone()),
            event_type: kind.clone(),
            at: meta.now,
        };
        let group = checkouts::group_of(&reference);
        effects
            .call_object::<Checkouts>(&group, &checkouts::Command::Confirm { reference, evidence })
            .await?;
    }
    Ok(())
}

/// Stores an event in the inbox before the provider is answered.
async fn accept<E: Effects>(
    effects: &E,
    webhook: &Webhook,
    event: inbox::Event,
    body: BodyWasRead,
) -> Result<ClaimResult<E::Response, Claimed<EventClaim>>, EarlyResponse> {
    let accept = inbox::Command::Accept(event, whole_seconds(webhook.retention));
    match effects.call_with_body::<Inbox>(&webhook.name, &accept, body).await? {
        inbox::Reply::Done => Ok(ClaimResult::Answer(Reply { status: 202, ..Reply::default() })),
        inbox::Reply::Duplicate => Ok(ClaimResult::Answer(acknowledge(DUPLICATE))),
        _ => Err(Fault::Internal.into()),
    }
}

/// Returns the event's subject: the string or number at a JSON pointer in its body.
fn subject(body: &[u8], pointer: &str) -> Option<String> {
    let value = json::find(body, pointer)?;
    match value.as_bytes().first()? {
        b'"' => serde_json::from_str(value).ok(),
        b'-' | b'0'..=b'9' => Some(value.to_owned()),
        _ => None,
    }
}

/// Serializes the headers for later delivery to upstream: all except [`NOT_STORED`] and the platform's `cf-*`.
fn headers_to_store(forwarded: &ForwardedRequest<'_>) -> String {
    let lines = forwarded
        .headers()
        .filter(|(name, _)| !NOT_STORED.contains(name) && !name.starts_with("cf-"))
        .map(|(name, value)| format!("{name}\n{value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Settles the claim if upstream accepted the event. Otherwise releases it, so that the provider's next attempt runs.
pub async fn settle<E: Effects>(
    claimed: &GrantedClaim,
    effects: &E,
    response: Result<&UpstreamResponse<E::Response>, Fault>,
) -> Result<ClaimState, Fault> {
    match response {
        Ok(UpstreamResponse { status: status @ 200..=299, .. }) => {
            let outcome = Outcome { status: *status, kept: AnswerLocation::NotStored };
            Ok(claimed
                .send(effects, ledger::Transition::Settle(claimed.fencing_token.clone(), outcome))
                .await)
        }
        Ok(_) => Ok(claimed.release(effects).await),
        Err(fault) => {
            claimed.release(effects).await;
            Err(fault)
        }
    }
}

/// Checks whether a reply says that the event was accepted before.
#[must_use]
pub fn is_duplicate(reply: &Reply) -> bool {
    reply.headers.iter().any(|(name, _)| *name == DUPLICATE)
}

/// The header of an answer to an event that was accepted before.
const DUPLICATE: &str = "x-webhook-duplicate";

/// Answers 200 with a header, without running the event.
fn acknowledge(header: &'static str) -> Reply {
    Reply { status: 200, headers: vec![(header, "true".to_owned())], body: None }
}

fn hash(kind: &str, text: &str) -> String {
    encoding::hex(&Sha256::digest(format!("{kind}:{text}")))
}

/// Headers that are not stored for later delivery.
const NOT_STORED: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
];
