//! The whole flow, over an upstream in memory: what reaches it, what the client gets, what is logged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail"
)]

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vestibule::{
    accounts::{self, Accounts},
    author::{Author, Credential},
    config::{Bindings, Config},
    confirmations::{self, Confirmations},
    context::Request,
    effects::{
        Answer, BodyError, BufferedResponse, DryRun, Effects, ExternalRequest, ExternalResponse, Gate,
        HashedBody, HeaderEdits, Memory, Reply, Sealing, UpstreamRequest, UpstreamResponse,
    },
    event::RequestMeta,
    gateway, idempotency, ledger,
    principal::Role,
    problem::Fault,
    registry::{Command, End, Session, Sessions, Standing, Which},
    store::Object,
    time::Timestamp,
};

mod common {
    pub(crate) use vestibule::{
        store::{Object, SqlRow, Store, StoreError, Value, decode, encode, migrate},
        time::Timestamp,
    };

    #[allow(dead_code, reason = "the crate's own tests use the rest")]
    pub(crate) mod sqlite;
}

const NOW: i64 = 1_700_000_000;

/// An upstream that remembers what it was sent.
struct Upstream {
    answer: Result<Scripted, Fault>,
    seen: RefCell<Vec<Seen>>,
    objects: common::sqlite::Objects,
    memory: Memory,
    /// How many times a store was asked; `None` where it does not answer.
    asked: Cell<Option<u32>>,
    /// What somebody outside was asked, and what they answer, the last one first.
    consulted: RefCell<Vec<String>>,
    told: RefCell<Vec<ExternalResponse>>,
    /// Milliseconds since the request came in.
    elapsed: Cell<u64>,
    /// What happens while a body is read.
    meanwhile: RefCell<Option<Meanwhile>>,
    /// The request's body.
    body: RefCell<Option<Vec<u8>>>,
    /// Lines of the log beside the requests' own.
    said: RefCell<Vec<String>>,
}

/// What happens while something is waited for.
type Meanwhile = Box<dyn Fn(&Upstream)>;

/// A status and headers.
type Scripted = (u16, Vec<(&'static str, &'static str)>);

/// A target, the headers set, the names removed and whether it goes past the cache.
type Seen = (String, Vec<(&'static str, String)>, Vec<String>, bool);

impl Effects for Upstream {
    type Response = ();

    async fn upstream(&self, outbound: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
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
        Ok(UpstreamResponse { status, elapsed_ms: 5, fields: fields.join("\n"), response: () })
    }

    async fn head(&self, outbound: UpstreamRequest<'_>) -> Result<UpstreamResponse<()>, Fault> {
        self.upstream(outbound).await
    }

    async fn post(&self, outbound: UpstreamRequest<'_>, _body: &str) -> Result<UpstreamResponse<()>, Fault> {
        self.upstream(outbound).await
    }

    async fn buffered_body(&self) -> Result<Vec<u8>, Fault> {
        Ok(b"{}".to_vec())
    }

    async fn call_object<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        self.asked.set(Some(self.asked.get().ok_or(Fault::StoreUnavailable)? + 1));
        Ok(self.objects.ask::<O>(name, command, Timestamp(NOW)).expect("a reply"))
    }

    fn log(&self, line: &str) {
        self.said.borrow_mut().push(line.to_owned());
    }

    fn call_after_response<O: Object>(&self, name: &str, command: &O::Command) {
        self.objects.ask::<O>(name, command, Timestamp(NOW)).expect("a reply");
    }

    async fn body(&self, _limit: usize) -> Result<String, BodyError> {
        Err(BodyError::BrokenOff)
    }

    async fn bytes(&self, _limit: usize) -> Result<Vec<u8>, BodyError> {
        self.wait();
        self.body.borrow().clone().ok_or(BodyError::BrokenOff)
    }

    async fn hash_body(&self, _limit: usize) -> Result<String, BodyError> {
        self.wait();
        Ok("no body".to_owned())
    }

    async fn call_with_body<O: Object>(&self, name: &str, command: &O::Command) -> Result<O::Reply, Fault> {
        self.call_object::<O>(name, command).await
    }

    async fn buffer_response(&self, _limit: usize, _timeout: Duration) -> Result<BufferedResponse, Fault> {
        Ok(BufferedResponse::Whole(0))
    }

    async fn seal_and_store<O: Object>(
        &self,
        name: &str,
        command: &O::Command,
        sealing: Sealing<'_>,
    ) -> Result<O::Reply, Fault> {
        self.objects.attach::<O>(name, format!("{} {}", sealing.key, sealing.head).into_bytes());
        self.call_object::<O>(name, command).await
    }

    async fn load_sealed(
        &self,
        keys: &[String],
        _elsewhere: Option<&str>,
    ) -> Result<Option<UpstreamResponse<()>>, Fault> {
        let sealed = String::from_utf8(self.objects.attached().expect("an answer")).expect("text");
        let (key, head) = sealed.split_once(' ').expect("a key and a head");
        assert!(keys.iter().any(|known| known == key), "sealed under another key");
        let (status, fields) = head.split_once('\n').unwrap_or((head, ""));
        let status = status.parse().expect("a status");
        Ok(Some(UpstreamResponse { status, elapsed_ms: 0, fields: fields.to_owned(), response: () }))
    }

    async fn hash_body_with_prefix(&self, _limit: usize, _first: usize) -> Result<HashedBody, BodyError> {
        self.wait();
        Ok(HashedBody { sha256: "no body".to_owned(), length: 0, first: Vec::new() })
    }

    async fn field(&self, _name: &str, _limit: usize) -> Result<Option<String>, BodyError> {
        self.wait();
        Ok(Some("token".to_owned()))
    }

    async fn call_external(&self, question: ExternalRequest<'_>) -> Result<ExternalResponse, Fault> {
        self.consulted.borrow_mut().push(question.body.to_owned());
        self.told.borrow_mut().pop().ok_or(Fault::StoreUnavailable)
    }

    async fn platform_rate_limit(&self, _binding: &str, _key: &str) -> Result<Gate, Fault> {
        Err(Fault::StoreUnavailable)
    }

    async fn kv_get(&self, _name: &str) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    async fn kv_put(&self, _name: &str, _value: &str) -> Result<(), Fault> {
        Err(Fault::StoreUnavailable)
    }

    fn dry_run(&self) -> Self {
        unreachable!("there is no dry run here")
    }

    fn as_dry_run(&self) -> Option<&DryRun> {
        None
    }

    fn random(&self) -> [u8; 32] {
        let count = self.asked.get().unwrap_or_default();
        Sha256::digest(count.to_le_bytes()).into()
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn elapsed(&self) -> u64 {
        self.elapsed.get()
    }
}

impl Upstream {
    fn wait(&self) {
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile(self);
        }
    }
}

fn answering(answer: Result<Scripted, Fault>) -> Upstream {
    Upstream {
        answer,
        seen: RefCell::default(),
        objects: common::sqlite::Objects::default(),
        memory: Memory::default(),
        asked: Cell::new(Some(0)),
        consulted: RefCell::default(),
        told: RefCell::default(),
        elapsed: Cell::new(7),
        meanwhile: RefCell::default(),
        body: RefCell::default(),
        said: RefCell::default(),
    }
}

fn upstream(status: u16, headers: &[(&'static str, &'static str)]) -> Upstream {
    answering(Ok((status, headers.to_vec())))
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
    Config::parse(variables.as_object().expect("an object"), &Bindings::named(["SESSIONS"])).expect("valid")
}

fn visit(config: &Config, upstream: &Upstream, account: &str) -> (Answer<()>, Value) {
    let request = Request::read(account).expect("an account");
    let meta =
        RequestMeta { now: Timestamp(NOW), milliseconds: 1_000 * NOW.unsigned_abs(), request_id: "req_1" };
    let (answer, mut event) = pollster::block_on(gateway::handle(config, upstream, &request, meta));
    event.is_counted_only = false;
    (answer, serde_json::from_str(&event.line().expect("a line")).expect("JSON"))
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

fn json_of(reply: &Reply) -> Value {
    serde_json::from_str(reply.body.as_deref().expect("a body")).expect("JSON")
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
        let upstream = answering(Err(fault));
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
fn every_name_of_upstream_becomes_the_public_origin() {
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
        let (answer, _) = visit(&config, &upstream, "GET\nhttps://app.example/public/a");
        let set = relayed(answer).set;
        assert_eq!(set.first().map(|(_, value)| &**value), want, "{location}");
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

/// With sessions kept in the registry, and upstream signing people in.
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

/// Signs `user` in by upstream's word; gives the cookie.
#[track_caller]
fn sign_in(config: &Config, upstream: &mut Upstream, says: &'static str, cookie: &str) -> String {
    let before = upstream.answer.clone();
    upstream.answer = Ok((200, vec![("x-vestibule-login", says)]));
    let account =
        format!("POST\nhttps://app.example/public/login\nsec-fetch-site\nsame-origin\ncookie\n{cookie}");
    let (answer, _) = visit(config, upstream, &account);
    upstream.answer = before;
    let edits = relayed(answer);
    assert_eq!(edits.remove, ["x-vestibule-login"], "the client is not told");
    let line = edits.append.iter().find(|(name, _)| *name == "set-cookie").map(|(_, line)| line.as_str());
    let line = line.expect("a session");
    assert!(line.contains("HttpOnly; SameSite=Lax; Secure"), "{line}");
    line.split(';').next().expect("a pair").to_owned()
}

#[test]
fn upstreams_word_signs_in_only_where_it_counts() {
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
        let account = format!("{method}\nhttps://app.example{path}\n{fields}");
        let edits = relayed(visit(&config, &upstream, &account).0);
        assert_eq!(edits.remove, ["x-vestibule-login"]);
        let begins = edits.append.iter().any(|(name, _)| *name == "set-cookie");
        assert_eq!(begins, want.is_none(), "{account} {status}");
        // Told once, and then no more.
        relayed(visit(&config, &upstream, &account).0);
        let said = upstream.said.borrow();
        let reasons: Vec<Value> = said.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let wanted: Vec<&str> = want.into_iter().filter(|reason| !reason.is_empty()).collect();
        let told: Vec<&str> = reasons.iter().filter_map(|line| line["reason"].as_str()).collect();
        assert_eq!(told, wanted, "{account} {status}");
        assert!(reasons.iter().all(|line| line["event"] == "login_ignored" && line["rule"].is_string()));
    }
}

/// Sends a navigation with cookies; upstream answers with a redirect to `location`.
fn redirected(
    config: &Config,
    upstream: &mut Upstream,
    path: &str,
    cookies: &str,
    location: &'static str,
) -> Answer<()> {
    upstream.answer = Ok((302, vec![("location", location)]));
    let account = format!("GET\nhttps://app.example{path}\nsec-fetch-mode\nnavigate\ncookie\n{cookies}");
    visit(config, upstream, &account).0
}

/// Returns the cookie that counts redirects, if it is set.
fn count_in(edits: &HeaderEdits<'_>) -> Option<String> {
    let lines = edits.append.iter().filter(|(name, _)| *name == "set-cookie").map(|(_, line)| line);
    let line = lines.into_iter().find(|line| line.starts_with("mk_session_hops="))?;
    assert!(edits.set.contains(&("cache-control", "private, no-store".into())));
    line.split(';').next().map(str::to_owned)
}

#[test]
fn upstreams_login_page_is_shown_to_a_user_whom_upstream_sends_there() {
    let config = registered(&json!({}));
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada", "");
    let away = own(redirected(&config, &mut upstream, "/login?next=/maybe", &ada, "/maybe"));
    assert_eq!((away.status, header(&away, "location")), (302, Some("/maybe")), "nobody sent them there");

    for path in ["/user/1", "/public/1"] {
        let edits = relayed(redirected(&config, &mut upstream, path, &ada, "/login?next=%2Fuser%2F1"));
        let count = count_in(&edits).expect("a count");
        let cookies = format!("{ada}; {count}");
        upstream.answer = Ok((200, Vec::new()));
        let account = format!(
            "GET\nhttps://app.example/login?next=%2Fuser%2F1\nsec-fetch-mode\nnavigate\ncookie\n{cookies}"
        );
        let (answer, event) = visit(&config, &upstream, &account);
        assert!(count_in(&relayed(answer)).is_none());
        assert_eq!(event["decision"], "allow");
        assert_eq!(upstream.seen.borrow().last().expect("a request").0, "/login?next=%2Fuser%2F1");
    }
}

#[test]
fn an_upstream_that_sends_a_user_to_its_login_page_and_away_again_is_stopped() {
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
    let reached = upstream.seen.borrow().len();
    let page = own(redirected(&config, &mut upstream, "/login", &cookies, "/user/1"));
    assert_eq!(page.status, 200);
    assert!(
        page.body.as_ref().is_some_and(|body| body.contains("you are signed in here, but the application"))
    );
    assert_eq!(upstream.seen.borrow().len(), reached, "upstream is not asked");
    assert!(header(&page, "set-cookie").is_some_and(|line| line.starts_with("mk_session_hops=; ")));
}

#[test]
fn only_upstreams_redirects_of_signed_in_users_to_the_login_page_are_counted() {
    const NAVIGATE: &str = "sec-fetch-mode\nnavigate";
    let config = registered(&json!({}));
    let mut ours = upstream(200, &[]);
    let ada = sign_in(&config, &mut ours, "ada", "");
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
        ours.answer = Ok((status, vec![("location", location)]));
        let account = format!("{method}\nhttps://app.example{path}\n{fields}\ncookie\n{ada}");
        let edits = relayed(visit(&config, &ours, &account).0);
        assert_eq!(count_in(&edits).is_some(), want, "{account} {status} {location}");
    }
    for cookies in ["", expired.as_str()] {
        let edits = relayed(redirected(&config, &mut ours, "/public/1", cookies, "/login"));
        assert_eq!(count_in(&edits), None, "nobody is signed in: {cookies}");
    }
    // Upstream's own word on the session goes first.
    ours.answer = Ok((302, vec![("location", "/login"), ("set-cookie", "mk_session=; Max-Age=0")]));
    let account = format!("GET\nhttps://app.example/user/1\n{NAVIGATE}\ncookie\n{ada}");
    assert_eq!(count_in(&relayed(visit(&config, &ours, &account).0)), None);
    // An upstream that makes the sessions itself has none besides them.
    let token = self::config(&json!({}));
    let mut upstream = upstream(200, &[]);
    let cookies = session(&token, 0);
    let edits = relayed(redirected(&token, &mut upstream, "/user/1", &cookies, "/login"));
    assert_eq!(count_in(&edits), None);
    let counted = relayed(redirected(&config, &mut ours, "/user/1", &ada, "/login"));
    let count = count_in(&counted).expect("a count");
    let away = own(redirected(&token, &mut upstream, "/login", &format!("{cookies}; {count}"), "/"));
    assert_eq!((away.status, header(&away, "location")), (302, Some("/")));
}

#[test]
fn a_repeated_header_names_nobody() {
    let config = registered(&json!({}));
    for says in ["usr_v,usr_w", "usr_v, usr_w", "usr_v; role=admin, usr_w"] {
        let upstream = upstream(200, &[("x-vestibule-login", says)]);
        let account = "POST\nhttps://app.example/public/login\nsec-fetch-site\nsame-origin";
        let reply = own(visit(&config, &upstream, account).0);
        assert_eq!((reply.status, header(&reply, "set-cookie")), (502, None), "{says}");
    }
}

#[test]
fn a_session_lives_in_the_registry() {
    let config = registered(&json!({}));
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada; role=admin", "");
    let get = |path: &str, cookie: &str| format!("GET\nhttps://app.example{path}\ncookie\n{cookie}");
    let (answer, _) = visit(&config, &upstream, &get("/user/1", &ada));
    relayed(answer);
    let (_, set, ..) = upstream.seen.borrow().last().cloned().expect("a request");
    assert!(
        set.contains(&("x-user-id", "ada".to_owned())) && set.contains(&("x-user-role", "admin".to_owned()))
    );

    // A token that nobody opened a session for, however well signed.
    let stray = session(&config, 0);
    let (answer, _) = visit(&config, &upstream, &get("/user/1", &stray));
    let reply = own(answer);
    assert_eq!((reply.status, json_of(&reply)["reason"].as_str()), (401, Some("session_revoked")));
    assert!(header(&reply, "set-cookie").is_some_and(|line| line.contains("Max-Age=0")));

    // Signing in again ends the session that this browser had.
    let again = sign_in(&config, &mut upstream, "ada; role=admin", &ada);
    let list = json_of(&own(visit(&config, &upstream, &get("/api/sessions", &again)).0));
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["items"][0]["current"], true);
    let other = sign_in(&config, &mut upstream, "ada", "");
    let reply = own(visit(&config, &upstream, &get("/api/auth/me", &ada)).0);
    assert_eq!(reply.status, 401, "the first one is over");

    // Ending the other one from here.
    let id = json_of(&own(visit(&config, &upstream, &get("/api/auth/me", &other)).0))["sessionId"].clone();
    let id = id.as_str().expect("an id");
    let delete = |path: &str| {
        format!("DELETE\nhttps://app.example{path}\nsec-fetch-site\nsame-origin\ncookie\n{again}")
    };
    assert_eq!(own(visit(&config, &upstream, &delete(&format!("/api/sessions/{id}"))).0).status, 204);
    assert_eq!(own(visit(&config, &upstream, &delete(&format!("/api/sessions/{id}"))).0).status, 404);
    assert_eq!(own(visit(&config, &upstream, &get("/user/1", &other)).0).status, 401);
    relayed(visit(&config, &upstream, &get("/user/1", &again)).0);
}

/// Ends all of Ada's sessions, as an admin does elsewhere.
fn end_all_of_ada(upstream: &Upstream) {
    let credential = Credential::Session("s0".to_owned());
    let author = Author { user: Some("root".to_owned()), credential, judged_at: Timestamp(NOW) };
    let end = Command::End(End { author: Some(author), of: "ada".to_owned(), which: Which::All });
    upstream.objects.ask::<Sessions>("ada", &end, Timestamp(NOW)).expect("done");
}

#[test]
fn the_registry_is_asked_as_rarely_as_may_be() {
    let config = registered(&json!({}));
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada;role=admin", "");
    let asked = |path: &str, more: &str| {
        let before = upstream.asked.get();
        visit(&config, &upstream, &format!("GET\nhttps://app.example{path}\ncookie\n{ada}{more}"));
        upstream.asked.get().expect("a count") - before.expect("a count")
    };
    for (path, want) in
        [("/public/x", 0), ("/user/1", 1), ("/user/1", 0), ("/boss", 1), ("/boss", 1), ("/user/1", 0)]
    {
        assert_eq!(asked(path, ""), want, "{path}");
    }
}

#[test]
fn a_registry_that_is_silent_is_no_rejection() {
    let config = registered(&json!({ "check_ttl": "0s" }));
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada", "");
    let passed = upstream.seen.borrow().len();
    upstream.asked.set(None);
    for (method, path) in [("GET", "/user/1"), ("POST", "/api/auth/logout"), ("GET", "/api/sessions")] {
        let account = format!(
            "{method}\nhttps://app.example{path}\nsec-fetch-site\nsame-origin\nsec-fetch-mode\ncors\ncookie\n{ada}"
        );
        let reply = own(visit(&config, &upstream, &account).0);
        assert_eq!(
            (reply.status, json_of(&reply)["error"].as_str()),
            (503, Some("store_unavailable")),
            "{path}"
        );
        assert_eq!(header(&reply, "set-cookie"), None, "{path}");
        assert_eq!(header(&reply, "retry-after"), Some("1"));
    }
    assert_eq!(upstream.seen.borrow().len(), passed, "upstream was asked");
    // The way out stays open, and the cookie stays.
    let account = format!("GET\nhttps://app.example/login\nsec-fetch-mode\nnavigate\ncookie\n{ada}");
    assert_eq!(relayed(visit(&config, &upstream, &account).0), HeaderEdits::default());
}

#[test]
fn renewing_does_not_undo_an_end() {
    let config = registered(&json!({ "refresh_after": "0s" }));
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada", "");
    let get = format!("GET\nhttps://app.example/user/1\ncookie\n{ada}");
    let cookies = |edits: HeaderEdits<'_>| -> Vec<String> {
        edits.append.into_iter().filter(|(name, _)| *name == "set-cookie").map(|(_, line)| line).collect()
    };
    let lines = cookies(relayed(visit(&config, &upstream, &get).0));
    assert!(lines.len() == 1 && lines[0].contains("Max-Age=2592000"), "{lines:?}");
    // Ended elsewhere, while this isolate still remembers it: let in, but not renewed.
    end_all_of_ada(&upstream);
    let lines = cookies(relayed(visit(&config, &upstream, &get).0));
    assert!(lines.is_empty(), "by now the browser may have another: {lines:?}");
    let reply = own(visit(&config, &upstream, &get).0);
    assert_eq!((reply.status, header(&reply, "set-cookie")), (401, Some("mk_session=; Path=/; Max-Age=0")));
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

/// With an agent, whose acts somebody decides, and with keys.
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
fn what_was_approved_is_what_is_sent() {
    let config = with_agent(&json!(["https://app.example"]));
    let ask = |upstream: &Upstream, fields: &str| {
        let account = format!("POST\nhttps://app.example/confirmed\nauthorization\nBearer {AGENT}\n{fields}");
        visit(&config, upstream, &account).0
    };
    let decide = |upstream: &Upstream, id: &str| {
        let (role, active) = (Role::Admin, true);
        let session = Session {
            id: "ses_root".to_owned(),
            created_at: Timestamp(NOW),
            last_seen_at: Timestamp(NOW),
            expires_at: Timestamp(NOW + 60),
            user_agent: None,
            address: None,
        };
        let open = Command::Open(Standing { role, active, version: 0 }, session);
        upstream.objects.ask::<Sessions>("root", &open, Timestamp(NOW)).expect("a session");
        let object = confirmations::object_of(confirmations::AGENTS);
        let credential = Credential::Session("ses_root".to_owned());
        let author = Author { user: Some("root".to_owned()), credential, judged_at: Timestamp(NOW) };
        let decide = confirmations::Command::Decide { id: id.to_owned(), author, approves: true };
        upstream.objects.ask::<Confirmations>(&object, &decide, Timestamp(NOW)).expect("a decision");
    };
    let said = "x-dry-run\n1\ncontent-type\ntext/plain";
    for (then, runs) in [
        (said.to_owned(), true),
        (format!("{said}\nx_user_id\nroot"), true),
        (format!("{said}\nconnection\nclose"), true),
        (format!("{said}\nconnection\nclose, X-Dry-Run"), false),
        (format!("connection\nx-DRY-run,close\n{said}"), false),
        (format!("{said}\nconnection\nContent-Type"), false),
        (format!("{said}\nx-other\n1"), false),
        ("content-type\ntext/plain".to_owned(), false),
    ] {
        let upstream = upstream(200, &[]);
        let asked = json_of(&own(ask(&upstream, said)));
        let id = asked["confirmationId"].as_str().expect("an id").to_owned();
        decide(&upstream, &id);
        let answer = ask(&upstream, &format!("{then}\nconfirmation-id\n{id}"));
        let seen = upstream.seen.take();
        assert_eq!(seen.len(), usize::from(runs), "{then}");
        if runs {
            assert!(!seen[0].2.iter().any(|name| name == "x-dry-run"), "{then}");
            continue;
        }
        let problem = json_of(&own(answer));
        assert_eq!(problem["error"], "confirmation_invalid", "{then}");
        assert_eq!(problem["reason"], "changed", "{then}");
    }
}

#[test]
fn a_person_is_shown_what_would_be_sent() {
    let config = with_agent(&json!(["https://app.example"]));
    let upstream = upstream(200, &[]);
    let account = format!(
        "POST\nhttps://app.example/confirmed\nauthorization\nBearer {AGENT}\nconnection\nx-dry-run\nx-dry-run\n1\n\
         x_user_id\nroot\nx-amount\n7"
    );
    let asked = json_of(&own(visit(&config, &upstream, &account).0));
    let object = confirmations::object_of(confirmations::AGENTS);
    let find = confirmations::Command::Find(asked["confirmationId"].as_str().expect("an id").to_owned());
    let found = upstream.objects.ask::<Confirmations>(&object, &find, Timestamp(NOW)).expect("a reply");
    let confirmations::Reply::Found(Some(found)) = found else { panic!("{found:?}") };
    assert_eq!(found.act.shown.headers, [("x-amount".to_owned(), "7".to_owned())]);
}

#[test]
fn a_key_is_of_one_host() {
    let config = with_agent(&json!(["https://app.example", "https://other.example"]));
    let upstream = upstream(200, &[]);
    let post = |host: &str| {
        let account = format!(
            "POST\nhttps://{host}/keyed\ncf-connecting-ip\n192.0.2.1\nsec-fetch-site\nsame-origin\n\
             idempotency-key\nk1"
        );
        let (answer, event) = visit(&config, &upstream, &account);
        let status = match answer {
            Answer::Own(reply) => reply.status,
            Answer::Relayed(..) => 200,
        };
        (status, event["decision"].as_str().unwrap_or_default().to_owned(), upstream.seen.take().len())
    };
    assert_eq!(post("app.example"), (200, "allow".to_owned(), 1));
    assert_eq!(post("app.example"), (200, "allow".to_owned(), 0), "answered by the record");
    for other in ["other.example", "app.example:8443", "app.example.", "unlisted.example"] {
        assert_eq!(post(other), (422, "idempotency_key_reused".to_owned(), 0), "{other}");
    }
}

/// Records that version 0.1 made have no host.
#[test]
fn records_without_a_host() {
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
        let account = format!(
            "POST\nhttps://{host}/keyed\ncf-connecting-ip\n192.0.2.1\nsec-fetch-site\nsame-origin\n\
             idempotency-key\nk1"
        );
        let request = Request::read(&account).expect("an account");
        let about = ledger::About {
            key: idempotency::Key::parse("k1").expect("a key").hashed(),
            scope: "address:192.0.2.1".to_owned(),
            operation: "keyed".to_owned(),
        };
        let print = idempotency::fingerprint_without_host(&request, "/keyed", "no body");
        let spans = (Duration::from_mins(1), Duration::from_hours(1));
        let ask = |order: &ledger::Order| {
            upstream.objects.ask::<ledger::Ledger>(&about.scope, order, Timestamp(NOW)).expect("a reply")
        };
        ask(&ledger::Order::Start(about.clone(), ledger::Claim::new("req_0", print, spans, false)));
        let keys = config.seals.keys(&about.scope, &idempotency::Key::parse("k1").expect("a key"));
        upstream.objects.attach::<ledger::Ledger>(&about.scope, format!("{} 200", keys[0]).into_bytes());
        let outcome = ledger::Outcome { status: 200, kept: ledger::Kept::Here };
        ask(&ledger::Order::Step(about.key.clone(), ledger::Command::Settle("req_0".to_owned(), outcome)));
        let (answer, event) = visit(&config, &upstream, &account);
        let status = match answer {
            Answer::Own(reply) => reply.status,
            Answer::Relayed(..) => 200,
        };
        assert_eq!((status, event["decision"].as_str()), (want.0, Some(want.1)), "{host}");
        assert!(upstream.seen.borrow().is_empty(), "run again at {host}");
    }
}

/// What version 0.1 told apart by a type that nobody signed is not run again because it is told apart by its bytes now.
#[test]
fn events_of_an_earlier_version() {
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
    let hex = vestibule::encoding::hex;
    let upstream = upstream(200, &[]);
    let deliver = |body: &str, kind: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"secret_of_the_provider").expect("any length");
        mac.update(body.as_bytes());
        let tag = hex(&mac.finalize().into_bytes());
        upstream.body.replace(Some(body.as_bytes().to_vec()));
        let account = format!(
            "POST\nhttps://app.example/hooks\nx-hub-signature-256\nsha256={tag}\nx-github-event\n{kind}"
        );
        let (answer, _) = visit(&config, &upstream, &account);
        let is_duplicate = match answer {
            Answer::Own(reply) => header(&reply, "x-webhook-duplicate") == Some("true"),
            Answer::Relayed(..) => false,
        };
        (is_duplicate, upstream.seen.take().len())
    };
    let earlier = |body: &str, kind: &str| {
        let payload = hex(&Sha256::digest(body));
        let key = hex(&Sha256::digest(format!("{kind}:{payload}")));
        let scope = format!("webhook:hub:{}", &key[..1]);
        let about =
            ledger::About { key: key.clone(), scope: scope.clone(), operation: "webhooks.hub".into() };
        let spans = (Duration::from_mins(1), Duration::from_hours(1));
        let outcome = ledger::Outcome { status: 200, kept: ledger::Kept::Not };
        for order in [
            ledger::Order::Start(about, ledger::Claim::new("req_0", String::new(), spans, true)),
            ledger::Order::Step(key.clone(), ledger::Command::Settle("req_0".to_owned(), outcome.clone())),
        ] {
            upstream.objects.ask::<ledger::Ledger>(&scope, &order, Timestamp(NOW)).expect("a reply");
        }
    };
    earlier(r#"{"a":1}"#, "push");
    assert_eq!(deliver(r#"{"a":1}"#, "push"), (true, 0), "it ran before the upgrade");
    assert_eq!(deliver(r#"{"a":1}"#, "release"), (true, 0), "and is known by its bytes from then on");
    assert_eq!(deliver(r#"{"a":2}"#, "push"), (false, 1));
    assert_eq!(deliver(r#"{"a":2}"#, "release"), (true, 0));
}

#[test]
fn forbidden_methods_reach_nobody() {
    let config = config(&json!({}));
    for method in ["TRACE", "CONNECT", "TRACK", "trace", "Connect", "tRaCk"] {
        for path in ["/public/a", "/api/auth/me", "/nowhere"] {
            let upstream = upstream(200, &[]);
            let account = format!("{method}\nhttps://app.example{path}\nsec-fetch-site\nsame-origin");
            let (answer, event) = visit(&config, &upstream, &account);
            let reply = own(answer);
            let error = json_of(&reply)["error"].clone();
            assert_eq!(
                (reply.status, error.as_str()),
                (501, Some("method_not_supported")),
                "{method} {path}"
            );
            assert_eq!(event["decision"], "method_not_supported");
            assert!(upstream.seen.borrow().is_empty(), "{method} {path}");
        }
    }
}

#[test]
fn an_unlisted_host_is_told_once() {
    let config = config(&json!({}));
    let upstream = upstream(200, &[]);
    let told = |host: &str| {
        let (_, event) = visit(&config, &upstream, &format!("GET\nhttps://{host}/public/a"));
        event["unlistedHost"].as_str().map(str::to_owned)
    };
    assert_eq!(told("app.example"), None);
    assert_eq!(told("app.workers.dev").as_deref(), Some("app.workers.dev"));
    assert_eq!(told("app.workers.dev"), None, "once is enough");
    assert_eq!(told("app.example:8443").as_deref(), Some("app.example:8443"));
    assert_eq!(told(&"a".repeat(300)), None, "that is no host");
    let many = (0..100).filter(|at| told(&format!("h{at}.example")).is_some()).count();
    assert_eq!(many, 30, "memory is bounded");
}

#[test]
fn a_foreign_site_is_told_the_setting_in_development() {
    for (environment, names) in [("production", false), ("development", true)] {
        let config = config(&json!({ "ENVIRONMENT": environment }));
        let upstream = upstream(200, &[]);
        let account = "POST\nhttps://app.workers.dev/public/a\norigin\nhttps://app.workers.dev";
        let reply = own(visit(&config, &upstream, account).0);
        let detail = json_of(&reply)["detail"].as_str().expect("a detail").to_owned();
        assert_eq!((reply.status, detail.contains("PUBLIC_ORIGINS")), (403, names), "{environment}");
        assert!(upstream.seen.borrow().is_empty());
    }
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
fn agents_tokens_are_listed_from_the_first_request_on() {
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
    // Nobody waits for it, and nothing fails by it, even where stores do not answer.
    let mut upstream = upstream(200, &[]);
    upstream.asked = Cell::new(None);
    let listed = |upstream: &Upstream| {
        let all = accounts::Command::Tokens(None, None, 10);
        match upstream.objects.ask::<Accounts>(accounts::NAME, &all, Timestamp(NOW)) {
            Ok(accounts::Reply::Tokens(all)) => {
                all.into_iter().map(|(_, token)| token.name).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(listed(&upstream).is_empty());
    relayed(visit(&config, &upstream, "GET\nhttps://app.example/public").0);
    assert_eq!(listed(&upstream), ["deploy"]);
    // Once an isolate: a row that is gone is not made again by the next request.
    upstream.objects = common::sqlite::Objects::default();
    relayed(visit(&config, &upstream, "GET\nhttps://app.example/public").0);
    assert!(listed(&upstream).is_empty());
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

/// A client is judged again once its body was read.
#[path = "common/slow_bodies.rs"]
mod slow_bodies;

/// Commands of sessions that ended, and tokens of admins who were demoted.
#[path = "common/ended_sessions.rs"]
mod ended_sessions;
