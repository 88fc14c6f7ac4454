//! Public vectors of webhook signatures, read from `VECTORS_DIR` and never copied into the repository. See
//! `tests/common/vectors.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail"
)]

use std::time::Duration;

use serde_json::Value;
use vestibule::{
    base::time::Timestamp,
    http::request::Headers,
    webhooks::{
        Arrival, Delivery, Scheme, Signed, Verifier,
        hmac::{Encoding, Policy, Settings},
    },
};

mod common {
    pub(crate) mod vectors;
}

use common::vectors::{rows, tally, text, vectors};

#[test]
fn verifies_webhook_signatures() {
    let Some(file) = vectors("webhooks/webhook_vectors.json") else { return };
    tally("webhook signatures", rows(&file, "tests"), |row| {
        verify_row(row, text(row, "body").as_bytes()).is_some() == (text(row, "expect") == "accept")
    });
}

/// A changed body, secret or header invalidates every provider's signature.
#[test]
fn rejects_changed_webhooks() {
    let Some(file) = vectors("webhooks/webhook_vectors.json") else { return };
    let accepted: Vec<Value> =
        rows(&file, "tests").iter().filter(|row| text(row, "expect") == "accept").cloned().collect();
    tally("changed webhooks", &accepted, |row| {
        let longer = format!("{}x", text(row, "body"));
        let mut named = row.clone();
        named["secret"] = Value::from("c29tZSBvdGhlciBzZWNyZXQ=");
        let mut bare = row.clone();
        bare["headers"] = Value::Object(serde_json::Map::new());
        let body = text(row, "body").as_bytes();
        [verify_row(row, longer.as_bytes()), verify_row(&named, body), verify_row(&bare, body)]
            .iter()
            .all(Option::is_none)
    });
}

/// Schemes of other providers, through the configurable HMAC scheme.
#[test]
fn verifies_configurable_webhook_schemes() {
    let Some(file) = vectors("webhooks/scheme_catalogue.json") else { return };
    let known: Vec<Value> = rows(&file, "schemes")
        .iter()
        .filter(|row| scheme(text(row, "provider")).is_some())
        .cloned()
        .collect();
    println!("webhook schemes: {} of {} can be configured", known.len(), rows(&file, "schemes").len());
    tally("webhook schemes", &known, |row| {
        let mut row = row.clone();
        for name in ["now", "url"] {
            row[name] = file[name].clone();
        }
        let provider = text(&row, "provider").to_owned();
        row["secret"] = file["secret"].clone();
        if provider.starts_with("svix") {
            // The catalogue's remark contains this secret in the form that Svix shows.
            let remark = text(&row, "dedup_key");
            row["secret"] = Value::from(&remark[remark.find("whsec_").expect("a secret")..remark.len() - 1]);
        }
        if provider == "twilio" {
            // Only the URL is signed, so the form in the body is not needed.
            return verify_row(&row, b"").is_some();
        }
        verify_row(&row, text(&file, "body").as_bytes()).is_some()
    });
}

/// Verifies a row. Returns `None` if the signature or the secret is invalid.
fn verify_row(row: &Value, body: &[u8]) -> Option<Delivery> {
    let secrets: Vec<&str> = match &row["secret"] {
        Value::String(secret) => vec![secret],
        secrets => secrets.as_array()?.iter().map(|secret| secret.as_str().expect("text")).collect(),
    };
    let tolerance = Duration::from_secs(row["tolerance"].as_u64().unwrap_or(300));
    let verifier = Verifier::new(scheme(text(row, "provider"))?, &secrets, tolerance).ok()?;
    let fields: Vec<(String, &str)> = row["headers"]
        .as_object()?
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.as_str().expect("text")))
        .collect();
    let headers: Headers<'_> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let request = Signed { headers: &headers, body, url: row["url"].as_str().unwrap_or_default() };
    let now = Timestamp(row["now"].as_i64().unwrap_or_default());
    verifier.verify(request, Arrival::at_once(now)).ok()
}

fn scheme(provider: &str) -> Option<Scheme> {
    let plain = |header| Settings { header, signed: "{body}", ..Settings::default() };
    let prefixed = |header, prefix| Settings { prefix, ..plain(header) };
    let base64 = |header| Settings { encoding: Encoding::Base64, ..plain(header) };
    let stamped = |header| Settings {
        prefix: "v1=",
        signed: "{timestamp}.{body}",
        timestamp_prefix: Some("t="),
        ..plain(header)
    };
    let settings = match provider {
        "standard-webhooks" | "svix" | "svix/standard-webhooks" => return Some(Scheme::Standard),
        "stripe" => return Some(Scheme::Stripe),
        "github" => return Some(Scheme::Github),
        "shopify" => return Some(Scheme::Shopify),
        "slack" => return Some(Scheme::Slack),
        "paddle" => return Some(Scheme::Paddle),
        "lemonsqueezy" => return Some(Scheme::LemonSqueezy),
        "twilio" => return Some(Scheme::Twilio),
        "square" => return Some(Scheme::Square),
        "workos" => stamped("WorkOS-Signature"),
        "calendly" => stamped("Calendly-Webhook-Signature"),
        "meta/whatsapp" => prefixed("X-Hub-Signature-256", "sha256="),
        "pagerduty" => prefixed("X-PagerDuty-Signature", "v1="),
        "linear" => plain("Linear-Signature"),
        "sentry" => plain("Sentry-Hook-Signature"),
        "gitea/forgejo" => plain("X-Gitea-Signature"),
        "razorpay" => plain("X-Razorpay-Signature"),
        "line" => base64("X-Line-Signature"),
        "docusign" => base64("X-DocuSign-Signature-1"),
        "typeform" => Settings { prefix: "sha256=", ..base64("Typeform-Signature") },
        "zendesk" => Settings {
            signed: "{timestamp}{body}",
            timestamp_header: Some("X-Zendesk-Webhook-Signature-Timestamp"),
            ..base64("X-Zendesk-Webhook-Signature")
        },
        "zoom" => Settings {
            signed: "v0:{timestamp}:{body}",
            timestamp_header: Some("X-Zm-Request-Timestamp"),
            ..prefixed("X-Zm-Signature", "v0=")
        },
        "twitch" => Settings {
            signed: "{id}{timestamp}{body}",
            timestamp_header: Some("Twitch-Eventsub-Message-Timestamp"),
            id_header: Some("Twitch-Eventsub-Message-Id"),
            ..prefixed("Twitch-Eventsub-Message-Signature", "sha256=")
        },
        // Not HMAC-SHA256, or the signed text cannot be expressed by `signed`.
        "hubspot-v3" | "vercel" | "intercom" | "gitlab" | "telegram" | "discord" | "sendgrid" => return None,
        other => panic!("no rules for {other}"),
    };
    Some(Scheme::Hmac(Policy::new(&settings).expect("a policy")))
}
