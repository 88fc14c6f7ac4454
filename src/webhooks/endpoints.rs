//! `/api/webhooks`: the events that the inboxes have received, for admins.
//!
//! - `GET` (`?webhook=`, `?state=received|delivered|dead`) lists events, ordered by webhook: `{items, next}`.
//! - `POST /api/webhooks/{id}/redeliver` schedules an event for delivery, even one that was delivered before: 202.

use serde::Serialize;

use crate::{
    base::sorting::sorted,
    http::{
        problem::{Fault, Rejection},
        reply::{EarlyResponse, Reply},
    },
    identity::call::{self, EndpointResponse, Page, json},
    platform::effects::Effects,
    webhooks::{
        inbox::{self, Command, EventStatus, Inbox, State, webhook_of},
        settings::Webhook,
    },
};

type Call<'a> = call::Call<'a, &'a [Webhook]>;

pub(crate) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let limit = call.limit()?;
    let expected = "expected \"received\", \"delivered\" or \"dead\"";
    let state = call.request.parameter("state").map(|state| State::parse(&state));
    let state = state.map(|state| state.ok_or(Rejection::InvalidBody("state", expected))).transpose()?;
    let only = call.request.parameter("webhook");
    let cursor = call.request.parameter("cursor");
    let first_webhook = cursor.as_deref().and_then(webhook_of);
    let inboxes = call.cx.iter().filter(|webhook| webhook.inbox.is_some());
    let names: Vec<&str> = sorted(inboxes.map(|webhook| webhook.name.as_str()).collect());
    let mut found: Vec<EventStatus> = Vec::new();
    for name in names {
        let is_selected = only.as_deref().is_none_or(|only| only == name)
            && first_webhook.is_none_or(|first| first <= name);
        let remaining =
            limit.saturating_add(1).saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
        if !is_selected || remaining <= 0 {
            continue;
        }
        let after = cursor.clone().filter(|_| first_webhook == Some(name));
        let inbox::Reply::Events(events) =
            effects.call_object::<Inbox>(name, &Command::List(after, state, remaining)).await?
        else {
            return Err(Fault::Internal.into());
        };
        found.extend(events);
    }
    Ok(json(200, &Page::new(&found, limit, |entry| &entry.event.id, EventView::of)).into())
}

pub(crate) async fn redeliver<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let id = call.segment_before("redeliver").ok_or(Rejection::NotFound)?;
    let name = webhook_of(&id).ok_or(Rejection::NotFound)?;
    let is_known = call.cx.iter().any(|webhook| webhook.name == name && webhook.inbox.is_some());
    if !is_known {
        return Err(Rejection::NotFound.into());
    }
    match effects.call_object::<Inbox>(name, &Command::Redeliver(call.author()?, id.clone())).await? {
        inbox::Reply::Done => Ok(Reply { status: 202, ..Reply::default() }.into()),
        inbox::Reply::NotFound => Err(Rejection::NotFound.into()),
        _ => Err(Fault::Internal.into()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventView<'a> {
    id: &'a str,
    webhook: &'a str,
    event_id: Option<&'a str>,
    event_type: Option<&'a str>,
    payload_hash: &'a str,
    state: &'static str,
    attempts: i64,
    duplicates: i64,
    last_status: Option<i64>,
    received_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<String>,
}

impl<'a> EventView<'a> {
    fn of(entry: &'a EventStatus) -> Self {
        let at = |state| (entry.state == state).then(|| entry.at.to_string());
        Self {
            id: &entry.event.id,
            webhook: &entry.event.received.provider,
            event_id: entry.event.received.event_id.as_deref(),
            event_type: entry.event.received.event_type.as_deref(),
            payload_hash: &entry.event.received.payload_hash,
            state: entry.state.name(),
            attempts: entry.attempts,
            duplicates: entry.duplicates,
            last_status: entry.status,
            received_at: entry.received_at.to_string(),
            next_attempt_at: at(State::Received),
            delivered_at: at(State::Delivered),
        }
    }
}
