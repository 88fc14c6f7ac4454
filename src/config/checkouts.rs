//! From `CHECKOUT_PROVIDERS`, `MAINTENANCE` and a rule's `checkout` to what they mean.

use std::time::Duration;

use serde_json::Value;

use super::{
    Confirmation, Maintained, Webhook,
    reader::{Mistakes, Table, expected},
    schema::{CHECKOUT, CHECKOUT_PROVIDER, CONFIRM, MAINTAINED},
};
use crate::{
    checkouts::Checkouts,
    path::CanonicalPath,
    rule::{self, Idempotency},
    store::Object,
};

/// Reads what events confirm checkouts.
pub(super) fn providers(
    top: &Table<'_>,
    webhooks: &[Webhook],
    has_checkouts: bool,
    mistakes: &Mistakes,
) -> Vec<Confirmation> {
    let mut confirmations = Vec::new();
    for (at, entry) in entries(top, "CHECKOUT_PROVIDERS", mistakes) {
        if !has_checkouts {
            let class = Checkouts::CLASS;
            mistakes.note(
                "CHECKOUT_PROVIDERS",
                format!(
                    "expected a binding {} to the class {}, found none (see docs/webhooks.md)",
                    class.binding, class.name
                ),
            );
        }
        let members = Table::open(&at, Some(entry), CHECKOUT_PROVIDER, mistakes);
        let provider = members.parse("provider", |text| Ok(text.to_owned()));
        if !members.has("provider") {
            members.demand("provider");
        }
        if !members.has("confirm") {
            members.demand("confirm");
        }
        let Some(provider) = provider else { continue };
        match webhooks.iter().find(|webhook| webhook.name == provider) {
            None => {
                members.note("provider", format!("expected the name of one of WEBHOOKS, found {provider:?}"));
            }
            Some(webhook) if !webhook.signs_type => members.note(
                "provider",
                "expected a webhook whose scheme signs the event's type: an unsigned one confirms nothing",
            ),
            Some(_) => {}
        }
        if members.has("confirm")
            && members.value("confirm").and_then(Value::as_array).is_none_or(std::vec::Vec::is_empty)
        {
            members.note("confirm", "expected list of events, at least one");
        }
        for (index, entry) in
            members.value("confirm").and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            let members = Table::open(format!("{at}.confirm[{index}]"), Some(entry), CONFIRM, mistakes);
            for name in ["event", "ref"].iter().filter(|name| !members.has(name)) {
                members.demand(name);
            }
            let event = members.parse("event", |text| Ok(text.to_owned()));
            let reference = members.parse("ref", pointer);
            let equals = equals(&members);
            if let (Some(event), Some(reference)) = (event, reference) {
                confirmations.push(Confirmation { webhook: provider.clone(), event, reference, equals });
            }
        }
    }
    confirmations
}

/// Reads which paths of upstream's are called at each tick.
pub(super) fn maintenance(
    top: &Table<'_>,
    (has_ledger, is_signed): (bool, bool),
    mistakes: &Mistakes,
) -> Vec<Maintained> {
    let mut all = Vec::new();
    for (at, entry) in entries(top, "MAINTENANCE", mistakes) {
        let members = Table::open(&at, Some(entry), MAINTAINED, mistakes);
        if !has_ledger {
            members.note(
                "path",
                "expected a binding LEDGER to the class Ledger, found none (see docs/webhooks.md)",
            );
        }
        if !is_signed {
            mistakes.note(
                "UPSTREAM_SECRET",
                "expected a secret beside MAINTENANCE: upstream could not tell a tick from a client",
            );
        }
        if !members.has("path") {
            members.demand("path");
        }
        let path = members.parse("path", |text| {
            let is_plain = CanonicalPath::judge(text).is_ok_and(|path| path.as_str() == text)
                && !text.contains(['?', '#', '{']);
            if is_plain {
                Ok(text.to_owned())
            } else {
                Err(format!("expected a path in canonical form, found {text:?}"))
            }
        });
        let timeout = members.span("timeout");
        if timeout.is_some_and(|timeout| timeout.is_zero() || timeout > MOST_TIMEOUT) {
            members.note("timeout", "expected from 1s to 10m");
        }
        if let (Some(path), Some(timeout)) = (path, timeout) {
            all.push(Maintained { path, timeout });
        }
    }
    all
}

/// Reads a rule's `checkout`.
pub(super) fn of_rule(
    members: &Table<'_>,
    at: &str,
    (idempotency, has_checkouts, providers): (Option<&Idempotency>, bool, &[String]),
    mistakes: &Mistakes,
) -> Option<rule::Checkout> {
    let value = members.value("checkout")?;
    if !has_checkouts {
        let class = Checkouts::CLASS;
        members.note(
            "checkout",
            format!(
                "expected a binding {} to the class {}, found none (see docs/webhooks.md)",
                class.binding, class.name
            ),
        );
    }
    if !idempotency.is_some_and(|policy| policy.required) {
        members.note(
            "checkout",
            "expected idempotency = \"required\" beside it: what is begun twice is paid twice",
        );
    }
    let table = Table::open(format!("{at}.checkout"), Some(value), CHECKOUT, mistakes);
    if !table.has("provider") {
        table.demand("provider");
    }
    let provider = table.parse("provider", |text| Ok(text.to_owned()));
    if let Some(provider) = provider.as_ref().filter(|name| !providers.contains(name)) {
        table.note("provider", format!("expected one of CHECKOUT_PROVIDERS, found {provider:?}"));
    }
    let reference = table.parse("ref", pointer);
    let reserve = table.span("reserve");
    if reserve.is_some_and(|span| !(SHORTEST..=LONGEST).contains(&span)) {
        table.note("reserve", "expected from 1m to 30d");
    }
    Some(rule::Checkout { provider: provider?, reference: reference?, reserve: reserve? })
}

fn entries<'a>(top: &Table<'a>, name: &str, mistakes: &Mistakes) -> Vec<(String, &'a Value)> {
    let Some(value) = top.value(name) else { return Vec::new() };
    let Some(entries) = value.as_array() else {
        mistakes.note(name, expected("list of tables", value));
        return Vec::new();
    };
    entries.iter().enumerate().map(|(index, entry)| (format!("{name}[{index}]"), entry)).collect()
}

fn equals(members: &Table<'_>) -> Vec<(String, Value)> {
    let Some(value) = members.value("equals") else { return Vec::new() };
    let Some(table) = value.as_object() else {
        members.note("equals", expected("table of JSON pointers and values", value));
        return Vec::new();
    };
    for name in table.keys().filter(|name| !name.starts_with('/')) {
        members.note("equals", format!("expected JSON pointers, such as /data/paid, found {name:?}"));
    }
    table.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn pointer(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err(format!("expected a JSON pointer, such as /id, found {text:?}"))
    }
}

const MOST_TIMEOUT: Duration = Duration::from_mins(10);
const SHORTEST: Duration = Duration::from_mins(1);
const LONGEST: Duration = Duration::from_hours(30 * 24);
