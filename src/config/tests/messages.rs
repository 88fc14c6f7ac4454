//! What is told of a mistake: once, where it is, and what to do.

use serde_json::{Value, json};

use super::{check, minimal, with};
use crate::config::{Bindings, Config, read_variables};

/// All mistakes of a configuration, and no other.
#[track_caller]
fn check_all(changes: &Value, wanted: &[&str]) {
    let mistakes = with(changes).expect_err("a mistake");
    assert_eq!(mistakes, wanted, "{changes}");
}

#[test]
fn broken_json_is_told_where_it_breaks_and_nothing_follows_from_it() {
    check_all(
        &json!({"SESSION": "{\"login\":\"accounts\",}", "AGENT_TOKENS": "a:mk_x", "USER_HEADERS": "name"}),
        &["SESSION: not valid JSON at column 21: trailing comma"],
    );
    check_all(
        &json!({"ROUTES": "[{\"path\": \"/a\" \"access\": \"public\"}]", "ENVIRONMENT": "prod"}),
        &[
            "ENVIRONMENT: expected one of \"production\", \"development\", found \"prod\"",
            "ROUTES: not valid JSON at column 16: expected `,` or `}`",
        ],
    );
    check_all(
        &json!({"ROUTES_2": "[\n{\"path\": }]"}),
        &["ROUTES_2: not valid JSON at line 2, column 10: expected value"],
    );
    check_all(
        &json!({"PUBLIC_ORIGINS": "[https://app.example]"}),
        &["PUBLIC_ORIGINS: not valid JSON at column 2: expected value"],
    );
    check_all(
        &json!({"RATE_LIMITS": "[", "ROUTES": [{"path": "/a", "access": "user", "limit": "x"}]}),
        &["RATE_LIMITS: not valid JSON at column 1: EOF while parsing a list"],
    );
    check(&json!({"ROUTES": "/a"}), "ROUTES: expected list of rules, found a text");
}

#[test]
fn a_misspelt_name_is_told_once() {
    check_all(
        &json!({"ROUTES": [{"path": "/a/{*rest}", "acces": "user"}]}),
        &["ROUTES[0].acces: unknown, did you mean \"access\"? (in the rule for \"/a/{*rest}\")"],
    );
    check_all(
        &json!({"PUBLIC_ORIGINS": null, "PUBLIC_ORIGIN": "https://app.example"}),
        &["PUBLIC_ORIGIN: unknown, did you mean \"PUBLIC_ORIGINS\"?"],
    );
    check_all(
        &json!({"AUTH_SECRET": null, "AUTH_SECRT": "x"}),
        &["AUTH_SECRT: unknown, did you mean \"AUTH_SECRET\"?"],
    );
    check_all(&json!({"SESSION": {"logn": "upstream"}}), &["SESSION.logn: unknown, did you mean \"login\"?"]);
    // Both are there: one of them may be wrong as well.
    check(&json!({"AUTH_SECRT": "x", "AUTH_SECRET": "short"}), "AUTH_SECRET: expected at least 32 bytes");
}

#[test]
fn a_mistake_names_its_rule() {
    let pair = |methods: Value| {
        json!({"ROUTES": [
            {"path": "/a/{x}", "access": "user"},
            {"path": "/a/{y}", "access": "user", "methods": methods},
        ]})
    };
    check_all(
        &json!({"ROUTES": [{"path": "/a/{x}", "access": "user"}, {"path": "/a/{y}", "access": "user"}]}),
        &[
            "ROUTES[1].path: ties with the rule for \"/a/{x}\": both fit the same requests, so remove one or give them different methods (in the rule for \"/a/{y}\")",
        ],
    );
    check_all(
        &pair(json!(["get"])),
        &[
            "ROUTES[1].methods[0]: expected a method that the platform lets through, in upper case, found \"get\": this rule can never match (in the rule for \"/a/{y}\")",
            "ROUTES[1].path: ties with the rule for \"/a/{x}\": both fit the same requests, so remove one or give them different methods (in the rule for \"/a/{y}\")",
        ],
    );
    // It is named once.
    check_all(
        &json!({"ROUTES": [{"path": "/a", "access": "user"}, {"path": "/a", "access": "public"}]}),
        &[
            "ROUTES[1].path: ties with the rule for \"/a\": both fit the same requests, so remove one or give them different methods",
        ],
    );
}

#[test]
fn a_missing_secret_says_how_it_is_set() {
    for (environment, how) in [("production", "npx wrangler secret put"), ("development", "add a line")] {
        let mistakes = with(&json!({"ENVIRONMENT": environment, "AUTH_SECRET": null, "BOT_CHECK": {}}))
            .expect_err("mistakes");
        for name in ["AUTH_SECRET", "TURNSTILE_SECRET"] {
            let told = format!("({how} {name}");
            assert!(mistakes.iter().any(|mistake| mistake.contains(&told)), "{told}: {mistakes:?}");
        }
    }
}

#[test]
fn warnings_of_what_passes() {
    let secret = "vT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pB";
    for (changes, wanted) in [
        (json!({"UPSTREAM_SECRET": secret}), vec![]),
        (json!({}), vec!["UPSTREAM_SECRET: expected a secret of at least 32 bytes, found nothing"]),
        (
            json!({
                "UPSTREAM_SECRET": secret,
                "SESSION": {"login": "upstream"},
                "ROUTES": [{"path": "/in", "methods": ["POST"], "access": "user", "confirm": "human", "login": true}],
            }),
            vec!["confirm, in the rule for \"/in\": has no effect without SESSION.login = \"accounts\""],
        ),
    ] {
        let variables = {
            let mut variables = minimal();
            variables.as_object_mut().expect("an object").extend(changes.as_object().expect("one").clone());
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
