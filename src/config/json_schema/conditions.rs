//! What the members of a table require of each other. The parser reports the same mistakes.

use serde_json::{Value, json};

use crate::{
    config::{
        limits::RESERVED_PREFIXES as RESERVED_LIMITS,
        report::GUARDS,
        session::OTHER_CLAIMS,
        webhooks::{HMAC_MEMBERS, MAX_INBOX_BODY},
    },
    webhooks::Scheme,
};

/// Returns what the members of a table require of each other.
#[expect(clippy::too_many_lines, reason = "one table")]
pub(super) fn conditions(table: &str) -> Vec<Value> {
    let has = |name: &str| json!({"required": [name]});
    let lacks = |name: &str| json!({"not": {"required": [name]}});
    let lacks_all =
        |names: &[&str]| json!({"allOf": names.iter().map(|name| lacks(name)).collect::<Vec<_>>()});
    let has_any = |names: &[&str]| json!({"anyOf": names.iter().map(|name| has(name)).collect::<Vec<_>>()});
    let is = |name: &str, value: &Value| json!({"properties": {name: {"enum": value}}, "required": [name]});
    let when = |condition: Value, then: Value| json!({"if": condition, "then": then});
    let needs = |name: &str, then: Value| when(has(name), then);
    match table {
        "variables" => vec![
            json!({
                "if": is("ENVIRONMENT", &json!(["development"])),
                "else": {
                    "not": {"required": ["DANGER_FIXED_NOW"]},
                    "properties": {
                        "PUBLIC_ORIGINS": {"items": {"pattern": "^https:"}},
                        "POLICY_URL": {"pattern": "^https:"},
                        "MAILER": {"pattern": "^https:"},
                        "BOT_CHECK": {"properties": {"verify_url": {"pattern": "^https:"}}},
                    },
                },
            }),
            when(
                json!({"properties": {"SESSION": {"type": "object", "not": is("login", &json!(["accounts"]))}}, "required": ["SESSION"]}),
                lacks_all(&[
                    "USER_HEADERS",
                    "TOKEN_MAKERS",
                    "TOKEN_MAX_EXPIRY",
                    "CREDENTIALS",
                    "PAGES",
                    "BRANDING",
                    "PASSWORDS",
                    "MAILER",
                ]),
            ),
        ],
        "session" => vec![
            when(
                is("check", &json!(["token"])),
                json!({"allOf": [lacks("check_ttl"), lacks("recent_admin"), json!({"not": is("login", &json!(["accounts"]))})]}),
            ),
            json!({"if": is("check", &json!(["token"])), "else": has("login")}),
            needs("cookie_previous", has("login")),
            json!({"properties": {"user_claim": {"not": {"enum": OTHER_CLAIMS}}, "session_claim": {"not": {"enum": OTHER_CLAIMS}}}}),
            when(is("login", &json!(["upstream"])), lacks("require_second_factor")),
            when(
                json!({"properties": {"cookie": {"pattern": "^__Host-"}}, "required": ["cookie"]}),
                lacks("domain"),
            ),
        ],
        "rule" => vec![
            json!({"if": is("access", &json!(["owner"])), "then": has("owner_from"), "else": lacks("owner_from")}),
            when(
                is("access", &json!(["public", "optional"])),
                lacks_all(&["unauthenticated", "recent", "confirm"]),
            ),
            when(is("access", &json!(["agent"])), lacks("recent")),
            when(is("access", &json!(["public"])), lacks("stream_check")),
            when(is("access", &json!(["human"])), lacks("confirm")),
            when(is("insecure_skip_csrf", &json!([true])), lacks("csrf")),
            json!({"if": has("idempotency"), "else": lacks_all(&["save", "hold", "retention", "invocation_id"])}),
            when(is("mode", &json!(["report"])), lacks("report")),
            // A guard in `report` is one of the rule's. `hooks` belong to the Worker.
            json!({"allOf": GUARDS.iter().filter(|(name, _)| *name != "hooks").map(|(name, _)| {
                let names = json!({"type": "array", "contains": {"const": name}});
                when(json!({"properties": {"report": names}, "required": ["report"]}), has(name))
            }).collect::<Vec<_>>()}),
            needs("body_limit", has_any(&["idempotency", "confirm", "bot_check", "return_field"])),
            needs("checkout", is("idempotency", &json!(["required"]))),
            when(
                has("idempotency"),
                json!({"properties": {"methods": {"contains": {"not": {"enum": ["GET", "HEAD", "OPTIONS"]}}}}}),
            ),
            json!({
                "if": {"required": ["catalogue"], "not": {"properties": {"catalogue": {"const": false}}}},
                "then": {"required": ["operation", "methods"]},
            }),
            when(is("login", &json!([true])), has("methods")),
            when(is("encoded_slashes", &json!([true])), json!({"properties": {"path": {"pattern": r"\{"}}})),
        ],
        "credential" => vec![
            when(is("machine", &json!([true])), has("source")),
            when(is("machine", &json!([false])), lacks("source")),
            when(is("kind", &json!(["agent"])), is("machine", &json!([true]))),
            when(
                is("delegate", &json!([true])),
                json!({"allOf": [is("kind", &json!(["user"])), is("machine", &json!([false]))]}),
            ),
        ],
        "checkout_provider" => vec![json!({"properties": {"confirm": {"minItems": 1}}})],
        "webhook" => {
            let schemes = |has: fn(&Scheme) -> bool| -> Value {
                Scheme::PLAIN
                    .iter()
                    .filter(|scheme| !has(scheme))
                    .map(Scheme::name)
                    .collect::<Vec<_>>()
                    .into()
            };
            let by_event_id = json!({"not": is("dedupe", &json!(["payload_hash"]))});
            vec![
                when(is("scheme", &schemes(Scheme::signs_timestamp)), lacks("tolerance")),
                when(
                    is("scheme", &schemes(Scheme::signs_event_id)),
                    json!({"not": is("dedupe", &json!(["event_id"]))}),
                ),
                when(is("scheme", &schemes(Scheme::tells_event_type)), lacks("events")),
                when(
                    json!({"allOf": [is("scheme", &schemes(|scheme| !scheme.repeats_bytes())), by_event_id]}),
                    json!({"required": ["events"], "properties": {"events": {"minItems": 1}}}),
                ),
                json!({
                    "if": is("scheme", &json!(["hmac"])),
                    "then": has("header"),
                    "else": lacks_all(HMAC_MEMBERS),
                }),
                json!({"if": is("delivery", &json!(["inbox"])), "then": {"properties": {"body_limit": {"maximum": MAX_INBOX_BODY}}}, "else": lacks("order")}),
            ]
        }
        "rate_limit" => {
            let reserved = format!("^({})", RESERVED_LIMITS.join("|"));
            vec![json!({"properties": {"name": {"not": {"pattern": reserved}}}})]
        }
        _ => Vec::new(),
    }
}
