//! Configurations that pass, and every mistake that does not.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Bindings, Check, Config,
    parse::read_variables,
    rules::OWN_RULES,
    schema::{CREDENTIAL, RULE, SECRETS, SESSION, VARIABLES, WEBHOOK},
};
use crate::rule::Access;

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
        let hook = json!([{"name": "hub", "scheme": scheme, "path": "/hook"}]);
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
    for (tokens, wanted) in [
        (a.clone(), "AGENT_TOKENS: expected name:token, found none in entry 0"),
        (format!(":{a}"), "AGENT_TOKENS: expected a name of"),
        (format!("a b:{a}"), "AGENT_TOKENS: expected a name of"),
        (format!("x:{a},x:{b}"), "AGENT_TOKENS: expected \"x\" once"),
        (format!("x:{a},y:{a}"), "AGENT_TOKENS: expected a token of its own for \"y\""),
        (format!("x:{a},"), "AGENT_TOKENS: expected name:token, found none in entry 1"),
        ("x:mk_short".to_owned(), "AGENT_TOKENS: expected a token of 40"),
        (format!("x:mul_{}", "a1".repeat(20)), "AGENT_TOKENS: expected a token with the prefix"),
    ] {
        check(&of(&tokens), wanted);
        let mistakes = with(&of(&tokens)).expect_err("a mistake");
        assert!(!mistakes.iter().any(|mistake| mistake.contains("a1a1")), "{mistakes:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn mistakes_by_name() {
    for (changes, wanted) in [
        (
            json!({"PUBLIC_ORIGINS": null}),
            "PUBLIC_ORIGINS: expected list of origins, at least one, found nothing",
        ),
        (json!({"PUBLIC_ORIGINS": []}), "PUBLIC_ORIGINS: expected"),
        (
            json!({"PUBLIC_ORIGINS": "https://app.example"}),
            "PUBLIC_ORIGINS: expected list of origins, at least one, found a text",
        ),
        (
            json!({"PUBLIC_ORIGINS": ["https://app.example/"]}),
            "PUBLIC_ORIGINS[0]: expected the canonical form \"https://app.example\"",
        ),
        (
            json!({"PUBLIC_ORIGINS": ["https://app.example", 3]}),
            "PUBLIC_ORIGINS[1]: expected text, found a number",
        ),
        (
            json!({"PUBLIC_ORIGINS": ["http://app.example"]}),
            "PUBLIC_ORIGINS: expected https origins in production",
        ),
        (json!({"UPSTREAM": null}), "UPSTREAM: expected an origin, a service binding"),
        (json!({"UPSTREAM": "https://origin.example/base"}), "UPSTREAM: expected the canonical form"),
        (json!({"UPSTREAM": "https://app.example"}), "UPSTREAM: expected the application"),
        (json!({"UPSTREAM": 1}), "UPSTREAM: expected origin of the application, found a number"),
        (
            json!({"ENVIRONMENT": "prod"}),
            "ENVIRONMENT: expected one of production, development, found \"prod\"",
        ),
        (json!({"CSRF": "off"}), "CSRF: expected one of standard, strict, found \"off\""),
        (json!({"DANGER_FIXED_NOW": 5}), "DANGER_FIXED_NOW: expected nothing in production"),
        (
            json!({"DANGER_FIXED_NOW": "x", "ENVIRONMENT": "development"}),
            "DANGER_FIXED_NOW: expected Unix seconds",
        ),
        (json!({"AUTH_SECRET": null}), "AUTH_SECRET: expected a secret"),
        (json!({"AUTH_SECRET": "short"}), "AUTH_SECRET: expected at least 32 bytes, found 5"),
        (json!({"AUTH_SECRET": ""}), "AUTH_SECRET: expected at least 32 bytes, found 0"),
        (json!({"AUTH_SECRET": "changeme-changeme-changeme-changeme"}), "AUTH_SECRET: expected random bytes"),
        (json!({"AUTH_SECRET": ["x"]}), "AUTH_SECRET: expected secret, found a list"),
        (json!({"UPSTREAM_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA"}), "UPSTREAM_SECRET: expected another"),
        (json!({"SESSION": []}), "SESSION: expected table, found a list"),
        (json!({"SESSION": {"check": "cookie"}}), "SESSION.check: expected one of registry, token, found"),
        (json!({"SESSION": {"check_ttl": "61s"}}), "SESSION.check_ttl: expected 60s or less"),
        (json!({"SESSION": {"check": "token", "check_ttl": "1s"}}), "SESSION.check_ttl: expected nothing"),
        (
            json!({"SESSION": {"login": "here"}}),
            "SESSION.login: expected one of accounts, upstream, found \"here\"",
        ),
        (
            json!({"SESSION": {"check": "token", "login": "accounts"}}),
            "SESSION.login: expected check = \"registry\"",
        ),
        (json!({"CREDENTIALS": "mul_"}), "CREDENTIALS: expected list of credentials, found a text"),
        (json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user"}]}), "CREDENTIALS[0].machine: expected"),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user", "machine": "no"}]}),
            "CREDENTIALS[0].machine: expected true or false, found a text",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user", "machine": true}]}),
            "CREDENTIALS[0].source: expected a name beside machine = true",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "user", "source": "x", "machine": false}]}),
            "CREDENTIALS[0].source: expected nothing beside machine = false",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "a_", "kind": "agent", "machine": false}]}),
            "CREDENTIALS[0].machine: expected true beside kind = \"agent\"",
        ),
        (
            json!({"CREDENTIALS": [{"prefix": "A-", "kind": "user", "machine": false}]}),
            "CREDENTIALS[0].prefix: expected 2 to 16 of a-z",
        ),
        (
            json!({"CREDENTIALS": [
                {"prefix": "a_", "kind": "user", "machine": false},
                {"prefix": "a_b_", "kind": "user", "machine": false},
            ]}),
            "CREDENTIALS[1].prefix: expected no other credential's to begin like it",
        ),
        (json!({"SETUP_TOKEN": "short"}), "SETUP_TOKEN: expected at least 32 bytes, found 5"),
        (
            json!({"SESSION": {"check": "token"}, "ROUTES": [{"path": "/a", "access": "admin"}]}),
            "ROUTES[0].access: expected SESSION.check = \"registry\"",
        ),
        (
            json!({"SESSION": {"check": "token", "cokie": "x"}}),
            "SESSION.cokie: unknown, did you mean \"cookie\"?",
        ),
        (
            json!({"SESSION": {"check": "token", "zzz": "x"}}),
            "SESSION.zzz: unknown, expected one of cookie, ",
        ),
        (json!({"SESSION": {"check": "token", "cookie": "a b"}}), "SESSION.cookie: expected cookie name"),
        (
            json!({"SESSION": {"check": "token", "lifetime": "30 days"}}),
            "SESSION.lifetime: expected a duration",
        ),
        (
            json!({"SESSION": {"check": "token", "lifetime": 30}}),
            "SESSION.lifetime: expected duration, found a number",
        ),
        (json!({"SESSION": {"check": "token", "lifetime": "0s"}}), "SESSION.lifetime: expected more than 0s"),
        (json!({"SESSION": {"check": "token", "lifetime": "1h"}}), "SESSION.refresh_after: expected less"),
        (json!({"SESSION": {"check": "token", "leeway": "61s"}}), "SESSION.leeway: expected 60s or less"),
        (json!({"SESSION": {"check": "token", "user_claim": "exp"}}), "SESSION.user_claim: expected"),
        (
            json!({"SESSION": {"check": "token", "user_claim": "sessionId"}}),
            "SESSION.session_claim: expected another",
        ),
        (json!({"SESSION": {"check": "token", "issuer": ""}}), "SESSION.issuer: expected a text"),
        (
            json!({"SESSION": {"check": "token", "domain": "other.example"}}),
            "SESSION.domain: expected a domain that covers",
        ),
        (
            json!({"SESSION": {"check": "token", "domain": ".example"}}),
            "SESSION.domain: expected a domain name",
        ),
        (
            json!({"SESSION": {"check": "token", "domain": "app.example", "cookie": "__Host-s"}}),
            "SESSION.domain: expected nothing",
        ),
        (
            json!({"SESSION": {"check": "token", "login_path": "login"}}),
            "SESSION.login_path: expected a path",
        ),
        (json!({"SESSION": {"check": "token", "login_path": "/a?b"}}), "SESSION.login_path: expected a path"),
        (json!({"SESSION": {"check": "token", "home_path": "//x"}}), "SESSION.home_path: expected a path"),
        (
            json!({"SESSION": {"check": "token", "forward": "no"}}),
            "SESSION.forward: expected true or false, found a text",
        ),
        (json!({"SESION": {}}), "SESION: unknown, did you mean \"SESSION\"?"),
        (json!({"ROUTE": []}), "ROUTE: unknown, did you mean \"ROUTES\"?"),
        (json!({"AUTH_SECERT": "x"}), "AUTH_SECERT: unknown, did you mean \"AUTH_SECRET\"?"),
        (json!({"ROUTE_ADMIN": []}), "ROUTE_ADMIN: unknown"),
        (json!({"ROUTESADMIN": []}), "ROUTESADMIN: unknown"),
        (json!({"Routes_2": []}), "Routes_2: unknown"),
        (json!({"routes": []}), "routes: unknown, did you mean \"ROUTES\"?"),
        (json!({"CSRF_MODE": "strict"}), "CSRF_MODE: unknown"),
        (json!({"AUTH_SECRET_PREV": "x"}), "AUTH_SECRET_PREV: unknown"),
        (
            json!({"SESSION": {"check": "token", "login_path": "/"}}),
            "SESSION.home_path: expected another path",
        ),
        (
            json!({"UPSTREAM": "https://user:hunter2@origin.example"}),
            "UPSTREAM: expected an origin without a user",
        ),
        (json!({"BOT_CHECK": {}}), "BOT_CHECK: expected nothing"),
        (json!({"ROUTES": {}}), "ROUTES: expected list of rules, found a table"),
        (json!({"ROUTES": [7]}), "ROUTES[0]: expected table, found a number"),
        (json!({"ROUTES": [{}]}), "ROUTES[0].path: expected path pattern, found nothing"),
        (json!({"ROUTES": [{"path": "/a"}]}), "ROUTES[0].access: expected \"public\""),
        (
            json!({"ROUTES_2": [{"path": "/a", "access": "admn"}]}),
            "ROUTES_2[0].access: expected one of public, optional, authenticated, user, human, agent, admin, owner, found \"admn\"",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "acess": 1}]}),
            "ROUTES[0].acess: unknown, did you mean \"access\"?",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "features": "required"}]}),
            "ROUTES[0].features: unknown",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": ["get"]}]}),
            "ROUTES[0].methods[0]: expected a method",
        ),
        (json!({"ROUTES": [{"path": "/a", "access": "user", "methods": ["FOO"]}]}), "can never match"),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": []}]}),
            "ROUTES[0].methods: expected at least one",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": "GET"}]}),
            "ROUTES[0].methods: expected list of methods, found a text",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "timeout": "0s"}]}),
            "ROUTES[0].timeout: expected from 1s",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "operation": "A"}]}),
            "ROUTES[0].operation: expected dotted name",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "csrf": "strict", "insecure_skip_csrf": true}]}),
            "insecure_skip_csrf: expected nothing",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{x}", "access": "user"}, {"path": "/a/{y}", "access": "public"}]}),
            "ROUTES[1].path: ties with the rule for \"/a/{x}\"",
        ),
        (
            json!({"ROUTES": [{"path": "/api/auth/me", "access": "public"}]}),
            "ROUTES[0].path: expected a path that is not an endpoint",
        ),
        (
            json!({"ROUTES": [{"path": "/a/../b", "access": "public"}]}),
            "ROUTES[0].path: expected a path in canonical form",
        ),
        (
            json!({"ROUTES": [{"path": "/login", "access": "user"}]}),
            "ROUTES[0].access: expected public: the login page",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{id}", "access": "owner"}]}),
            "ROUTES[0].owner_from: expected beside access",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{id}", "access": "user", "owner_from": "/a/{id}"}]}),
            "ROUTES[0].owner_from: expected beside access",
        ),
        (
            json!({"ROUTES": [{"path": "/a/{id}", "access": "owner", "owner_from": "/a/{name}"}]}),
            "ROUTES[0].owner_from: expected parameters of",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "save": "safe"}]}),
            "ROUTES[0].save: expected beside idempotency",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "methods": ["GET"], "idempotency": "required"}]}),
            "ROUTES[0].idempotency: expected a method that changes something",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "optional", "retention": "1m"}]}),
            "ROUTES[0].retention: expected from 1h to 30d",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "idempotency": "optional", "body_limit": "1MB"}]}),
            "ROUTES[0].body_limit: expected a number of bytes up to 16777216, found a text",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook"}]}),
            "WEBHOOK_A_SECRET: expected the provider's signing secret, found nothing",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook"}], "WEBHOOK_A_SECRET": ""}),
            "WEBHOOK_A_SECRET: expected the provider's signing secret, found nothing",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1,"}),
            "WEBHOOK_A_SECRET: secret 2: expected the provider's signing secret",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "strip", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].scheme: expected one of standard, stripe,",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/hook", "tolerance": "5m"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].tolerance: expected nothing: this scheme signs no time",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/hook", "dedupe": "event_id"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].dedupe: expected \"payload_hash\"",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "stripe", "path": "/hook", "header": "x"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].header: expected beside scheme",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "hmac", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].header: expected a header's name",
        ),
        (
            json!({"WEBHOOKS": [{"name": "A", "scheme": "github", "path": "/hook"}]}),
            "WEBHOOKS[0].name: expected 1 to 32 of a-z",
        ),
        (
            json!({"ROUTES": [{"path": "/hook", "access": "user", "methods": ["POST"]}], "WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/hook"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[0].path: ties with the rule for",
        ),
        (
            json!({"WEBHOOKS": [{"name": "a", "scheme": "github", "path": "/a"}, {"name": "a", "scheme": "github", "path": "/b"}], "WEBHOOK_A_SECRET": "secret1"}),
            "WEBHOOKS[1].name: expected another name",
        ),
        (
            json!({"ROUTES": [{"path": "/a", "access": "user", "limit": "x"}]}),
            "ROUTES[0].limit: expected the name of one of RATE_LIMITS, found \"x\"",
        ),
        (
            json!({"RATE_LIMITS": [{"name": "x", "limit": 0, "period": "1m", "by": "address"}]}),
            "RATE_LIMITS[0].limit: expected a number from 1 to 1000000",
        ),
        (
            json!({"RATE_LIMITS": [{"name": "x", "limit": 5, "period": "1s", "by": "address"}]}),
            "RATE_LIMITS[0].period: expected from 10s to 1d",
        ),
        (
            json!({"RATE_LIMITS": [{"name": "login-address", "limit": 5, "period": "1m", "by": "address"}]}),
            "RATE_LIMITS[0].name: expected 1 to 32 of",
        ),
        (json!({"SESSION": {}}), "SESSION.login: expected \"accounts\" or \"upstream\" (or check"),
        (
            json!({"CREDENTIALS": [{"prefix": "x_", "kind": "user", "machine": false}]}),
            "CREDENTIALS: expected SESSION.login = \"accounts\" beside it",
        ),
        (json!({"ROUTES": [{"path": "/a", "access": "agent"}]}), "ROUTES[0].access: expected SESSION.login"),
        (json!({"AGENT_TOKENS": "a:mk_x"}), "AGENT_TOKENS: expected SESSION.login"),
        (json!({"AGENT_TOKEN": "a:mk_x"}), "AGENT_TOKEN: unknown, did you mean \"AGENT_TOKENS\"?"),
        (json!({"SESSION": "[broken"}), "SESSION: expected table, found a text"),
    ] {
        check(&changes, wanted);
    }
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

#[test]
fn every_member_of_the_schema_is_read() {
    let code = [
        include_str!("checkouts.rs"),
        include_str!("credentials.rs"),
        include_str!("idempotency.rs"),
        include_str!("limits.rs"),
        include_str!("parse.rs"),
        include_str!("rules.rs"),
        include_str!("secrets.rs"),
        include_str!("session.rs"),
        include_str!("webhooks.rs"),
    ]
    .concat();
    for member in [VARIABLES, SESSION, RULE, SECRETS, CREDENTIAL, WEBHOOK].into_iter().flatten() {
        assert!(code.contains(&format!("\"{}\"", member.name)), "{} is listed and never read", member.name);
    }
}
