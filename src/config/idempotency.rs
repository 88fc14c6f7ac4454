//! Parses a rule's `idempotency` and the members that belong to it.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::Value;

use super::reader::Table;
use crate::{
    idempotency::ledger::Ledger,
    platform::store::Object,
    routing::rule::{Hold, Idempotency, Save},
};

/// Parses the idempotency policy of a rule. Returns `None` if the rule has no `idempotency`, or if a value is invalid.
pub(super) fn parse(members: &Table<'_>, methods: &[String], has_ledger: bool) -> Option<Idempotency> {
    let dependent_members = ["save", "hold", "retention", "invocation_id"];
    if !members.has("idempotency") {
        for name in dependent_members.iter().filter(|name| members.has(name)) {
            members.report(name, "requires idempotency");
        }
        return None;
    }
    let required = members.choice("idempotency", &[("optional", false), ("required", true)]);
    let save = [("safe", Save::Safe), ("stripe", Save::Stripe), ("success", Save::Success)];
    let hold = [("conflict", Hold::Conflict), ("retry", Hold::Retry), ("ask", Hold::Ask)];
    let (save, hold) = (members.choice("save", &save), members.choice("hold", &hold));
    let message = "expected a duration from 1h to 30d: clients may retry for this long";
    let retention = members.duration_within("retention", RETENTION, message);
    members.require_binding("idempotency", has_ledger, Ledger::CLASS, "idempotency.md");
    let is_safe = |method: &String| matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
    if !methods.is_empty() && methods.iter().all(is_safe) {
        members
            .report("idempotency", "expected a method that changes state: GET, HEAD and OPTIONS need no key");
    }
    let (invocation_id, invocation_pointer) = match members.value("invocation_id") {
        // Leaked: the configuration lives as long as the isolate.
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

/// Idempotency policy of the built-in routes that create something.
pub(super) const BUILT_IN: Idempotency = Idempotency {
    required: false,
    invocation_id: false,
    invocation_pointer: None,
    save: Save::Safe,
    hold: Hold::Conflict,
    retention: Duration::from_hours(24),
};

/// Allowed retention of the outcomes of requests and of webhook events.
pub(super) const RETENTION: RangeInclusive<Duration> =
    Duration::from_hours(1)..=Duration::from_hours(30 * 24);
