//! `/api/features` and `/api/features/{name}`: lists, reads and sets feature flags, for admins.
//!
//! - `GET /api/features` returns `{items, next}`: the flags that rules name. There are as many as rules at most.
//! - `GET` returns `{name, state, percent, principals}`. A flag that was never set is off.
//! - `PUT` `{state, percent?, principals?}` sets it and returns the same. Members that are left out keep their values.
//!   Other isolates and locations see the change within 70 seconds.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::json;

use crate::{
    crypto::jwt::claims::is_id,
    guards::feature::{Flag, FlagCache, MOST_PRINCIPALS, State, kv_key},
    http::{form::is_plain_name, problem::Rejection, reply::EarlyResponse},
    identity::call::{self, EndpointResponse, json},
    platform::effects::Effects,
    routing::rule::Rule,
};

type Call<'a> = call::Call<'a>;

/// Lists the features that rules name, with their states.
pub(crate) async fn list<E: Effects>(
    call: call::Call<'_, &[Rule]>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let names: BTreeSet<&str> = call.cx.iter().filter_map(|rule| rule.feature.as_deref()).collect();
    let mut items = Vec::new();
    for name in names {
        let flag = Flag::read(effects.kv_get(&kv_key(name)).await?.as_deref());
        items.push(json!({
            "name": name,
            "state": flag.state,
            "percent": flag.percent,
            "principals": flag.principals,
        }));
    }
    Ok(json(200, &json!({ "items": items, "next": null })).into())
}

pub(crate) async fn read<E: Effects>(call: Call<'_>, effects: &E) -> Result<EndpointResponse, EarlyResponse> {
    let name = name(call)?;
    let flag = Flag::read(effects.kv_get(&kv_key(&name)).await?.as_deref());
    Ok(json(200, &FlagView::of(&name, &flag)).into())
}

pub(crate) async fn write<E: Effects>(
    call: Call<'_>,
    effects: &E,
) -> Result<EndpointResponse, EarlyResponse> {
    let name = name(call)?;
    let form = call.form(&["state", "percent", "principals"])?;
    let expected = "expected \"on\", \"off\" or \"percent\"";
    let state = form.word("state", expected, State::parse)?;
    let state = state.ok_or(Rejection::InvalidBody("state", expected))?;
    let expected = "expected a whole number from 0 to 100";
    let percent = form.whole("percent", expected, 0..=100)?;
    if state == State::Percent && percent.is_none() {
        return Err(Rejection::InvalidBody("percent", expected).into());
    }
    // Members that are left out keep their values. So a feature that is turned off and then on again is open to the
    // same users.
    let before = Flag::read(effects.kv_get(&kv_key(&name)).await?.as_deref());
    let expected = "expected a list of at most 100 ids";
    let principals = form.texts("principals", expected, MOST_PRINCIPALS, is_id)?;
    let percent = percent.and_then(|percent| u8::try_from(percent).ok()).unwrap_or(before.percent);
    let principals = principals.unwrap_or(before.principals);
    let flag = Flag { state, percent, principals };
    // KV cannot check an author: don't write if the request has taken too long since the author was checked.
    let now = call.meta.after(effects.elapsed()).now;
    call.author()?.check_age(now).map_err(|_| crate::http::problem::Fault::StoreUnavailable)?;
    let stored = serde_json::to_string(&flag).map_err(|_| crate::http::problem::Fault::Internal)?;
    effects.kv_put(&kv_key(&name), &stored).await?;
    effects.memory().of::<FlagCache>().0.put(name.clone(), flag.clone(), call.meta.milliseconds);
    let detail = format!("{} {}%", flag.state.name(), flag.percent);
    Ok(EndpointResponse::from(json(200, &FlagView::of(&name, &flag))).with_detail(detail))
}

/// Returns the flag's name. A name that no rule can have is 404.
fn name(call: Call<'_>) -> Result<String, Rejection> {
    call.last_segment().filter(|name| is_plain_name(name)).ok_or(Rejection::NotFound)
}

#[derive(Serialize)]
struct FlagView<'a> {
    name: &'a str,
    state: State,
    percent: u8,
    principals: &'a [String],
}

impl<'a> FlagView<'a> {
    fn of(name: &'a str, flag: &'a Flag) -> Self {
        Self { name, state: flag.state, percent: flag.percent, principals: &flag.principals }
    }
}
