//! Of `encoded_slashes`.

use serde_json::json;

use super::{Bindings, Config, check, read_variables, with};

const TOLD: &str = "encoded_slashes: expected a rule that asks for at least as much as";

#[test]
fn what_may_ask_for_less_is_a_mistake() {
    let rule = |path: &str, access: &str| json!({"path": path, "access": access});
    let lenient = |path: &str, access: &str| json!({"path": path, "access": access, "encoded_slashes": true});
    for (routes, wanted) in [
        (
            json!([lenient("/npm/{id}", "user"), rule("/npm/admin", "admin")]),
            "ROUTES[0].encoded_slashes: expected a rule that asks for at least as much as the rule for \"/npm/admin\"",
        ),
        // The order is no matter.
        (
            json!([rule("/npm/admin/{*rest}", "admin"), lenient("/npm/{id}", "user")]),
            "ROUTES[1].encoded_slashes: expected a rule that asks for at least as much as the rule for \"/npm/admin/{*rest}\"",
        ),
        (
            json!([lenient("/npm/{id}", "public")]),
            "ROUTES[0].encoded_slashes: expected a rule that asks for at least as much as paths without a rule",
        ),
        (
            json!([lenient("/npm/{id}", "public"), rule("/npm/{*rest}", "user")]),
            "ROUTES[0].encoded_slashes: expected a rule that asks for at least as much as the rule for \"/npm/{*rest}\"",
        ),
        (
            json!([lenient("/npm/{id}", "user"), {"path": "/npm/{id}/{v}", "access": "user", "csrf": "strict"}]),
            "the rule for \"/npm/{id}/{v}\"",
        ),
        // Endpoints of our own, internal paths and webhooks are not ordered.
        (json!([lenient("/{*rest}", "user")]), "the rule for \"/api/auth/me\""),
        (json!([lenient("/api/{id}", "user")]), "the rule for \"/api/auth/"),
        (
            json!([{"path": "/npm/a", "access": "user", "encoded_slashes": true}]),
            "ROUTES[0].encoded_slashes: expected a path with a parameter",
        ),
        (
            json!([{"path": "/npm/{id}", "access": "user", "encoded_slashes": "yes"}]),
            "ROUTES[0].encoded_slashes: expected true or false, found a text",
        ),
        (
            json!([{"path": "/m/{kind}/{id}", "access": "owner", "owner_from": "/m/{id}/{kind}", "encoded_slashes": true}]),
            "ROUTES[0].owner_from: expected the parameters of the path in their order",
        ),
    ] {
        check(&json!({ "ROUTES": routes }), wanted);
    }
    let routes = json!([lenient("/in/{id}", "admin")]);
    let secret = "u7Qm2Nf8Wc4Ry9Td1Kb6Vh3Xs5Jg0LpZe";
    let more = json!({
        "ROUTES": routes, "SESSION": {"login": "accounts"},
        "MAINTENANCE": [{"path": "/in/tick"}], "UPSTREAM_SECRET": secret,
    });
    check(
        &more,
        "ROUTES[0].encoded_slashes: expected a rule that asks for at least as much as the rule for \"/in/tick\"",
    );
    let hook = json!({
        "ROUTES": [lenient("/hooks/{id}", "public"), rule("/hooks/{*rest}", "public")],
        "WEBHOOKS": [{"name": "pay", "scheme": "stripe", "path": "/hooks/pay"}],
        "WEBHOOK_PAY_SECRET": secret, "SESSION": {"login": "accounts"},
    });
    check(&hook, "the rule for \"/hooks/pay\"");
}

#[test]
fn static_assets_have_no_slash_in_their_names() {
    let variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"], "SESSION": {"check": "token"},
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "ROUTES": [{"path": "/npm/{id}", "access": "user", "encoded_slashes": true}],
    });
    let variables = read_variables(&variables.to_string()).expect("an object");
    let mistakes = Config::parse(&variables, &Bindings::named(["ASSETS"])).expect_err("a mistake");
    let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["ROUTES: expected no encoded_slashes beside static assets: their names have no slash"]);
}

#[test]
fn what_asks_for_as_much_is_none() {
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
        // Between its parameters is text that the other one has not.
        json!([
            {"path": "/orgs/{org}/packages/{name}", "access": "user", "encoded_slashes": true},
            {"path": "/orgs/all/new", "access": "admin"},
        ]),
        json!([{"path": "/m/{id}/x", "access": "owner", "owner_from": "/m/{id}/meta", "encoded_slashes": true}]),
    ] {
        if let Err(mistakes) = with(&json!({ "ROUTES": routes, "SESSION": {"login": "accounts"} })) {
            assert!(!mistakes.iter().any(|mistake| mistake.contains(TOLD)), "{routes}: {mistakes:?}");
            panic!("{routes}: {mistakes:?}");
        }
    }
}
