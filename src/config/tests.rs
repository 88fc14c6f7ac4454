//! Configurations that pass, and every mistake that does not.

mod endpoints;
mod messages;
mod mistakes;
mod slashes;

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Bindings, Check, Config,
    own::OWN_RULES,
    parse::read_variables,
    schema::{
        ALL, BOT_CHECK, CATALOGUE, CHECKOUT, CHECKOUT_PROVIDER, CONFIRM, CREDENTIAL, MAINTAINED, Member,
        RATE_LIMIT, RULE, SECRETS, SESSION, UPSTREAM, VARIABLES, WEBHOOK,
    },
};
use crate::{
    path::CanonicalPath,
    rule::{Access, Unauthenticated},
};

fn minimal() -> Value {
    json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": { "check": "token" },
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
    })
}

fn with(changes: &Value) -> Result<Config, Vec<String>> {
    let mut variables = minimal();
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            variables.as_object_mut().expect("an object").remove(name);
        } else {
            variables[name] = value.clone();
        }
    }
    let variables = read_variables(&variables.to_string()).expect("an object");
    Config::parse(&variables, &Bindings::named(["SESSIONS", "ACCOUNTS", "LEDGER", "LIMITER", "TOKENS"]))
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn check(changes: &Value, wanted: &str) {
    match with(changes) {
        Ok(_) => panic!("{changes} passed, wanted {wanted}"),
        Err(mistakes) => {
            assert!(mistakes.iter().any(|mistake| mistake.contains(wanted)), "{changes}: {mistakes:#?}");
        }
    }
}

#[test]
fn the_least_that_works() {
    let config = with(&json!({})).expect("valid");
    assert!(!config.development);
    assert_eq!(config.session.cookie.as_str(), "mk_session");
    assert_eq!(config.session.lifetime.as_secs(), 30 * 86_400);
    assert_eq!(config.rules.exact("GET", "/login").map(|rule| rule.access), Some(Access::Public));
    assert_eq!(config.hops_cookie.as_str(), "mk_session_hops");
}

#[test]
fn where_codes_are_explained() {
    for base in
        ["urn:vestibule:errors", "https://docs.example/errors.md", "http://localhost:1/e", "about:blank"]
    {
        let config = with(&json!({"PROBLEM_BASE": base})).expect(base);
        assert_eq!(config.problem_base, base);
    }
    assert_eq!(with(&json!({})).expect("valid").problem_base, crate::problem::DEFAULT_BASE);
}

#[test]
fn how_a_rule_answers_those_who_are_not_signed_in() {
    for (member, want) in [
        (json!({}), Unauthenticated::Standard),
        (json!({"unauthenticated": "redirect"}), Unauthenticated::Redirect),
        (json!({"unauthenticated": "401"}), Unauthenticated::Refuse),
    ] {
        let mut rule = member;
        rule["path"] = json!("/m/{id}");
        rule["access"] = json!("authenticated");
        let config = with(&json!({"ROUTES": [rule]})).expect("valid");
        let path = CanonicalPath::judge("/m/1").expect("a path");
        assert_eq!(config.rules.find("GET", &path).unauthenticated, want);
    }
}

#[test]
fn a_registry_needs_its_binding() {
    let variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": {"login": "upstream"},
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
    });
    let variables = read_variables(&variables.to_string()).expect("an object");
    let mistakes = Config::parse(&variables, &Bindings::default()).expect_err("a mistake");
    assert!(
        mistakes[0].to_string().starts_with("SESSION.check: expected a binding SESSIONS"),
        "{mistakes:?}"
    );
    let config = Config::parse(&variables, &Bindings::named(["SESSIONS"])).expect("valid");
    assert_eq!(config.check, Check::Registry { ttl: Duration::from_secs(10) });
}

#[test]
fn paths_are_ours_only_where_they_are_served() {
    let rule = json!([{"path": "/api/users", "access": "user"}, {"path": "/api/sessions", "access": "user"}]);
    with(&json!({"ROUTES": rule})).expect("they are upstream's");
    check(
        &json!({"ROUTES": rule, "SESSION": {"login": "upstream"}}),
        "ROUTES[1].path: expected a path that is not an endpoint",
    );
    check(
        &json!({"ROUTES": rule, "SESSION": {"login": "accounts"}}),
        "ROUTES[0].path: expected a path that is not an endpoint",
    );
}

#[test]
fn webhooks_name_their_secrets() {
    for (entry, want) in [
        (json!({"name": "my-hub"}), Some("WEBHOOK_MY_HUB_SECRET")),
        (json!({"name": "hub", "secret": "HUB_KEY"}), Some("HUB_KEY")),
        (json!({"path": "/a"}), None),
        (json!(7), None),
    ] {
        assert_eq!(super::webhook_secret(&entry).as_deref(), want, "{entry}");
    }
    // What the check of a configuration puts in for one is taken by every scheme.
    for scheme in
        ["standard", "stripe", "github", "shopify", "slack", "paddle", "lemonsqueezy", "twilio", "square"]
    {
        let mut hook = json!([{"name": "hub", "scheme": scheme, "path": "/hook"}]);
        if scheme == "shopify" {
            hook[0]["events"] = json!(["orders/paid"]);
        }
        let secret = "whsec_c3RhbmRzIGluIGZvciBhIHNlY3JldA==";
        with(&json!({"WEBHOOKS": hook, "WEBHOOK_HUB_SECRET": secret})).expect(scheme);
    }
}

#[test]
fn agent_tokens_are_named_and_never_shown() {
    let of = |tokens: &str| json!({"AGENT_TOKENS": tokens, "SESSION": {"login": "accounts"}, "SETUP_TOKEN": "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p"});
    let (a, b) = ("mk_".to_owned() + &"a1".repeat(20), "mk_".to_owned() + &"b2".repeat(20));
    let config = with(&of(&format!("deploy:{a}, night.ly:{b}"))).expect("valid");
    let names: Vec<&str> = config.seeds.iter().map(|seed| seed.name.as_str()).collect();
    assert_eq!(names, ["deploy", "night.ly"]);
    // What is wrong with one is told, and concerns no other.
    for (tokens, wanted) in [
        (a.clone(), "AGENT_TOKENS: expected name:token, found none in entry 1"),
        (format!(":{a}"), "AGENT_TOKENS: expected a name of"),
        (format!("a b:{a}"), "AGENT_TOKENS: expected a name of"),
        (format!("x:{a},x:{b}"), "AGENT_TOKENS: expected \"x\" once"),
        (format!("x:{a},y:{a}"), "AGENT_TOKENS: expected a token of its own for \"y\""),
        (format!("x:{a},"), "AGENT_TOKENS: expected name:token, found none in entry 2"),
        ("x:mk_short".to_owned(), "AGENT_TOKENS: expected a token of 40"),
        (format!("x:mul_{}", "a1".repeat(20)), "AGENT_TOKENS: expected a token with the prefix"),
    ] {
        let config = with(&of(&format!("good:mk_{},{tokens}", "c3".repeat(20)))).expect(wanted);
        let complaints: Vec<String> = config.complaints.iter().map(ToString::to_string).collect();
        assert!(complaints.len() == 1 && complaints[0].starts_with(wanted), "{complaints:?} {wanted}");
        assert!(!complaints[0].contains("a1a1") && complaints[0].contains("until then it is refused"));
        assert_eq!(config.seeds[0].name, "good");
        let others = tokens.split(',').filter(|entry| entry.starts_with("x:mk_") && entry.len() > 40).count();
        assert_eq!(config.seeds.len(), 1 + others.min(1), "{tokens}");
    }
    check(&json!({"AGENT_TOKENS": ["x"], "SESSION": {"login": "accounts"}}), "AGENT_TOKENS: expected a text");
    check(&json!({"AGENT_TOKENS": a}), "AGENT_TOKENS: expected SESSION.login");
    // Beside a mistake, all is told at once.
    let mut broken = of(&a);
    broken["CSRF"] = json!("off");
    assert_eq!(with(&broken).expect_err("two").len(), 2);
}

#[test]
fn lists_may_be_one_text() {
    let config = with(&json!({
        "PUBLIC_ORIGINS": "https://app.example, https://b.example",
        "ALLOWED_ORIGINS": "https://c.example",
        "REDIRECT_ORIGINS": " https://pay.example ,https://d.example ",
        "ROUTES": [{"path": "/a", "access": "public", "methods": "GET,POST"}],
    }))
    .expect("valid");
    let texts = |origins: &[crate::origin::Origin]| {
        origins.iter().map(|origin| origin.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&config.return_path.public), ["https://app.example", "https://b.example"]);
    assert_eq!(
        texts(&config.csrf.allowed),
        ["https://app.example", "https://b.example", "https://c.example"]
    );
    assert_eq!(texts(&config.return_path.elsewhere), ["https://pay.example", "https://d.example"]);
    assert_eq!(config.rules.exact("POST", "/a").map(|rule| rule.access), Some(Access::Public));
}

#[test]
fn all_mistakes_at_once() {
    let mistakes = with(&json!({
        "UPSTREAM": "x",
        "AUTH_SECRET": "short",
        "SESSION": {"check": "token", "leeway": "1"},
        "ROUTES": [{"path": "a", "access": "user"}, {"path": "/b", "access": "nobody"}],
    }))
    .expect_err("four kinds of mistakes");
    assert_eq!(mistakes.len(), 5, "{mistakes:#?}");
}

#[test]
fn continued_routes_and_json_in_texts() {
    let config = with(&json!({
        "ROUTES_b": [{"path": "/b", "access": "public"}],
        "ROUTES": "[{\"path\": \"/a\", \"access\": \"user\", \"methods\": [\"GET\"]}]",
        "MY_OWN": "left alone",
        "CORS": "left alone",
    }))
    .expect("valid");
    let paths: Vec<&str> = config.rules.rules().iter().map(|rule| rule.path.as_str()).collect();
    assert_eq!(paths.get(OWN_RULES.len()..), Some(&["/a", "/b", "/login"][..]));
}

#[test]
fn the_middle_of_a_rotation_works() {
    let both = "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA";
    assert!(with(&json!({"AUTH_SECRET": both, "AUTH_SECRET_PREVIOUS": both})).is_ok());
}

#[test]
fn a_secret_is_in_no_message() {
    let mistakes =
        with(&json!({"AUTH_SECRET": "hunter2hunter2", "UPSTREAM_SECRET": "hex:hunter2"})).expect_err("two");
    assert!(
        mistakes.len() == 2 && !mistakes.iter().any(|mistake| mistake.contains("hunter")),
        "{mistakes:?}"
    );
}

/// Puts a table where it belongs in a configuration.
type Around<'a> = Box<dyn Fn(Value) -> Value + 'a>;

/// Each member is given what no member takes, and the mistake names its path. So a member that is read by another's name, or
/// not at all, is found.
#[test]
fn every_member_of_the_schema_is_read() {
    let webhook = json!({"name": "shop", "scheme": "hmac", "path": "/hooks/shop", "header": "X-Sig"});
    let within = |list: &str, entry: &Value| json!({ list: [entry] });
    let rule_with = |member: &str, table: Value| json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "required", member: table}], "WEBHOOKS": [webhook]});
    let provider = |confirm: Value| json!({"WEBHOOKS": [webhook], "CHECKOUT_PROVIDERS": [{"provider": "shop", "confirm": [confirm]}]});
    let tables: [(&[Member], &str, Around<'_>); 14] = [
        (VARIABLES, "", Box::new(|all| all)),
        (SECRETS, "", Box::new(|all| all)),
        (SESSION, "SESSION.", Box::new(|table| json!({ "SESSION": table }))),
        (UPSTREAM, "UPSTREAM.", Box::new(|table| json!({ "UPSTREAM": table }))),
        (CREDENTIAL, "CREDENTIALS[0].", Box::new(|entry| within("CREDENTIALS", &entry))),
        (
            RULE,
            "ROUTES[0].",
            Box::new(|entry| {
                let mut rule = json!({"path": "/a/{id}", "access": "owner", "owner_from": "/a/{id}"});
                rule.as_object_mut().expect("a table").extend(entry.as_object().expect("a table").clone());
                within("ROUTES", &rule)
            }),
        ),
        (RATE_LIMIT, "RATE_LIMITS[0].", Box::new(|entry| within("RATE_LIMITS", &entry))),
        (BOT_CHECK, "BOT_CHECK.", Box::new(|table| json!({ "BOT_CHECK": table }))),
        (CATALOGUE, "ROUTES[0].catalogue.", Box::new(|table| rule_with("catalogue", table))),
        (
            WEBHOOK,
            "WEBHOOKS[0].",
            Box::new(|entry| {
                let mut webhook = webhook.clone();
                webhook.as_object_mut().expect("a table").extend(entry.as_object().expect("a table").clone());
                within("WEBHOOKS", &webhook)
            }),
        ),
        (CHECKOUT, "ROUTES[0].checkout.", Box::new(|table| rule_with("checkout", table))),
        (CHECKOUT_PROVIDER, "CHECKOUT_PROVIDERS[0].", Box::new(|entry| within("CHECKOUT_PROVIDERS", &entry))),
        (CONFIRM, "CHECKOUT_PROVIDERS[0].confirm[0].", Box::new(provider)),
        (MAINTAINED, "MAINTENANCE[0].", Box::new(|entry| within("MAINTENANCE", &entry))),
    ];
    let listed = tables.iter().map(|(members, ..)| members.as_ptr()).collect::<Vec<_>>();
    assert!(ALL.iter().all(|members| listed.contains(&members.as_ptr())), "a table is missing here");
    let mut unread = Vec::new();
    for (members, path, around) in tables {
        for Member { name, .. } in members {
            let mistakes = with(&around(json!({ *name: [[[]]] }))).err().unwrap_or_default();
            let place = format!("{path}{name}");
            let is_there = |mistake: &String| {
                mistake.strip_prefix(&place).is_some_and(|rest| rest.starts_with([':', '[']))
            };
            if !mistakes.iter().any(is_there) {
                unread.push((place, mistakes));
            }
        }
    }
    assert!(unread.is_empty(), "{unread:#?}");
}
