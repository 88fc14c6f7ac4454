//! A provider's event: verified over the bytes that came, then run once.
//!
//! What is verified is claimed by what was signed of it. An event that ran is answered so, one in flight is
//! asked for again by whoever sent it, and one that upstream did not take is free for the next attempt. Events
//! that the operator does not list are answered and go no further.
//!
//! An unsigned header never makes an event new, with one bounded exception: where a provider sends the same bytes
//! under several types, a type counts if the operator has listed it ([`Webhook::by_type`]).

use sha2::{Digest, Sha256};

use super::{Claimed, Kind, SETTLING, Taken};
use crate::{
    checkouts::{self, Checkouts, Evidence},
    config::{Config, Confirmation, Webhook},
    effects::{Effects, Reply, UpstreamResponse},
    encoding,
    event::RequestMeta,
    hygiene::ForwardedRequest,
    inbox::{self, Inbox},
    json,
    ledger::{self, About, Claim, Kept, Ledger, Order, Outcome, Verdict},
    origin::Origin,
    problem::{Fault, Rejection},
    refusal::EarlyResponse,
    rule::Rule,
    time::whole_seconds,
    webhook::{Arrival, Delivery, EventType, Received, Signed},
};

/// What settling a claim of an event needs.
#[derive(Debug)]
pub(super) struct Event {
    received: Received,
    /// Whether its type is signed.
    signs_type: bool,
}

impl Event {
    pub(super) fn marks(&self) -> Vec<(&'static str, String)> {
        self.received.marks(self.signs_type)
    }
}

pub(super) async fn take<E: Effects>(
    config: &Config,
    effects: &E,
    (rule, webhook): (&Rule, &Webhook),
    (forwarded, target, meta): (&ForwardedRequest<'_>, &str, RequestMeta<'_>),
) -> Result<Taken<E::Response>, EarlyResponse> {
    let request = forwarded.request;
    // Who shows nothing that could be a signature of now is not read to.
    if let Err(invalid) = webhook.verifier.glance(&request.headers, meta.now) {
        return Err(Rejection::InvalidSignature(invalid.code()).into());
    }
    let body = effects.bytes(webhook.body_limit).await.map_err(Rejection::from)?;
    // What the provider was told is the canonical origin, whatever name the request came by.
    let origin = config.return_path.public.first().map_or("", Origin::as_str);
    let url = format!("{origin}{target}");
    let signed = Signed { headers: &request.headers, body: &body, url: &url };
    // A test's fixed clock stays fixed.
    let arrived = config.fixed_now.unwrap_or(meta.after(effects.elapsed()).now);
    let delivery = webhook
        .verifier
        .verify(signed, Arrival { head: meta.now, body: arrived })
        .map_err(|invalid| Rejection::InvalidSignature(invalid.code()))?;
    // JSON that two readers read differently proves nothing.
    if json::is_ambiguous(&body) {
        return Err(Rejection::InvalidBody(
            "(body)",
            "expected JSON without duplicate members, nested at most 128 levels deep",
        )
        .into());
    }
    confirm(config, effects, webhook, (&delivery, &body), meta).await?;
    let pointer = webhook.inbox.as_ref().and_then(|inbox| inbox.subject.as_deref());
    let subject = pointer.and_then(|pointer| subject(&body, pointer));
    // The platform still has the body: free this copy before waiting for the stores.
    drop(body);
    let Identified { received, hashed, earlier } = told_apart(webhook, delivery);
    let kind = received.event_type.as_deref().unwrap_or_default();
    if !webhook.events.is_empty() && !webhook.events.iter().any(|listed| listed == kind) {
        return Ok(Taken::Known(noted("x-webhook-ignored")));
    }
    if webhook.inbox.is_some() {
        let event = inbox::Event {
            id: effects.new_id(&format!("{}{}.", inbox::PREFIX, webhook.name)),
            received,
            subject,
            target: target.to_owned(),
            fields: handed_on(forwarded),
        };
        return accept(effects, webhook, event).await;
    }
    let about = About { scope: scope(webhook, &hashed), key: hashed, operation: rule.called().to_owned() };
    // The same event need not have the same bytes each time: providers count attempts in it.
    let spans = (rule.timeout.saturating_add(SETTLING), webhook.retention);
    let claim = Claim::new(meta.request_id, String::new(), spans, true);
    match super::start(effects, &about, claim).await? {
        Verdict::Granted { .. } => {
            let fence = meta.request_id.to_owned();
            let kind = Kind::Event(Event { received, signs_type: webhook.signs_type });
            let claimed = Claimed { about, fence, kind };
            if ran_earlier(effects, webhook, &claimed, earlier).await? {
                return Ok(Taken::Known(noted("x-webhook-duplicate")));
            }
            Ok(Taken::Ours(claimed))
        }
        Verdict::Ran(_) => Ok(Taken::Known(noted("x-webhook-duplicate"))),
        Verdict::InFlight(_) => Err(Rejection::WebhookInFlight.into()),
        Verdict::Unknown | Verdict::Reused | Verdict::Done | Verdict::Lost => Err(Fault::Internal.into()),
    }
}

/// An event with its deduplication key.
struct Identified {
    received: Received,
    /// The key under which the ledger stores it.
    hashed: String,
    /// The key under which version 0.1 stored it, if that was another one.
    earlier: Option<String>,
}

/// Finds what an event is told apart by, as upstream may see it and as the ledger has it.
fn told_apart(webhook: &Webhook, delivery: Delivery) -> Identified {
    let Delivery { event_id, event_type, payload_hash, content_hash } = delivery;
    let unsigned = match &event_type {
        Some(EventType::Unsigned(kind)) => Some(hash(kind, &content_hash)),
        Some(EventType::Signed(_)) | None => None,
    };
    let (key, hashed, earlier) = match (event_id.clone().filter(|_| webhook.by_event_id), unsigned) {
        (Some(id), _) => (id.clone(), hash("id", &id), None),
        // Types that `events` does not list go no further.
        (None, Some(with_type)) if webhook.by_type => (with_type.clone(), with_type, None),
        (None, earlier) => (content_hash.clone(), hash("content", &content_hash), earlier),
    };
    let event_type = event_type.map(|kind| kind.as_str().to_owned());
    let (provider, earlier_key) = (webhook.name.clone(), earlier.clone());
    let received = Received { provider, key, event_id, event_type, payload_hash, earlier_key };
    Identified { received, hashed, earlier }
}

/// Names the ledger of an event.
fn scope(webhook: &Webhook, hashed: &str) -> String {
    format!("webhook:{}:{}", webhook.name, hashed.get(..1).unwrap_or_default())
}

/// Looks an event up under the key that version 0.1 gave it, and settles its claim where it ran under that.
async fn ran_earlier<E: Effects>(
    effects: &E,
    webhook: &Webhook,
    claimed: &Claimed,
    earlier: Option<String>,
) -> Result<bool, Fault> {
    let Some(earlier) = earlier else { return Ok(false) };
    match effects.call_object::<Ledger>(&scope(webhook, &earlier), &Order::Look(earlier)).await {
        Ok(ledger::Reply::Verdict(Verdict::Ran(outcome))) => {
            claimed.step(effects, ledger::Command::Settle(claimed.fence.clone(), outcome)).await;
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(fault) => {
            claimed.release(effects).await;
            Err(fault)
        }
    }
}

/// Confirms the checkouts that an event is about. Whatever becomes of the event, what was verified is believed:
/// that is all that ever confirms one.
async fn confirm<E: Effects>(
    config: &Config,
    effects: &E,
    webhook: &Webhook,
    (delivery, body): (&Delivery, &[u8]),
    meta: RequestMeta<'_>,
) -> Result<(), Fault> {
    // A type that nobody signed is nobody's word.
    let Some(EventType::Signed(kind)) = &delivery.event_type else { return Ok(()) };
    let confirms = |one: &&Confirmation| one.webhook == webhook.name && one.event == *kind;
    if !config.confirmations.iter().any(|one| confirms(&one)) {
        return Ok(());
    }
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { return Ok(()) };
    for confirmation in config.confirmations.iter().filter(confirms) {
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

/// Has the inbox keep an event before the provider is answered.
async fn accept<E: Effects>(
    effects: &E,
    webhook: &Webhook,
    event: inbox::Event,
) -> Result<Taken<E::Response>, EarlyResponse> {
    let accept = inbox::Command::Accept(event, whole_seconds(webhook.retention));
    match effects.call_with_body::<Inbox>(&webhook.name, &accept).await? {
        inbox::Reply::Done => Ok(Taken::Known(Reply { status: 202, ..Reply::default() })),
        inbox::Reply::Duplicate => Ok(Taken::Known(noted("x-webhook-duplicate"))),
        _ => Err(Fault::Internal.into()),
    }
}

/// Finds what an event is about.
fn subject(body: &[u8], pointer: &str) -> Option<String> {
    let value = json::find(body, pointer)?;
    match value.as_bytes().first()? {
        b'"' => serde_json::from_str(value).ok(),
        b'-' | b'0'..=b'9' => Some(value.to_owned()),
        _ => None,
    }
}

/// Lists the headers that upstream sees of a request that is handed on later: those of the message, not those of
/// the connection it came by.
fn handed_on(forwarded: &ForwardedRequest<'_>) -> String {
    let lines = forwarded
        .headers()
        .filter(|(name, _)| !NOT_HANDED_ON.contains(name) && !name.starts_with("cf-"))
        .map(|(name, value)| format!("{name}\n{value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Settles it where upstream took it; else the provider's next attempt goes through.
pub(super) async fn settle<E: Effects>(
    claimed: &Claimed,
    effects: &E,
    inbound: Result<&UpstreamResponse<E::Response>, Fault>,
) -> Result<&'static str, Fault> {
    match inbound {
        Ok(UpstreamResponse { status: status @ 200..=299, .. }) => {
            let outcome = Outcome { status: *status, kept: Kept::Not };
            Ok(claimed.step(effects, ledger::Command::Settle(claimed.fence.clone(), outcome)).await)
        }
        Ok(_) => Ok(claimed.release(effects).await),
        Err(fault) => {
            claimed.release(effects).await;
            Err(fault)
        }
    }
}

fn noted(header: &'static str) -> Reply {
    Reply { status: 200, headers: vec![(header, "true".to_owned())], body: None }
}

fn hash(kind: &str, text: &str) -> String {
    encoding::hex(&Sha256::digest(format!("{kind}:{text}")))
}

const NOT_HANDED_ON: &[&str] = &[
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
