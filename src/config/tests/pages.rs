//! Tests of `PAGES` and `BRANDING`: when the pages are served, and what their prefix changes.

use serde_json::{Value, json};

use super::{expect_mistake, minimal};
use crate::{
    config::{Bindings, Config, parse::read_variables},
    http::path::CanonicalPath,
    routing::rule::Destination,
};

fn parse(changes: &Value, has_assets: bool) -> Result<Config, Vec<String>> {
    let mut variables = minimal();
    for (name, value) in changes.as_object().expect("an object") {
        variables[name] = value.clone();
    }
    let variables = read_variables(&variables.to_string()).expect("an object");
    let assets = if has_assets { &["ASSETS"][..] } else { &[] };
    let bindings = ["SESSIONS", "ACCOUNTS", "LIMITER", "TOKENS"].iter().chain(assets);
    Config::parse(&variables, &Bindings::named(bindings.copied()))
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

fn destination(config: &Config, method: &str, path: &str) -> Destination {
    config.rules.find(method, &CanonicalPath::parse(path).expect("a path")).destination
}

#[test]
fn serves_the_pages_unless_the_application_has_a_login_page() {
    let accounts = |more: Value| {
        let mut session = json!({"login": "accounts"});
        session.as_object_mut().expect("a table").extend(more.as_object().expect("a table").clone());
        json!({ "SESSION": session })
    };
    let with_pages = |mut changes: Value, pages: Value| {
        changes["PAGES"] = pages;
        changes
    };
    for (changes, has_assets, login, prefix) in [
        (accounts(json!({})), true, "/_vestibule/sign-in", Some("/_vestibule")),
        (
            accounts(json!({"login_path": "/_vestibule/sign-in"})),
            true,
            "/_vestibule/sign-in",
            Some("/_vestibule"),
        ),
        (with_pages(accounts(json!({})), json!({"prefix": "/auth"})), true, "/auth/sign-in", Some("/auth")),
        // The application's own login page; the other pages only if `PAGES` asks for them.
        (accounts(json!({"login_path": "/login"})), true, "/login", None),
        (with_pages(accounts(json!({"login_path": "/in"})), json!({})), true, "/in", Some("/_vestibule")),
        // Nothing changes for a deployment without the binding.
        (accounts(json!({})), false, "/login", None),
        (accounts(json!({"login_path": "/in"})), false, "/in", None),
        (json!({"SESSION": {"login": "upstream"}}), true, "/login", None),
        (json!({}), true, "/login", None),
    ] {
        let config = parse(&changes, has_assets).expect("valid");
        assert_eq!(config.site.return_path.login, login, "{changes}");
        assert_eq!(config.accounts.pages.map(|pages| pages.prefix), prefix, "{changes}");
        let found = destination(&config, "GET", login);
        let is_ours = prefix.is_some_and(|prefix| login.starts_with(prefix));
        assert_eq!(found == Destination::Pages, is_ours, "{changes}");
        let warned = config.warnings().iter().any(|warning| warning.contains("need a binding ASSETS"));
        let is_off_by_accident = !has_assets && changes["SESSION"] == json!({"login": "accounts"});
        assert_eq!(warned, is_off_by_accident, "{changes}");
    }
}

#[test]
fn pages_are_read_only_and_below_their_prefix() {
    let config = parse(&json!({"SESSION": {"login": "accounts"}, "ENDPOINTS": "/_vestibule/api"}), true);
    let config = config.expect("valid");
    for (method, path, want) in [
        ("GET", "/_vestibule", Destination::Pages),
        ("GET", "/_vestibule/sign-in", Destination::Pages),
        ("HEAD", "/_vestibule/assets/a.js", Destination::Pages),
        ("POST", "/_vestibule/sign-in", Destination::WrongMethod("GET, HEAD")),
        ("DELETE", "/_vestibule", Destination::WrongMethod("GET, HEAD")),
        ("GET", "/_vestibule/console", Destination::Pages),
        ("POST", "/_vestibule/console", Destination::WrongMethod("GET, HEAD")),
        ("POST", "/_vestibule/settings", Destination::WrongMethod("GET, HEAD")),
        ("GET", "/_vestibules", Destination::Upstream),
        ("GET", "/_vestibul", Destination::Upstream),
    ] {
        assert_eq!(destination(&config, method, path), want, "{method} {path}");
    }
    for (method, path) in [("GET", "/_vestibule/settings"), ("POST", "/_vestibule/api/auth/login")] {
        assert!(matches!(destination(&config, method, path), Destination::Endpoint(_)), "{path}");
    }
}

#[test]
fn a_return_path_leads_to_the_account_but_not_to_a_step_before_it() {
    let config = parse(&json!({"SESSION": {"login": "accounts"}}), true).expect("valid");
    for (path, is_accepted) in [
        ("/_vestibule/account#tokens", true),
        ("/_vestibule/account", true),
        ("/_vestibule/approval", true),
        ("/_vestibule/console?screen=audit", true),
        ("/_vestibule/sign-in", false),
        ("/_Vestibule/Sign-In/?next=/a", false),
        ("/_vestibule/setup", false),
        ("/_vestibule/invite", false),
        ("/_vestibule/reset", false),
        ("/_vestibule/factor?next=/a", false),
        ("/_vestibule/settings", false),
    ] {
        assert_eq!(config.site.return_path.accept(path).is_some(), is_accepted, "{path}");
    }
}

#[test]
fn reports_mistakes_in_pages_branding_and_passwords() {
    let accounts = |name: &str, value: Value| json!({"SESSION": {"login": "accounts"}, name: value});
    for (changes, wanted) in [
        (accounts("PAGES", json!({})), "PAGES: expected a static assets binding ASSETS, found none"),
        (accounts("PAGES", json!({"prefix": "pages"})), "PAGES.prefix: expected a path of a-z"),
        (accounts("PAGES", json!({"prefix": "/a/"})), "PAGES.prefix: expected a path of a-z"),
        (accounts("PAGES", json!({"path": "/a"})), "PAGES.path: unknown"),
        (
            json!({"SESSION": {"login": "upstream"}, "PAGES": {}}),
            "PAGES: requires SESSION.login = \"accounts\"",
        ),
        (json!({"SESSION": {"login": "upstream"}, "BRANDING": {}}), "BRANDING: requires SESSION.login"),
        (accounts("BRANDING", json!({"name": ""})), "BRANDING.name: expected a name"),
        (accounts("BRANDING", json!({"name": " a"})), "BRANDING.name: expected a name"),
        (accounts("BRANDING", json!({"name": "a\u{7}"})), "BRANDING.name: expected a name"),
        (
            accounts("BRANDING", json!({"logo": "http://cdn.example/a.svg"})),
            "BRANDING.logo: expected an https URL",
        ),
        (
            accounts("BRANDING", json!({"logo": "//cdn.example/a.svg"})),
            "BRANDING.logo: expected an https URL",
        ),
        (
            accounts("BRANDING", json!({"logo": "javascript:alert(1)"})),
            "BRANDING.logo: expected an https URL",
        ),
        (
            accounts("BRANDING", json!({"logo": "https://u@cdn.example/"})),
            "BRANDING.logo: expected an https URL",
        ),
        (
            json!({"SESSION": {"login": "upstream"}, "PASSWORDS": {}}),
            "PASSWORDS: requires SESSION.login = \"accounts\"",
        ),
        (
            accounts("PASSWORDS", json!({"memory": 1024})),
            "PASSWORDS.memory: expected a number from 19456 to 47104",
        ),
        (accounts("PASSWORDS", json!({"passes": 1})), "PASSWORDS.passes: expected a number from 2 to 10"),
        (
            accounts("PASSWORDS", json!({"min_length": 8})),
            "PASSWORDS.min_length: expected a number from 12 to 64",
        ),
        (accounts("BRANDING", json!({"accent": "red"})), "BRANDING.accent: expected a colour like #1d4ed8"),
        (accounts("BRANDING", json!({"accent": "#12345"})), "BRANDING.accent: expected a colour"),
        (accounts("BRANDING", json!({"accent": "#12345;"})), "BRANDING.accent: expected a colour"),
    ] {
        expect_mistake(&changes, wanted);
    }
    let same = json!({"SESSION": {"login": "accounts"}, "PAGES": {"prefix": "/v"}, "ENDPOINTS": "/v"});
    assert!(
        parse(&same, true)
            .is_err_and(|mistakes| mistakes == ["PAGES: expected a prefix other than ENDPOINTS"])
    );
    let rule =
        |path: &str| json!({"SESSION": {"login": "accounts"}, "ROUTES": [{"path": path, "access": "user"}]});
    for path in ["/_vestibule/x", "/_vestibule/{*rest}", "/_vestibule"] {
        let mistakes = parse(&rule(path), true).expect_err("a mistake");
        assert!(
            mistakes.iter().any(|mistake| mistake.contains("outside of the pages")),
            "{path}: {mistakes:?}"
        );
        parse(&rule(path), false).expect("without pages, it is a path of the application");
    }
}
