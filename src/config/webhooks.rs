//! Parses `WEBHOOKS` into verifiers and rules.

use std::time::Duration;

use serde_json::Value;

use super::{
    built_in::BuiltInSettings,
    idempotency::RETENTION,
    parse::ParseContext,
    reader::Table,
    rules::ExtraRule,
    schema::{SECRETS, WEBHOOK},
    secrets::how_to_set,
};
use crate::{
    http::form::is_plain_name,
    idempotency::ledger::Ledger,
    platform::store::Object,
    routing::rule::{Access, Csrf, Destination, Rule},
    webhooks::{
        Scheme, TOLERANCE, Verifier, hmac,
        inbox::Inbox,
        settings::{Delivery, Webhook},
    },
};

/// Parses `WEBHOOKS`: the webhooks, and the rules that receive them.
pub(super) fn parse(
    top: &Table<'_>,
    context: &ParseContext<'_>,
    built_in_settings: BuiltInSettings,
) -> (Vec<Webhook>, Vec<ExtraRule>) {
    let (mut webhooks, mut rules): (Vec<Webhook>, Vec<ExtraRule>) = Default::default();
    for members in top.tables("WEBHOOKS", WEBHOOK) {
        members.require_binding("scheme", built_in_settings.bound.ledger, Ledger::CLASS, "webhooks.md");
        let Some((webhook, rule)) = parse_entry(&members, context, built_in_settings, webhooks.len()) else {
            continue;
        };
        if webhooks.iter().any(|other| other.name == webhook.name) {
            members.report("name", "expected a unique name: another webhook has the same name");
        }
        webhooks.push(webhook);
        rules.push(ExtraRule { location: members.path_of("path"), rule });
    }
    (webhooks, rules)
}

/// Parses an entry of `WEBHOOKS`. `index` is the position of its webhook among the valid ones.
fn parse_entry(
    members: &Table<'_>,
    context: &ParseContext<'_>,
    built_in_settings: BuiltInSettings,
    index: usize,
) -> Option<(Webhook, Rule)> {
    members.require_members();
    let name = members.parse_shape("name", |text| is_plain_name(text).then(|| text.to_owned()));
    let path = members.path("path");
    let message = "expected a duration from 1s to 60s: no provider waits longer";
    let timeout = members.duration_within("timeout", SECOND..=Duration::from_mins(1), message);
    let message = "expected a duration from 1s to 1h: within this time, a captured delivery can be replayed";
    let tolerance = if members.has("tolerance") {
        members.duration_within("tolerance", SECOND..=Duration::from_hours(1), message)
    } else {
        Some(TOLERANCE)
    };
    let message = "expected a duration from 1h to 30d: providers retry for days";
    let retention = members.duration_within("retention", RETENTION, message);
    let by_event_id = members.choice("dedupe", &[("event_id", true), ("payload_hash", false)]);
    let events = members.list("events", |text| Ok(text.to_owned()));
    let body_limit = members.bytes("body_limit");
    let delivery = delivery(members, built_in_settings.bound.inbox, body_limit, timeout);
    let scheme = scheme(members);
    if let Some(scheme) = &scheme {
        if members.has("tolerance") && !scheme.signs_timestamp() {
            members.report("tolerance", "not allowed: this scheme signs no timestamp");
        }
        if by_event_id == Some(true) && !scheme.signs_event_id() {
            members.report("dedupe", "expected \"payload_hash\": this scheme signs no event id");
        }
        if scheme.repeats_bytes() && by_event_id != Some(false) && events.is_empty() {
            members.report("events", EVENTS_REQUIRED);
        }
        if members.has("events") && !scheme.tells_event_type() {
            members.report(
                "events",
                "not allowed: events of this scheme have no type, so none would be forwarded",
            );
        }
    }
    let secret_name = members.text("secret");
    let (name, scheme) = (name?, scheme?);
    let signs_type = scheme.signs_event_type();
    let by_type = scheme.repeats_bytes() && by_event_id != Some(false);
    let verifier = verifier(&name, secret_name, scheme, tolerance?, context)?;
    let webhook = Webhook {
        signs_type,
        by_type,
        by_event_id: by_event_id.unwrap_or(true),
        name,
        verifier,
        events,
        inbox: delivery?,
        retention: retention?,
        body_limit: body_limit?,
    };
    let mut rule = Rule::new(&path?, Access::Public, Destination::Upstream);
    rule.methods = vec!["POST".to_owned()];
    rule.operation = Some(webhook.operation());
    rule.timeout = timeout?;
    // The signature is the proof, so no CSRF check is needed.
    rule.csrf = Csrf::InsecureSkip;
    rule.webhook = Some(index);
    Some((webhook, rule))
}

/// Parses how events are delivered. The outer `None` is a mistake, the inner `None` is direct delivery.
#[expect(clippy::option_option, reason = "a mistake, direct delivery, or an inbox")]
fn delivery(
    members: &Table<'_>,
    has_inbox: bool,
    body_limit: Option<usize>,
    timeout: Option<Duration>,
) -> Option<Option<Delivery>> {
    let is_inbox = members.choice("delivery", &[("direct", false), ("inbox", true)])?;
    let subject = members.pointer("order");
    if !is_inbox {
        if members.has("order") {
            let message = "requires delivery = \"inbox\": direct deliveries are forwarded in the order of their arrival";
            members.report("order", message);
        }
        return Some(None);
    }
    members.require_binding("delivery", has_inbox, Inbox::CLASS, "webhooks.md");
    if body_limit.is_some_and(|limit| limit > MAX_INBOX_BODY) {
        members.report(
            "body_limit",
            "expected at most 1900000 with delivery = \"inbox\": a database row holds at most 2 MB",
        );
    }
    Some(Some(Delivery { subject, timeout: timeout? }))
}

/// Parses the signing secrets of a webhook, separated by commas: `WEBHOOK_<NAME>_SECRET`, or the variable that `secret`
/// names.
fn verifier(
    name: &str,
    secret_name: Option<String>,
    scheme: Scheme,
    tolerance: Duration,
    context: &ParseContext<'_>,
) -> Option<Verifier> {
    let ParseContext { variables, development, mistakes, .. } = *context;
    let variable = secret_name.unwrap_or_else(|| default_secret_name(name));
    let Some(text) = variables.get(&variable).and_then(Value::as_str).filter(|text| !text.is_empty()) else {
        mistakes.report(
            variable.clone(),
            format!(
                "expected the provider's signing secret, found nothing ({})",
                how_to_set(&variable, development)
            ),
        );
        return None;
    };
    if SECRETS.iter().any(|secret| secret.name == variable) {
        mistakes.report(
            variable,
            "expected the provider's secret for a webhook, found one of Vestibule's own secrets",
        );
        return None;
    }
    let secrets: Vec<&str> = text.split(',').collect();
    if secrets.iter().any(|secret| secret.trim() != *secret) {
        mistakes.report(variable, "expected no space around a secret: the space would be part of it");
        return None;
    }
    if secrets.iter().any(|secret| (1..6).contains(&secret.len())) {
        mistakes.report(variable, "expected secrets of 6 characters or more (commas separate secrets)");
        return None;
    }
    Verifier::new(scheme, &secrets, tolerance)
        .map_err(|error| mistakes.report(variable, error.to_string()))
        .ok()
}

/// Returns the name of the secret that an entry of `WEBHOOKS` needs, if the entry has a `secret` or a `name`.
#[must_use]
pub fn webhook_secret(entry: &Value) -> Option<String> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    text("secret").map(str::to_owned).or_else(|| text("name").map(default_secret_name))
}

/// Returns the default name of a webhook's secret.
fn default_secret_name(name: &str) -> String {
    format!("WEBHOOK_{}_SECRET", name.to_ascii_uppercase().replace('-', "_"))
}

fn scheme(members: &Table<'_>) -> Option<Scheme> {
    let name = members.text("scheme")?;
    if name != "hmac" {
        for name in HMAC_MEMBERS.iter().filter(|name| members.has(name)) {
            members.report(name, "requires scheme = \"hmac\"");
        }
        let found = Scheme::named(&name);
        if found.is_none() {
            let names: Vec<String> =
                Scheme::PLAIN.iter().map(|scheme| format!("{:?}", scheme.name())).collect();
            let names = names.join(", ");
            members.report("scheme", format!("expected one of {names}, \"hmac\", found {name:?}"));
        }
        return found;
    }
    let text = |name| members.borrowed_text(name);
    let encoding =
        members.choice("encoding", &[("hex", hmac::Encoding::Hex), ("base64", hmac::Encoding::Base64)]);
    let settings = hmac::Settings {
        header: text("header").unwrap_or_default(),
        prefix: text("prefix").unwrap_or_default(),
        encoding: encoding?,
        signed: text("signed").unwrap_or_default(),
        timestamp_header: text("timestamp_header"),
        timestamp_prefix: text("timestamp_prefix"),
        id_header: text("id_header"),
        event_id: text("event_id"),
        event_type: text("event_type"),
    };
    hmac::Policy::new(&settings)
        .map_err(|errors| errors.iter().for_each(|error| members.report(error.member, error.message)))
        .map(Scheme::Hmac)
        .ok()
}

/// The members that belong to `scheme = "hmac"`.
pub(super) const HMAC_MEMBERS: &[&str] = &[
    "header",
    "prefix",
    "encoding",
    "signed",
    "timestamp_header",
    "timestamp_prefix",
    "id_header",
    "event_id",
    "event_type",
];

const EVENTS_REQUIRED: &str = "expected the types that this webhook accepts, or dedupe = \"payload_hash\": \
    this provider sends the same bytes under several types and signs no type, so only the listed types distinguish \
    events";

const SECOND: Duration = Duration::from_secs(1);
pub(super) const MAX_INBOX_BODY: usize = 1_900_000;
