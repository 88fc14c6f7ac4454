//! From a rule's words on idempotency keys to its policy.

use std::time::Duration;

use super::reader::Table;
use crate::{
    ledger::Ledger,
    rule::{Hold, Idempotency, Save},
    store::Object,
};

/// Reads them; `None` where the rule knows no keys.
pub(super) fn parse(members: &Table<'_>, methods: &[String], has_ledger: bool) -> Option<Idempotency> {
    let beside = ["save", "hold", "retention", "invocation_id", "body_limit"];
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
    let retention = members.span("retention");
    if retention.is_some_and(|span| !(SHORTEST..=LONGEST).contains(&span)) {
        members.note("retention", "expected from 1h to 30d: a client may come back as late");
    }
    if !has_ledger {
        let class = Ledger::CLASS;
        members.note(
            "idempotency",
            format!(
                "expected a binding {} to the class {}, found none (see docs/idempotency.md)",
                class.binding, class.name
            ),
        );
    }
    let is_safe = |method: &String| matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
    if !methods.is_empty() && methods.iter().all(is_safe) {
        members.note(
            "idempotency",
            "expected a method that changes something: GET, HEAD and OPTIONS need no key",
        );
    }
    Some(Idempotency {
        required: required?,
        invocation_id: members.flag("invocation_id"),
        save: save?,
        hold: hold?,
        retention: retention?,
        body_limit: members.bytes("body_limit")?,
    })
}

/// What our own creating endpoints know of keys.
pub(super) const OWN: Idempotency = Idempotency {
    required: false,
    invocation_id: false,
    save: Save::Safe,
    hold: Hold::Conflict,
    retention: Duration::from_hours(24),
    body_limit: crate::form::LONGEST,
};

const SHORTEST: Duration = Duration::from_hours(1);
const LONGEST: Duration = Duration::from_hours(30 * 24);
