//! From `WEBHOOKS` to verifiers, and the rules they are received by.

use std::time::Duration;

use serde_json::Value;

use super::{
    Delivery, Webhook,
    parse::Variables,
    reader::{Mistakes, Table, expected},
    rules::{self, Served},
    schema::{SECRETS, WEBHOOK},
};
use crate::{
    inbox::Inbox,
    ledger::Ledger,
    rule::{Access, Csrf, Destination, Rule},
    store::Object,
    webhook::{Scheme, TOLERANCE, Verifier, hmac},
};

/// Reads the list: each webhook, and its rule.
pub(super) fn parse(
    top: &Table<'_>,
    variables: &Variables,
    served: Served,
    mistakes: &Mistakes,
) -> Vec<(Webhook, Rule)> {
    let Some(value) = top.value("WEBHOOKS") else { return Vec::new() };
    let Some(entries) = value.as_array() else {
        mistakes.note("WEBHOOKS", expected("list of webhooks", value));
        return Vec::new();
    };
    if !served.has_ledger {
        let class = Ledger::CLASS;
        mistakes.note(
            "WEBHOOKS",
            format!(
                "expected a binding {} to the class {}, found none (see docs/webhooks.md)",
                class.binding, class.name
            ),
        );
    }
    let mut webhooks: Vec<(Webhook, Rule)> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let members = Table::open(format!("WEBHOOKS[{index}]"), Some(entry), WEBHOOK, mistakes);
        let Some((webhook, rule)) = read(&members, variables, (webhooks.len(), served), mistakes) else {
            continue;
        };
        if webhooks.iter().any(|(other, _)| other.name == webhook.name) {
            members.note("name", "expected another name: events are told apart by it");
        }
        webhooks.push((webhook, rule));
    }
    webhooks
}

fn read(
    members: &Table<'_>,
    variables: &Variables,
    (index, served): (usize, Served),
    mistakes: &Mistakes,
) -> Option<(Webhook, Rule)> {
    for name in ["name", "scheme", "path"] {
        if !members.has(name) {
            members.demand(name);
        }
    }
    let name = members.parse_shape("name", name);
    let scheme = scheme(members);
    let path = members.parse("path", |text| Ok(text.to_owned()));
    let timeout = members.span("timeout");
    if timeout.is_some_and(|timeout| timeout.is_zero() || timeout > MOST_TIMEOUT) {
        members.note("timeout", "expected from 1s to 60s: no provider waits longer");
    }
    if path.as_ref().is_some_and(|path| path.contains('{')) {
        members.note("path", "expected a path without parameters: few providers sign it");
    }
    let tolerance = if members.has("tolerance") { members.span("tolerance") } else { Some(TOLERANCE) };
    if tolerance.is_some_and(|span| span > MOST_TOLERANCE || span.is_zero()) {
        members.note(
            "tolerance",
            "expected from 1s to 1h: within it a delivery can be sent again by whoever saw it",
        );
    }
    let retention = members.span("retention");
    if retention.is_some_and(|span| !(SHORTEST..=LONGEST).contains(&span)) {
        members.note("retention", "expected from 1h to 30d: a provider tries again as late");
    }
    let by_event_id = members.choice("dedupe", &[("event_id", true), ("payload_hash", false)]);
    let events = members.list("events", |text| Ok(text.to_owned()));
    let body_limit = members.bytes("body_limit");
    let is_inbox = members.choice("delivery", &[("direct", false), ("inbox", true)]);
    if is_inbox == Some(true) && !served.has_inbox {
        let class = Inbox::CLASS;
        members.note(
            "delivery",
            format!(
                "expected a binding {} to the class {} beside \"inbox\", found none (see docs/webhooks.md)",
                class.binding, class.name
            ),
        );
    }
    if is_inbox == Some(true) && body_limit.is_some_and(|limit| limit > MOST_KEPT) {
        members.note("body_limit", "expected at most 1900000 beside delivery = \"inbox\": a row holds 2 MB");
    }
    let order = members.parse("order", |text| {
        if text.starts_with('/') {
            Ok(text.to_owned())
        } else {
            Err("expected a JSON pointer, such as /data/id".to_owned())
        }
    });
    if members.has("order") && is_inbox == Some(false) {
        members.note(
            "order",
            "expected delivery = \"inbox\" beside it: what is handed on at once comes as it comes",
        );
    }
    let (name, scheme) = (name?, scheme?);
    if members.has("tolerance") && !scheme.signs_timestamp() {
        members.note("tolerance", "expected nothing: this scheme signs no time");
    }
    if by_event_id == Some(true) && !scheme.signs_event_id() {
        members.note("dedupe", "expected \"payload_hash\": this scheme signs no id of the event");
    }
    if members.has("events") && matches!(scheme, Scheme::Twilio) {
        members.note("events", "expected nothing: this scheme tells no type, so nothing would go on");
    }
    let named = members.parse("secret", |text| Ok(text.to_owned()));
    let signs_type = !matches!(scheme, Scheme::Github | Scheme::Shopify | Scheme::Twilio);
    let verifier = verifier(&name, named, (scheme, tolerance?), (variables, mistakes))?;
    let mut rule = rules::rule(&path?, Access::Public, Destination::Upstream);
    rule.methods = vec!["POST".to_owned()];
    rule.operation = Some(format!("webhooks.{}", name.replace('-', "_")));
    rule.timeout = timeout?;
    // The signature is the proof in place of the site's.
    rule.csrf = Csrf::InsecureSkip;
    rule.webhook = Some(index);
    let webhook = Webhook {
        signs_type,
        by_event_id: by_event_id.unwrap_or(true),
        name,
        verifier,
        events,
        inbox: is_inbox?.then_some(Delivery { subject: order, timeout: timeout? }),
        retention: retention?,
        body_limit: body_limit?,
    };
    Some((webhook, rule))
}

/// Reads the secrets that may have signed: `WEBHOOK_<NAME>_SECRET`, or what `secret` names.
fn verifier(
    name: &str,
    named: Option<String>,
    (scheme, tolerance): (Scheme, Duration),
    (variables, mistakes): (&Variables, &Mistakes),
) -> Option<Verifier> {
    let variable = named.unwrap_or_else(|| secret_of(name));
    let Some(text) = variables.get(&variable).and_then(Value::as_str).filter(|text| !text.is_empty()) else {
        mistakes.note(
            variable.clone(),
            format!("expected the provider's signing secret, found nothing (wrangler secret put {variable})"),
        );
        return None;
    };
    if SECRETS.iter().any(|own| own.name == variable) {
        mistakes.note(variable, "expected another secret for a webhook than one of Vestibule's own");
        return None;
    }
    let secrets: Vec<&str> = text.split(',').collect();
    if secrets.iter().any(|secret| secret.trim() != *secret || (1..6).contains(&secret.len())) {
        mistakes
            .note(variable, "expected secrets of 6 characters or more, with commas and nothing else between");
        return None;
    }
    Verifier::new(scheme, &secrets, tolerance)
        .map_err(|error| mistakes.note(variable, error.to_string()))
        .ok()
}

/// Names the secret that an entry of `WEBHOOKS` asks for, where it can be told.
#[must_use]
pub fn webhook_secret(entry: &Value) -> Option<String> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    text("secret").map(str::to_owned).or_else(|| text("name").map(secret_of))
}

/// Names the secret of a webhook.
fn secret_of(name: &str) -> String {
    format!("WEBHOOK_{}_SECRET", name.to_ascii_uppercase().replace('-', "_"))
}

fn scheme(members: &Table<'_>) -> Option<Scheme> {
    let known = members.parse("scheme", |text| Ok(text.to_owned()))?;
    let plain = [
        Scheme::Standard,
        Scheme::Stripe,
        Scheme::Github,
        Scheme::Shopify,
        Scheme::Slack,
        Scheme::Paddle,
        Scheme::LemonSqueezy,
        Scheme::Twilio,
        Scheme::Square,
    ];
    if known != "hmac" {
        for name in HMAC.iter().filter(|name| members.has(name)) {
            members.note(name, "expected beside scheme = \"hmac\", and only there");
        }
        let found = plain.iter().find(|scheme| scheme.name() == known).cloned();
        if found.is_none() {
            let names: Vec<&str> = plain.iter().map(Scheme::name).collect();
            members.note("scheme", format!("expected one of {}, hmac, found {known:?}", names.join(", ")));
        }
        return found;
    }
    let text = |name| members.value(name).and_then(Value::as_str);
    let encoding =
        members.choice("encoding", &[("hex", hmac::Encoding::Hex), ("base64", hmac::Encoding::Base64)]);
    let settings = hmac::Settings {
        header: text("header").unwrap_or_default(),
        prefix: text("prefix").unwrap_or_default(),
        encoding: encoding?,
        signed: text("signed").unwrap_or("{body}"),
        timestamp_header: text("timestamp_header"),
        timestamp_prefix: text("timestamp_prefix"),
        id_header: text("id_header"),
        event_id: text("event_id"),
        event_type: text("event_type"),
    };
    hmac::Policy::new(&settings)
        .map_err(|all| all.iter().for_each(|one| members.note(one.member, one.message)))
        .map(Scheme::Hmac)
        .ok()
}

fn name(text: &str) -> Option<String> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    ((1..=32).contains(&text.len()) && text.bytes().all(is_plain)).then(|| text.to_owned())
}

/// What describes a provider of its own kind.
const HMAC: &[&str] = &[
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

const MOST_TIMEOUT: Duration = Duration::from_mins(1);
const MOST_KEPT: usize = 1_900_000;
const MOST_TOLERANCE: Duration = Duration::from_hours(1);
const SHORTEST: Duration = Duration::from_hours(1);
const LONGEST: Duration = Duration::from_hours(30 * 24);
