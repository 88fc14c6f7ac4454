//! `/api/idempotency`: requests with an unknown outcome, for an admin who can find out whether they ran.
//!
//! - `GET` (`?state=unknown`) lists them: `{items, next}`. The id of an item is the request id in logs and at upstream.
//! - `POST /api/idempotency/{id}/resolve` `{"outcome": "ran" | "did_not_run"}` stores the outcome: 204. From then on,
//!   a retry of a request that ran gets a response that says so. A request that did not run may be sent again.

use serde::Serialize;

use crate::{
    http::{
        problem::{Fault, Rejection},
        reply::{EarlyResponse, Reply},
    },
    idempotency::ledger::{self, INDEX, Ledger, Unresolved, Verdict},
    identity::call::{self, EndpointResponse, Page, json},
    platform::effects::Effects,
};

type Call<'a> = call::Call<'a>;

pub(crate) async fn list<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let limit = call.limit()?;
    if call.request.parameter("state").is_some_and(|state| state != "unknown") {
        return Err(
            Rejection::InvalidBody("state", "expected \"unknown\": other states are not listed").into()
        );
    }
    let command = ledger::Command::Unresolved(call.request.parameter("cursor"), limit.saturating_add(1));
    let ledger::Reply::Unresolved(all) = effects.call_object::<Ledger>(INDEX, &command).await? else {
        return Err(Fault::Internal.into());
    };
    Ok(json(200, &Page::new(&all, limit, |unresolved| &unresolved.id, UnresolvedView::of)).into())
}

pub(crate) async fn resolve<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let id = call.segment_before("resolve").ok_or(Rejection::NotFound)?;
    let expected = "expected \"ran\" or \"did_not_run\"";
    let ran = call.form(&["outcome"])?.word("outcome", expected, |text| match text {
        "ran" => Some(true),
        "did_not_run" => Some(false),
        _ => None,
    })?;
    let ran = ran.ok_or(Rejection::InvalidBody("outcome", expected))?;
    let ledger::Reply::Unresolved(found) =
        effects.call_object::<Ledger>(INDEX, &ledger::Command::Find(id)).await?
    else {
        return Err(Fault::Internal.into());
    };
    let Unresolved { id, about, .. } = found.into_iter().next().ok_or(Rejection::NotFound)?;
    let resolve = ledger::Command::Resolve { author: call.author()?, key: about.key, id: id.clone(), ran };
    let verdict = effects.call_object::<Ledger>(&about.scope, &resolve).await?;
    // The ledger also tells the index, in case this call fails.
    effects.call_object::<Ledger>(INDEX, &ledger::Command::Forget(id)).await?;
    match verdict {
        ledger::Reply::Verdict(Verdict::Done) => {
            let detail = if ran { "ran" } else { "did_not_run" };
            Ok(EndpointResponse::from(Reply { status: 204, ..Reply::default() }).with_detail(detail))
        }
        // The outcome is known by now, or the key is no longer held.
        ledger::Reply::Verdict(_) => Err(Rejection::NotFound.into()),
        _ => Err(Fault::Internal.into()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UnresolvedView<'a> {
    id: &'a str,
    operation: &'a str,
    /// The owner of the idempotency key: `user:…`, `agent:…` or `address:…`.
    principal: &'a str,
    held_until: String,
}

impl<'a> UnresolvedView<'a> {
    fn of(unresolved: &'a Unresolved) -> Self {
        Self {
            id: &unresolved.id,
            operation: &unresolved.about.operation,
            principal: &unresolved.about.scope,
            held_until: unresolved.until.to_string(),
        }
    }
}
