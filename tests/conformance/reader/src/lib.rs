//! Answers the questions of the public test vectors by calling Vestibule's functions. `tests/conformance/sets.mjs`
//! makes the questions, and `readers.mjs` asks them: natively, in workerd, and over HTTP without this crate.

use std::fmt::Write as _;

use serde_json::{Value, json};
use vestibule::{
    base::time::Timestamp,
    config::{Bindings, Config, Variables},
    crypto::{jwt::Keys, secret::Secret},
    http::{
        cookie,
        header_filter::ForwardedRequest,
        path::CanonicalPath,
        request::{Headers, Request},
    },
    idempotency,
    identity::csrf,
    redirects::return_path::ReturnTo,
    routing::rule::{Access, Names, Rule},
    webhooks::{Arrival, Signed},
};

/// Answers one question, as JSON. The answer is `null` if the configuration of the question is invalid.
#[cfg_attr(all(target_arch = "wasm32", target_os = "unknown"), wasm_bindgen::prelude::wasm_bindgen)]
#[must_use]
pub fn answer(question: &str) -> String {
    let answer = serde_json::from_str(question).ok().and_then(|question| answer_to(&question));
    answer.unwrap_or_default().to_string()
}

/// Returns `None` if the question is malformed, or its configuration is invalid.
fn answer_to(question: &Value) -> Option<Value> {
    match text(question, "ask") {
        "token" => return Some(json!({ "accepted": accepts_token(question) })),
        "cookies" => {
            let pairs: Vec<_> = cookie::pairs(text(question, "header")).collect();
            return Some(json!({ "pairs": pairs }));
        }
        "key" => {
            // The runtime joins several header lines into one value.
            let lines: Vec<_> = list(question, "lines").filter_map(Value::as_str).collect();
            return Some(json!({ "accepted": idempotency::Key::parse(&lines.join(", ")).is_some() }));
        }
        _ => {}
    }
    let config = configuration(question);
    if text(question, "ask") == "origin" {
        return Some(json!({ "valid": config.is_some() }));
    }
    let config = config?;
    Some(match text(question, "ask") {
        "return_path" => {
            let accepted = config.site.return_path.accept(text(question, "next"));
            json!({ "accepted": accepted.as_ref().map(ReturnTo::as_str) })
        }
        "csrf" => json!({ "passes": passes_csrf(&config, question)? }),
        "removed" => removed(question)?,
        "path" => forwarded_path(&config, question)?,
        "bearer" => bearer(question)?,
        "webhook" => json!({ "valid": is_signed(&config, question)? }),
        _ => return None,
    })
}

/// Checks the signature of a token under one or two keys. The claims of a session are not checked: no vector has them.
fn accepts_token(question: &Value) -> bool {
    let named = list(question, "keys").map(|key| {
        let bytes = text(key, "hex").as_bytes().chunks(2).map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).unwrap_or_default()
        });
        Some((text(key, "id").to_owned(), Secret::from_bytes(bytes.collect()).ok()?))
    });
    let Some(mut named) = named.collect::<Option<Vec<_>>>() else { return false };
    if named.is_empty() {
        return false;
    }
    let first = named.remove(0);
    Keys::named(first, named).is_ok_and(|keys| keys.verify(text(question, "token")).is_ok())
}

/// Checks a request against the CSRF policy of the site and the rule that decides about its path.
fn passes_csrf(config: &Config, question: &Value) -> Option<bool> {
    let serialized = serialized(text(question, "method"), question)?;
    let request = Request::read(&serialized)?;
    let rule = request.check_method().ok().and_then(|()| rule_for(config, &request));
    Some(rule.is_some_and(|rule| csrf::check(&config.csrf, rule.csrf, &request).is_ok()))
}

/// Lists the headers that are not forwarded.
fn removed(question: &Value) -> Option<Value> {
    let serialized = serialized("GET", question)?;
    let request = Request::read(&serialized)?;
    let forwarded = ForwardedRequest::of(&request);
    let removed: Vec<_> = forwarded.removed().collect();
    Some(json!({ "removed": removed, "user": forwarded.header("x-user-id") }))
}

/// Returns the path that upstream would receive without a session: the rule has to be public.
fn forwarded_path(config: &Config, question: &Value) -> Option<Value> {
    let serialized = serialized("GET", question)?;
    let request = Request::read(&serialized)?;
    let is_public = rule_for(config, &request).is_some_and(|rule| matches!(rule.access, Access::Public));
    Some(json!({ "forwarded": is_public.then_some(request.path) }))
}

fn bearer(question: &Value) -> Option<Value> {
    let serialized = serialized("GET", question)?;
    Some(json!({ "token": Request::read(&serialized)?.bearer() }))
}

/// Returns the rule that decides about a request; `None` if its path is rejected.
fn rule_for<'a>(config: &'a Config, request: &Request<'_>) -> Option<&'a Rule> {
    let path = CanonicalPath::parse_with_ambiguous_escapes(request.path).ok()?;
    config.match_rule(request, &path, Names::Ignored).deciding.ok()
}

/// Verifies the signature of a webhook.
fn is_signed(config: &Config, question: &Value) -> Option<bool> {
    let lines = header_lines(question.get("headers")?);
    let headers = Headers::read(&lines);
    let body = text(question, "body").as_bytes();
    let request = Signed { headers: &headers, body, url: text(question, "url") };
    let now = Timestamp(question.get("now")?.as_i64()?);
    Some(config.webhooks.first()?.verifier.verify(request, Arrival::at_once(now)).is_ok())
}

fn configuration(question: &Value) -> Option<Config> {
    let variables: Variables = question.get("variables")?.as_object()?.clone();
    Config::parse(&variables, &Bindings::named(BINDINGS)).ok()
}

/// The objects that the configurations of the questions need.
const BINDINGS: [&str; 5] = ["SESSIONS", "ACCOUNTS", "LEDGER", "LIMITER", "TOKENS"];

/// Writes a request as the edge does. The URL of a question is resolved, as the runtime does it.
fn serialized(method: &str, question: &Value) -> Option<String> {
    Some(format!("{method}\n{}\n{}", text(question, "url"), header_lines(question.get("headers")?)))
}

/// Writes headers as the edge does: names in lower case and values, one per line.
fn header_lines(headers: &Value) -> String {
    let pairs: Vec<(String, &str)> = match headers {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap_or_default()))
            .collect(),
        _ => headers
            .as_array()
            .into_iter()
            .flatten()
            .map(|header| (text(header, "name").to_lowercase(), text(header, "value")))
            .collect(),
    };
    let mut lines = String::new();
    for (name, value) in pairs {
        let separator = if lines.is_empty() { "" } else { "\n" };
        let _ = write!(lines, "{separator}{name}\n{}", value.trim_matches([' ', '\t']));
    }
    lines
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}
