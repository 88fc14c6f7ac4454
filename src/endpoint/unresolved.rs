//! `/api/idempotency`: what was sent on and never came back, for an operator who can find out.
//!
//! - `GET` (`?state=unknown`) lists: `{items, next}`. An item's id is that of the request, as logs and upstream have it.
//! - `POST /api/idempotency/{id}/resolve` `{"outcome": "ran" | "did_not_run"}` says what happened: 204. What ran is
//!   answered so from then on, what did not may be sent again.

use serde::Serialize;

use super::{Answered, Call, Page, json};
use crate::{
    effects::{Effects, Reply},
    ledger::{self, INDEX, Ledger, Order, Unresolved, Verdict},
    problem::{Fault, Rejection},
    refusal::EarlyResponse,
};

pub(super) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let limit = call.limit()?;
    if call.request.parameter("state").is_some_and(|state| state != "unknown") {
        return Err(Rejection::InvalidBody("state", "expected unknown: no other state is listed").into());
    }
    let asked = Order::Unresolved(call.request.parameter("cursor"), limit.saturating_add(1));
    let ledger::Reply::Unresolved(all) = effects.call_object::<Ledger>(INDEX, &asked).await? else {
        return Err(Fault::Internal.into());
    };
    Ok(json(200, &Page::new(&all, limit, |one| &one.id, Shown::of)).into())
}

pub(super) async fn resolve<E: Effects>(call: Call<'_>, effects: &E) -> Result<Answered, EarlyResponse> {
    let id = call.segment_before("resolve").ok_or(Rejection::NotFound)?;
    let wanted = "expected \"ran\" or \"did_not_run\"";
    let ran = call.form(&["outcome"])?.word("outcome", wanted, |text| match text {
        "ran" => Some(true),
        "did_not_run" => Some(false),
        _ => None,
    })?;
    let ran = ran.ok_or(Rejection::InvalidBody("outcome", wanted))?;
    let ledger::Reply::Unresolved(found) = effects.call_object::<Ledger>(INDEX, &Order::Find(id)).await?
    else {
        return Err(Fault::Internal.into());
    };
    let Unresolved { id, about, .. } = found.into_iter().next().ok_or(Rejection::NotFound)?;
    let resolve = Order::Resolve { author: call.author()?, key: about.key, id: id.clone(), ran };
    let verdict = effects.call_object::<Ledger>(&about.scope, &resolve).await?;
    // The index is told by the ledger too, should this not get there.
    effects.call_object::<Ledger>(INDEX, &Order::Forget(id)).await?;
    match verdict {
        ledger::Reply::Verdict(Verdict::Done) => {
            let detail = if ran { "ran" } else { "did_not_run" };
            Ok(Answered::from(Reply { status: 204, ..Reply::default() }).telling(detail))
        }
        // It came back after all, or its time is over.
        ledger::Reply::Verdict(_) => Err(Rejection::NotFound.into()),
        _ => Err(Fault::Internal.into()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: &'a str,
    operation: &'a str,
    /// Whose key: `user:…`, `agent:…` or `address:…`.
    principal: &'a str,
    held_until: String,
}

impl<'a> Shown<'a> {
    fn of(one: &'a Unresolved) -> Self {
        Self {
            id: &one.id,
            operation: &one.about.operation,
            principal: &one.about.scope,
            held_until: one.until.to_string(),
        }
    }
}
