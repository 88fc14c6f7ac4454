//! Tests of session cookies.

use std::time::Duration;

use super::*;
use crate::crypto::secret::Secret;

const NOW: Timestamp = Timestamp(1_700_000_000);

fn keys(first: u8, previous: Option<u8>) -> Keys {
    let secret = |seed: u8| Secret::from_bytes((seed..).take(32).collect()).expect("a secret");
    Keys::new(&secret(first), previous.map(secret).as_ref()).expect("two keys")
}

fn policy() -> Policy {
    Policy {
        cookie: CookieName::parse("s").expect("a name"),
        previous: None,
        domain: None,
        lifetime: Lifetime {
            lifetime: Duration::from_secs(1_000),
            refresh_after: Duration::from_secs(100),
            max_lifetime: None,
            idle: None,
        },
        expected: Expected {
            user_claim: "userId".into(),
            session_claim: "sessionId".into(),
            issuer: None,
            audience: None,
            leeway: Duration::ZERO,
        },
        forward: true,
    }
}

fn token(keys: &Keys, user: &str, iat: i64, exp: i64) -> String {
    keys.sign(format!(r#"{{"userId":"{user}","sessionId":"1","iat":{iat},"exp":{exp},"x":1}}"#).as_bytes())
}

fn fresh(keys: &Keys, user: &str) -> String {
    token(keys, user, NOW.0, NOW.0 + 50)
}

const CONTEXT: CookieContext<'_> =
    CookieContext { succeeded: true, authority: "app.example.com:8443", path: "/m/x", secure: true };

#[test]
fn finds_the_session_among_all_copies() {
    let (now, old) = (keys(1, Some(50)), keys(50, None));
    let ada = fresh(&now, "ada");
    let bob = fresh(&now, "bob");
    let expired = token(&now, "ada", 1, NOW.0);
    let foreign = fresh(&keys(99, None), "ada");
    let by_old_key = fresh(&old, "ada");
    for (cookies, want) in [
        (String::new(), Err(Reason::NoCredential)),
        ("other=1".to_owned(), Err(Reason::NoCredential)),
        ("s=".to_owned(), Err(Reason::SessionMalformed)),
        ("s=garbage".to_owned(), Err(Reason::SessionMalformed)),
        (format!("s={expired}"), Err(Reason::SessionExpired)),
        (format!("s={foreign}"), Err(Reason::SessionBadSignature)),
        (format!("s=x; s={expired}; s={foreign}"), Err(Reason::SessionExpired)),
        (format!("s={ada}"), Ok("ada")),
        (format!("s={by_old_key}"), Ok("ada")),
        (format!("s=x; s={foreign}; s={ada}; s={expired}"), Ok("ada")),
        (format!("s={ada}; s={bob}"), Err(Reason::SessionAmbiguous)),
        (format!("s={ada}; s={bob}; s={ada}"), Err(Reason::SessionAmbiguous)),
        (format!("{}s={ada}", "s=x; ".repeat(7)), Ok("ada")),
        (format!("{}s={ada}", "s=x; ".repeat(8)), Err(Reason::SessionMalformed)),
        (format!("s=\"{ada}\""), Err(Reason::SessionMalformed)),
    ] {
        let session = read(&policy(), &now, &cookies, NOW);
        let found = match &session.status {
            SessionStatus::Anonymous => Err(Reason::NoCredential),
            SessionStatus::Rejected(reason) => Err(*reason),
            SessionStatus::User(live) => Ok(live.claims.user_id.as_str()),
        };
        assert_eq!(found, want, "{cookies}");
    }
}

#[test]
fn keeps_a_valid_cookie_unchanged() {
    let keys = keys(1, None);
    for cookies in [String::new(), format!("s={}", fresh(&keys, "ada"))] {
        let session = read(&policy(), &keys, &cookies, NOW);
        assert!(session.changes(&policy(), &keys, CONTEXT, NOW).is_empty());
    }
}

#[test]
fn expires_an_invalid_cookie() {
    let keys = keys(1, None);
    let session = read(&policy(), &keys, "s=garbage", NOW);
    assert_eq!(session.changes(&policy(), &keys, CONTEXT, NOW), ["s=; Path=/; Max-Age=0"]);
    let wide = Policy { domain: Some("example.com".into()), ..policy() };
    assert_eq!(session.changes(&wide, &keys, CONTEXT, NOW), ["s=; Path=/; Domain=example.com; Max-Age=0"]);
}

#[test]
fn expires_duplicates_in_all_other_scopes() {
    let keys = keys(1, None);
    let good = fresh(&keys, "ada");
    let cookies = format!("s=garbage; s={good}");
    let session = read(&policy(), &keys, &cookies, NOW);
    let lines = session.changes(&policy(), &keys, CookieContext { path: "/m", ..CONTEXT }, NOW);
    assert_eq!(
        lines,
        [
            "s=; Path=/; Domain=app.example.com; Max-Age=0",
            "s=; Path=/; Domain=example.com; Max-Age=0",
            "s=; Path=/m; Max-Age=0",
            "s=; Path=/m; Domain=app.example.com; Max-Age=0",
            "s=; Path=/m; Domain=example.com; Max-Age=0",
            &format!("s={good}; Path=/; Max-Age=50; HttpOnly; SameSite=Lax; Secure"),
        ]
    );
}

#[test]
fn lists_ancestors_of_a_path_up_to_a_limit() {
    for (path, want) in [
        ("/", &["/"][..]),
        ("/a", &["/", "/a"]),
        ("/a/", &["/", "/a", "/a/"]),
        ("/a/b", &["/", "/a", "/a/", "/a/b"]),
        ("/a;x/b", &["/"]),
    ] {
        assert_eq!(scopes::ancestors(path).collect::<Vec<_>>(), want);
    }
    let deep = "/a".repeat(500);
    let session = read(&policy(), &keys(1, None), "s=x; s=y", NOW);
    let context = CookieContext { path: &deep, ..CONTEXT };
    let lines = session.changes(&policy(), &keys(1, None), context, NOW);
    assert!(lines.len() <= scopes::MAX_SCOPES, "{}", lines.len());
    assert!(lines.concat().len() < 12_000, "more than proxies take as headers");
    assert!(lines.contains(&format!("s=; Path={}; Max-Age=0", "/a".repeat(128))));
    assert!(lines.contains(&"s=; Path=/a; Max-Age=0".to_owned()));
}

#[test]
fn ip_addresses_have_no_parent_domains() {
    for authority in ["127.0.0.1:80", "[::1]:80"] {
        assert!(scopes(authority, "/").all(|scope| scope.domain.is_none()), "{authority}");
    }
    assert_eq!(scopes("localhost:8787", "/").count(), 2);
}

#[test]
fn renews_a_token_that_is_old_enough_after_success() {
    let keys = keys(1, None);
    for (age, succeeded, want) in [(99, true, None), (100, true, Some(1_000)), (100, false, None)] {
        let cookies = format!("s={}", token(&keys, "ada", NOW.0 - age, NOW.0 + 50));
        let session = read(&policy(), &keys, &cookies, NOW);
        let lines = session.changes(&policy(), &keys, CookieContext { succeeded, ..CONTEXT }, NOW);
        let max_age = want.map(|seconds| format!("Max-Age={seconds};"));
        assert_eq!(lines.len(), usize::from(want.is_some()));
        assert!(max_age.is_none_or(|part| lines.iter().all(|line| line.contains(&part))), "{lines:?}");
    }
}

#[test]
fn key_rotation_keeps_the_expiry() {
    let (now, old) = (keys(1, Some(50)), keys(50, None));
    let cookies = format!("s={}", token(&old, "ada", NOW.0 - 99, NOW.0 + 50));
    let session = read(&policy(), &now, &cookies, NOW);
    let lines = session.changes(&policy(), &now, CookieContext { succeeded: false, ..CONTEXT }, NOW);
    let line = lines.first().expect("one line");
    assert!(line.contains("Max-Age=50;"), "{line}");
    let minted = line.split(['=', ';']).nth(1).expect("a value");
    let again = keys(1, None).verify(minted).expect("signed by the current key");
    assert!(!again.stale_key());
    let payload =
        format!(r#"{{"userId":"ada","sessionId":"1","iat":{},"exp":{},"x":1}}"#, NOW.0 - 99, NOW.0 + 50);
    assert_eq!(again.payload(), payload.as_bytes());
}

#[test]
fn moves_a_cookie_from_its_former_name() {
    let keys = keys(1, None);
    let name = |text: &str| CookieName::parse(text).expect("a name");
    let policy = Policy { cookie: name("__Host-s"), previous: Some(name("s")), ..policy() };
    let (ada, eve) = (fresh(&keys, "ada"), fresh(&keys, "eve"));
    let set = format!("__Host-s={ada}; Path=/; Max-Age=50; HttpOnly; SameSite=Lax; Secure");
    let context = CookieContext { authority: "app.example", path: "/m/x", ..CONTEXT };
    let expired = ["s=; Path=/; Max-Age=0", "s=; Path=/; Domain=app.example; Max-Age=0"];
    let changes = |cookies: &str| read(&policy, &keys, cookies, NOW).changes(&policy, &keys, context, NOW);
    let user = |cookies: &str| match read(&policy, &keys, cookies, NOW).status {
        SessionStatus::User(live) => live.claims.user_id,
        status => format!("{status:?}"),
    };
    // Only the former cookie: it is read, set under the present name, and expired.
    let former = format!("s={ada}");
    assert_eq!(user(&former), "ada");
    assert_eq!(changes(&former), [expired[0], expired[1], &set]);
    // Both: the former one is ignored, whoever planted it.
    let both = format!("s={eve}; __Host-s={ada}");
    assert_eq!(user(&both), "ada");
    assert_eq!(changes(&both), Vec::<String>::new());
    assert_eq!(user(&format!("s={eve}; __Host-s=garbage")), "Rejected(SessionMalformed)");
    // Signing out expires both.
    let end = read(&policy, &keys, &both, NOW).end(&policy, context);
    assert_eq!(end, [expired[0], expired[1], "__Host-s=; Path=/; Max-Age=0; Secure"]);
    // An invalid former cookie is expired, with its copies in deeper paths.
    let lines = changes("s=garbage; s=x");
    assert!(lines.contains(&"s=; Path=/m/x; Max-Age=0".to_owned()), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("__Host-s=; Path=/; Max-Age=0; Secure"));
    // Without it, nothing changes.
    assert_eq!(changes(&format!("__Host-s={ada}")), Vec::<String>::new());
    assert_eq!(user(""), "Anonymous");
}
