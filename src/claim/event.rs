//! A provider's event: verified over the bytes that came, then run once.
//!
//! What is verified is claimed by what was signed of it. An event that ran is answered so, one in flight is
//! asked for again by whoever sent it, and one that upstream did not take is free for the next attempt. Events
//! that the operator does not list are answered and go no further.

use sha2::{Digest, Sha256};

use super::{Claimed, Kind, SETTLING, Taken};
use crate::{
    checkouts::{self, Checkouts, Evidence},
    config::{Config, Confirmation, Webhook},
    context::{Headers, Request},
    effects::{Effects, Inbound, Reply},
    encoding,
    event::Moment,
    hygiene,
    inbox::{self, Inbox},
    json,
    ledger::{self, About, Claim, Kept, Outcome, Verdict},
    origin::Origin,
    problem::{Fault, Rejection},
    refusal::Turned,
    rule::Rule,
    time::whole_seconds,
    webhook::{Delivery, EventType, Received, Signed},
};

pub(super) async fn take<E: Effects>(
    config: &Config,
    effects: &E,
    (rule, webhook): (&Rule, &Webhook),
    (request, target, moment): (&Request<'_>, &str, Moment<'_>),
) -> Result<Taken<E::Response>, Turned> {
    // Who shows nothing that could be a signature of now is not read to.
    if let Err(invalid) = webhook.verifier.glance(&request.headers, moment.now) {
        return Err(Rejection::InvalidSignature(invalid.code()).into());
    }
    let body = effects.bytes(webhook.body_limit).await.map_err(Rejection::from)?;
    // What the provider was told is the canonical origin, whatever name the request came by.
    let origin = config.return_path.public.first().map_or("", Origin::as_str);
    let url = format!("{origin}{target}");
    let signed = Signed { headers: &request.headers, body: &body, url: &url };
    let delivery = webhook
        .verifier
        .verify(signed, moment.now)
        .map_err(|invalid| Rejection::InvalidSignature(invalid.code()))?;
    // What readers can read differently is nobody's word.
    if json::is_ambiguous(&body) {
        return Err(
            Rejection::InvalidBody("(body)", "expected each member once, and at most 128 levels").into()
        );
    }
    confirm(config, effects, webhook, (&delivery, &body), moment).await?;
    let (received, hashed) = told_apart(webhook, delivery);
    let kind = received.event_type.as_deref().unwrap_or_default();
    if !webhook.events.is_empty() && !webhook.events.iter().any(|listed| listed == kind) {
        return Ok(Taken::Known(noted("x-webhook-ignored")));
    }
    if let Some(inbox) = &webhook.inbox {
        let event = inbox::Event {
            id: effects.new_id(&format!("{}{}.", inbox::PREFIX, webhook.name)),
            received,
            subject: inbox.subject.as_deref().and_then(|pointer| subject(&body, pointer)),
            target: target.to_owned(),
            fields: handed_on(&request.headers),
        };
        return accept(effects, webhook, event).await;
    }
    let scope = format!("webhook:{}:{}", webhook.name, hashed.get(..1).unwrap_or_default());
    let about = About { scope, key: hashed, operation: rule.called().to_owned() };
    // The same event need not have the same bytes each time: providers count attempts in it.
    let spans = (rule.timeout.saturating_add(SETTLING), webhook.retention);
    let claim = Claim::new(moment.request_id, String::new(), spans, true);
    match super::start(effects, &about, claim).await? {
        Verdict::Granted { .. } => {
            let fence = moment.request_id.to_owned();
            Ok(Taken::Ours(Claimed { about, fence, kind: Kind::Event(received) }))
        }
        Verdict::Ran(_) => Ok(Taken::Known(noted("x-webhook-duplicate"))),
        Verdict::InFlight(_) => Err(Rejection::WebhookInFlight.into()),
        Verdict::Unknown | Verdict::Reused | Verdict::Done | Verdict::Lost => Err(Fault::Internal.into()),
    }
}

/// Finds what an event is told apart by, as upstream may see it and as the ledger has it.
fn told_apart(webhook: &Webhook, delivery: Delivery) -> (Received, String) {
    let Delivery { event_id, event_type, payload_hash, content_hash } = delivery;
    let (key, hashed) = match (event_id.clone().filter(|_| webhook.by_event_id), &event_type) {
        (Some(id), _) => (id.clone(), hash("id", &id)),
        // A type that nobody signed is told apart all the same: the same words may be another event.
        (None, Some(EventType::Unsigned(kind))) => {
            let hashed = hash(kind, &content_hash);
            (hashed.clone(), hashed)
        }
        (None, Some(EventType::Signed(_)) | None) => (content_hash.clone(), hash("content", &content_hash)),
    };
    let event_type = event_type.map(|kind| kind.as_str().to_owned());
    (Received { provider: webhook.name.clone(), key, event_id, event_type, payload_hash }, hashed)
}

/// Confirms the checkouts that an event is about. Whatever becomes of the event, what was verified is believed:
/// that is all that ever confirms one.
async fn confirm<E: Effects>(
    config: &Config,
    effects: &E,
    webhook: &Webhook,
    (delivery, body): (&Delivery, &[u8]),
    moment: Moment<'_>,
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
                    "event": "checkout_unconfirmed", "requestId": moment.request_id, "provider": webhook.name,
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
            at: moment.now,
        };
        let group = checkouts::group_of(&reference);
        effects.ask::<Checkouts>(&group, &checkouts::Command::Confirm { reference, evidence }).await?;
    }
    Ok(())
}

/// Has the inbox keep an event before the provider is answered.
async fn accept<E: Effects>(
    effects: &E,
    webhook: &Webhook,
    event: inbox::Event,
) -> Result<Taken<E::Response>, Turned> {
    let accept = inbox::Command::Accept(event, whole_seconds(webhook.retention));
    match effects.hand_over::<Inbox>(&webhook.name, &accept).await? {
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
fn handed_on(headers: &Headers<'_>) -> String {
    let stripped = hygiene::stripped(headers);
    let lines = headers
        .iter()
        .filter(|(name, _)| {
            !stripped.contains(name) && !NOT_HANDED_ON.contains(name) && !name.starts_with("cf-")
        })
        .map(|(name, value)| format!("{name}\n{value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Settles it where upstream took it; else the provider's next attempt goes through.
pub(super) async fn settle<E: Effects>(
    claimed: &Claimed,
    effects: &E,
    inbound: Result<&Inbound<E::Response>, Fault>,
) -> Result<&'static str, Fault> {
    match inbound {
        Ok(Inbound { status: status @ 200..=299, .. }) => {
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
