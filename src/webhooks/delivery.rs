//! The request that delivers an event of the inbox to upstream.

use std::borrow::Cow;

use super::{inbox, settings::Webhook};
use crate::{
    base::time::Timestamp,
    platform::effects::UpstreamRequest,
    upstream::{
        forward::{self, IdentityHeaders},
        settings::UpstreamContext,
    },
};

/// Builds the request that delivers an accepted event. Returns `None` if its webhook is no longer configured. The
/// event's own headers are sent, too; these headers replace them.
#[must_use]
pub fn request<'a>(
    cx: UpstreamContext<'a>,
    webhooks: &[Webhook],
    event: &'a inbox::Event,
    now: Timestamp,
) -> Option<UpstreamRequest<'a>> {
    let webhook = webhooks.iter().find(|webhook| webhook.name == event.received.provider)?;
    let timeout = webhook.inbox.as_ref()?.timeout;
    let headers = event
        .received
        .upstream_headers(webhook.signs_type)
        .into_iter()
        .chain([("x-operation", webhook.operation())]);
    let headers = headers.map(|(name, value)| (name, Cow::Owned(value)));
    let identity = IdentityHeaders { target: &event.target, request_id: &event.id, now, profile: None };
    forward::own_post(cx, identity, headers, timeout)
}
