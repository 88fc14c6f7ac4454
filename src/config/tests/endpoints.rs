//! Tests of the built-in routes: their paths, and the features that enable them.

use serde_json::{Value, json};

use super::{expect_mistake, minimal, parse_with};
use crate::{
    config::{Bindings, Config, parse::read_variables},
    http::path::CanonicalPath,
    routing::rule::Destination,
};

/// Parses a configuration with all bindings.
fn parse_with_all_bindings(changes: &Value) -> Config {
    let mut variables = minimal();
    for (name, value) in changes.as_object().expect("an object") {
        variables[name] = value.clone();
    }
    let bindings = [
        "SESSIONS",
        "ACCOUNTS",
        "LEDGER",
        "LIMITER",
        "TOKENS",
        "AUDIT",
        "CHECKOUTS",
        "CONFIRMATIONS",
        "INBOX",
        "KV",
    ];
    let variables = read_variables(&variables.to_string()).expect("an object");
    Config::parse(&variables, &Bindings::named(bindings)).expect("valid")
}

fn is_built_in(config: &Config, method: &str, path: &str) -> bool {
    let path = CanonicalPath::parse(path).expect("a path");
    matches!(config.rules.find(method, &path).destination, Destination::Endpoint(_))
}

#[test]
fn adds_endpoints_only_for_used_features() {
    let with_member =
        |member: &str, value: &str| json!({"ROUTES": [{"path": "/a", "access": "user", member: value}]});
    let hook = json!({
        "WEBHOOK_HUB_SECRET": "whsec_c3RhbmRzIGluIGZvciBhIHNlY3JldA==",
        "WEBHOOKS": [{"name": "hub", "scheme": "standard", "path": "/hook"}],
    });
    let mut inbox = hook.clone();
    inbox["WEBHOOKS"][0]["delivery"] = json!("inbox");
    let mut checkout = hook.clone();
    checkout["CHECKOUT_PROVIDERS"] =
        json!([{"provider": "hub", "confirm": [{"event": "paid", "ref": "/id"}]}]);
    checkout["WEBHOOKS"][0]["scheme"] = json!("stripe");
    let all =
        ["/api/features/x", "/api/idempotency", "/api/confirmations", "/api/webhooks", "/api/checkouts/x"];
    for (mut changes, enabled) in [
        (json!({}), vec![]),
        (json!({"ROUTES": [{"path": "/a", "access": "user"}]}), vec![]),
        (with_member("feature", "beta"), vec!["/api/features/x"]),
        (json!({"ROUTES_B": [{"path": "/a", "access": "user", "feature": "beta"}]}), vec!["/api/features/x"]),
        (
            json!({"ROUTES": r#"[{"path": "/a", "access": "user", "feature": "beta"}]"#}),
            vec!["/api/features/x"],
        ),
        (with_member("idempotency", "optional"), vec!["/api/idempotency"]),
        (with_member("confirm", "human"), vec!["/api/confirmations"]),
        (hook, vec!["/api/idempotency"]),
        (inbox, vec!["/api/idempotency", "/api/webhooks"]),
        (checkout, vec!["/api/idempotency", "/api/checkouts/x"]),
    ] {
        changes["SESSION"] = json!({"login": "accounts"});
        let config = parse_with_all_bindings(&changes);
        for path in all {
            assert_eq!(is_built_in(&config, "GET", path), enabled.contains(&path), "{path} under {changes}");
        }
        for path in ["/api/auth/me", "/api/users", "/api/agent-tokens", "/api/audit", "/api/sessions"] {
            assert!(is_built_in(&config, "GET", path), "{path}");
        }
    }
    let config = parse_with_all_bindings(&json!({"SESSION": {"login": "accounts"}, "CREDENTIALS": []}));
    assert!(!is_built_in(&config, "POST", "/api/agent-tokens") && is_built_in(&config, "GET", "/api/users"));
}

#[test]
fn moves_all_endpoints_except_well_known() {
    let all = json!({
        "SESSION": {"login": "accounts"},
        "ROUTES": [{"path": "/a", "access": "user", "feature": "f", "confirm": "human", "idempotency": "optional"}],
    });
    let patterns = |config: &Config| -> Vec<String> {
        let is_endpoint =
            |rule: &&crate::routing::rule::Rule| matches!(rule.destination, Destination::Endpoint(_));
        config.rules.rules().iter().filter(is_endpoint).map(|rule| rule.path.clone()).collect()
    };
    let config = parse_with_all_bindings(&all);
    assert_eq!(config.site.endpoints, "/api");
    let mut moved = all.clone();
    for prefix in ["/_vestibule/api", "/v", "/api/v", "/.v~x/a-b.c", "/.well-known"] {
        moved["ENDPOINTS"] = json!(prefix);
        let moved = parse_with_all_bindings(&moved);
        let wanted: Vec<String> = patterns(&config)
            .iter()
            .map(|path| path.strip_prefix("/api").map_or(path.clone(), |rest| format!("{prefix}{rest}")))
            .collect();
        assert_eq!(patterns(&moved), wanted);
        assert!(wanted.len() > 30 && moved.site.endpoints == prefix);
        assert!(moved.site.return_path.accept("/api/auth/me").is_some(), "it is a path of the application");
    }
}

#[test]
fn rejects_invalid_prefixes() {
    for prefix in [
        "",
        "/",
        "api",
        "//api",
        "/api/",
        "/a//b",
        "/a/../b",
        "/a/./b",
        "/API",
        "/a%20b",
        "/a%2Fb",
        "/a?b",
        "/a#b",
        "/{id}",
        "/{*rest}",
        "/:id",
        "/a b",
        "/a;b",
        "/\"",
        "/a'b",
        "/é",
        "https://app.example/api",
    ] {
        expect_mistake(&json!({"ENDPOINTS": prefix}), "ENDPOINTS: expected a path of a-z");
    }
    expect_mistake(&json!({"ENDPOINTS": 7}), "ENDPOINTS: expected a path of a-z");
    expect_mistake(&json!({"ENDPOINT": "/v"}), "ENDPOINT: unknown, did you mean \"ENDPOINTS\"?");
    for member in ["login_path", "home_path"] {
        let session = json!({"check": "token", member: "/v"});
        expect_mistake(
            &json!({"ENDPOINTS": "/v", "SESSION": session}),
            "ENDPOINTS: expected a path other than SESSION",
        );
        let session = json!({"check": "token", member: "/v/auth/me"});
        expect_mistake(
            &json!({"ENDPOINTS": "/v", "SESSION": session}),
            &format!("SESSION.{member}: expected a path"),
        );
        let session = json!({"check": "token", member: "/api/auth/me"});
        parse_with(&json!({"ENDPOINTS": "/v", "SESSION": session})).expect("the path belongs to upstream");
    }
    let rule = |path: &str| json!({"ENDPOINTS": "/v", "ROUTES": [{"path": path, "access": "public"}]});
    expect_mistake(&rule("/v/auth/me"), "ROUTES[0].path: expected a path that is not an endpoint");
    parse_with(&rule("/api/auth/me")).expect("the path belongs to upstream");
}
