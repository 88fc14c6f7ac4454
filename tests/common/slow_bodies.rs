use vestibule::{identity::principal::Role, sessions::registry::UserStatus};

use super::*;

/// A configuration with idempotency keys, bot checks and roles. Some rules use cached statuses, others call the
/// registry.
fn slow_config() -> Config {
    config_with_session(&json!({ "check": "registry", "login": "upstream", "check_ttl": "30s" }))
}

fn config_with_session(session: &Value) -> Config {
    let variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": session,
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "BOT_CHECK": {},
        "TURNSTILE_SECRET": "0x4AAAAAAA_test_secret_of_the_widget",
        "ROUTES": [
            { "path": "/public/login", "methods": ["POST"], "access": "public", "login": true },
            { "path": "/public/{*rest}", "access": "public" },
            { "path": "/maybe", "access": "optional", "idempotency": "optional" },
            { "path": "/keyed", "access": "user", "idempotency": "optional" },
            { "path": "/boss", "access": "admin", "idempotency": "optional" },
            { "path": "/checked", "access": "user", "bot_check": "signup" },
        ],
    });
    let bindings = Bindings::named(["SESSIONS", "LEDGER"]);
    Config::parse(variables.as_object().expect("an object"), &bindings).expect("valid")
}

fn post(path: &str, cookie: &str) -> String {
    format!(
        "POST\nhttps://app.example{path}\nsec-fetch-site\nsame-origin\nidempotency-key\nk{path}\ncookie\n{cookie}"
    )
}

/// Changes the user's status in the registry without notifying this isolate.
fn set_status(upstream: &Upstream, role: Role, active: bool) {
    let status_change = UserStatus { role, active, version: i64::MAX >> 11 };
    upstream.objects.call::<Sessions>("ada", &Command::Apply(status_change), Timestamp(NOW)).expect("done");
}

/// Lets time pass while the gateway reads a body, then runs `change`.
fn while_body_arrives(upstream: &Upstream, milliseconds: u64, change: fn(&Upstream)) {
    upstream.on_body_read.replace(Some(Box::new(move |upstream| {
        upstream.elapsed.set(milliseconds);
        change(upstream);
    })));
}

const DISABLED: fn(&Upstream) = |upstream| set_status(upstream, Role::Admin, false);
const DEMOTED: fn(&Upstream) = |upstream| set_status(upstream, Role::User, true);
const SIGNED_OUT: fn(&Upstream) = end_all_of_ada;

#[test]
fn checks_the_client_again_after_a_slow_body() {
    let config = slow_config();
    for (path, milliseconds, change, want) in [
        // Rules that call the registry notice a change at once. Rules that use the cache notice it when the cache
        // expires.
        ("/boss", 8, DISABLED, Some((401, "session_revoked"))),
        ("/boss", 8, DEMOTED, Some((403, "forbidden_role"))),
        ("/boss", 8, SIGNED_OUT, Some((401, "session_revoked"))),
        ("/keyed", 30_008, DISABLED, Some((401, "session_revoked"))),
        ("/keyed", 30_008, SIGNED_OUT, Some((401, "session_revoked"))),
        ("/keyed", 29_000, DISABLED, None),
        ("/checked", 30_008, DISABLED, Some((401, "session_revoked"))),
        // A request that began with a session does not continue as anonymous.
        ("/maybe", 30_008, SIGNED_OUT, Some((401, "session_revoked"))),
    ] {
        let mut upstream = upstream(200, &[]);
        let ada = sign_in(&config, &mut upstream, "ada; role=admin", "");
        upstream.received.take();
        while_body_arrives(&upstream, milliseconds, change);
        let (answer, event) = send(&config, &upstream, &post(path, &ada));
        assert!(upstream.on_body_read.take().is_none(), "{path}: a body was read");
        let Some((status, code)) = want else {
            relayed(answer);
            assert_eq!(upstream.received.borrow().len(), 1, "{path}");
            continue;
        };
        let reply = own_reply(answer);
        let problem = json_of(&reply);
        let found = problem["reason"].as_str().or(problem["error"].as_str());
        assert_eq!((reply.status, found), (status, Some(code)), "{path} {milliseconds}");
        let is_cleared = header(&reply, "set-cookie") == Some("mk_session=; Path=/; Max-Age=0");
        assert_eq!(is_cleared, status == 401, "{path}");
        assert!(upstream.received.borrow().is_empty(), "{path}: upstream was called");
        assert!(upstream.external_requests.borrow().is_empty(), "{path}: a bot check was used");
        assert_eq!(event["principal"], Value::Null, "{path}");
        // Nothing was claimed: an authorized client can send the same request again.
        set_status(&upstream, Role::Admin, true);
        if path != "/checked" {
            let again = sign_in(&config, &mut upstream, "ada; role=admin", "");
            set_status(&upstream, Role::Admin, true);
            relayed(send(&config, &upstream, &post(path, &again)).0);
        }
    }
}

#[test]
fn sends_the_current_role_after_a_slow_body() {
    let config = slow_config();
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada; role=admin", "");
    while_body_arrives(&upstream, 30_008, DEMOTED);
    relayed(send(&config, &upstream, &post("/keyed", &ada)).0);
    let (_, set, ..) = upstream.received.borrow().last().cloned().expect("a request");
    assert!(set.contains(&("x-user-role", "user".to_owned())), "{set:?}");
}

#[test]
fn rejects_a_token_that_expires_while_the_body_arrives() {
    let mut config =
        config_with_session(&json!({ "check": "registry", "login": "upstream", "leeway": "0s" }));
    config.sessions.check = vestibule::sessions::settings::Check::Token;
    let mut upstream = upstream(200, &[]);
    let session = session(&config, 0);
    for (milliseconds, is_expired) in [(3_599_000, false), (3_600_000, true)] {
        upstream.elapsed.set(7);
        while_body_arrives(&upstream, milliseconds, |_| {});
        upstream.objects = common::sqlite::Objects::default();
        let (answer, event) = send(&config, &upstream, &post("/keyed", &session));
        assert_eq!(event["reason"].as_str(), is_expired.then_some("session_expired"));
        assert_eq!(matches!(answer, Answer::Own(_)), is_expired, "{milliseconds}");
    }
}

#[test]
fn a_fast_body_causes_no_extra_store_calls() {
    let config = slow_config();
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada; role=admin", "");
    let store_calls = |serialized: &str| {
        let before = upstream.store_calls.get().expect("a count");
        relayed(send(&config, &upstream, serialized).0);
        upstream.store_calls.get().expect("a count") - before
    };
    let get = |path: &str| format!("GET\nhttps://app.example{path}\ncookie\n{ada}");
    assert_eq!(store_calls(&get("/keyed")), 1, "the registry");
    assert_eq!(store_calls(&get("/keyed")), 0, "the status is cached");
    assert_eq!(store_calls(&post("/keyed", &ada)), 2, "the ledger, before and after");
    assert_eq!(store_calls(&post("/boss", &ada)), 4, "the registry twice, and the ledger");
    let unkeyed = post("/boss", &ada).replace("idempotency-key", "x-key");
    assert_eq!(store_calls(&unkeyed), 1, "no body is read");
}

/// Delivers an event to Stripe's webhook. The event is dated `signed` seconds after the arrival of its headers, and
/// its body takes `milliseconds` to arrive. Returns the reason of the rejection.
fn deliver_slowly(config: &Config, signed: i64, milliseconds: u64) -> Option<String> {
    let upstream = upstream(200, &[]);
    let body = json!({ "id": format!("evt_{signed}_{milliseconds}"), "type": "a" }).to_string();
    let at = NOW + signed;
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret_of_the_provider").expect("any length");
    mac.update(format!("{at}.{body}").as_bytes());
    let tag = vestibule::base::encoding::hex(&mac.finalize().into_bytes());
    upstream.body.replace(Some(body.into_bytes()));
    upstream.elapsed.set(0);
    while_body_arrives(&upstream, milliseconds, |_| {});
    let serialized = format!("POST\nhttps://app.example/hooks\nstripe-signature\nt={at},v1={tag}");
    let (_, event) = send(config, &upstream, &serialized);
    let reason = event["reason"].as_str().map(str::to_owned);
    assert_eq!(upstream.received.borrow().len(), usize::from(reason.is_none()), "{signed} {milliseconds}");
    reason
}

#[test]
fn a_slow_body_does_not_extend_the_webhook_tolerance() {
    let variables = json!({
        "PUBLIC_ORIGINS": ["https://app.example"],
        "UPSTREAM": "https://origin.example",
        "SESSION": { "check": "token" },
        "AUTH_SECRET": "kT0n4mJw2Zq8vR5sX1bC7dE3fG6hL9pA",
        "WEBHOOKS": [{ "name": "pay", "scheme": "stripe", "path": "/hooks", "tolerance": "1m" }],
        "WEBHOOK_PAY_SECRET": "secret_of_the_provider",
    });
    let config = Config::parse(variables.as_object().expect("an object"), &Bindings::named(["LEDGER"]));
    let mut config = config.expect("valid");
    for (signed, milliseconds, want) in [
        (0, 0, None),
        (-60, 0, None),
        (-61, 0, Some("too_old")),
        (60, 0, None),
        (61, 0, Some("from_the_future")),
        (0, 60_000, None),
        // Valid when the headers arrived, too old when the body is complete.
        (0, 61_000, Some("too_old")),
        (-30, 31_000, Some("too_old")),
        (-60, 1_000, Some("too_old")),
        // In the future when the headers arrived: rejected before the body is read.
        (61, 30_000, Some("from_the_future")),
        (60, 120_000, None),
        (60, 121_000, Some("too_old")),
    ] {
        let found = deliver_slowly(&config, signed, milliseconds);
        assert_eq!(found.as_deref(), want, "{signed} {milliseconds}");
    }
    // With a fixed clock, no time passes.
    config.site.fixed_now = Some(Timestamp(NOW));
    assert_eq!(deliver_slowly(&config, 0, 121_000), None);
}
