//! From `RATE_LIMITS` to the limits that rules name.

use std::time::Duration;

use super::{
    Limit, LimitBy,
    reader::{Mistakes, Table, expected},
    schema::RATE_LIMIT,
};
use crate::{limiter::Limiter, problem::RateLimit, store::Object, time::whole_seconds};

/// Reads the list.
pub(super) fn parse(top: &Table<'_>, has_limiter: bool, mistakes: &Mistakes) -> Vec<Limit> {
    let Some(value) = top.value("RATE_LIMITS") else { return Vec::new() };
    let Some(entries) = value.as_array() else {
        mistakes.note("RATE_LIMITS", expected("list of limits", value));
        return Vec::new();
    };
    if !has_limiter {
        let class = Limiter::CLASS;
        mistakes.note(
            "RATE_LIMITS",
            format!(
                "expected a binding {} to the class {}, found none (see docs/configuration.md)",
                class.binding, class.name
            ),
        );
    }
    let mut limits: Vec<Limit> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let members = Table::open(format!("RATE_LIMITS[{index}]"), Some(entry), RATE_LIMIT, mistakes);
        let Some(limit) = read(&members) else { continue };
        if limits.iter().any(|other| other.rate.name == limit.rate.name) {
            members.note("name", "expected another name: rules name limits by it");
        }
        limits.push(limit);
    }
    limits
}

fn read(members: &Table<'_>) -> Option<Limit> {
    for name in ["name", "limit", "period", "by"] {
        if !members.has(name) {
            members.demand(name);
        }
    }
    let name = members.parse_shape("name", name);
    let period = members.span("period");
    if period.is_some_and(|period| !(SHORTEST..=LONGEST).contains(&period)) {
        members.note("period", "expected from 10s to 1d");
    }
    let by = members.choice("by", &[("address", LimitBy::Address), ("principal", LimitBy::Principal)]);
    let is_open = members.choice("on_failure", &[("closed", false), ("open", true)]);
    let limit = members.value("limit").and_then(|value| {
        let found = value
            .as_u64()
            .and_then(|limit| u32::try_from(limit).ok())
            .filter(|limit| (1..=MOST).contains(limit));
        if found.is_none() {
            members.note("limit", expected("a number from 1 to 1000000", value));
        }
        found
    });
    let period = u32::try_from(whole_seconds(period?)).ok()?;
    // Named where it is told and where it is counted, for as long as the isolate lives.
    let rate = RateLimit { name: name?.leak(), limit: limit?, period };
    Some(Limit { rate, by: by?, is_open: is_open? })
}

fn name(text: &str) -> Option<String> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let is_ours = OURS.iter().any(|ours| text.starts_with(ours));
    ((1..=32).contains(&text.len()) && text.bytes().all(is_plain) && !is_ours).then(|| text.to_owned())
}

/// How names of our own limits begin.
const OURS: &[&str] = &["setup", "login-", "redeem-"];

const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_hours(24);
const MOST: u32 = 1_000_000;
