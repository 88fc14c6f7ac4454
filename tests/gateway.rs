//! The whole flow, over an upstream in memory: what reaches it, what the client gets, what is logged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail"
)]

use std::cell::RefCell;

use proptest::prelude::*;
use serde_json::{Value, json};
use vestibule::{
    config::{Bindings, Config},
    context::Request,
    effects::{Answer, Effects, HeaderEdits, Inbound, Outbound, Reply},
    event::Moment,
    gateway,
    problem::Fault,
    time::Timestamp,
};

const NOW: i64 = 1_700_000_000;

/// An upstream that remembers what it was sent.
struct Upstream {
    answer: Result<Scripted, Fault>,
    seen: RefCell<Vec<Seen>>,
}

/// A status and headers.
type Scripted = (u16, Vec<(&'static str, &'static str)>);

/// A target, the headers set, the names removed and whether it goes past the cache.
type Seen = (String, Vec<(&'static str, String)>, Vec<String>, bool);

impl Effects for Upstream {
    type Response = ();

    async fn upstream(&self, outbound: Outbound<'_>) -> Result<Inbound<()>, Fault> {
        let removed = outbound.edits.remove.iter().map(ToString::to_string).collect();
        self.seen.borrow_mut().push((
            outbound.target.to_owned(),
            outbound.edits.set.into_iter().map(|(name, value)| (name, value.into_owned())).collect(),
            removed,
            outbound.personal,
        ));
        let (status, headers) = self.answer.clone()?;
        let fields: Vec<String> =
            headers.into_iter().map(|(name, value)| format!("{name}\n{value}")).collect();
        Ok(Inbound { status, elapsed_ms: 5, fields: fields.join("\n"), response: () })
    }

    fn elapsed(&self) -> u64 {
        7
    }
}

fn upstream(status: u16, headers: &[(&'static str, &'static str)]) -> Upstream {
    Upstream { answer: Ok((status, headers.to_vec())), seen: RefCell::default() }
}

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
    Config::parse(variables.as_object().expect("an object"), Bindings::default()).expect("valid")
}

fn visit(config: &Config, upstream: &Upstream, account: &str) -> (Answer<()>, Value) {
    let request = Request::read(account).expect("an account");
    let moment = Moment { now: Timestamp(NOW), request_id: "req_1" };
    let (answer, event) = pollster::block_on(gateway::handle(config, upstream, &request, moment));
    (answer, serde_json::from_str(&event.to_json()).expect("JSON"))
}

#[track_caller]
fn own(answer: Answer<()>) -> Reply {
    match answer {
        Answer::Own(reply) => reply,
        Answer::Relayed(..) => panic!("upstream answered"),
    }
}

#[track_caller]
fn relayed(answer: Answer<()>) -> HeaderEdits<'static> {
    match answer {
        Answer::Relayed((), edits) => edits,
        Answer::Own(reply) => panic!("we answered {reply:?}"),
    }
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
}

fn session(config: &Config, age: i64) -> String {
    let claims = json!({ "userId": "ada", "sessionId": "s1", "iat": NOW - age, "exp": NOW + 3_600 });
    format!("mk_session={}", config.keys.sign(claims.to_string().as_bytes()))
}

#[test]
fn refusals_never_reach_upstream() {
    let config = config(&json!({}));
    let good = session(&config, 0);
    for (account, status, error) in [
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
    ] {
        let upstream = upstream(200, &[]);
        let (answer, event) = visit(&config, &upstream, &account);
        let reply = own(answer);
        let body: Value = serde_json::from_str(&reply.body.clone().expect("a body")).expect("JSON");
        assert_eq!((reply.status, body["error"].as_str()), (status, Some(error)), "{account}");
        assert_eq!(body["requestId"], "req_1");
        assert_eq!(header(&reply, "cache-control"), Some("no-store"));
        assert_eq!(event["decision"], error);
        assert!(upstream.seen.borrow().is_empty(), "{account}");
    }
}

#[test]
fn faults_are_problems_and_heal_too() {
    let config = config(&json!({}));
    for (fault, status) in [(Fault::UpstreamFailed, 502), (Fault::UpstreamTimeout, 504)] {
        let upstream = Upstream { answer: Err(fault), seen: RefCell::default() };
        let (answer, _) =
            visit(&config, &upstream, "GET\nhttps://app.example/public/a\ncookie\nmk_session=x");
        let reply = own(answer);
        assert_eq!(reply.status, status);
        assert_eq!(header(&reply, "set-cookie"), Some("mk_session=; Path=/; Max-Age=0"));
        assert_eq!(header(&reply, "cache-control"), Some("private, no-store"));
    }
}

#[test]
fn who_is_stamped_where() {
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
        let account = format!(
            "GET\nhttps://app.example{path}?q=1\ncookie\n{cookie}\nx_user_id\nroot\ncf-connecting-ip\n2001:db8::1"
        );
        let (answer, event) = visit(&config, &upstream, &account);
        assert!(relayed(answer).is_empty(), "{path}: upstream's response goes on as it is");
        let seen = upstream.seen.take();
        let (target, set, removed, personal) = &seen[0];
        let stamp =
            |name: &str| set.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
        assert_eq!(target, &format!("{path}?q=1"));
        assert_eq!(removed, &["x_user_id"]);
        assert_eq!((stamp("x-user-id"), stamp("x-author-id")), (user, user), "{path}");
        assert_eq!(stamp("x-session-id"), user.map(|_| "s1"));
        assert_eq!(stamp("x-operation"), path.starts_with("/user").then_some("user.view"));
        assert_eq!(stamp("x-forwarded-for"), Some("2001:db8::1"));
        assert_eq!(stamp("x-forwarded-host"), Some("app.example"));
        assert_eq!(stamp("x-request-id"), Some("req_1"));
        assert_eq!(stamp("cache-control"), (!path.starts_with("/public")).then_some("max-age=0"));
        assert_eq!(*personal, !path.starts_with("/public"));
        assert_eq!(stamp("x-vestibule-assertion"), None, "no UPSTREAM_SECRET, no assertion");
        assert_eq!(event["principal"].as_str(), user.map(|_| "user"));
    }
}

#[test]
fn navigations_are_led_to_the_login_and_back() {
    let config = config(&json!({}));
    let good = session(&config, 0);
    for (account, location) in [
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
        let (answer, _) = visit(&config, &upstream, &account);
        let reply = own(answer);
        assert_eq!((reply.status, header(&reply, "location")), (302, Some(location)), "{account}");
        let count = header(&reply, "set-cookie").expect("a count");
        assert!(count.starts_with("mk_session_hops=1.1700000000."), "{count}");
        assert!(count.ends_with("; Path=/; Max-Age=10; HttpOnly; SameSite=Lax; Secure"), "{count}");
        assert!(upstream.seen.borrow().is_empty());
    }
    let mut cookies = String::new();
    let last = (0..4).map(|_| {
        let account = format!("GET\nhttps://app.example/a\nsec-fetch-mode\nnavigate\ncookie\n{cookies}");
        let (answer, event) = visit(&config, &upstream(200, &[]), &account);
        let reply = own(answer);
        let count = header(&reply, "set-cookie").expect("a count");
        cookies = count.split(';').next().expect("a pair").to_owned();
        (reply, event)
    });
    let (page, event) = last.last().expect("four");
    assert_eq!((page.status, event["decision"].as_str()), (200, Some("redirect_loop")));
    assert!(page.body.is_some_and(|body| body.contains("<form method=\"post\"")));
}

#[test]
fn upstream_has_the_last_word_on_its_cookie() {
    let config = config(&json!({ "SESSION": { "check": "token", "refresh_after": "0s" } }));
    let good = session(&config, 10);
    let account = format!("GET\nhttps://app.example/x\ncookie\n{good}");
    let (answer, _) = visit(&config, &upstream(200, &[]), &account);
    let edits = relayed(answer);
    assert!(
        edits.append.iter().any(|(name, line)| *name == "set-cookie" && line.contains("Max-Age=2592000"))
    );
    let said =
        [("set-cookie", "mk_session=; Max-Age=0"), ("cdn-cache-control", "max-age=60"), ("x-user-id", "ada")];
    let (answer, _) = visit(&config, &upstream(200, &said), &account);
    let edits = relayed(answer);
    assert!(edits.append.is_empty(), "nothing is added");
    assert_eq!(edits.set, [("cache-control", "private, no-store".into())]);
    assert_eq!(edits.remove, ["x-user-id", "cdn-cache-control"]);
}

#[test]
fn redirects_of_upstream() {
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
        let (answer, _) = visit(&config, &upstream, &format!("GET\nhttps://app.example{path}"));
        let set = relayed(answer).set;
        assert_eq!(set.first().map(|(_, value)| &**value), want, "{path} {location}");
    }
}

#[test]
fn a_log_line_tells_no_secret() {
    let config = config(&json!({}));
    let good = session(&config, 0);
    let account = format!(
        "GET\nhttps://app.example/user/77?token=hunter2\ncookie\n{good}\nauthorization\nBearer hunter2"
    );
    let (_, event) = visit(&config, &upstream(200, &[]), &account);
    let line = event.to_string();
    assert!(
        line.contains(r#""rule":"/user/{id}","operation":"user.view","decision":"allow","principal":"user""#),
        "{line}"
    );
    assert!(!line.contains("hunter2") && !line.contains("eyJ") && !line.contains("/77"), "{line}");
}

proptest! {
    /// Whatever comes, it is answered, and without a valid session nothing but a public rule opens.
    #[test]
    fn nobody_gets_in_by_noise(
        method in "(GET|HEAD|POST|DELETE|OPTIONS|PROPFIND|get|[A-Z!]{1,9})",
        path in "(/|//|/public|/user|%2[eEfF5]|%[0-9a-fz]{0,2}|\\.\\.?|[a-z;=@\\\\ é]){1,8}",
        query in "(\\?(next|a)=[/%a-z0-9]{0,12})?",
        names in proptest::collection::vec("(cookie|origin|authorization|accept|upgrade|connection|sec-fetch-(site|mode)|x[_-]user[_-]id)", 0..6),
        values in proptest::collection::vec("(mk_session=[a-zA-Z0-9._-]{0,40}(; )?){0,10}|null|https://(app|evil).example|Bearer .{0,9}|text/html|navigate|same-origin|cross-site|.{0,30}", 6),
    ) {
        let config = config(&json!({}));
        let fields: String = names.iter().zip(&values).map(|(name, value)| ["\n", name, "\n", &value.replace('\n', "")].concat()).collect();
        let account = format!("{method}\nhttps://app.example/{path}{query}{fields}");
        let upstream = upstream(200, &[]);
        let (answer, event) = visit(&config, &upstream, &account);
        let seen = upstream.seen.take();
        if let Some((target, set, ..)) = seen.first() {
            let is_open = target.starts_with("/public/") || target.starts_with("/maybe") || target.starts_with("/login") || target.starts_with("/after");
            prop_assert!(is_open, "{account} reached {target}");
            prop_assert!(!set.iter().any(|(name, _)| *name == "x-user-id"));
        }
        if let Answer::Own(reply) = answer {
            prop_assert!((200..600).contains(&reply.status) && reply.status < 500, "{account}");
            prop_assert!(reply.headers.iter().all(|(_, value)| !value.contains(['\r', '\n', '\0'])));
        }
        prop_assert!(event["decision"].is_string());
    }
}

#[test]
fn a_guard_is_not_slipped_past_by_spelling() {
    let config = config(&json!({ "ROUTES": [
        { "path": "/{*rest}", "access": "public" },
        { "path": "/admin/{*rest}", "access": "user" },
    ] }));
    for path in ["/ADMIN/x", "/admin;a/x", "/Admi%6e/x", "/%61dmin/x"] {
        let upstream = upstream(200, &[]);
        let (answer, _) = visit(&config, &upstream, &format!("GET\nhttps://app.example{path}"));
        assert!(matches!(own(answer).status, 400 | 401), "{path}");
        assert!(upstream.seen.borrow().is_empty(), "{path}");
    }
}

#[test]
fn what_is_asserted_is_what_is_sent() {
    let config = config(&json!({}));
    let upstream = upstream(200, &[]);
    visit(&config, &upstream, "GET\nhttps://app.example/public/a\"b{c}?q='x'\"<é>&z=%27");
    assert_eq!(upstream.seen.borrow()[0].0, "/public/a%22b%7Bc%7D?q=%27x%27%22%3C%C3%A9%3E&z=%27");
}

#[test]
fn of_several_copies_upstream_sees_the_one_that_counts() {
    let config = config(&json!({}));
    let good = session(&config, 0);
    for (cookies, want) in [
        (format!("a=1; mk_session=x; {good}; b=2"), Some(format!("a=1; b=2; {good}"))),
        ("a=1; mk_session=x; mk_session=y".to_owned(), Some("a=1".to_owned())),
        (format!("a=1; {good}"), None),
    ] {
        let upstream = upstream(200, &[]);
        visit(&config, &upstream, &format!("GET\nhttps://app.example/maybe\ncookie\n{cookies}"));
        let seen = upstream.seen.take();
        let cookie = seen[0].1.iter().find(|(name, _)| *name == "cookie").map(|(_, value)| value.clone());
        assert_eq!(cookie, want, "{cookies}");
    }
}

#[test]
fn a_logout_by_clear_site_data_stands() {
    let config = config(&json!({ "SESSION": { "check": "token", "refresh_after": "0s" } }));
    let account = format!("GET\nhttps://app.example/x\ncookie\n{}", session(&config, 10));
    for (value, stands) in [("\"cookies\"", true), ("\"cache\", \"*\"", true), ("\"cache\"", false)] {
        let (answer, _) = visit(&config, &upstream(200, &[("clear-site-data", value)]), &account);
        assert_eq!(relayed(answer).append.is_empty(), stands, "{value}");
    }
}

#[test]
fn strict_rules_know_no_refresh() {
    let config = config(&json!({}));
    for (path, removed) in [("/after", &["refresh"][..]), ("/public/a", &[])] {
        let upstream = upstream(200, &[("refresh", "0;url=https://evil.example")]);
        let (answer, _) = visit(&config, &upstream, &format!("GET\nhttps://app.example{path}"));
        assert_eq!(relayed(answer).remove, removed, "{path}");
    }
}
