//! Webhook endpoints, as `WEBHOOKS` configures them.

use std::time::Duration;

use super::Verifier;

/// A webhook endpoint.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name. Upstream receives it as `X-Webhook-Provider`.
    pub name: String,
    /// The verifier of the provider's signature.
    pub verifier: Verifier,
    /// Whether the signature covers the event type.
    pub signs_type: bool,
    /// Whether the signed event id is the deduplication key. Otherwise, or without an id, the key is the content's
    /// hash.
    pub by_event_id: bool,
    /// Whether the deduplication key includes an unsigned event type. Only types that `events` lists count.
    pub by_type: bool,
    /// The delivery through the inbox. `None` means direct delivery.
    pub inbox: Option<Delivery>,
    /// The event types that upstream receives. Empty means all.
    pub events: Vec<String>,
    /// The time for which a deduplication key is kept.
    pub retention: Duration,
    /// The body limit, in bytes.
    pub body_limit: usize,
}

impl Webhook {
    /// Returns the operation name of its rule: `webhooks.` and the name, with `_` for `-`.
    #[must_use]
    pub fn operation(&self) -> String {
        format!("webhooks.{}", self.name.replace('-', "_"))
    }
}

/// The delivery of accepted events through the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// JSON pointer to the event's subject in the body. Events that have a subject are delivered in order.
    pub subject: Option<String>,
    /// The time that upstream may take to answer.
    pub timeout: Duration,
}
