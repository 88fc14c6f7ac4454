//! Tests of `encoded_slashes`.

use serde_json::json;

use super::{Bindings, Config, expect_mistake, parse_with, read_variables};

const STRICTER_RULE: &str = "encoded_slashes: expected a rule that is at least as strict as";

#[test]
fn rejects_slashes_that_reach_a_stricter_rule() {
    let rule = |path: &str, access: &str| json!({"path": path, "access": access});
    let with_slashes =
        |path: &str, access: &str| json!({"path": path, "access": access, "encoded_slashes": true});
    for (routes, wanted) in [
        (
            json!([with_slashes("/npm/{id}", "user"), rule("/npm/admin", "admin")]),
            "ROUTES[0].encoded_slashes: expected a rule that is at least as strict as the rule for \"/npm/admin\"",
        ),
        // The order of the rules does not matter.
        (
            json!([rule("/npm/admin/{*rest}", "admin"), with_slashes("/npm/{id}", "user")]),
            "ROUTES[1].encoded_slashes: expected a rule that is at least as strict as the rule for \"/npm/admin/{*rest}\"",
        ),
        (
            json!([with_slashes("/npm/{id}", "public")]),
            "ROUTES[0].encoded_slashes: expected a rule that is at least as strict as paths without a rule",
        ),
        (
            json!([with_slashes("/npm/{id}", "public"), rule("/npm/{*rest}", "user")]),
            "ROUTES[0].encoded_slashes: expected a rule that is at least as strict as the rule for \"/npm/{*rest}\"",
        ),
        (
            json!([with_slashes("/npm/{id}", "user"), {"path": "/npm/{id}/{v}", "access": "user", "csrf": "strict"}]),
            "the rule for \"/npm/{id}/{v}\"",
        ),
        // A built-in route, a `MAINTENANCE` path or a webhook cannot be compared with another rule.
        (json!([with_slashes("/{*rest}", "user")]), "the rule for \"/api/auth/me\""),
        (json!([with_slashes("/api/{id}", "user")]), "the rule for \"/api/auth/"),
        (
            json!([{"path": "/npm/a", "access": "user", "encoded_slashes": true}]),
            "ROUTES[0].encoded_slashes: expected a path with a parameter",
        ),
        (
            json!([{"path": "/npm/{id}", "access": "user", "encoded_slashes": "yes"}]),
            "ROUTES[0].encoded_slashes: expected true or false, found a string",
        ),
        (
            json!([{"path": "/m/{kind}/{id}", "access": "owner", "owner_from": "/m/{id}/{kind}", "encoded_slashes": true}]),
            "ROUTES[0].owner_from: expected the parameters of the path in the same order",
        ),
    ] {
        expect_mistake(&json!({ "ROUTES": routes }), wanted);
    }
    let routes = json!([with_slashes("/in/{id}", "admin")]);
    let secret = "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe";
    let maintenance = json!({
        "ROUTES": routes, "SESSION": {"login": "accounts"},
        "MAINTENANCE": [{"path": "/in/tick"}], "UPSTREAM_SECRET": secret,
    });
    expect_mistake(
        &maintenance,
        "ROUTES[0].encoded_slashes: expected a rule that is at least as strict as the rule for \"/in/tick\"",
    );
    let webhook = json!({
        "ROUTES": [with_slashes("/hooks/{id}", "public"), rule("/hooks/{*rest}", "public")],
        "WEBHOOKS": [{"name": "pay", "scheme": "stripe", "path": "/hooks/pay"}],
        "WEBHOOK_PAY_SECRET": secret, "SESSION": {"login": "accounts"},
    });
    expect_mistake(&webhook, "the rule for \"/hooks/pay\"");
}

#[test]
fn rejects_slashes_before_static_assets() {
    let variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"], "SESSION": {"check": "token"},
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "ROUTES": [{"path": "/npm/{id}", "access": "user", "encoded_slashes": true}],
    });
    let variables = read_variables(&variables.to_string()).expect("an object");
    let mistakes = Config::parse(&variables, &Bindings::named(["ASSETS"])).expect_err("a mistake");
    let messages: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        ["ROUTES: encoded_slashes is not allowed with static assets: their names contain no slash"]
    );
}

#[test]
fn accepts_slashes_that_reach_no_stricter_rule() {
    for routes in [
        json!([{"path": "/npm/{id}", "access": "user", "encoded_slashes": true}]),
        json!([
            {"path": "/npm/{*rest}", "access": "public", "encoded_slashes": true},
            {"path": "/{*rest}", "access": "user"},
        ]),
        json!([
            {"path": "/npm/{id}", "access": "user", "encoded_slashes": true},
            {"path": "/npm/{id}/readme", "access": "public"},
            {"path": "/admin/{*rest}", "access": "user", "csrf": "strict"},
        ]),
        json!([{"path": "/npm/{id}", "access": "public", "encoded_slashes": false}]),
        // The path of the other rule lacks the text between the parameters.
        json!([
            {"path": "/orgs/{org}/packages/{name}", "access": "user", "encoded_slashes": true},
            {"path": "/orgs/all/new", "access": "admin"},
        ]),
        json!([{"path": "/m/{id}/x", "access": "owner", "owner_from": "/m/{id}/meta", "encoded_slashes": true}]),
    ] {
        if let Err(mistakes) = parse_with(&json!({ "ROUTES": routes, "SESSION": {"login": "accounts"} })) {
            assert!(
                !mistakes.iter().any(|mistake| mistake.contains(STRICTER_RULE)),
                "{routes}: {mistakes:?}"
            );
            panic!("{routes}: {mistakes:?}");
        }
    }
}
