//! Parses `RATE_LIMITS`: the limits that rules may name.

use std::time::Duration;

use super::{parse::ParseContext, reader::Table, report::MODES, schema::RATE_LIMIT};
use crate::{
    base::time::whole_seconds,
    guards::{
        limiter::Limiter,
        limits::{Limit, LimitBy},
    },
    http::{form::is_plain_name, problem::RateLimit},
    platform::store::Object,
};

/// Parses `RATE_LIMITS`.
pub(super) fn parse(top: &Table<'_>, context: &ParseContext<'_>) -> Vec<Limit> {
    let has_limiter = context.bindings.has(Limiter::CLASS.binding);
    let mut limits: Vec<Limit> = Vec::new();
    for members in top.tables("RATE_LIMITS", RATE_LIMIT) {
        members.require_binding("name", has_limiter, Limiter::CLASS, "configuration.md");
        members.parse("gate", |name| {
            let message = "expected the name of a rate-limit binding ([[ratelimits]])";
            context
                .bindings
                .has(&format!("limit:{name}"))
                .then_some(())
                .ok_or_else(|| format!("{message}, found {name:?}"))
        });
        let Some(limit) = parse_entry(&members) else { continue };
        if limits.iter().any(|other| other.rate.name == limit.rate.name) {
            members.report("name", "expected a unique name: another limit has the same name");
        }
        limits.push(limit);
    }
    limits
}

fn parse_entry(members: &Table<'_>) -> Option<Limit> {
    members.require_members();
    let name = members.parse_shape("name", name);
    let period =
        members.duration_within("period", MIN_PERIOD..=MAX_PERIOD, "expected a duration from 10s to 1d");
    let by = members.choice("by", &[("address", LimitBy::Address), ("principal", LimitBy::Principal)]);
    let is_open = members.choice("on_failure", &[("closed", false), ("open", true)]);
    let limit = members.number("limit", 1..=MAX_LIMIT);
    let mode = members.choice("mode", MODES);
    let period = u32::try_from(whole_seconds(period?)).ok()?;
    // The names are leaked: the configuration lives as long as the isolate.
    let rate = RateLimit { name: name?.leak(), limit: limit?, period };
    let gate = members.text("gate").map(|name| &*name.leak());
    Some(Limit { rate, by: by?, is_open: is_open?, gate, mode: mode? })
}

fn name(text: &str) -> Option<String> {
    let is_reserved = RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix));
    (is_plain_name(text) && !is_reserved).then(|| text.to_owned())
}

/// Prefixes of the names of built-in limits.
pub(super) const RESERVED_PREFIXES: &[&str] =
    &["setup", "login-", "redeem-", "factor-", "reset-", "recover", "confirmations"];

const MIN_PERIOD: Duration = Duration::from_secs(10);
const MAX_PERIOD: Duration = Duration::from_hours(24);
const MAX_LIMIT: u32 = 1_000_000;
