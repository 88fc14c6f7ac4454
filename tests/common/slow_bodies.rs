use vestibule::{principal::Role, registry::Standing};

use super::*;

/// Keys, bot checks and roles, on rules that use cached answers and on rules that ask each time.
fn slow() -> Config {
    slow_with(&json!({ "check": "registry", "login": "upstream", "check_ttl": "30s" }))
}

fn slow_with(session: &Value) -> Config {
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

/// Changes the registry without telling this isolate.
fn stands(upstream: &Upstream, role: Role, active: bool) {
    let standing = Standing { role, active, version: i64::MAX >> 11 };
    upstream.objects.ask::<Sessions>("ada", &Command::Apply(standing), Timestamp(NOW)).expect("done");
}

/// Lets time pass while the body is read, and something happen.
fn meanwhile(upstream: &Upstream, milliseconds: u64, happens: fn(&Upstream)) {
    upstream.meanwhile.replace(Some(Box::new(move |upstream| {
        upstream.elapsed.set(milliseconds);
        happens(upstream);
    })));
}

const DISABLED: fn(&Upstream) = |upstream| stands(upstream, Role::Admin, false);
const DEMOTED: fn(&Upstream) = |upstream| stands(upstream, Role::User, true);
const SIGNED_OUT: fn(&Upstream) = end_all_of_ada;

#[test]
fn a_slow_body_is_no_leave_to_act() {
    let config = slow();
    for (path, milliseconds, happens, want) in [
        // What is so now is asked at once; what was so lately, when it is no longer lately.
        ("/boss", 8, DISABLED, Some((401, "session_revoked"))),
        ("/boss", 8, DEMOTED, Some((403, "forbidden_role"))),
        ("/boss", 8, SIGNED_OUT, Some((401, "session_revoked"))),
        ("/keyed", 30_008, DISABLED, Some((401, "session_revoked"))),
        ("/keyed", 30_008, SIGNED_OUT, Some((401, "session_revoked"))),
        ("/keyed", 29_000, DISABLED, None),
        ("/checked", 30_008, DISABLED, Some((401, "session_revoked"))),
        // Who was somebody does not go on as nobody.
        ("/maybe", 30_008, SIGNED_OUT, Some((401, "session_revoked"))),
    ] {
        let mut upstream = upstream(200, &[]);
        let ada = sign_in(&config, &mut upstream, "ada; role=admin", "");
        upstream.seen.take();
        meanwhile(&upstream, milliseconds, happens);
        let (answer, event) = visit(&config, &upstream, &post(path, &ada));
        assert!(upstream.meanwhile.take().is_none(), "{path}: a body was read");
        let Some((status, code)) = want else {
            relayed(answer);
            assert_eq!(upstream.seen.borrow().len(), 1, "{path}");
            continue;
        };
        let reply = own(answer);
        let problem = json_of(&reply);
        let found = problem["reason"].as_str().or(problem["error"].as_str());
        assert_eq!((reply.status, found), (status, Some(code)), "{path} {milliseconds}");
        let healed = header(&reply, "set-cookie") == Some("mk_session=; Path=/; Max-Age=0");
        assert_eq!(healed, status == 401, "{path}");
        assert!(upstream.seen.borrow().is_empty(), "{path}: upstream was asked");
        assert!(upstream.consulted.borrow().is_empty(), "{path}: no bot check was spent");
        assert_eq!(event["principal"], Value::Null, "{path}");
        // Nothing was claimed: who may, sends the same again.
        stands(&upstream, Role::Admin, true);
        if path != "/checked" {
            let again = sign_in(&config, &mut upstream, "ada; role=admin", "");
            stands(&upstream, Role::Admin, true);
            relayed(visit(&config, &upstream, &post(path, &again)).0);
        }
    }
}

#[test]
fn who_goes_on_is_stamped_with_what_they_are_now() {
    let config = slow();
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada; role=admin", "");
    meanwhile(&upstream, 30_008, DEMOTED);
    relayed(visit(&config, &upstream, &post("/keyed", &ada)).0);
    let (_, set, ..) = upstream.seen.borrow().last().cloned().expect("a request");
    assert!(set.contains(&("x-user-role", "user".to_owned())), "{set:?}");
}

#[test]
fn a_token_that_expires_while_its_body_comes_in_is_over() {
    let mut config = slow_with(&json!({ "check": "registry", "login": "upstream", "leeway": "0s" }));
    config.check = vestibule::config::Check::Token;
    let mut upstream = upstream(200, &[]);
    let session = session(&config, 0);
    for (milliseconds, is_over) in [(3_599_000, false), (3_600_000, true)] {
        upstream.elapsed.set(7);
        meanwhile(&upstream, milliseconds, |_| {});
        upstream.objects = common::sqlite::Objects::default();
        let (answer, event) = visit(&config, &upstream, &post("/keyed", &session));
        assert_eq!(event["reason"].as_str(), is_over.then_some("session_expired"));
        assert_eq!(matches!(answer, Answer::Own(_)), is_over, "{milliseconds}");
    }
}

#[test]
fn a_body_that_comes_at_once_costs_no_further_question() {
    let config = slow();
    let mut upstream = upstream(200, &[]);
    let ada = sign_in(&config, &mut upstream, "ada; role=admin", "");
    let asked = |account: &str| {
        let before = upstream.asked.get().expect("a count");
        relayed(visit(&config, &upstream, account).0);
        upstream.asked.get().expect("a count") - before
    };
    let get = |path: &str| format!("GET\nhttps://app.example{path}\ncookie\n{ada}");
    assert_eq!(asked(&get("/keyed")), 1, "the registry");
    assert_eq!(asked(&get("/keyed")), 0, "it was asked lately");
    assert_eq!(asked(&post("/keyed", &ada)), 2, "the ledger, before and after");
    assert_eq!(asked(&post("/boss", &ada)), 4, "the registry twice, and the ledger");
    let unkeyed = post("/boss", &ada).replace("idempotency-key", "x-key");
    assert_eq!(asked(&unkeyed), 1, "no body is read");
}

/// Delivers an event to Stripe's webhook whose time is `signed` seconds from the moment at which its head arrives, and whose
/// body takes `milliseconds`. Returns the reason of the refusal.
fn deliver_slowly(config: &Config, signed: i64, milliseconds: u64) -> Option<String> {
    let upstream = upstream(200, &[]);
    let body = json!({ "id": format!("evt_{signed}_{milliseconds}"), "type": "a" }).to_string();
    let at = NOW + signed;
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret_of_the_provider").expect("any length");
    mac.update(format!("{at}.{body}").as_bytes());
    let tag = vestibule::encoding::hex(&mac.finalize().into_bytes());
    upstream.body.replace(Some(body.into_bytes()));
    upstream.elapsed.set(0);
    meanwhile(&upstream, milliseconds, |_| {});
    let account = format!("POST\nhttps://app.example/hooks\nstripe-signature\nt={at},v1={tag}");
    let (_, event) = visit(config, &upstream, &account);
    let reason = event["reason"].as_str().map(str::to_owned);
    assert_eq!(upstream.seen.borrow().len(), usize::from(reason.is_none()), "{signed} {milliseconds}");
    reason
}

#[test]
fn a_slow_body_widens_no_tolerance() {
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
        // Good when its head arrived, and no longer when the body did.
        (0, 61_000, Some("too_old")),
        (-30, 31_000, Some("too_old")),
        (-60, 1_000, Some("too_old")),
        // Good when the body was complete, and not yet when its head arrived: it is not even read.
        (61, 30_000, Some("from_the_future")),
        (60, 120_000, None),
        (60, 121_000, Some("too_old")),
    ] {
        let found = deliver_slowly(&config, signed, milliseconds);
        assert_eq!(found.as_deref(), want, "{signed} {milliseconds}");
    }
    // A test's fixed clock stays fixed.
    config.fixed_now = Some(Timestamp(NOW));
    assert_eq!(deliver_slowly(&config, 0, 121_000), None);
}
