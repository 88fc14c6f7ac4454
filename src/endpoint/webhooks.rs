//! `/api/webhooks`: what the inboxes have received, for an operator.
//!
//! - `GET` (`?webhook=`, `?state=received|delivered|dead`) lists, webhook by webhook: `{items, next}`.
//! - `POST /api/webhooks/{id}/redeliver` has one delivered, for the first time or anew: 202.

use serde::Serialize;

use super::{Answered, Call, Page, json};
use crate::{
    effects::{Effects, Reply},
    inbox::{self, Command, Inbox, Standing, State, webhook_of},
    problem::{Fault, Rejection},
    refusal::EarlyResponse,
    sorting::sorted,
};

pub(super) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let limit = call.limit()?;
    let wanted = "expected \"received\", \"delivered\" or \"dead\"";
    let state = call.request.parameter("state").map(|state| State::parse(&state));
    let state = state.map(|state| state.ok_or(Rejection::InvalidBody("state", wanted))).transpose()?;
    let only = call.request.parameter("webhook");
    let cursor = call.request.parameter("cursor");
    let begins = cursor.as_deref().and_then(webhook_of);
    let inboxes = call.config.webhooks.iter().filter(|webhook| webhook.inbox.is_some());
    let names: Vec<&str> = sorted(inboxes.map(|webhook| webhook.name.as_str()).collect());
    let mut found: Vec<Standing> = Vec::new();
    for name in names {
        let is_meant =
            only.as_deref().is_none_or(|only| only == name) && begins.is_none_or(|first| first <= name);
        let room = limit.saturating_add(1).saturating_sub(i64::try_from(found.len()).unwrap_or(i64::MAX));
        if !is_meant || room <= 0 {
            continue;
        }
        let after = cursor.clone().filter(|_| begins == Some(name));
        let inbox::Reply::Events(some) =
            effects.call_object::<Inbox>(name, &Command::List(after, state, room)).await?
        else {
            return Err(Fault::Internal.into());
        };
        found.extend(some);
    }
    Ok(json(200, &Page::new(&found, limit, |one| &one.event.id, Shown::of)).into())
}

pub(super) async fn redeliver<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let id = call.segment_before("redeliver").ok_or(Rejection::NotFound)?;
    let name = webhook_of(&id).ok_or(Rejection::NotFound)?;
    let is_known = call.config.webhooks.iter().any(|webhook| webhook.name == name && webhook.inbox.is_some());
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
struct Shown<'a> {
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

impl<'a> Shown<'a> {
    fn of(one: &'a Standing) -> Self {
        let at = |state| (one.state == state).then(|| one.at.to_string());
        Self {
            id: &one.event.id,
            webhook: &one.event.received.provider,
            event_id: one.event.received.event_id.as_deref(),
            event_type: one.event.received.event_type.as_deref(),
            payload_hash: &one.event.received.payload_hash,
            state: one.state.name(),
            attempts: one.attempts,
            duplicates: one.duplicates,
            last_status: one.status,
            received_at: one.received_at.to_string(),
            next_attempt_at: at(State::Received),
            delivered_at: at(State::Delivered),
        }
    }
}
