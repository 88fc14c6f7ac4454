//! From `RATE_LIMITS` to the limits that rules name.

use std::time::Duration;

use super::{Bindings, Limit, LimitBy, reader::Table, schema::RATE_LIMIT};
use crate::{form::is_plain_name, limiter::Limiter, problem::RateLimit, store::Object, time::whole_seconds};

/// Reads the list.
pub(super) fn parse(top: &Table<'_>, bindings: &Bindings) -> Vec<Limit> {
    let has_limiter = bindings.has(Limiter::CLASS.binding);
    let mut limits: Vec<Limit> = Vec::new();
    for members in top.tables("RATE_LIMITS", RATE_LIMIT) {
        members.demand_binding("name", has_limiter, Limiter::CLASS, "configuration.md");
        members.parse("gate", |name| {
            let wanted = "expected the name of a rate-limit binding ([[ratelimits]])";
            bindings
                .has(&format!("limit:{name}"))
                .then_some(())
                .ok_or_else(|| format!("{wanted}, found {name:?}"))
        });
        let Some(limit) = read(&members) else { continue };
        if limits.iter().any(|other| other.rate.name == limit.rate.name) {
            members.note("name", "expected another name: rules name limits by it");
        }
        limits.push(limit);
    }
    limits
}

fn read(members: &Table<'_>) -> Option<Limit> {
    members.demand(&["name", "limit", "period", "by"]);
    let name = members.parse_shape("name", name);
    let period = members.span_within("period", SHORTEST..=LONGEST, "expected from 10s to 1d");
    let by = members.choice("by", &[("address", LimitBy::Address), ("principal", LimitBy::Principal)]);
    let is_open = members.choice("on_failure", &[("closed", false), ("open", true)]);
    let limit = members.number("limit", 1..=MOST);
    let period = u32::try_from(whole_seconds(period?)).ok()?;
    // Named where it is told and where it is counted, for as long as the isolate lives.
    let rate = RateLimit { name: name?.leak(), limit: limit?, period };
    let gate = members.text("gate").map(|name| &*name.leak());
    Some(Limit { rate, by: by?, is_open: is_open?, gate })
}

fn name(text: &str) -> Option<String> {
    let is_ours = OURS.iter().any(|ours| text.starts_with(ours));
    (is_plain_name(text) && !is_ours).then(|| text.to_owned())
}

/// How names of our own limits begin.
const OURS: &[&str] = &["setup", "login-", "redeem-", "confirmations"];

const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_hours(24);
const MOST: u32 = 1_000_000;
