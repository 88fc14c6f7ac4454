//! Tests of the whole flow with an upstream in memory: what upstream receives, what the client gets, what is logged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail"
)]

use std::{cell::Cell, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vestibule::{
    accounts::{self, Accounts},
    approvals::confirmations::{self, Confirmations},
    base::time::Timestamp,
    config::{Bindings, Config},
    gateway,
    http::{
        problem::Fault,
        reply::{Answer, HeaderEdits, Reply},
        request::Request,
    },
    idempotency::{self, ledger},
    identity::{
        author::{Author, Credential},
        principal::Role,
    },
    platform::{
        effects::{DryRun, ExternalResponse},
        event::RequestMeta,
        memory::Memory,
    },
    sessions::registry::{Command, End, Session, Sessions, UserStatus, Which},
};

mod common {
    pub(crate) use vestibule::{
        base::time::Timestamp,
        platform::store::{Object, SqlRow, Store, StoreError, Value, decode, encode, migrate},
    };

    #[allow(dead_code, reason = "the crate's own tests use the rest")]
    pub(crate) mod sqlite;
}

/// The platform in memory.
#[path = "common/platform.rs"]
mod platform;

use platform::*;

fn config(changes: &Value) -> Config {
    let mut variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": { "check": "token" },
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "ROUTES": [
            { "path": "/public/{*rest}", "access": "public" },
            { "path": "/maybe", "access": "optional" },
            { "path": "/user/{id}", "access": "user", "operation": "user.view" },
            { "path": "/after", "access": "public", "redirects": "strict" },
        ],
    });
    for (name, value) in changes.as_object().expect("an object") {
        variables[name] = value.clone();
    }
    Config::parse(variables.as_object().expect("an object"), &Bindings::named(["SESSIONS", "LEDGER"]))
        .expect("valid")
}

fn send(config: &Config, upstream: &Upstream, serialized: &str) -> (Answer<()>, Value) {
    let request = Request::read(serialized).expect("a request");
    let meta =
        RequestMeta { now: Timestamp(NOW), milliseconds: 1_000 * NOW.unsigned_abs(), request_id: "req_1" };
    let (answer, mut event) = pollster::block_on(gateway::handle(config, upstream, &request, meta));
    event.is_counted_only = false;
    (answer, serde_json::from_str(&event.line().expect("a line")).expect("JSON"))
}

#[track_caller]
fn own_reply(answer: Answer<()>) -> Reply {
    match answer {
        Answer::Own(reply) | Answer::Feed(reply, _) => reply,
        Answer::Relayed(..) | Answer::Watched(..) => panic!("upstream responded"),
    }
}

#[track_caller]
fn relayed(answer: Answer<()>) -> HeaderEdits<'static> {
    match answer {
        Answer::Relayed((), edits) => edits,
        Answer::Watched(..) => panic!("a stream is watched"),
        Answer::Own(reply) | Answer::Feed(reply, _) => panic!("the gateway responded: {reply:?}"),
    }
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_str(reply.body.as_deref().expect("a body")).expect("JSON")
}

fn session(config: &Config, age: i64) -> String {
    let claims = json!({ "userId": "ada", "sessionId": "s1", "iat": NOW - age, "exp": NOW + 3_600 });
    format!("mk_session={}", config.sessions.keys.sign(claims.to_string().as_bytes()))
}

#[test]
fn rejected_requests_never_reach_upstream() {
    let config = config(&json!({
        "TURNSTILE_SECRET": "0x4AAAAAAAbcdefghijklmnopqrstuvwxyz",
        "ROUTES": [
            { "path": "/public/{*rest}", "access": "public" },
            { "path": "/keyed", "access": "user", "methods": ["POST"], "idempotency": "required" },
            { "path": "/checked", "access": "user", "bot_check": "order" },
        ],
    }));
    let good = session(&config, 0);
    let post =
        |path: &str| format!("POST\nhttps://app.example{path}\ncookie\n{good}\norigin\nhttps://app.example");
    for (serialized, status, error) in [
        ("GET\nhttps://app.example/x".to_owned(), 401, "unauthorized"),
        ("GET\nhttps://app.example/x\nauthorization\nBearer t".to_owned(), 401, "unauthorized"),
        ("GET\nhttps://app.example/public/%2e%2e%2fx".to_owned(), 400, "ambiguous_path"),
        (
            format!("POST\nhttps://app.example/x\ncookie\n{good}\norigin\nhttps://evil.example"),
            403,
            "forbidden_origin",
        ),
        (
            format!("GET\nhttps://app.example/x\ncookie\n{good}\nupgrade\nwebsocket\norigin\nnull"),
            403,
            "forbidden_origin",
        ),
        ("DELETE\nhttps://app.example/api/auth/me".to_owned(), 405, "method_not_allowed"),
        ("BREW\nhttps://app.example/api/auth/logout".to_owned(), 405, "method_not_allowed"),
        (post("/checked"), 403, "bot_check_failed"),
        (post("/keyed"), 400, "idempotency_key_missing"),
    ] {
        let upstream = upstream(200, &[]);
        let (answer, event) = send(&config, &upstream, &serialized);
        let reply = own_reply(answer);
        let body: Value = serde_json::from_str(&reply.body.clone().expect("a body")).expect("JSON");
        assert_eq!((reply.status, body["error"].as_str()), (status, Some(error)), "{serialized}");
        assert_eq!(body["requestId"], "req_1");
        assert_eq!(header(&reply, "cache-control"), Some("no-store"));
        assert_eq!(event["decision"], error);
        assert!(upstream.received.borrow().is_empty(), "{serialized}");
    }
}

#[test]
fn faults_return_problems_and_clear_invalid_cookies() {
    let config = config(&json!({}));
    for (fault, status) in [(Fault::UpstreamFailed, 502), (Fault::UpstreamTimeout, 504)] {
        let upstream = upstream_with(Err(fault));
        let (answer, _) = send(&config, &upstream, "GET\nhttps://app.example/public/a\ncookie\nmk_session=x");
        let reply = own_reply(answer);
        assert_eq!(reply.status, status);
        assert_eq!(header(&reply, "set-cookie"), Some("mk_session=; Path=/; Max-Age=0"));
        assert_eq!(header(&reply, "cache-control"), Some("private, no-store"));
    }
}

#[test]
fn sends_identity_headers_except_under_public_rules() {
    let config = config(&json!({}));
    let good = session(&config, 0);
    for (path, cookie, user) in [
        ("/public/a", &*good, None),
        ("/maybe", "", None),
        ("/maybe", &*good, Some("ada")),
        ("/user/7", &*good, Some("ada")),
        ("/anything", &*good, Some("ada")),
    ] {
        let upstream = upstream(200, &[]);
        let serialized = format!(
            "GET\nhttps://app.example{path}?q=1\ncookie\n{cookie}\nx_user_id\nroot\ncf-connecting-ip\n2001:db8::1"
        );
        let (answer, event) = send(&config, &upstream, &serialized);
        assert!(relayed(answer).is_empty(), "{path}: upstream's response is unchanged");
        let received = upstream.received.take();
        let (target, set, removed, personal) = &received[0];
        let sent_header =
            |name: &str| set.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
        assert_eq!(target, &format!("{path}?q=1"));
        assert_eq!(removed, &["x_user_id"]);
        assert_eq!((sent_header("x-user-id"), sent_header("x-author-id")), (user, user), "{path}");
        assert_eq!(sent_header("x-session-id"), user.map(|_| "s1"));
        assert_eq!(sent_header("x-operation"), path.starts_with("/user").then_some("user.view"));
        assert_eq!(sent_header("x-forwarded-for"), Some("2001:db8::1"));
        assert_eq!(sent_header("x-forwarded-host"), Some("app.example"));
        assert_eq!(sent_header("x-request-id"), Some("req_1"));
        assert_eq!(sent_header("cache-control"), (!path.starts_with("/public")).then_some("max-age=0"));
        assert_eq!(*personal, !path.starts_with("/public"));
        assert_eq!(sent_header("x-vestibule-assertion"), None, "no assertion without UPSTREAM_SECRET");
        assert_eq!(event["principal"].as_str(), user.map(|_| "user"));
    }
}

#[test]
fn redirects_navigations_to_login_and_back() {
    let config = config(&json!({}));
    let good = session(&config, 0);
    for (serialized, location) in [
        (
            "GET\nhttps://app.example/a/b?c=d%26e\nsec-fetch-mode\nnavigate".to_owned(),
            "/login?next=%2Fa%2Fb%3Fc%3Dd%2526e",
        ),
        ("HEAD\nhttps://app.example/\naccept\ntext/html".to_owned(), "/login?next=%2F"),
        (
            format!("GET\nhttps://app.example/login?next=%2Fa%3Fb\nsec-fetch-mode\nnavigate\ncookie\n{good}"),
            "/a?b",
        ),
        (
            format!("GET\nhttps://app.example/login?next=//evil\nsec-fetch-mode\nnavigate\ncookie\n{good}"),
            "/",
        ),
    ] {
        let upstream = upstream(200, &[]);
        let (answer, _) = send(&config, &upstream, &serialized);
        let reply = own_reply(answer);
        assert_eq!((reply.status, header(&reply, "location")), (302, Some(location)), "{serialized}");
        let count = header(&reply, "set-cookie").expect("a count");
        assert!(count.starts_with("mk_session_hops=1.1700000000."), "{count}");
        assert!(count.ends_with("; Path=/; Max-Age=10; HttpOnly; SameSite=Lax; Secure"), "{count}");
        assert!(upstream.received.borrow().is_empty());
    }
    let mut cookies = String::new();
    let last = (0..4).map(|_| {
        let serialized = format!("GET\nhttps://app.example/a\nsec-fetch-mode\nnavigate\ncookie\n{cookies}");
        let (answer, event) = send(&config, &upstream(200, &[]), &serialized);
        let reply = own_reply(answer);
        let count = header(&reply, "set-cookie").expect("a count");
        cookies = count.split(';').next().expect("a pair").to_owned();
        (reply, event)
    });
    let (page, event) = last.last().expect("four");
    assert_eq!((page.status, event["decision"].as_str()), (200, Some("redirect_loop")));
    assert!(page.body.is_some_and(|body| body.contains("<form method=\"post\"")));
}

#[test]
fn never_overrides_a_session_cookie_of_upstream() {
    let config = config(&json!({ "SESSION": { "check": "token", "refresh_after": "0s" } }));
    let good = session(&config, 10);
    let serialized = format!("GET\nhttps://app.example/x\ncookie\n{good}");
    let (answer, _) = send(&config, &upstream(200, &[]), &serialized);
    let edits = relayed(answer);
    assert!(
        edits.append.iter().any(|(name, line)| *name == "set-cookie" && line.contains("Max-Age=2592000"))
    );
    let headers =
        [("set-cookie", "mk_session=; Max-Age=0"), ("cdn-cache-control", "max-age=60"), ("x-user-id", "ada")];
    let (answer, _) = send(&config, &upstream(200, &headers), &serialized);
    let edits = relayed(answer);
    assert!(edits.append.is_empty(), "nothing is added");
    assert_eq!(edits.set, [("cache-control", "private, no-store".into())]);
    assert_eq!(edits.remove, ["x-user-id", "cdn-cache-control"]);
}

#[test]
fn rewrites_upstream_redirects() {
    let config = config(&json!({}));
    for (path, location, want) in [
        ("/public/a", "https://origin.example/b?c", Some("https://app.example/b?c")),
        ("/public/a", "/b", None),
        ("/public/a", "https://elsewhere.example/", None),
        ("/after", "https://elsewhere.example/", Some("/")),
        ("/after", "https://origin.example/b", Some("https://app.example/b")),
        ("/after", "/b?c", None),
    ] {
        let upstream = upstream(302, &[("location", location)]);
        let (answer, _) = send(&config, &upstream, &format!("GET\nhttps://app.example{path}"));
        let set = relayed(answer).set;
        assert_eq!(set.first().map(|(_, value)| &**value), want, "{path} {location}");
    }
}

#[test]
fn rewrites_every_name_of_upstream_to_the_public_origin() {
    let config = config(&json!({
        "UPSTREAM": "http://localhost:3000",
        "UPSTREAM_ALIASES": ["https://app.internal.example", "http://web:8080"],
    }));
    for (location, want) in [
        ("http://localhost:3000/b?c#d", Some("https://app.example/b?c#d")),
        ("http://127.0.0.1:3000/b", Some("https://app.example/b")),
        ("http://[::1]:3000/b", Some("https://app.example/b")),
        ("//localhost:3000/b", Some("https://app.example/b")),
        ("https://app.internal.example/b", Some("https://app.example/b")),
        ("HTTP://WEB:8080/b", Some("https://app.example/b")),
        ("http://127.0.0.1:3001/b", None),
        ("https://localhost:3000/b", Some("https://app.example/b")),
        ("https://127.0.0.1:3000/b", Some("https://app.example/b")),
        ("https://web:8080/b", None),
        ("http://web:8080.evil.example/b", None),
        ("https://elsewhere.example/b", None),
        ("/b", None),
    ] {
        let upstream = upstream(302, &[("location", location)]);
        let (answer, _) = send(&config, &upstream, "GET\nhttps://app.example/public/a");
        let set = relayed(answer).set;
        assert_eq!(set.first().map(|(_, value)| &**value), want, "{location}");
    }
}

#[test]
fn log_lines_contain_no_secrets() {
    let config = config(&json!({}));
    let good = session(&config, 0);
    let serialized = format!(
        "GET\nhttps://app.example/user/77?token=hunter2\ncookie\n{good}\nauthorization\nBearer hunter2"
    );
    let (_, event) = send(&config, &upstream(200, &[]), &serialized);
    let line = event.to_string();
    assert!(
        line.contains(r#""rule":"/user/{id}","operation":"user.view","decision":"allow","principal":"user""#),
        "{line}"
    );
    assert!(!line.contains("hunter2") && !line.contains("eyJ") && !line.contains("/77"), "{line}");
}

/// A configuration with sessions in the registry, and login by upstream.
fn registered(more: &Value) -> Config {
    let mut session = json!({ "check": "registry", "login": "upstream" });
    for (name, value) in more.as_object().expect("an object") {
        session[name] = value.clone();
    }
    config(&json!({ "SESSION": session, "ROUTES_2": [
        { "path": "/boss", "access": "admin" },
        { "path": "/public/login", "methods": ["GET", "HEAD", "POST"], "access": "public", "login": true },
    ] }))
}

/// Signs a user in by the login header of upstream. Returns the cookie.
#[track_caller]
fn sign_in(config: &Config, upstream: &mut Upstream, login: &'static str, cookie: &str) -> String {
    let before = upstream.answer.clone();
    upstream.answer = Ok((200, vec![("x-vestibule-login", login)]));
    let serialized =
        format!("POST\nhttps://app.example/public/login\nsec-fetch-site\nsame-origin\ncookie\n{cookie}");
    let (answer, _) = send(config, upstream, &serialized);
    upstream.answer = before;
    let edits = relayed(answer);
    assert_eq!(edits.remove, ["x-vestibule-login"], "the header is removed");
    let line = edits.append.iter().find(|(name, _)| *name == "set-cookie").map(|(_, line)| line.as_str());
    let line = line.expect("a session");
    assert!(line.contains("HttpOnly; SameSite=Lax; Secure"), "{line}");
    line.split(';').next().expect("a pair").to_owned()
}

#[test]
fn accepts_the_login_header_only_where_it_is_allowed() {
    const OWN: &str = "sec-fetch-site\nsame-origin";
    const FOREIGN: &str = "sec-fetch-site\ncross-site";
    let config = registered(&json!({}));
    for (method, path, status, fields, want) in [
        ("POST", "/public/login", 200, OWN, None),
        ("POST", "/public/login", 303, OWN, None),
        ("GET", "/public/login", 200, "sec-fetch-site\nnone", None),
        ("GET", "/public/login", 302, OWN, None),
        ("GET", "/public/login", 200, "referer\nhttps://app.example/a?b", None),
        ("GET", "/public/login", 200, "origin\nhttps://app.example", None),
        ("GET", "/public/login", 200, "accept\n*/*", Some("site")),
        ("GET", "/public/login", 200, "referer\nhttps://evil.example/", Some("site")),
        ("GET", "/public/login", 302, "referer\nhttps://evil.example/https://app.example/", Some("site")),
        ("GET", "/public/login", 200, "referer\nhttps://app.example@evil.example/", Some("site")),
        (
            "GET",
            "/public/login",
            200,
            "referer\nhttps://app.example/\nsec-fetch-site\ncross-site",
            Some("site"),
        ),
        ("GET", "/public/login", 200, "referer\nhttps://evil.example/\nsec-fetch-site\nnone", Some("site")),
        ("POST", "/public/other", 200, OWN, Some("rule")),
        ("GET", "/maybe", 200, OWN, Some("rule")),
        ("HEAD", "/public/login", 200, OWN, Some("method")),
        ("GET", "/public/login", 206, OWN, Some("status")),
        ("GET", "/public/login", 304, OWN, Some("status")),
        ("GET", "/public/login", 200, FOREIGN, Some("site")),
        ("GET", "/public/login", 302, FOREIGN, Some("site")),
        ("GET", "/public/login", 200, "sec-fetch-site\nsame-site", Some("site")),
        ("GET", "/public/login", 200, "origin\nhttps://evil.example", Some("site")),
        ("POST", "/public/login", 401, OWN, Some("")),
    ] {
        let upstream = upstream(status, &[("x-vestibule-login", "usr_v")]);
        let serialized = format!("{method}\nhttps://app.example{path}\n{fields}");
        let edits = relayed(send(&config, &upstream, &serialized).0);
        assert_eq!(edits.remove, ["x-vestibule-login"]);
        let sets_cookie = edits.append.iter().any(|(name, _)| *name == "set-cookie");
        assert_eq!(sets_cookie, want.is_none(), "{serialized} {status}");
        // Logged for the first request only.
        relayed(send(&config, &upstream, &serialized).0);
        let lines = upstream.logged.borrow();
        let entries: Vec<Value> =
            lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let wanted: Vec<&str> = want.into_iter().filter(|reason| !reason.is_empty()).collect();
        let logged_reasons: Vec<&str> = entries.iter().filter_map(|line| line["reason"].as_str()).collect();
        assert_eq!(logged_reasons, wanted, "{serialized} {status}");
        assert!(entries.iter().all(|line| line["event"] == "login_ignored" && line["rule"].is_string()));
    }
}

/// Sends a navigation with these cookies. Upstream responds with a redirect to `location`.
fn redirected(
    config: &Config,
    upstream: &mut Upstream,
    path: &str,
    cookies: &str,
    location: &'static str,
) -> Answer<()> {
    upstream.answer = Ok((302, vec![("location", location)]));
    let serialized = format!("GET\nhttps://app.example{path}\nsec-fetch-mode\nnavigate\ncookie\n{cookies}");
    send(config, upstream, &serialized).0
}

/// Returns the cookie that counts redirects, if the response sets it.
fn count_in(edits: &HeaderEdits<'_>) -> Option<String> {
    let lines = edits.append.iter().filter(|(name, _)| *name == "set-cookie").map(|(_, line)| line);
    let line = lines.into_iter().find(|line| line.starts_with("mk_session_hops="))?;
    assert!(edits.set.contains(&("cache-control", "private, no-store".into())));
    line.split(';').next().map(str::to_owned)
}

#[test]
fn shows_the_login_page_to_a_user_whom_upstream_redirects_there() {
    let config = registered(&json!({}));
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada", "");
    let away = own_reply(redirected(&config, &mut upstream, "/login?next=/maybe", &ada, "/maybe"));
    assert_eq!(
        (away.status, header(&away, "location")),
        (302, Some("/maybe")),
        "upstream did not redirect here"
    );

    for path in ["/user/1", "/public/1"] {
        let edits = relayed(redirected(&config, &mut upstream, path, &ada, "/login?next=%2Fuser%2F1"));
        let count = count_in(&edits).expect("a count");
        let cookies = format!("{ada}; {count}");
        upstream.answer = Ok((200, Vec::new()));
        let serialized = format!(
            "GET\nhttps://app.example/login?next=%2Fuser%2F1\nsec-fetch-mode\nnavigate\ncookie\n{cookies}"
        );
        let (answer, event) = send(&config, &upstream, &serialized);
        assert!(count_in(&relayed(answer)).is_none());
        assert_eq!(event["decision"], "allow");
        assert_eq!(upstream.received.borrow().last().expect("a request").0, "/login?next=%2Fuser%2F1");
    }
}

#[test]
fn stops_a_redirect_loop_between_upstream_and_its_login_page() {
    let config = registered(&json!({}));
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada", "");
    let mut cookies = ada.clone();
    for _ in 0..3 {
        let edits = relayed(redirected(&config, &mut upstream, "/user/1", &cookies, "/login"));
        cookies = format!("{ada}; {}", count_in(&edits).expect("a count"));
        relayed(redirected(&config, &mut upstream, "/login", &cookies, "/user/1"));
    }
    let edits = relayed(redirected(&config, &mut upstream, "/user/1", &cookies, "/login"));
    cookies = format!("{ada}; {}", count_in(&edits).expect("a count"));
    let reached = upstream.received.borrow().len();
    let page = own_reply(redirected(&config, &mut upstream, "/login", &cookies, "/user/1"));
    assert_eq!(page.status, 200);
    assert!(
        page.body.as_ref().is_some_and(|body| body.contains("you are signed in here, but the application"))
    );
    assert_eq!(upstream.received.borrow().len(), reached, "upstream is not called");
    assert!(header(&page, "set-cookie").is_some_and(|line| line.starts_with("mk_session_hops=; ")));
}

#[test]
fn counts_only_upstream_redirects_of_signed_in_users_to_the_login_page() {
    const NAVIGATE: &str = "sec-fetch-mode\nnavigate";
    let config = registered(&json!({}));
    let mut login_upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut login_upstream, "ada", "");
    let expired = session(&config, 7_200).replace("mk_session=", "mk_session=x");
    for (request, fields, status, location, want) in [
        ("GET /user/1", NAVIGATE, 302, "/login", true),
        ("GET /user/1", "accept\ntext/html", 301, "/login?next=/", true),
        ("POST /user/1", "sec-fetch-mode\nnavigate\nsec-fetch-site\nsame-origin", 303, "/login#a", true),
        ("GET /user/1", NAVIGATE, 307, "../login", true),
        ("GET /user/1", NAVIGATE, 308, "https://app.example/login", true),
        ("GET /user/1", NAVIGATE, 302, "//app.example/login", true),
        ("GET /user/1", NAVIGATE, 302, "https://origin.example/login?a", true),
        ("GET /user/1", NAVIGATE, 302, "login", false),
        ("GET /user/1", NAVIGATE, 302, "/login/", false),
        ("GET /user/1", NAVIGATE, 302, "/logins", false),
        ("GET /user/1", NAVIGATE, 302, "/Login", false),
        ("GET /user/1", NAVIGATE, 302, "/?next=/login", false),
        ("GET /user/1", NAVIGATE, 302, "https://elsewhere.example/login", false),
        ("GET /user/1", NAVIGATE, 302, "http://app.example/login", false),
        ("GET /user/1", NAVIGATE, 200, "/login", false),
        ("GET /user/1", NAVIGATE, 304, "/login", false),
        ("GET /user/1", NAVIGATE, 401, "/login", false),
        ("GET /user/1", "sec-fetch-mode\ncors\naccept\ntext/html", 302, "/login", false),
        ("GET /user/1", "accept\n*/*", 302, "/login", false),
    ] {
        let (method, path) = request.split_once(' ').expect("a request");
        login_upstream.answer = Ok((status, vec![("location", location)]));
        let serialized = format!("{method}\nhttps://app.example{path}\n{fields}\ncookie\n{ada}");
        let edits = relayed(send(&config, &login_upstream, &serialized).0);
        assert_eq!(count_in(&edits).is_some(), want, "{serialized} {status} {location}");
    }
    for cookies in ["", expired.as_str()] {
        let edits = relayed(redirected(&config, &mut login_upstream, "/public/1", cookies, "/login"));
        assert_eq!(count_in(&edits), None, "not signed in: {cookies}");
    }
    // If upstream sets the session cookie, the gateway adds none.
    login_upstream.answer = Ok((302, vec![("location", "/login"), ("set-cookie", "mk_session=; Max-Age=0")]));
    let serialized = format!("GET\nhttps://app.example/user/1\n{NAVIGATE}\ncookie\n{ada}");
    assert_eq!(count_in(&relayed(send(&config, &login_upstream, &serialized).0)), None);
    // With `check = "token"`, upstream creates the sessions itself. It has no other session, so nothing is counted.
    let token_config = self::config(&json!({}));
    let mut upstream = upstream(200, &[]);
    let cookies = session(&token_config, 0);
    let edits = relayed(redirected(&token_config, &mut upstream, "/user/1", &cookies, "/login"));
    assert_eq!(count_in(&edits), None);
    let counted = relayed(redirected(&config, &mut login_upstream, "/user/1", &ada, "/login"));
    let count = count_in(&counted).expect("a count");
    let away =
        own_reply(redirected(&token_config, &mut upstream, "/login", &format!("{cookies}; {count}"), "/"));
    assert_eq!((away.status, header(&away, "location")), (302, Some("/")));
}

#[test]
fn rejects_a_repeated_login_header() {
    let config = registered(&json!({}));
    for says in ["usr_v,usr_w", "usr_v, usr_w", "usr_v; role=admin, usr_w"] {
        let upstream = upstream(200, &[("x-vestibule-login", says)]);
        let serialized = "POST\nhttps://app.example/public/login\nsec-fetch-site\nsame-origin";
        let reply = own_reply(send(&config, &upstream, serialized).0);
        assert_eq!((reply.status, header(&reply, "set-cookie")), (502, None), "{says}");
    }
}

#[test]
fn a_session_is_valid_only_while_registered() {
    let config = registered(&json!({}));
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada; role=admin", "");
    let get = |path: &str, cookie: &str| format!("GET\nhttps://app.example{path}\ncookie\n{cookie}");
    let (answer, _) = send(&config, &upstream, &get("/user/1", &ada));
    relayed(answer);
    let (_, set, ..) = upstream.received.borrow().last().cloned().expect("a request");
    assert!(
        set.contains(&("x-user-id", "ada".to_owned())) && set.contains(&("x-user-role", "admin".to_owned()))
    );

    // A valid token without a registered session.
    let stray = session(&config, 0);
    let (answer, _) = send(&config, &upstream, &get("/user/1", &stray));
    let reply = own_reply(answer);
    assert_eq!((reply.status, json_of(&reply)["reason"].as_str()), (401, Some("session_revoked")));
    assert!(header(&reply, "set-cookie").is_some_and(|line| line.contains("Max-Age=0")));

    // A new login ends the previous session of this browser.
    let again = sign_in(&config, &mut upstream, "ada; role=admin", &ada);
    let list = json_of(&own_reply(send(&config, &upstream, &get("/api/sessions", &again)).0));
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["items"][0]["current"], true);
    let other = sign_in(&config, &mut upstream, "ada", "");
    let reply = own_reply(send(&config, &upstream, &get("/api/auth/me", &ada)).0);
    assert_eq!(reply.status, 401, "the first session has ended");

    // Ends the other session from this one.
    let id =
        json_of(&own_reply(send(&config, &upstream, &get("/api/auth/me", &other)).0))["sessionId"].clone();
    let id = id.as_str().expect("an id");
    let delete = |path: &str| {
        format!("DELETE\nhttps://app.example{path}\nsec-fetch-site\nsame-origin\ncookie\n{again}")
    };
    assert_eq!(own_reply(send(&config, &upstream, &delete(&format!("/api/sessions/{id}"))).0).status, 204);
    assert_eq!(own_reply(send(&config, &upstream, &delete(&format!("/api/sessions/{id}"))).0).status, 404);
    assert_eq!(own_reply(send(&config, &upstream, &get("/user/1", &other)).0).status, 401);
    relayed(send(&config, &upstream, &get("/user/1", &again)).0);
}

/// Ends all of Ada's sessions, like an admin on another device.
fn end_all_of_ada(upstream: &Upstream) {
    let credential = Credential::Session("s0".to_owned());
    let author = Author { user: Some("root".to_owned()), credential, checked_at: Timestamp(NOW) };
    let end = Command::End(End { author: Some(author), of: "ada".to_owned(), which: Which::All });
    upstream.objects.call::<Sessions>("ada", &end, Timestamp(NOW)).expect("done");
}

#[test]
fn calls_the_registry_only_when_necessary() {
    let config = registered(&json!({}));
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada;role=admin", "");
    let store_calls = |path: &str, more: &str| {
        let before = upstream.store_calls.get();
        send(&config, &upstream, &format!("GET\nhttps://app.example{path}\ncookie\n{ada}{more}"));
        upstream.store_calls.get().expect("a count") - before.expect("a count")
    };
    for (path, want) in
        [("/public/x", 0), ("/user/1", 1), ("/user/1", 0), ("/boss", 1), ("/boss", 1), ("/user/1", 0)]
    {
        assert_eq!(store_calls(path, ""), want, "{path}");
    }
}

#[test]
fn an_unavailable_registry_is_a_fault_and_keeps_the_cookie() {
    let config = registered(&json!({ "check_ttl": "0s" }));
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada", "");
    let passed = upstream.received.borrow().len();
    upstream.store_calls.set(None);
    for (method, path) in [("GET", "/user/1"), ("POST", "/api/auth/logout"), ("GET", "/api/sessions")] {
        let serialized = format!(
            "{method}\nhttps://app.example{path}\nsec-fetch-site\nsame-origin\nsec-fetch-mode\ncors\ncookie\n{ada}"
        );
        let reply = own_reply(send(&config, &upstream, &serialized).0);
        assert_eq!(
            (reply.status, json_of(&reply)["error"].as_str()),
            (503, Some("store_unavailable")),
            "{path}"
        );
        assert_eq!(header(&reply, "set-cookie"), None, "{path}");
        assert_eq!(header(&reply, "retry-after"), Some("1"));
    }
    assert_eq!(upstream.received.borrow().len(), passed, "upstream was called");
    // The login page is still available, and the cookie stays.
    let serialized = format!("GET\nhttps://app.example/login\nsec-fetch-mode\nnavigate\ncookie\n{ada}");
    assert_eq!(relayed(send(&config, &upstream, &serialized).0), HeaderEdits::default());
}

#[test]
fn does_not_renew_an_ended_session() {
    let config = registered(&json!({ "refresh_after": "0s" }));
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada", "");
    let get = format!("GET\nhttps://app.example/user/1\ncookie\n{ada}");
    let cookies = |edits: HeaderEdits<'_>| -> Vec<String> {
        edits.append.into_iter().filter(|(name, _)| *name == "set-cookie").map(|(_, line)| line).collect()
    };
    let lines = cookies(relayed(send(&config, &upstream, &get).0));
    assert!(lines.len() == 1 && lines[0].contains("Max-Age=2592000"), "{lines:?}");
    // Ended elsewhere, while this isolate still caches the session: the request passes, but is not renewed.
    end_all_of_ada(&upstream);
    let lines = cookies(relayed(send(&config, &upstream, &get).0));
    assert!(lines.is_empty(), "the browser may have a new cookie by now: {lines:?}");
    let reply = own_reply(send(&config, &upstream, &get).0);
    assert_eq!((reply.status, header(&reply, "set-cookie")), (401, Some("mk_session=; Path=/; Max-Age=0")));
}

proptest! {
    /// Every request gets a response. Without a valid session, it reaches only public rules.
    #[test]
    fn random_requests_reach_only_public_rules(
        method in "(GET|HEAD|POST|DELETE|OPTIONS|PROPFIND|get|[A-Z!]{1,9})",
        path in "(/|//|/public|/user|%2[eEfF5]|%[0-9a-fz]{0,2}|\\.\\.?|[a-z;=@\\\\ é]){1,8}",
        query in "(\\?(next|a)=[/%a-z0-9]{0,12})?",
        names in proptest::collection::vec("(cookie|origin|authorization|accept|upgrade|connection|sec-fetch-(site|mode)|x[_-]user[_-]id)", 0..6),
        values in proptest::collection::vec("(mk_session=[a-zA-Z0-9._-]{0,40}(; )?){0,10}|null|https://(app|evil).example|Bearer .{0,9}|text/html|navigate|same-origin|cross-site|.{0,30}", 6),
    ) {
        let config = config(&json!({}));
        let fields: String = names.iter().zip(&values).map(|(name, value)| ["\n", name, "\n", &value.replace('\n', "")].concat()).collect();
        let serialized = format!("{method}\nhttps://app.example/{path}{query}{fields}");
        let upstream = upstream(200, &[]);
        let (answer, event) = send(&config, &upstream, &serialized);
        let received = upstream.received.take();
        if let Some((target, set, ..)) = received.first() {
            let is_open = target.starts_with("/public/") || target.starts_with("/maybe") || target.starts_with("/login") || target.starts_with("/after");
            prop_assert!(is_open, "{serialized} reached {target}");
            prop_assert!(!set.iter().any(|(name, _)| *name == "x-user-id"));
        }
        if let Answer::Own(reply) = answer {
            prop_assert!((200..600).contains(&reply.status) && reply.status < 500, "{serialized}");
            prop_assert!(reply.headers.iter().all(|(_, value)| !value.contains(['\r', '\n', '\0'])));
        }
        prop_assert!(event["decision"].is_string());
    }
}

#[test]
fn other_spellings_do_not_bypass_a_guard() {
    let config = config(&json!({ "ROUTES": [
        { "path": "/{*rest}", "access": "public" },
        { "path": "/admin/{*rest}", "access": "user" },
    ] }));
    for path in ["/ADMIN/x", "/admin;a/x", "/Admi%6e/x", "/%61dmin/x"] {
        let upstream = upstream(200, &[]);
        let (answer, _) = send(&config, &upstream, &format!("GET\nhttps://app.example{path}"));
        assert!(matches!(own_reply(answer).status, 400 | 401), "{path}");
        assert!(upstream.received.borrow().is_empty(), "{path}");
    }
}

#[test]
fn escapes_the_target_before_forwarding() {
    let config = config(&json!({}));
    let upstream = upstream(200, &[]);
    send(&config, &upstream, "GET\nhttps://app.example/public/a\"b{c}?q='x'\"<é>&z=%27");
    assert_eq!(upstream.received.borrow()[0].0, "/public/a%22b%7Bc%7D?q=%27x%27%22%3C%C3%A9%3E&z=%27");
}

/// A configuration with an agent, a rule that needs approval, and a rule with idempotency keys.
fn with_agent(origins: &Value) -> Config {
    let variables = json!({
        "PUBLIC_ORIGINS": origins,
        "UPSTREAM": "https://origin.example",
        "SESSION": { "check": "registry", "login": "accounts" },
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "AGENT_TOKENS": format!("deploy:{AGENT}"),
        "ROUTES": [
            { "path": "/confirmed", "access": "authenticated", "confirm": "human" },
            { "path": "/keyed", "access": "public", "idempotency": "optional" },
        ],
    });
    let bindings = Bindings::named(["SESSIONS", "ACCOUNTS", "TOKENS", "LEDGER", "CONFIRMATIONS", "LIMITER"]);
    Config::parse(variables.as_object().expect("an object"), &bindings).expect("valid")
}

const AGENT: &str = "mk_0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn runs_only_the_approved_request() {
    let config = with_agent(&json!(["https://app.example"]));
    let request_approval = |upstream: &Upstream, fields: &str| {
        let serialized =
            format!("POST\nhttps://app.example/confirmed\nauthorization\nBearer {AGENT}\n{fields}");
        send(&config, upstream, &serialized).0
    };
    let decide = |upstream: &Upstream, id: &str| {
        let (role, active) = (Role::Admin, true);
        let session = Session::opened("ses_root", Timestamp(NOW), Timestamp(NOW + 60));
        let open = Command::Open(UserStatus { role, active, version: 0 }, session);
        upstream.objects.call::<Sessions>("root", &open, Timestamp(NOW)).expect("a session");
        let object = confirmations::object_of(confirmations::AGENTS);
        let credential = Credential::Session("ses_root".to_owned());
        let author = Author { user: Some("root".to_owned()), credential, checked_at: Timestamp(NOW) };
        let decide = confirmations::Command::Decide { id: id.to_owned(), author, approves: true };
        upstream.objects.call::<Confirmations>(&object, &decide, Timestamp(NOW)).expect("a decision");
    };
    let original = "x-dry-run\n1\ncontent-type\ntext/plain";
    for (repeated, runs) in [
        (original.to_owned(), true),
        (format!("{original}\nx_user_id\nroot"), true),
        (format!("{original}\nconnection\nclose"), true),
        (format!("{original}\nconnection\nclose, X-Dry-Run"), false),
        (format!("connection\nx-DRY-run,close\n{original}"), false),
        (format!("{original}\nconnection\nContent-Type"), false),
        (format!("{original}\nx-other\n1"), false),
        ("content-type\ntext/plain".to_owned(), false),
    ] {
        let upstream = upstream(200, &[]);
        let pending = json_of(&own_reply(request_approval(&upstream, original)));
        let id = pending["confirmationId"].as_str().expect("an id").to_owned();
        decide(&upstream, &id);
        let answer = request_approval(&upstream, &format!("{repeated}\nconfirmation-id\n{id}"));
        let received = upstream.received.take();
        assert_eq!(received.len(), usize::from(runs), "{repeated}");
        if runs {
            assert!(!received[0].2.iter().any(|name| name == "x-dry-run"), "{repeated}");
            continue;
        }
        let problem = json_of(&own_reply(answer));
        assert_eq!(problem["error"], "confirmation_invalid", "{repeated}");
        assert_eq!(problem["reason"], "changed", "{repeated}");
    }
}

#[test]
fn shows_the_approver_what_would_be_sent() {
    let config = with_agent(&json!(["https://app.example"]));
    let upstream = upstream(200, &[]);
    let serialized = format!(
        "POST\nhttps://app.example/confirmed\nauthorization\nBearer {AGENT}\nconnection\nx-dry-run\nx-dry-run\n1\n\
         x_user_id\nroot\nx-amount\n7"
    );
    let pending = json_of(&own_reply(send(&config, &upstream, &serialized).0));
    let object = confirmations::object_of(confirmations::AGENTS);
    let find = confirmations::Command::Find(pending["confirmationId"].as_str().expect("an id").to_owned());
    let found = upstream.objects.call::<Confirmations>(&object, &find, Timestamp(NOW)).expect("a reply");
    let confirmations::Reply::Found(Some(found)) = found else { panic!("{found:?}") };
    assert_eq!(found.act.shown.headers, [("x-amount".to_owned(), "7".to_owned())]);
}

#[test]
fn an_idempotency_key_belongs_to_one_host() {
    let config = with_agent(&json!(["https://app.example", "https://other.example"]));
    let upstream = upstream(200, &[]);
    let post = |host: &str| {
        let serialized = format!(
            "POST\nhttps://{host}/keyed\ncf-connecting-ip\n192.0.2.1\nsec-fetch-site\nsame-origin\n\
             idempotency-key\nk1"
        );
        let (answer, event) = send(&config, &upstream, &serialized);
        let status = match answer {
            Answer::Own(reply) | Answer::Feed(reply, _) => reply.status,
            Answer::Relayed(..) | Answer::Watched(..) => 200,
        };
        (status, event["decision"].as_str().unwrap_or_default().to_owned(), upstream.received.take().len())
    };
    assert_eq!(post("app.example"), (200, "allow".to_owned(), 1));
    assert_eq!(post("app.example"), (200, "allow".to_owned(), 0), "replayed from the record");
    for other in ["other.example", "app.example:8443", "app.example.", "unlisted.example"] {
        assert_eq!(post(other), (422, "idempotency_key_reused".to_owned(), 0), "{other}");
    }
    upstream.body.replace(Some(b"{}".to_vec()));
    assert_eq!(post("app.example"), (422, "idempotency_key_reused".to_owned(), 0), "another body");
}

/// Records of version 0.1 contain no host.
#[test]
fn replays_records_without_a_host_only_for_a_single_origin() {
    for (origins, host, want) in [
        (json!(["https://app.example"]), "app.example", (200, "allow")),
        (json!(["https://app.example"]), "unlisted.example", (409, "idempotency_outcome_unknown")),
        (
            json!(["https://app.example", "https://other.example"]),
            "app.example",
            (409, "idempotency_outcome_unknown"),
        ),
    ] {
        let config = with_agent(&origins);
        let upstream = upstream(200, &[]);
        let serialized = format!(
            "POST\nhttps://{host}/keyed\ncf-connecting-ip\n192.0.2.1\nsec-fetch-site\nsame-origin\n\
             idempotency-key\nk1"
        );
        let request = Request::read(&serialized).expect("a request");
        let entry = ledger::About {
            key: idempotency::Key::parse("k1").expect("a key").hashed(),
            scope: "address:192.0.2.1".to_owned(),
            operation: "keyed".to_owned(),
        };
        let print = idempotency::fingerprint_without_host(&request, "/keyed", &sha256(b""));
        let spans = ledger::Spans { lease: Duration::from_mins(1), retention: Duration::from_hours(1) };
        let call = |order: &ledger::Command| {
            upstream.objects.call::<ledger::Ledger>(&entry.scope, order, Timestamp(NOW)).expect("a reply")
        };
        call(&ledger::Command::Start(entry.clone(), ledger::ClaimRequest::new("req_0", print, spans, false)));
        let keys =
            config.idempotency.seals.keys(&entry.scope, &idempotency::Key::parse("k1").expect("a key"));
        upstream.objects.attach::<ledger::Ledger>(&entry.scope, format!("{} 200", keys[0]).into_bytes());
        let outcome = ledger::Outcome { status: 200, kept: ledger::AnswerLocation::InRow };
        call(&ledger::Command::Transition(
            entry.key.clone(),
            ledger::Transition::Settle("req_0".to_owned(), outcome),
        ));
        let (answer, event) = send(&config, &upstream, &serialized);
        let status = match answer {
            Answer::Own(reply) | Answer::Feed(reply, _) => reply.status,
            Answer::Relayed(..) | Answer::Watched(..) => 200,
        };
        assert_eq!((status, event["decision"].as_str()), (want.0, Some(want.1)), "{host}");
        assert!(upstream.received.borrow().is_empty(), "ran again at {host}");
    }
}

/// Version 0.1 identified an event by its type, which is not signed. Now its bytes identify it. An event that ran under
/// version 0.1 does not run again.
#[test]
fn recognizes_events_of_version_0_1() {
    let variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": { "check": "token" },
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "WEBHOOKS": [{ "name": "hub", "scheme": "github", "path": "/hooks" }],
        "WEBHOOK_HUB_SECRET": "secret_of_the_provider",
    });
    let config = Config::parse(variables.as_object().expect("an object"), &Bindings::named(["LEDGER"]));
    let config = config.expect("valid");
    let hex = vestibule::base::encoding::hex;
    let upstream = upstream(200, &[]);
    let deliver = |body: &str, kind: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"secret_of_the_provider").expect("any length");
        mac.update(body.as_bytes());
        let tag = hex(&mac.finalize().into_bytes());
        upstream.body.replace(Some(body.as_bytes().to_vec()));
        let serialized = format!(
            "POST\nhttps://app.example/hooks\nx-hub-signature-256\nsha256={tag}\nx-github-event\n{kind}"
        );
        let (answer, _) = send(&config, &upstream, &serialized);
        let is_duplicate = match answer {
            Answer::Own(reply) | Answer::Feed(reply, _) => {
                header(&reply, "x-webhook-duplicate") == Some("true")
            }
            Answer::Relayed(..) | Answer::Watched(..) => false,
        };
        (is_duplicate, upstream.received.take().len())
    };
    let earlier = |body: &str, kind: &str| {
        let payload = hex(&Sha256::digest(body));
        let key = hex(&Sha256::digest(format!("{kind}:{payload}")));
        let scope = format!("webhook:hub:{}", &key[..1]);
        let about =
            ledger::About { key: key.clone(), scope: scope.clone(), operation: "webhooks.hub".into() };
        let spans = ledger::Spans { lease: Duration::from_mins(1), retention: Duration::from_hours(1) };
        let outcome = ledger::Outcome { status: 200, kept: ledger::AnswerLocation::NotStored };
        for order in [
            ledger::Command::Start(about, ledger::ClaimRequest::new("req_0", String::new(), spans, true)),
            ledger::Command::Transition(
                key.clone(),
                ledger::Transition::Settle("req_0".to_owned(), outcome.clone()),
            ),
        ] {
            upstream.objects.call::<ledger::Ledger>(&scope, &order, Timestamp(NOW)).expect("a reply");
        }
    };
    earlier(r#"{"a":1}"#, "push");
    assert_eq!(deliver(r#"{"a":1}"#, "push"), (true, 0), "it ran before the upgrade");
    assert_eq!(deliver(r#"{"a":1}"#, "release"), (true, 0), "its bytes are recorded now");
    assert_eq!(deliver(r#"{"a":2}"#, "push"), (false, 1));
    assert_eq!(deliver(r#"{"a":2}"#, "release"), (true, 0));
}

#[test]
fn rejects_forbidden_methods() {
    let config = config(&json!({}));
    for method in ["TRACE", "CONNECT", "TRACK", "trace", "Connect", "tRaCk"] {
        for path in ["/public/a", "/api/auth/me", "/nowhere"] {
            let upstream = upstream(200, &[]);
            let serialized = format!("{method}\nhttps://app.example{path}\nsec-fetch-site\nsame-origin");
            let (answer, event) = send(&config, &upstream, &serialized);
            let reply = own_reply(answer);
            let error = json_of(&reply)["error"].clone();
            assert_eq!(
                (reply.status, error.as_str()),
                (501, Some("method_not_supported")),
                "{method} {path}"
            );
            assert_eq!(event["decision"], "method_not_supported");
            assert!(upstream.received.borrow().is_empty(), "{method} {path}");
        }
    }
}

#[test]
fn logs_an_unlisted_host_once() {
    let config = config(&json!({}));
    let upstream = upstream(200, &[]);
    let logged_host = |host: &str| {
        let (_, event) = send(&config, &upstream, &format!("GET\nhttps://{host}/public/a"));
        event["unlistedHost"].as_str().map(str::to_owned)
    };
    assert_eq!(logged_host("app.example"), None);
    assert_eq!(logged_host("app.workers.dev").as_deref(), Some("app.workers.dev"));
    assert_eq!(logged_host("app.workers.dev"), None, "logged only once");
    assert_eq!(logged_host("app.example:8443").as_deref(), Some("app.example:8443"));
    assert_eq!(logged_host(&"a".repeat(300)), None, "not a valid host");
    let many = (0..100).filter(|at| logged_host(&format!("h{at}.example")).is_some()).count();
    assert_eq!(many, 30, "memory is bounded");
}

#[test]
fn names_the_setting_to_a_foreign_site_only_in_development() {
    for (environment, names) in [("production", false), ("development", true)] {
        let config = config(&json!({ "ENVIRONMENT": environment }));
        let upstream = upstream(200, &[]);
        let serialized = "POST\nhttps://app.workers.dev/public/a\norigin\nhttps://app.workers.dev";
        let reply = own_reply(send(&config, &upstream, serialized).0);
        let detail = json_of(&reply)["detail"].as_str().expect("a detail").to_owned();
        assert_eq!((reply.status, detail.contains("PUBLIC_ORIGINS")), (403, names), "{environment}");
        assert!(upstream.received.borrow().is_empty());
    }
}

#[test]
fn forwards_only_the_valid_session_cookie() {
    let config = config(&json!({}));
    let good = session(&config, 0);
    for (cookies, want) in [
        (format!("a=1; mk_session=x; {good}; b=2"), Some(format!("a=1; b=2; {good}"))),
        ("a=1; mk_session=x; mk_session=y".to_owned(), Some("a=1".to_owned())),
        (format!("a=1; {good}"), None),
    ] {
        let upstream = upstream(200, &[]);
        send(&config, &upstream, &format!("GET\nhttps://app.example/maybe\ncookie\n{cookies}"));
        let received = upstream.received.take();
        let cookie = received[0].1.iter().find(|(name, _)| *name == "cookie").map(|(_, value)| value.clone());
        assert_eq!(cookie, want, "{cookies}");
    }
}

#[test]
fn lists_agent_tokens_from_the_first_request() {
    let variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": { "login": "accounts" },
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "AGENT_TOKENS": format!("deploy:mk_{}", "a7".repeat(20)),
        "ROUTES": [{ "path": "/public", "access": "public" }],
    });
    let bindings = Bindings::named(["SESSIONS", "ACCOUNTS", "LIMITER", "TOKENS"]);
    let config = Config::parse(variables.as_object().unwrap(), &bindings).expect("valid");
    // The gateway does not wait for this call, and an unavailable store causes no error.
    let mut upstream = upstream(200, &[]);
    upstream.store_calls = Cell::new(None);
    let listed = |upstream: &Upstream| {
        let all = accounts::Command::Tokens(None, None, 10);
        match upstream.objects.call::<Accounts>(accounts::NAME, &all, Timestamp(NOW)) {
            Ok(accounts::Reply::Tokens(all)) => {
                all.into_iter().map(|(_, token)| token.name).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(listed(&upstream).is_empty());
    relayed(send(&config, &upstream, "GET\nhttps://app.example/public").0);
    assert_eq!(listed(&upstream), ["deploy"]);
    // Once per isolate: the next request does not recreate a deleted row.
    upstream.objects = common::sqlite::Objects::default();
    relayed(send(&config, &upstream, "GET\nhttps://app.example/public").0);
    assert!(listed(&upstream).is_empty());
}

#[test]
fn does_not_refresh_after_clear_site_data() {
    let config = config(&json!({ "SESSION": { "check": "token", "refresh_after": "0s" } }));
    let serialized = format!("GET\nhttps://app.example/x\ncookie\n{}", session(&config, 10));
    for (value, is_logout) in [("\"cookies\"", true), ("\"cache\", \"*\"", true), ("\"cache\"", false)] {
        let (answer, _) = send(&config, &upstream(200, &[("clear-site-data", value)]), &serialized);
        assert_eq!(relayed(answer).append.is_empty(), is_logout, "{value}");
    }
}

#[test]
fn strict_redirects_remove_the_refresh_header() {
    let config = config(&json!({}));
    for (path, removed) in [("/after", &["refresh"][..]), ("/public/a", &[])] {
        let upstream = upstream(200, &[("refresh", "0;url=https://evil.example")]);
        let (answer, _) = send(&config, &upstream, &format!("GET\nhttps://app.example{path}"));
        assert_eq!(relayed(answer).remove, removed, "{path}");
    }
}

/// The gateway checks a client again after the body was read.
#[path = "common/slow_bodies.rs"]
mod slow_bodies;

/// The gateway checks the clients of open streams again.
#[path = "common/open_streams.rs"]
mod open_streams;

/// Commands of ended sessions, and tokens of demoted admins.
#[path = "common/ended_sessions.rs"]
mod ended_sessions;

/// Report mode.
#[path = "common/report_mode.rs"]
mod report_mode;

/// The pages of Vestibule.
#[path = "common/pages.rs"]
mod pages;
