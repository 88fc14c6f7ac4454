//! Tests of error messages: each mistake is reported once, with its place, and with a way to correct it.

use serde_json::{Value, json};

use super::{expect_mistake, minimal, parse_with};
use crate::config::{Bindings, Config, read_variables};

/// Expects exactly these mistakes.
#[track_caller]
fn expect_mistakes(changes: &Value, wanted: &[&str]) {
    let mistakes = parse_with(changes).expect_err("a mistake");
    assert_eq!(mistakes, wanted, "{changes}");
}

#[test]
fn reports_invalid_json_without_follow_on_mistakes() {
    expect_mistakes(
        &json!({"SESSION": "{\"login\":\"accounts\",}", "AGENT_TOKENS": "a:mk_x", "USER_HEADERS": "name"}),
        &["SESSION: not valid JSON at column 21: trailing comma"],
    );
    expect_mistakes(
        &json!({"ROUTES": "[{\"path\": \"/a\" \"access\": \"public\"}]", "ENVIRONMENT": "prod"}),
        &[
            "ENVIRONMENT: expected one of \"production\", \"development\", found \"prod\"",
            "ROUTES: not valid JSON at column 16: expected `,` or `}`",
        ],
    );
    expect_mistakes(
        &json!({"ROUTES_2": "[\n{\"path\": }]"}),
        &["ROUTES_2: not valid JSON at line 2, column 10: expected value"],
    );
    expect_mistakes(
        &json!({"PUBLIC_ORIGINS": "[https://app.example]"}),
        &["PUBLIC_ORIGINS: not valid JSON at column 2: expected value"],
    );
    expect_mistakes(
        &json!({"RATE_LIMITS": "[", "ROUTES": [{"path": "/a", "access": "user", "limit": "x"}]}),
        &["RATE_LIMITS: not valid JSON at column 1: EOF while parsing a list"],
    );
    expect_mistake(&json!({"ROUTES": "/a"}), "ROUTES: expected a list of rules, found a string");
}

#[test]
fn reports_a_misspelt_name_once() {
    expect_mistakes(
        &json!({"ROUTES": [{"path": "/a/{*rest}", "acces": "user"}]}),
        &["ROUTES[0].acces: unknown, did you mean \"access\"? (in the rule for \"/a/{*rest}\")"],
    );
    expect_mistakes(
        &json!({"PUBLIC_ORIGINS": null, "PUBLIC_ORIGIN": "https://app.example"}),
        &["PUBLIC_ORIGIN: unknown, did you mean \"PUBLIC_ORIGINS\"?"],
    );
    expect_mistakes(
        &json!({"AUTH_SECRET": null, "AUTH_SECRT": "x"}),
        &["AUTH_SECRT: unknown, did you mean \"AUTH_SECRET\"?"],
    );
    expect_mistakes(
        &json!({"SESSION": {"logn": "upstream"}}),
        &["SESSION.logn: unknown, did you mean \"login\"?"],
    );
    // If the correct name is present as well, its value is still checked.
    expect_mistake(
        &json!({"AUTH_SECRT": "x", "AUTH_SECRET": "short"}),
        "AUTH_SECRET: expected at least 32 bytes",
    );
}

#[test]
fn names_the_rule_of_a_mistake() {
    let pair = |methods: Value| {
        json!({"ROUTES": [
            {"path": "/a/{x}", "access": "user"},
            {"path": "/a/{y}", "access": "user", "methods": methods},
        ]})
    };
    expect_mistakes(
        &json!({"ROUTES": [{"path": "/a/{x}", "access": "user"}, {"path": "/a/{y}", "access": "user"}]}),
        &[
            "ROUTES[1].path: conflicts with the rule for \"/a/{x}\": both match the same requests, so remove one or give them different methods (in the rule for \"/a/{y}\")",
        ],
    );
    expect_mistakes(
        &pair(json!(["get"])),
        &[
            "ROUTES[1].methods[0]: expected a method that the platform supports, in upper case, found \"get\": this rule can never match (in the rule for \"/a/{y}\")",
            "ROUTES[1].path: conflicts with the rule for \"/a/{x}\": both match the same requests, so remove one or give them different methods (in the rule for \"/a/{y}\")",
        ],
    );
    // The path is not added if the message already contains it.
    expect_mistakes(
        &json!({"ROUTES": [{"path": "/a", "access": "user"}, {"path": "/a", "access": "public"}]}),
        &[
            "ROUTES[1].path: conflicts with the rule for \"/a\": both match the same requests, so remove one or give them different methods",
        ],
    );
}

#[test]
fn says_how_to_set_a_missing_secret() {
    for (environment, how) in [("production", "npx wrangler secret put"), ("development", "add a line")] {
        let mistakes = parse_with(&json!({"ENVIRONMENT": environment, "AUTH_SECRET": null, "BOT_CHECK": {}}))
            .expect_err("mistakes");
        for name in ["AUTH_SECRET", "TURNSTILE_SECRET"] {
            let wanted = format!("({how} {name}");
            assert!(mistakes.iter().any(|mistake| mistake.contains(&wanted)), "{wanted}: {mistakes:?}");
        }
    }
}

#[test]
fn warns_about_valid_but_unintended_settings() {
    let secret = "vT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pB";
    for (changes, wanted) in [
        (json!({"UPSTREAM_SECRET": secret}), vec![]),
        (
            json!({"UPSTREAM_SECRET": secret, "UPSTREAM": "http://origin.example"}),
            vec!["UPSTREAM: requests to \"http://origin.example\" are not encrypted"],
        ),
        (
            json!({"UPSTREAM_SECRET": secret, "UPSTREAM": {"origin": "http://origin.example", "host": "public"}}),
            vec!["UPSTREAM: requests to \"http://origin.example\" are not encrypted"],
        ),
        (
            json!({"UPSTREAM_SECRET": secret, "UPSTREAM": "http://origin.example", "ENVIRONMENT": "development"}),
            vec![],
        ),
        (json!({"UPSTREAM_SECRET": secret, "UPSTREAM": "http://127.0.0.1:3000"}), vec![]),
        (json!({}), vec!["UPSTREAM_SECRET: expected a secret of at least 32 bytes, found nothing"]),
        (
            json!({
                "UPSTREAM_SECRET": secret,
                "SESSION": {"login": "upstream", "cookie": "__Host-s"},
                "ROUTES": [{"path": "/in", "methods": ["POST"], "access": "user", "confirm": "human", "login": true}],
            }),
            vec!["confirm, in the rule for \"/in\": has no effect without SESSION.login = \"accounts\""],
        ),
        (
            json!({"UPSTREAM_SECRET": secret, "SESSION": {"login": "upstream"}, "ROUTES": [{"path": "/in", "methods": ["POST"], "access": "public", "login": true}]}),
            vec!["SESSION.cookie: any subdomain can set the cookie \"mk_session\""],
        ),
    ] {
        let variables = {
            let mut variables = minimal();
            variables
                .as_object_mut()
                .expect("an object")
                .extend(changes.as_object().expect("an object").clone());
            read_variables(&variables.to_string()).expect("an object")
        };
        let bindings = Bindings::named(["SESSIONS", "CONFIRMATIONS"]);
        let warnings = Config::parse(&variables, &bindings).expect("valid").warnings();
        assert_eq!(warnings.len(), wanted.len(), "{changes}: {warnings:?}");
        for (warning, wanted) in warnings.iter().zip(wanted) {
            assert!(warning.starts_with(wanted), "{warning}");
        }
    }
}
