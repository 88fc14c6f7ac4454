//! Parses `CHECKOUT_PROVIDERS`, `MAINTENANCE` and a rule's `checkout`.

use std::time::Duration;

use serde_json::Value;

use super::{
    mistake::Mistakes,
    parse::ParseContext,
    reader::{Table, expected},
    rules::{ExtraRule, RuleContext, TIMEOUT},
    schema::{CHECKOUT, CHECKOUT_PROVIDER, CONFIRM, MAINTAINED},
};
use crate::{
    checkouts::{
        Checkouts,
        settings::{ConfirmingEvent, MaintenancePath},
    },
    idempotency::ledger::Ledger,
    platform::store::Object,
    routing::rule::{self, Access, Destination, Idempotency, Rule},
    webhooks::settings::Webhook,
};

/// Parses `CHECKOUT_PROVIDERS`: the events that confirm checkouts.
pub(super) fn providers(top: &Table<'_>, webhooks: &[Webhook], has_checkouts: bool) -> Vec<ConfirmingEvent> {
    let mut confirming_events = Vec::new();
    for members in top.tables("CHECKOUT_PROVIDERS", CHECKOUT_PROVIDER) {
        members.require_binding("provider", has_checkouts, Checkouts::CLASS, "webhooks.md");
        members.require_members();
        let provider = members.text("provider");
        let events = members.tables("confirm", CONFIRM);
        if members.value("confirm").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            members.report("confirm", "expected a list of at least one event, found an empty list");
        }
        if let Some(provider) = &provider {
            match webhooks.iter().find(|webhook| webhook.name == *provider) {
                None => members
                    .report("provider", format!("expected the name of a webhook in WEBHOOKS, found {provider:?}")),
                Some(webhook) if !webhook.signs_type => members.report(
                    "provider",
                    "expected a webhook whose scheme signs the event's type: an unsigned type cannot confirm a payment",
                ),
                Some(_) => {}
            }
        }
        for members in events {
            members.require_members();
            let (event, reference) = (members.text("event"), members.pointer("ref"));
            let equals = equals(&members);
            if let (Some(webhook), Some(event), Some(reference)) = (provider.clone(), event, reference) {
                confirming_events.push(ConfirmingEvent { webhook, event, reference, equals });
            }
        }
    }
    confirming_events
}

/// Parses `MAINTENANCE`: the upstream paths, and the rules that refuse clients there.
pub(super) fn maintenance(
    top: &Table<'_>,
    context: &ParseContext<'_>,
    has_ledger: bool,
) -> (Vec<MaintenancePath>, Vec<ExtraRule>) {
    let (mut paths, mut rules): (Vec<MaintenancePath>, Vec<ExtraRule>) = Default::default();
    if top.has("MAINTENANCE") && !context.variables.contains_key("UPSTREAM_SECRET") {
        let message =
            "required with MAINTENANCE: upstream uses it to distinguish maintenance requests from clients";
        context.mistakes.report("UPSTREAM_SECRET", message);
    }
    for members in top.tables("MAINTENANCE", MAINTAINED) {
        members.require_binding("path", has_ledger, Ledger::CLASS, "webhooks.md");
        members.require_members();
        let path = members.path("path");
        let timeout = members.duration_within("timeout", TIMEOUT, "expected a duration from 1s to 10m");
        if let (Some(path), Some(timeout)) = (path, timeout) {
            let rule = Rule::new(&path, Access::Public, Destination::InternalOnly);
            rules.push(ExtraRule { location: members.path_of("path"), rule });
            paths.push(MaintenancePath { path, timeout });
        }
    }
    (paths, rules)
}

/// Parses a rule's `checkout`.
pub(super) fn parse_for_rule(
    members: &Table<'_>,
    context: &RuleContext<'_>,
    idempotency: Option<&Idempotency>,
    mistakes: &Mistakes,
) -> Option<rule::Checkout> {
    let value = members.value("checkout")?;
    members.require_binding(
        "checkout",
        context.built_in_settings.bound.checkouts,
        Checkouts::CLASS,
        "webhooks.md",
    );
    if !idempotency.is_some_and(|policy| policy.required) {
        members.report(
            "checkout",
            "requires idempotency = \"required\": otherwise a repeated request can be paid twice",
        );
    }
    let table = Table::open(members.path_of("checkout"), Some(value), CHECKOUT, mistakes);
    table.require_members();
    let provider = table.text("provider");
    let is_known = |name: &String| context.confirming_events.iter().any(|event| event.webhook == *name);
    if let Some(provider) = provider.as_ref().filter(|name| !is_known(name)) {
        table.report(
            "provider",
            format!("expected the name of a provider in CHECKOUT_PROVIDERS, found {provider:?}"),
        );
    }
    let reference = table.pointer("ref");
    let reserve =
        table.duration_within("reserve", MIN_RESERVE..=MAX_RESERVE, "expected a duration from 1m to 30d");
    Some(rule::Checkout { provider: provider?, reference: reference?, reserve: reserve? })
}

fn equals(members: &Table<'_>) -> Vec<(String, Value)> {
    let Some(value) = members.value("equals") else { return Vec::new() };
    let Some(table) = value.as_object() else {
        members.report("equals", expected("a table of JSON pointers and values", value));
        return Vec::new();
    };
    for name in table.keys().filter(|name| !name.starts_with('/')) {
        members.report("equals", format!("expected JSON pointers, such as /data/paid, found {name:?}"));
    }
    table.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

const MIN_RESERVE: Duration = Duration::from_mins(1);
const MAX_RESERVE: Duration = Duration::from_hours(30 * 24);
