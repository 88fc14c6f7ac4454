//! From a rule's words on idempotency keys to its policy.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::Value;

use super::reader::Table;
use crate::{
    ledger::Ledger,
    rule::{Hold, Idempotency, Save},
    store::Object,
};

/// Reads them; `None` where the rule knows no keys.
pub(super) fn parse(members: &Table<'_>, methods: &[String], has_ledger: bool) -> Option<Idempotency> {
    let beside = ["save", "hold", "retention", "invocation_id"];
    if !members.has("idempotency") {
        for name in beside.iter().filter(|name| members.has(name)) {
            members.note(name, "expected beside idempotency, and only there");
        }
        return None;
    }
    let required = members.choice("idempotency", &[("optional", false), ("required", true)]);
    let save = [("safe", Save::Safe), ("stripe", Save::Stripe), ("success", Save::Success)];
    let hold = [("conflict", Hold::Conflict), ("retry", Hold::Retry), ("ask", Hold::Ask)];
    let (save, hold) = (members.choice("save", &save), members.choice("hold", &hold));
    let wanted = "expected from 1h to 30d: a client may come back as late";
    let retention = members.span_within("retention", KEPT, wanted);
    members.demand_binding("idempotency", has_ledger, Ledger::CLASS, "idempotency.md");
    let is_safe = |method: &String| matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
    if !methods.is_empty() && methods.iter().all(is_safe) {
        members.note(
            "idempotency",
            "expected a method that changes something: GET, HEAD and OPTIONS need no key",
        );
    }
    let (invocation_id, invocation_pointer) = match members.value("invocation_id") {
        // It lives as long as the configuration, which is the isolate's.
        Some(Value::String(_)) => (true, members.pointer("invocation_id").map(|text| &*text.leak())),
        _ => (members.flag("invocation_id"), None),
    };
    Some(Idempotency {
        required: required?,
        invocation_id,
        invocation_pointer,
        save: save?,
        hold: hold?,
        retention: retention?,
    })
}

/// What our own creating endpoints know of keys.
pub(super) const OWN: Idempotency = Idempotency {
    required: false,
    invocation_id: false,
    invocation_pointer: None,
    save: Save::Safe,
    hold: Hold::Conflict,
    retention: Duration::from_hours(24),
};

/// For how long outcomes may be kept, of requests and of events.
pub(super) const KEPT: RangeInclusive<Duration> = Duration::from_hours(1)..=Duration::from_hours(30 * 24);
