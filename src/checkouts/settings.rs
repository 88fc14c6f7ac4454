//! The configuration of checkouts.

use std::time::Duration;

/// Settings of checkouts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether the binding `CHECKOUTS` exists.
    pub has_store: bool,
    /// The events that confirm checkouts (`CHECKOUT_PROVIDERS`).
    pub confirming_events: Vec<ConfirmingEvent>,
    /// The upstream paths that the gateway calls at each tick of the cron trigger (`MAINTENANCE`).
    pub maintenance: Vec<MaintenancePath>,
}

/// An event that confirms a checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmingEvent {
    /// Name of the webhook that receives it.
    pub webhook: String,
    /// The event type.
    pub event: String,
    /// JSON pointer to the checkout's ref in the event.
    pub reference: String,
    /// Further conditions: JSON pointers, and the values that the event must have there.
    pub equals: Vec<(String, serde_json::Value)>,
}

/// An upstream path that the gateway calls at each tick of the cron trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenancePath {
    /// The path.
    pub path: String,
    /// The time that upstream may take to answer.
    pub timeout: Duration,
}
