//! From `WEBHOOKS` to verifiers, and the rules they are received by.

use std::time::Duration;

use serde_json::Value;

use super::{
    Delivery, Webhook,
    idempotency::KEPT,
    own::Features,
    parse::Variables,
    reader::{Mistakes, Table},
    schema::{SECRETS, WEBHOOK},
    secrets::how_to_set,
};
use crate::{
    form::is_plain_name,
    inbox::Inbox,
    ledger::Ledger,
    rule::{Access, Csrf, Destination, Rule},
    store::Object,
    webhook::{Scheme, TOLERANCE, Verifier, hmac},
};

/// Reads the list: the webhooks, and where in the configuration stands by what rule each is received.
pub(super) fn parse(
    top: &Table<'_>,
    variables: (&Variables, bool),
    served: Features,
    mistakes: &Mistakes,
) -> (Vec<Webhook>, Vec<(String, Rule)>) {
    let (mut webhooks, mut rules): (Vec<Webhook>, Vec<(String, Rule)>) = Default::default();
    for members in top.tables("WEBHOOKS", WEBHOOK) {
        members.demand_binding("scheme", served.has_ledger, Ledger::CLASS, "webhooks.md");
        let Some((webhook, rule)) = read(&members, variables, (webhooks.len(), served), mistakes) else {
            continue;
        };
        if webhooks.iter().any(|other| other.name == webhook.name) {
            members.note("name", "expected another name: events are told apart by it");
        }
        webhooks.push(webhook);
        rules.push((members.at("path"), rule));
    }
    (webhooks, rules)
}

fn read(
    members: &Table<'_>,
    variables: (&Variables, bool),
    (index, served): (usize, Features),
    mistakes: &Mistakes,
) -> Option<(Webhook, Rule)> {
    members.demand(&["name", "scheme", "path"]);
    let name = members.parse_shape("name", |text| is_plain_name(text).then(|| text.to_owned()));
    let path = members.path("path");
    let wanted = "expected from 1s to 60s: no provider waits longer";
    let timeout = members.span_within("timeout", SECOND..=Duration::from_mins(1), wanted);
    let wanted = "expected from 1s to 1h: within it a delivery can be sent again by whoever saw it";
    let tolerance = if members.has("tolerance") {
        members.span_within("tolerance", SECOND..=Duration::from_hours(1), wanted)
    } else {
        Some(TOLERANCE)
    };
    let wanted = "expected from 1h to 30d: providers try again for days";
    let retention = members.span_within("retention", KEPT, wanted);
    let by_event_id = members.choice("dedupe", &[("event_id", true), ("payload_hash", false)]);
    let events = members.list("events", |text| Ok(text.to_owned()));
    let body_limit = members.bytes("body_limit");
    let delivery = delivery(members, served.has_inbox, (body_limit, timeout));
    let scheme = scheme(members);
    if let Some(scheme) = &scheme {
        if members.has("tolerance") && !scheme.signs_timestamp() {
            members.note("tolerance", "expected nothing: this scheme signs no time");
        }
        if by_event_id == Some(true) && !scheme.signs_event_id() {
            members.note("dedupe", "expected \"payload_hash\": this scheme signs no id of the event");
        }
        if scheme.repeats_bytes() && by_event_id != Some(false) && events.is_empty() {
            members.note("events", REPEATED);
        }
        if members.has("events") && !scheme.tells_event_type() {
            members.note("events", "expected nothing: this scheme tells no type, so nothing would go on");
        }
    }
    let named = members.text("secret");
    let (name, scheme) = (name?, scheme?);
    let signs_type = scheme.signs_event_type();
    let by_type = scheme.repeats_bytes() && by_event_id != Some(false);
    let verifier = verifier(&name, named, (scheme, tolerance?), (variables, mistakes))?;
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
    // The signature is the proof in place of the site's.
    rule.csrf = Csrf::InsecureSkip;
    rule.webhook = Some(index);
    Some((webhook, rule))
}

/// Reads how events are handed on.
#[expect(clippy::option_option, reason = "a mistake, or directly, or by an inbox")]
fn delivery(
    members: &Table<'_>,
    has_inbox: bool,
    (body_limit, timeout): (Option<usize>, Option<Duration>),
) -> Option<Option<Delivery>> {
    let is_inbox = members.choice("delivery", &[("direct", false), ("inbox", true)])?;
    let subject = members.pointer("order");
    if !is_inbox {
        if members.has("order") {
            let wanted =
                "expected delivery = \"inbox\" beside it: what is handed on at once comes as it comes";
            members.note("order", wanted);
        }
        return Some(None);
    }
    members.demand_binding("delivery", has_inbox, Inbox::CLASS, "webhooks.md");
    if body_limit.is_some_and(|limit| limit > MOST_KEPT) {
        members.note("body_limit", "expected at most 1900000 beside delivery = \"inbox\": a row holds 2 MB");
    }
    Some(Some(Delivery { subject, timeout: timeout? }))
}

/// Reads the secrets that may have signed: `WEBHOOK_<NAME>_SECRET`, or what `secret` names.
fn verifier(
    name: &str,
    named: Option<String>,
    (scheme, tolerance): (Scheme, Duration),
    ((variables, development), mistakes): ((&Variables, bool), &Mistakes),
) -> Option<Verifier> {
    let variable = named.unwrap_or_else(|| secret_of(name));
    let Some(text) = variables.get(&variable).and_then(Value::as_str).filter(|text| !text.is_empty()) else {
        mistakes.note(
            variable.clone(),
            format!(
                "expected the provider's signing secret, found nothing ({})",
                how_to_set(&variable, development)
            ),
        );
        return None;
    };
    if SECRETS.iter().any(|own| own.name == variable) {
        mistakes.note(variable, "expected another secret for a webhook than one of Vestibule's own");
        return None;
    }
    let secrets: Vec<&str> = text.split(',').collect();
    if secrets.iter().any(|secret| secret.trim() != *secret) {
        mistakes.note(variable, "expected no space around a secret: with it, it is another one");
        return None;
    }
    if secrets.iter().any(|secret| (1..6).contains(&secret.len())) {
        mistakes.note(variable, "expected secrets of 6 characters or more (a comma ends one)");
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
    let known = members.text("scheme")?;
    if known != "hmac" {
        for name in HMAC.iter().filter(|name| members.has(name)) {
            members.note(name, "expected beside scheme = \"hmac\", and only there");
        }
        let found = Scheme::named(&known);
        if found.is_none() {
            let names: Vec<String> =
                Scheme::PLAIN.iter().map(|scheme| format!("{:?}", scheme.name())).collect();
            let names = names.join(", ");
            members.note("scheme", format!("expected one of {names}, \"hmac\", found {known:?}"));
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
        .map_err(|all| all.iter().for_each(|one| members.note(one.member, one.message)))
        .map(Scheme::Hmac)
        .ok()
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

const REPEATED: &str = "expected the types that this webhook takes, or dedupe = \"payload_hash\" beside it: this provider \
    sends the same bytes under several types and signs none of them, so only the types that are listed tell events apart";

const SECOND: Duration = Duration::from_secs(1);
const MOST_KEPT: usize = 1_900_000;
