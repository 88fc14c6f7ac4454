use super::*;

fn config_with_pages(changes: &Value) -> Config {
    let mut variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": { "login": "accounts" },
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "SETUP_TOKEN": "sT7uP0tOk3nZq8vR5sX1bC7dE3fG6hL9p",
    });
    for (name, value) in changes.as_object().expect("an object") {
        variables[name] = value.clone();
    }
    let bindings = Bindings::named(["SESSIONS", "ACCOUNTS", "LIMITER", "TOKENS", "ASSETS"]);
    Config::parse(variables.as_object().expect("an object"), &bindings).expect("valid")
}

fn set<'a>(edits: &'a HeaderEdits<'_>, name: &str) -> Option<&'a str> {
    edits.set.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_ref())
}

const NAVIGATION: &str = "sec-fetch-mode\nnavigate\nsec-fetch-dest\ndocument";

#[test]
fn a_page_is_a_file_of_the_assets_binding_and_never_reaches_upstream() {
    let config = config_with_pages(&json!({}));
    let upstream = upstream(200, &[]);
    let serialized = format!(
        "GET\nhttps://app.example/_vestibule/sign-in?next=%2Fa\n{NAVIGATION}\nif-none-match\n\"7\"\ncookie\na=b\nauthorization\nBearer x"
    );
    let (answer, event) = send(&config, &upstream, &serialized);
    let edits = relayed(answer);
    assert_eq!(*upstream.assets.borrow(), ["GET /_vestibule/sign-in.page Some(\"\\\"7\\\"\")"]);
    assert!(upstream.received.borrow().is_empty());
    assert_eq!(set(&edits, "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(set(&edits, "cache-control"), Some("private, no-cache"));
    assert!(
        set(&edits, "content-security-policy")
            .is_some_and(|policy| policy.contains("frame-ancestors 'none'"))
    );
    assert_eq!(event["rule"], "/_vestibule/{*page}");
    assert_eq!(event["decision"], "allow");
}

#[test]
fn a_page_expires_an_invalid_cookie_and_is_then_not_stored() {
    let config = config_with_pages(&json!({}));
    let upstream = upstream(200, &[]);
    for path in ["sign-in", "assets/app-1a2b.js"] {
        let serialized = format!("GET\nhttps://app.example/_vestibule/{path}\ncookie\nmk_session=x");
        let (answer, _) = send(&config, &upstream, &serialized);
        let edits = relayed(answer);
        assert_eq!(edits.append, [("set-cookie", "mk_session=; Path=/; Max-Age=0".to_owned())]);
        assert_eq!(set(&edits, "cache-control"), Some("private, no-store"));
    }
}

#[test]
fn a_missing_page_is_an_error_and_no_redirect() {
    let config = config_with_pages(&json!({}));
    // The second answer is that of static assets which answer every unknown path with the application's page.
    for answer in [(404, "text/plain"), (200, "text/html; charset=utf-8"), (307, "text/plain"), (500, "")] {
        for (path, status, error) in [
            ("sign-in", 503, "pages_missing"),
            ("account", 503, "pages_missing"),
            ("assets/app-1a2b.js", 404, "not_found"),
        ] {
            let upstream = upstream(200, &[]);
            upstream.asset_answer.set(answer);
            let serialized = format!("GET\nhttps://app.example/_vestibule/{path}\naccept\n*/*");
            let reply = own_reply(send(&config, &upstream, &serialized).0);
            assert_eq!((reply.status, json_of(&reply)["error"].as_str()), (status, Some(error)), "{path}");
            let page = own_reply(send(&config, &upstream, &format!("{serialized}\n{NAVIGATION}")).0);
            assert_eq!((page.status, header(&page, "location")), (status, None));
            assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"));
            assert!(upstream.received.borrow().is_empty());
        }
    }
}

#[test]
fn other_paths_below_the_prefix_are_refused_without_a_request() {
    let config = config_with_pages(&json!({}));
    let upstream = upstream(200, &[]);
    for (method, path, status) in [
        ("GET", "/_vestibule/sign-in.page", 404),
        ("GET", "/_vestibule/assets/a/b.js", 404),
        ("GET", "/_vestibule/x", 404),
        ("POST", "/_vestibule/sign-in", 405),
        ("PUT", "/_vestibule/assets/a.js", 405),
        ("GET", "/_vestibule", 302),
    ] {
        let (answer, _) = send(&config, &upstream, &format!("{method}\nhttps://app.example{path}"));
        let reply = own_reply(answer);
        assert_eq!(reply.status, status, "{path}");
        if status == 302 {
            assert_eq!(header(&reply, "location"), Some("/_vestibule/account"));
        }
    }
    assert!(upstream.assets.borrow().is_empty() && upstream.received.borrow().is_empty());
}

#[test]
fn a_navigation_without_a_session_leads_to_the_page_and_back() {
    let config = config_with_pages(&json!({"PAGES": {"prefix": "/auth"}}));
    let upstream = upstream(200, &[]);
    let deep = format!("GET\nhttps://app.example/deep/a?b=c\n{NAVIGATION}");
    let reply = own_reply(send(&config, &upstream, &deep).0);
    assert_eq!(
        (reply.status, header(&reply, "location")),
        (302, Some("/auth/sign-in?next=%2Fdeep%2Fa%3Fb%3Dc"))
    );
    assert!(upstream.assets.borrow().is_empty() && upstream.received.borrow().is_empty());
}

#[test]
fn settings_have_no_secret() {
    let branding = json!({"name": "Example", "logo": "/logo.svg", "accent": "#1D4ED8"});
    let config = config_with_pages(&json!({"BRANDING": branding, "ENDPOINTS": "/v"}));
    let upstream = upstream(200, &[]);
    for path in ["/v/auth/settings", "/_vestibule/settings"] {
        let reply = own_reply(send(&config, &upstream, &format!("GET\nhttps://app.example{path}")).0);
        let settings = json_of(&reply);
        assert_eq!((reply.status, header(&reply, "cache-control")), (200, Some("no-store")));
        assert_eq!(settings["setupOpen"], true);
        assert_eq!(settings["endpoints"], "/v");
        assert_eq!(settings["pages"], json!({"prefix": "/_vestibule"}));
        assert_eq!(
            settings["branding"],
            json!({"name": "Example", "logo": "/logo.svg", "accent": "#1d4ed8"})
        );
        assert!(!reply.body.is_some_and(|body| body.contains("sT7uP0")));
    }
}

#[test]
fn settings_name_the_features_whose_endpoints_exist() {
    let features = |changes: &Value| {
        let config = config_with_pages(changes);
        let path = "GET\nhttps://app.example/_vestibule/settings";
        json_of(&own_reply(send(&config, &upstream(200, &[]), path).0))["features"].clone()
    };
    assert_eq!(features(&json!({})), json!(["accounts", "pages", "sessions", "tokens"]));
    assert_eq!(features(&json!({"CREDENTIALS": []})), json!(["accounts", "pages", "sessions"]));
}

#[test]
fn the_console_needs_an_admin_and_leads_back_after_the_sign_in() {
    let config = config_with_pages(&json!({"PAGES": {"prefix": "/auth"}}));
    let upstream = upstream(200, &[]);
    let console = format!("GET\nhttps://app.example/auth/console?screen=audit\n{NAVIGATION}");
    let (answer, event) = send(&config, &upstream, &console);
    let reply = own_reply(answer);
    assert_eq!(
        (reply.status, header(&reply, "location")),
        (302, Some("/auth/sign-in?next=%2Fauth%2Fconsole%3Fscreen%3Daudit"))
    );
    assert_eq!(event["rule"], "/auth/console");
    let script = "GET\nhttps://app.example/auth/console\naccept\n*/*";
    assert_eq!(own_reply(send(&config, &upstream, script).0).status, 401);
    assert!(upstream.assets.borrow().is_empty() && upstream.received.borrow().is_empty());
}
