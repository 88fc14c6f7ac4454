//! Where our own endpoints are, and which of them there are.

use serde_json::{Value, json};

use super::{check, minimal, with};
use crate::{
    config::{Bindings, Config, parse::read_variables},
    path::CanonicalPath,
    rule::Destination,
};

/// Parses a configuration that has every binding.
fn whole(changes: &Value) -> Config {
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

fn is_ours(config: &Config, method: &str, path: &str) -> bool {
    let path = CanonicalPath::judge(path).expect("a path");
    matches!(config.rules.find(method, &path).destination, Destination::Endpoint(_))
}

#[test]
fn endpoints_are_there_with_the_feature_alone() {
    let of_rule =
        |member: &str, value: &str| json!({"ROUTES": [{"path": "/a", "access": "user", member: value}]});
    let hook = json!({
        "WEBHOOK_HUB_SECRET": "whsec_c3RhbmRzIGluIGZvciBhIHNlY3JldA==",
        "WEBHOOKS": [{"name": "hub", "scheme": "standard", "path": "/hook"}],
    });
    let mut inbox = hook.clone();
    inbox["WEBHOOKS"][0]["delivery"] = json!("inbox");
    let mut paid = hook.clone();
    paid["CHECKOUT_PROVIDERS"] = json!([{"provider": "hub", "confirm": [{"event": "paid", "ref": "/id"}]}]);
    paid["WEBHOOKS"][0]["scheme"] = json!("stripe");
    let all =
        ["/api/features/x", "/api/idempotency", "/api/confirmations", "/api/webhooks", "/api/checkouts/x"];
    for (mut changes, on) in [
        (json!({}), vec![]),
        (json!({"ROUTES": [{"path": "/a", "access": "user"}]}), vec![]),
        (of_rule("feature", "beta"), vec!["/api/features/x"]),
        (json!({"ROUTES_B": [{"path": "/a", "access": "user", "feature": "beta"}]}), vec!["/api/features/x"]),
        (
            json!({"ROUTES": r#"[{"path": "/a", "access": "user", "feature": "beta"}]"#}),
            vec!["/api/features/x"],
        ),
        (of_rule("idempotency", "optional"), vec!["/api/idempotency"]),
        (of_rule("confirm", "human"), vec!["/api/confirmations"]),
        (hook, vec!["/api/idempotency"]),
        (inbox, vec!["/api/idempotency", "/api/webhooks"]),
        (paid, vec!["/api/idempotency", "/api/checkouts/x"]),
    ] {
        changes["SESSION"] = json!({"login": "accounts"});
        let config = whole(&changes);
        for path in all {
            assert_eq!(is_ours(&config, "GET", path), on.contains(&path), "{path} under {changes}");
        }
        for path in ["/api/auth/me", "/api/users", "/api/agent-tokens", "/api/audit", "/api/sessions"] {
            assert!(is_ours(&config, "GET", path), "{path}");
        }
    }
    let config = whole(&json!({"SESSION": {"login": "accounts"}, "CREDENTIALS": []}));
    assert!(!is_ours(&config, "POST", "/api/agent-tokens") && is_ours(&config, "GET", "/api/users"));
}

#[test]
fn all_of_them_move_but_the_well_known_ones() {
    let all = json!({
        "SESSION": {"login": "accounts"},
        "ROUTES": [{"path": "/a", "access": "user", "feature": "f", "confirm": "human", "idempotency": "optional"}],
    });
    let patterns = |config: &Config| -> Vec<String> {
        let ours = |rule: &&crate::rule::Rule| matches!(rule.destination, Destination::Endpoint(_));
        config.rules.rules().iter().filter(ours).map(|rule| rule.path.clone()).collect()
    };
    let config = whole(&all);
    assert_eq!(config.endpoints, "/api");
    let mut moved = all.clone();
    for prefix in ["/_vestibule/api", "/v", "/api/v", "/.v~x/a-b.c", "/.well-known"] {
        moved["ENDPOINTS"] = json!(prefix);
        let moved = whole(&moved);
        let wanted: Vec<String> = patterns(&config)
            .iter()
            .map(|path| path.strip_prefix("/api").map_or(path.clone(), |rest| format!("{prefix}{rest}")))
            .collect();
        assert_eq!(patterns(&moved), wanted);
        assert!(wanted.len() > 50 && moved.endpoints == prefix);
        assert!(!moved.return_path.endpoints.iter().any(|path| path.starts_with("/api/auth")));
    }
}

#[test]
fn mistakes_of_the_prefix_by_name() {
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
        check(&json!({"ENDPOINTS": prefix}), "ENDPOINTS: expected path of a-z");
    }
    check(&json!({"ENDPOINTS": 7}), "ENDPOINTS: expected path of a-z");
    check(&json!({"ENDPOINT": "/v"}), "ENDPOINT: unknown, did you mean \"ENDPOINTS\"?");
    for member in ["login_path", "home_path"] {
        let session = json!({"check": "token", member: "/v"});
        check(
            &json!({"ENDPOINTS": "/v", "SESSION": session}),
            "ENDPOINTS: expected another path than SESSION",
        );
        let session = json!({"check": "token", member: "/v/auth/me"});
        check(&json!({"ENDPOINTS": "/v", "SESSION": session}), &format!("SESSION.{member}: expected a path"));
        let session = json!({"check": "token", member: "/api/auth/me"});
        with(&json!({"ENDPOINTS": "/v", "SESSION": session})).expect("the application's");
    }
    let rule = |path: &str| json!({"ENDPOINTS": "/v", "ROUTES": [{"path": path, "access": "public"}]});
    check(&rule("/v/auth/me"), "ROUTES[0].path: expected a path that is not an endpoint");
    with(&rule("/api/auth/me")).expect("the application's");
}
