//! A provider's event: verified over the bytes that came, then run once.
//!
//! What is verified is claimed by what was signed of it. An event that ran is answered so, one in flight is
//! asked for again by whoever sent it, and one that upstream did not take is free for the next attempt. Events
//! that the operator does not list are answered and go no further.

use std::time::Duration;

use super::{Claimed, Kind, Taken};
use crate::{
    checkouts::{self, Checkouts, Evidence},
    config::{Config, Confirmation, Webhook},
    context::{Headers, Request},
    effects::{BodyError, Effects, Inbound, Reply},
    encoding,
    event::Moment,
    hygiene,
    inbox::{self, Inbox},
    ledger::{self, About, Claim, Kept, Order, Outcome, Verdict},
    origin::Origin,
    problem::{Fault, Rejection},
    refusal::Turned,
    rule::Rule,
    time::whole_seconds,
    webhook::{Delivery, EventType, Signed},
};
use sha2::{Digest, Sha256};

/// What was verified.
#[derive(Debug)]
pub(super) struct Received {
    provider: String,
    delivery: Delivery,
    /// What upstream can fold its attempts by: the event's id, or its content's hash.
    key: String,
}

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
    let body = effects.bytes(webhook.body_limit).await.map_err(|error| match error {
        BodyError::TooLarge => Rejection::BodyTooLarge,
        BodyError::NotText | BodyError::BrokenOff => {
            Rejection::InvalidBody("(body)", "expected the whole of it")
        }
    })?;
    // What the provider was told is the canonical origin, whatever name the request came by.
    let origin = config.return_path.public.first().map_or("", Origin::as_str);
    let url = format!("{origin}{target}");
    let signed = Signed { headers: &request.headers, body: &body, url: &url };
    let delivery = webhook
        .verifier
        .verify(signed, moment.now)
        .map_err(|invalid| Rejection::InvalidSignature(invalid.code()))?;
    confirm(config, effects, webhook, (&delivery, &body), moment).await?;
    let kind = delivery.event_type.as_ref().map_or("", |kind| kind.as_str());
    if !webhook.events.is_empty() && !webhook.events.iter().any(|listed| listed == kind) {
        return Ok(Taken::Known(noted("x-webhook-ignored")));
    }
    let event_id = delivery.event_id.clone().filter(|_| webhook.by_event_id);
    let (key, hashed) = match event_id {
        Some(id) => (id.clone(), hash("id", &id)),
        // A type that nobody signed is told apart all the same: the same words may be another event.
        None => match &delivery.event_type {
            Some(EventType::Unsigned(kind)) => {
                let hashed = hash(kind, &delivery.content_hash);
                (hashed.clone(), hashed)
            }
            Some(EventType::Signed(_)) | None => {
                (delivery.content_hash.clone(), hash("content", &delivery.content_hash))
            }
        },
    };
    if let Some(inbox) = &webhook.inbox {
        let subject = inbox.subject.as_deref().and_then(|pointer| subject(&body, pointer));
        let event = inbox::Event {
            id: effects.new_id(&format!("{}{}.", inbox::PREFIX, webhook.name)),
            key,
            event_id: delivery.event_id,
            event_type: delivery.event_type.map(|kind| kind.as_str().to_owned()),
            payload_hash: delivery.payload_hash,
            subject,
            target: target.to_owned(),
            fields: handed_on(&request.headers),
        };
        return accept(effects, webhook, event).await;
    }
    let shard = hashed.get(..1).unwrap_or_default();
    let operation = rule.operation.clone().unwrap_or_else(|| rule.path.clone());
    let about = About { scope: format!("webhook:{}:{shard}", webhook.name), key: hashed, operation };
    // The same event need not have the same bytes each time: providers count attempts in it.
    let spans = (rule.timeout.saturating_add(SETTLING), webhook.retention);
    let claim = Claim::new(moment.request_id, String::new(), spans, true);
    let start = Order::Start(about.clone(), claim);
    let verdict = super::start(effects, (&about, moment.request_id), &start).await?;
    match verdict {
        Verdict::Granted { .. } => {
            let kind = Kind::Event(Received { provider: webhook.name.clone(), delivery, key });
            Ok(Taken::Ours(Claimed { about, fence: moment.request_id.to_owned(), kind }))
        }
        Verdict::Ran(_) => Ok(Taken::Known(noted("x-webhook-duplicate"))),
        Verdict::InFlight(_) => Err(Rejection::WebhookInFlight.into()),
        Verdict::Unknown | Verdict::Reused | Verdict::Done | Verdict::Lost => Err(Fault::Internal.into()),
    }
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
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else { return Ok(()) };
    for confirmation in config.confirmations.iter().filter(confirms) {
        let holds = confirmation.equals.iter().all(|(pointer, value)| body.pointer(pointer) == Some(value));
        let Some(reference) = body.pointer(&confirmation.reference).and_then(checkouts::reference_in) else {
            continue;
        };
        if holds {
            let evidence = Evidence {
                webhook: webhook.name.clone(),
                event: delivery.event_id.clone().unwrap_or_else(|| delivery.content_hash.clone()),
                event_type: kind.clone(),
                at: moment.now,
            };
            let group = checkouts::group_of(&reference);
            effects.ask::<Checkouts>(&group, &checkouts::Command::Confirm(reference, evidence)).await?;
        }
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
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    match body.pointer(pointer)? {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
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

impl Received {
    pub(super) fn marks(&self) -> Vec<(&'static str, String)> {
        let kind = self.delivery.event_type.as_ref().map(|kind| kind.as_str().to_owned());
        let mut marks = vec![
            ("x-webhook-provider", self.provider.clone()),
            ("x-webhook-payload-hash", self.delivery.payload_hash.clone()),
            ("idempotency-key", self.key.clone()),
        ];
        marks.extend(self.delivery.event_id.clone().map(|id| ("x-webhook-event-id", id)));
        marks.extend(kind.map(|kind| ("x-webhook-event-type", kind)));
        marks
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

/// How much longer than upstream may take a claim is held.
const SETTLING: Duration = Duration::from_secs(15);
