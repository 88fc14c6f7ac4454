//! Tests of valid configurations, and of every mistake.

mod endpoints;
mod feature_mistakes;
mod json_schema;
mod messages;
mod mistakes;
mod pages;
mod slashes;

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Bindings, Config,
    parse::read_variables,
    schema::{
        ALL, BOT_CHECK, BRANDING, CATALOGUE, CHECKOUT, CHECKOUT_PROVIDER, CONFIRM, CREDENTIAL, MAINTAINED,
        Member, PAGES, PASSWORDS, RATE_LIMIT, RULE, SECRETS, SESSION, UPSTREAM, VARIABLES, WEBHOOK,
    },
};
use crate::{
    http::path::CanonicalPath,
    routing::rule::{Access, Unauthenticated},
    sessions::settings::Check,
};

fn minimal() -> Value {
    json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": { "check": "token" },
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
    })
}

/// Returns the minimal configuration with these variables. Removes those that are null.
fn with_changes(changes: &Value) -> Value {
    let mut variables = minimal();
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            variables.as_object_mut().expect("an object").remove(name);
        } else {
            variables[name] = value.clone();
        }
    }
    variables
}

fn parse_with(changes: &Value) -> Result<Config, Vec<String>> {
    let variables = with_changes(changes);
    let variables = read_variables(&variables.to_string()).expect("an object");
    Config::parse(&variables, &Bindings::named(["SESSIONS", "ACCOUNTS", "LEDGER", "LIMITER", "TOKENS"]))
        .inspect(|_| json_schema::expect_valid(&with_changes(changes)))
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn expect_mistake(changes: &Value, wanted: &str) {
    match parse_with(changes) {
        Ok(_) => panic!("{changes} is valid, expected the mistake {wanted}"),
        Err(mistakes) => {
            assert!(mistakes.iter().any(|mistake| mistake.contains(wanted)), "{changes}: {mistakes:#?}");
            json_schema::expect_flag(&with_changes(changes), wanted);
        }
    }
}

#[test]
fn accepts_the_minimal_configuration() {
    let config = parse_with(&json!({})).expect("valid");
    assert!(!config.site.development);
    assert_eq!(config.sessions.policy.cookie.as_str(), "mk_session");
    assert_eq!(config.sessions.policy.lifetime.lifetime.as_secs(), 30 * 86_400);
    assert_eq!(config.rules.exact("GET", "/login").map(|rule| rule.access), Some(Access::Public));
    assert_eq!(config.site.hops_cookie.as_str(), "mk_session_hops");
}

#[test]
fn serves_modules_only_in_local_development() {
    let local = json!({
        "ENVIRONMENT": "development",
        "PUBLIC_ORIGINS": ["http://localhost:8787"],
        "UPSTREAM": "http://127.0.0.1:5173",
    });
    assert!(parse_with(&local).expect("valid").development_server.is_some());
    for (name, value) in [
        ("PUBLIC_ORIGINS", json!(["http://localhost:8787", "https://app.example"])),
        ("UPSTREAM", json!("https://origin.example")),
    ] {
        let mut changed = local.clone();
        changed[name] = value;
        assert!(parse_with(&changed).expect("valid").development_server.is_none(), "{name}");
    }
    let production = json!({"PUBLIC_ORIGINS": ["https://localhost"], "UPSTREAM": "http://127.0.0.1:5173"});
    assert!(parse_with(&production).expect("valid").development_server.is_none());
}

#[test]
fn keeps_problem_base() {
    for base in
        ["urn:vestibule:errors", "https://docs.example/errors.md", "http://localhost:1/e", "about:blank"]
    {
        let config = parse_with(&json!({"PROBLEM_BASE": base})).expect(base);
        assert_eq!(config.site.problem_base, base);
    }
    assert_eq!(parse_with(&json!({})).expect("valid").site.problem_base, crate::http::problem::DEFAULT_BASE);
}

#[test]
fn parses_unauthenticated() {
    for (member, want) in [
        (json!({}), Unauthenticated::Standard),
        (json!({"unauthenticated": "redirect"}), Unauthenticated::Redirect),
        (json!({"unauthenticated": "401"}), Unauthenticated::Refuse),
    ] {
        let mut rule = member;
        rule["path"] = json!("/m/{id}");
        rule["access"] = json!("authenticated");
        let config = parse_with(&json!({"ROUTES": [rule]})).expect("valid");
        let path = CanonicalPath::parse("/m/1").expect("a path");
        assert_eq!(config.rules.find("GET", &path).unauthenticated, want);
    }
}

#[test]
fn registry_requires_its_binding() {
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
    assert_eq!(config.sessions.check, Check::Registry { ttl: Duration::from_secs(10) });
}

#[test]
fn reserves_only_paths_of_enabled_endpoints() {
    let rule = json!([{"path": "/api/users", "access": "user"}, {"path": "/api/sessions", "access": "user"}]);
    parse_with(&json!({"ROUTES": rule})).expect("the paths belong to upstream");
    expect_mistake(
        &json!({"ROUTES": rule, "SESSION": {"login": "upstream"}}),
        "ROUTES[1].path: expected a path that is not an endpoint",
    );
    expect_mistake(
        &json!({"ROUTES": rule, "SESSION": {"login": "accounts"}}),
        "ROUTES[0].path: expected a path that is not an endpoint",
    );
}

#[test]
fn names_the_secrets_of_webhooks() {
    for (entry, want) in [
        (json!({"name": "my-hub"}), Some("WEBHOOK_MY_HUB_SECRET")),
        (json!({"name": "hub", "secret": "HUB_KEY"}), Some("HUB_KEY")),
        (json!({"path": "/a"}), None),
        (json!(7), None),
    ] {
        assert_eq!(super::webhook_secret(&entry).as_deref(), want, "{entry}");
    }
    // Every scheme accepts the placeholder that `check-config` uses for an unknown secret.
    for scheme in
        ["standard", "stripe", "github", "shopify", "slack", "paddle", "lemonsqueezy", "twilio", "square"]
    {
        let mut hook = json!([{"name": "hub", "scheme": scheme, "path": "/hook"}]);
        if scheme == "shopify" {
            hook[0]["events"] = json!(["orders/paid"]);
        }
        let secret = "whsec_c3RhbmRzIGluIGZvciBhIHNlY3JldA==";
        parse_with(&json!({"WEBHOOKS": hook, "WEBHOOK_HUB_SECRET": secret})).expect(scheme);
    }
}

#[test]
fn rejects_only_invalid_agent_tokens() {
    let with_tokens = |tokens: &str| json!({"AGENT_TOKENS": tokens, "SESSION": {"login": "accounts"}, "SETUP_TOKEN": "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p"});
    let (a, b) = ("mk_".to_owned() + &"a1".repeat(20), "mk_".to_owned() + &"b2".repeat(20));
    let config = parse_with(&with_tokens(&format!("deploy:{a}, night.ly:{b}"))).expect("valid");
    let names: Vec<&str> = config.tokens.configured.iter().map(|seed| seed.name.as_str()).collect();
    assert_eq!(names, ["deploy", "night.ly"]);
    // An invalid entry is reported, and does not affect the other entries.
    for (tokens, wanted) in [
        (a.clone(), "AGENT_TOKENS: expected name:token in entry 2"),
        (format!(":{a}"), "AGENT_TOKENS: expected a name of"),
        (format!("a b:{a}"), "AGENT_TOKENS: expected a name of"),
        (format!("x:{a},x:{b}"), "AGENT_TOKENS: expected the name \"x\" once"),
        (format!("x:{a},y:{a}"), "AGENT_TOKENS: expected a different token for \"y\""),
        (format!("x:{a},"), "AGENT_TOKENS: expected name:token in entry 3"),
        ("x:mk_short".to_owned(), "AGENT_TOKENS: expected a token of 40"),
        (format!("x:mul_{}", "a1".repeat(20)), "AGENT_TOKENS: expected a token with the prefix"),
    ] {
        let config =
            parse_with(&with_tokens(&format!("good:mk_{},{tokens}", "c3".repeat(20)))).expect(wanted);
        let entry_errors: Vec<String> = config.entry_errors.iter().map(ToString::to_string).collect();
        assert!(entry_errors.len() == 1 && entry_errors[0].starts_with(wanted), "{entry_errors:?} {wanted}");
        assert!(
            !entry_errors[0].contains("a1a1")
                && entry_errors[0].contains("this entry is refused until you correct it")
        );
        assert_eq!(config.tokens.configured[0].name, "good");
        let others = tokens.split(',').filter(|entry| entry.starts_with("x:mk_") && entry.len() > 40).count();
        assert_eq!(config.tokens.configured.len(), 1 + others.min(1), "{tokens}");
    }
    expect_mistake(
        &json!({"AGENT_TOKENS": ["x"], "SESSION": {"login": "accounts"}}),
        "AGENT_TOKENS: expected a string",
    );
    expect_mistake(&json!({"AGENT_TOKENS": a}), "AGENT_TOKENS: requires SESSION.login");
    // A mistake and an invalid entry are reported at the same time.
    let mut broken = with_tokens(&a);
    broken["CSRF"] = json!("off");
    assert_eq!(parse_with(&broken).expect_err("two mistakes").len(), 2);
}

#[test]
fn parses_comma_separated_lists() {
    let config = parse_with(&json!({
        "PUBLIC_ORIGINS": "https://app.example, https://b.example",
        "ALLOWED_ORIGINS": "https://c.example",
        "REDIRECT_ORIGINS": " https://pay.example ,https://d.example ",
        "ROUTES": [{"path": "/a", "access": "public", "methods": "GET,POST"}],
    }))
    .expect("valid");
    let texts = |origins: &[crate::http::origin::Origin]| {
        origins.iter().map(|origin| origin.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&config.site.return_path.public), ["https://app.example", "https://b.example"]);
    assert_eq!(
        texts(&config.csrf.allowed),
        ["https://app.example", "https://b.example", "https://c.example"]
    );
    assert_eq!(texts(&config.site.return_path.elsewhere), ["https://pay.example", "https://d.example"]);
    assert_eq!(config.rules.exact("POST", "/a").map(|rule| rule.access), Some(Access::Public));
}

#[test]
fn reports_all_mistakes_at_once() {
    let mistakes = parse_with(&json!({
        "UPSTREAM": "x",
        "AUTH_SECRET": "short",
        "SESSION": {"check": "token", "leeway": "1"},
        "ROUTES": [{"path": "a", "access": "user"}, {"path": "/b", "access": "nobody"}],
    }))
    .expect_err("four kinds of mistakes");
    assert_eq!(mistakes.len(), 5, "{mistakes:#?}");
}

#[test]
fn reads_further_routes_and_json_texts() {
    let config = parse_with(&json!({
        "ROUTES_b": [{"path": "/b", "access": "public"}],
        "ROUTES": "[{\"path\": \"/a\", \"access\": \"user\", \"methods\": [\"GET\"]}]",
        "MY_OWN": "left alone",
        "CORS": "left alone",
    }))
    .expect("valid");
    let paths: Vec<&str> = config.rules.rules().iter().map(|rule| rule.path.as_str()).collect();
    let is_built_in = |path: &&&str| path.starts_with("/api/auth/") || path.starts_with("/.well-known/");
    assert_eq!(paths.iter().skip_while(is_built_in).collect::<Vec<_>>(), [&"/a", &"/b", &"/login"]);
}

#[test]
fn accepts_the_same_secret_as_previous() {
    let secret = "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA";
    assert!(parse_with(&json!({"AUTH_SECRET": secret, "AUTH_SECRET_PREVIOUS": secret})).is_ok());
}

#[test]
fn never_shows_a_secret_in_a_message() {
    let mistakes = parse_with(&json!({"AUTH_SECRET": "hunter2hunter2", "UPSTREAM_SECRET": "hex:hunter2"}))
        .expect_err("two mistakes");
    assert!(
        mistakes.len() == 2 && !mistakes.iter().any(|mistake| mistake.contains("hunter")),
        "{mistakes:?}"
    );
}

/// Wraps a table in the configuration that contains it.
type Wrap<'a> = Box<dyn Fn(Value) -> Value + 'a>;

/// Gives each member a value that no member accepts, and expects a mistake at its path. This finds a member that is not
/// read, or that is read under another name.
#[test]
fn reads_every_member_of_the_schema() {
    let webhook = json!({"name": "shop", "scheme": "hmac", "path": "/hooks/shop", "header": "X-Sig"});
    let within = |list: &str, entry: &Value| json!({ list: [entry] });
    let rule_with = |member: &str, table: Value| json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "required", member: table}], "WEBHOOKS": [webhook]});
    let provider = |confirm: Value| json!({"WEBHOOKS": [webhook], "CHECKOUT_PROVIDERS": [{"provider": "shop", "confirm": [confirm]}]});
    let tables: [(&[Member], &str, Wrap<'_>); 17] = [
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
        (PAGES, "PAGES.", Box::new(|table| json!({ "PAGES": table }))),
        (BRANDING, "BRANDING.", Box::new(|table| json!({ "BRANDING": table }))),
        (PASSWORDS, "PASSWORDS.", Box::new(|table| json!({ "PASSWORDS": table }))),
        (MAINTAINED, "MAINTENANCE[0].", Box::new(|entry| within("MAINTENANCE", &entry))),
    ];
    let listed = tables.iter().map(|(members, ..)| members.as_ptr()).collect::<Vec<_>>();
    assert!(ALL.iter().all(|members| listed.contains(&members.as_ptr())), "a table is missing here");
    let mut unread = Vec::new();
    for (members, path, wrap) in tables {
        for Member { name, .. } in members {
            let mistakes = parse_with(&wrap(json!({ *name: [[[]]] }))).err().unwrap_or_default();
            let full_path = format!("{path}{name}");
            let names_the_member = |mistake: &String| {
                mistake.strip_prefix(&full_path).is_some_and(|rest| rest.starts_with([':', '[']))
            };
            if !mistakes.iter().any(names_the_member) {
                unread.push((full_path, mistakes));
            }
        }
    }
    assert!(unread.is_empty(), "{unread:#?}");
}
