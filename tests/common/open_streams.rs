use vestibule::{
    gateway::stream_check::{MOST_UNANSWERED, StreamEnd, Watch},
    http::reply::OpenStream,
    identity::principal::Role,
    sessions::registry::UserStatus,
};

use super::*;

/// The answers of the registry are cached for 30 seconds.
fn watched_config() -> Config {
    let variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": { "check": "registry", "login": "upstream", "check_ttl": "30s" },
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "ROUTES": [
            { "path": "/public/login", "methods": ["POST"], "access": "public", "login": true },
            { "path": "/plain", "access": "user" },
            { "path": "/user", "access": "user", "stream_check": "20s" },
            { "path": "/boss", "access": "admin", "stream_check": "1s" },
            { "path": "/maybe", "access": "optional", "stream_check": "1h" },
            { "path": "/own/{id}", "access": "owner", "owner_from": "/owners/{id}", "stream_check": "20s" },
        ],
    });
    let bindings = Bindings::named(["SESSIONS", "LEDGER"]);
    Config::parse(variables.as_object().expect("an object"), &bindings).expect("valid")
}

const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream")];

fn get(path: &str, cookie: &str) -> String {
    format!("GET\nhttps://app.example{path}\nsec-fetch-site\nsame-origin\ncookie\n{cookie}")
}

fn set_status(upstream: &Upstream, role: Role, active: bool) {
    let status_change = UserStatus { role, active, version: i64::MAX >> 11 };
    upstream.objects.call::<Sessions>("ada", &Command::Apply(status_change), Timestamp(NOW)).expect("done");
}

const DISABLED: fn(&Upstream) = |upstream| set_status(upstream, Role::Admin, false);
const DEMOTED: fn(&Upstream) = |upstream| set_status(upstream, Role::User, true);
const SIGNED_OUT: fn(&Upstream) = end_all_of_ada;
const NOTHING: fn(&Upstream) = |_| {};

/// Signs Ada in and opens a stream. Returns the serialized request, too.
fn open(config: &Config, upstream: &mut Upstream, path: &str, login: &'static str) -> (String, OpenStream) {
    let ada = sign_in(config, upstream, login, "");
    let serialized = get(path, &ada);
    match send(config, upstream, &serialized).0 {
        Answer::Watched((), _, stream) => (serialized, stream),
        other => panic!("{path}: {other:?}"),
    }
}

/// Checks a stream as long after it was opened.
fn check(
    config: &Config,
    upstream: &mut Upstream,
    watch: &mut Watch,
    serialized: &str,
    after: u64,
) -> Option<StreamEnd> {
    upstream.elapsed.set(after);
    upstream.dry_run = Some(DryRun::default());
    let request = Request::read(serialized).expect("a request");
    let meta =
        RequestMeta { now: Timestamp(NOW), milliseconds: 1_000 * NOW.unsigned_abs(), request_id: "req_1" };
    let end = pollster::block_on(watch.check(config, upstream, &request, meta));
    upstream.dry_run = None;
    end
}

#[test]
fn watches_only_streams_of_known_clients() {
    let config = watched_config();
    let events = |content_type| vec![("content-type", content_type)];
    for (path, is_known, status, headers, want) in [
        ("/user", true, 200, events("text/event-stream; charset=utf-8"), Some(20)),
        ("/user", true, 200, events("application/x-ndjson"), Some(20)),
        ("/user", true, 101, vec![("upgrade", "websocket")], Some(20)),
        ("/user", true, 200, events("application/json"), None),
        ("/user", true, 200, vec![], None),
        ("/maybe", true, 101, vec![], Some(3_600)),
        ("/maybe", false, 101, vec![], None),
        ("/plain", true, 101, vec![], None),
        ("/boss", true, 101, vec![], Some(1)),
    ] {
        let mut upstream = upstream(200, &[]);
        let ada =
            if is_known { sign_in(&config, &mut upstream, "ada; role=admin", "") } else { String::new() };
        upstream.answer = Ok((status, headers.clone()));
        let found = match send(&config, &upstream, &get(path, &ada)).0 {
            Answer::Watched((), _, stream) => Some(Watch::new(stream).wait()),
            Answer::Relayed(..) => None,
            Answer::Own(reply) | Answer::Feed(reply, _) => panic!("{path}: {reply:?}"),
        };
        assert_eq!(found, want.map(Duration::from_secs), "{path} {status} {headers:?}");
    }
}

#[test]
fn ends_streams_whose_client_would_be_refused() {
    let config = watched_config();
    let refused = |reason| Some(StreamEnd { code: 1008, reason });
    for (path, login, seconds, change, want) in [
        // A cached answer counts until it is too old.
        ("/user", "ada", 29, SIGNED_OUT, None),
        ("/user", "ada", 31, SIGNED_OUT, refused("session_revoked")),
        ("/user", "ada", 31, DISABLED, refused("session_revoked")),
        ("/user", "ada", 31, NOTHING, None),
        ("/maybe", "ada", 31, SIGNED_OUT, refused("session_revoked")),
        // Under a rule for admins, no cached answer counts.
        ("/boss", "ada; role=admin", 1, DEMOTED, refused("forbidden_role")),
        ("/boss", "ada; role=admin", 1, SIGNED_OUT, refused("session_revoked")),
        ("/boss", "ada; role=admin", 1, NOTHING, None),
        // Upstream was told that this is an admin.
        ("/user", "ada; role=admin", 31, DEMOTED, refused("forbidden_role")),
        ("/own/7", "ada; role=admin", 31, DEMOTED, refused("forbidden_role")),
        ("/user", "ada", 31, DEMOTED, None),
        // The token of the handshake is valid for thirty days.
        ("/user", "ada", 86_400 * 30 + 61, NOTHING, refused("session_expired")),
    ] {
        let mut upstream = upstream(200, EVENTS);
        let (serialized, stream) = open(&config, &mut upstream, path, login);
        let received = upstream.received.borrow().len();
        let mut watch = Watch::new(stream);
        change(&upstream);
        let found = check(&config, &mut upstream, &mut watch, &serialized, seconds * 1_000);
        assert_eq!(found, want, "{path} {login} {seconds}");
        assert_eq!(upstream.received.borrow().len(), received, "{path}: upstream was asked");
    }
}

#[test]
fn a_stream_outlives_one_unanswered_check_but_not_two() {
    let config = watched_config();
    let mut upstream = upstream(200, EVENTS);
    let (serialized, stream) = open(&config, &mut upstream, "/boss", "ada; role=admin");
    let mut watch = Watch::new(stream);
    let mut second = 0;
    let mut check = |upstream: &mut Upstream, is_available: bool| {
        second += 1;
        let calls = upstream.store_calls.replace(is_available.then_some(0));
        let end = check(&config, upstream, &mut watch, &serialized, second * 1_000);
        upstream.store_calls.set(calls);
        end
    };
    let end = Some(StreamEnd { code: 1013, reason: "store_unavailable" });
    for (answers, want) in [("..x.x.", None), ("xx", end)] {
        let found = answers.chars().map(|answer| check(&mut upstream, answer == '.')).last().flatten();
        assert_eq!(found, want, "{answers}");
    }
    assert_eq!(MOST_UNANSWERED, 2);
}

#[test]
fn a_check_that_could_write_is_not_run() {
    let config = watched_config();
    let mut upstream = upstream(200, EVENTS);
    let (serialized, stream) = open(&config, &mut upstream, "/boss", "ada; role=admin");
    let request = Request::read(&serialized).expect("a request");
    let meta = RequestMeta { now: Timestamp(NOW), milliseconds: 0, request_id: "req_1" };
    let mut watch = Watch::new(stream);
    let calls = upstream.store_calls.get();
    let ends: Vec<_> = (0..MOST_UNANSWERED)
        .map(|_| pollster::block_on(watch.check(&config, &upstream, &request, meta)))
        .collect();
    assert_eq!(ends, [None, Some(StreamEnd { code: 1013, reason: "internal" })]);
    assert_eq!(upstream.store_calls.get(), calls);
}

#[test]
fn a_stream_of_one_session_does_not_continue_with_another() {
    let config = watched_config();
    let mut upstream = upstream(200, EVENTS);
    let (_, stream) = open(&config, &mut upstream, "/user", "ada");
    for login in ["ada", "bee"] {
        let other = get("/user", &sign_in(&config, &mut upstream, login, ""));
        let mut watch = Watch::new(stream.clone());
        let end = check(&config, &mut upstream, &mut watch, &other, 1_000);
        assert_eq!(end, Some(StreamEnd { code: 1008, reason: "session_revoked" }), "{login}");
    }
}

#[test]
fn the_log_line_names_the_rule_and_no_secret() {
    let config = watched_config();
    let mut upstream = upstream(200, EVENTS);
    let (serialized, _) = open(&config, &mut upstream, "/own/7", "ada; role=admin");
    let request = Request::read(&serialized).expect("a request");
    let end = StreamEnd { code: 1008, reason: "session_revoked" };
    let line: Value = serde_json::from_str(&end.line(&config, &request, "req_1", 31_000)).expect("JSON");
    let want = json!({
        "event": "stream_ended", "requestId": "req_1", "rule": "/own/{id}", "operation": null,
        "code": 1008, "reason": "session_revoked", "openMs": 31_000,
    });
    assert_eq!(line, want);
}
