use super::*;

fn policy(strict: bool, development: bool) -> Policy {
    Policy {
        allowed: ["https://app.example", "http://localhost:8787"]
            .into_iter()
            .map(|text| Origin::parse(text).expect("an origin"))
            .collect(),
        strict,
        development,
        cookies: vec![CookieName::parse("s").expect("a name")],
    }
}

#[track_caller]
fn passes(policy: &Policy, mode: Csrf, method: &str, fields: &[(&str, &str)]) -> bool {
    let request = Request {
        method,
        scheme: "https",
        authority: "app.example",
        path: "/",
        query: "",
        headers: fields.iter().copied().collect(),
    };
    check(policy, mode, &request).is_ok()
}

const COOKIE: (&str, &str) = ("cookie", "a=1; s=x");

#[test]
fn rejects_cross_site_requests() {
    let own = ("origin", "https://app.example");
    let evil = ("origin", "https://evil.example");
    let cross = ("sec-fetch-site", "cross-site");
    for (method, fields, want) in [
        ("GET", &[COOKIE, evil, cross][..], true),
        ("HEAD", &[COOKIE, evil], true),
        ("OPTIONS", &[COOKIE, evil], true),
        ("GET", &[COOKIE, evil, ("upgrade", "websocket")], false),
        ("GET", &[COOKIE, own, ("upgrade", "websocket")], true),
        ("POST", &[COOKIE, ("sec-fetch-site", "same-origin")], true),
        ("POST", &[COOKIE, ("sec-fetch-site", "none")], true),
        ("POST", &[COOKIE, ("sec-fetch-site", "same-origin"), evil], true),
        ("POST", &[COOKIE, ("sec-fetch-site", "same-site")], false),
        ("POST", &[COOKIE, cross], false),
        ("POST", &[COOKIE, ("sec-fetch-site", "")], false),
        ("POST", &[COOKIE, ("sec-fetch-site", "same-origin, cross-site")], false),
        ("POST", &[COOKIE, cross, own], true),
        ("POST", &[COOKIE, own], true),
        ("POST", &[COOKIE, evil], false),
        ("POST", &[COOKIE, ("origin", "null")], false),
        ("POST", &[COOKIE, ("origin", "https://app.example/")], false),
        ("POST", &[COOKIE, ("origin", "https://app.example.evil")], false),
        ("POST", &[COOKIE, ("origin", "https://APP.example")], false),
        ("POST", &[COOKIE, ("origin", "http://app.example")], false),
        ("POST", &[COOKIE, ("origin", "https://app.example:443")], false),
        ("POST", &[COOKIE, ("origin", "https://app.example, https://evil.example")], false),
        ("POST", &[COOKIE, ("referer", "https://evil.example/")], true),
        ("POST", &[COOKIE], true),
        ("POST", &[], true),
        ("PROPFIND", &[COOKIE, evil], false),
        ("get", &[COOKIE, evil], false),
        ("DELETE", &[evil, ("authorization", "Bearer t")], true),
        ("DELETE", &[evil, ("authorization", "Bearer ")], false),
        ("DELETE", &[evil, ("authorization", "Basic t")], false),
        ("DELETE", &[evil, COOKIE, ("authorization", "Bearer t")], false),
    ] {
        assert_eq!(
            passes(&policy(false, false), Csrf::Standard, method, fields),
            want,
            "{method} {fields:?}"
        );
    }
}

#[test]
fn strict_mode_rejects_a_cookie_without_origin_headers() {
    for (strict, mode) in [(true, Csrf::Standard), (false, Csrf::Strict)] {
        let policy = policy(strict, false);
        assert!(!passes(&policy, mode, "POST", &[COOKIE]));
        assert!(!passes(&policy, mode, "POST", &[COOKIE, ("referer", "https://app.example/")]));
        assert!(passes(&policy, mode, "POST", &[]));
        assert!(passes(&policy, mode, "POST", &[("cookie", "other=1")]));
        assert!(passes(&policy, mode, "POST", &[COOKIE, ("origin", "https://app.example")]));
    }
}

#[test]
fn detects_requests_that_may_be_foreign() {
    let site = |value| ("sec-fetch-site", value);
    let origin = |value| ("origin", value);
    let referer = |value| ("referer", value);
    for (fields, want) in [
        (&[site("same-origin")][..], false),
        (&[site("none")], false),
        (&[origin("https://app.example")], false),
        (&[referer("https://app.example/login?a=https://evil.example/")], false),
        (&[referer("https://app.example")], false),
        (&[referer("http://localhost:8787/a")], false),
        (&[site("same-origin"), referer("https://app.example/")], false),
        (&[], true),
        (&[COOKIE], true),
        (&[site("cross-site")], true),
        (&[site("same-site")], true),
        (&[site("")], true),
        (&[origin("null")], true),
        (&[origin("https://evil.example")], true),
        (&[referer("https://evil.example/")], true),
        (&[referer("https://evil.example/https://app.example/")], true),
        (&[referer("https://app.example.evil.example/")], true),
        (&[referer("https://app.example@evil.example/")], true),
        (&[referer("https://app.example:444/")], true),
        (&[referer("https://app.example?/")], true),
        (&[referer("https://app.example\\@evil.example/")], true),
        (&[referer("http://app.example/")], true),
        (&[referer("//app.example/")], true),
        (&[referer("about:blank")], true),
        (&[referer("")], true),
        // One foreign value is enough.
        (&[site("none"), referer("https://evil.example/")], true),
        (&[site("same-origin"), origin("https://evil.example")], true),
        (&[site("cross-site"), referer("https://app.example/"), origin("https://app.example")], true),
        (&[origin("https://app.example"), referer("https://evil.example/")], true),
    ] {
        let request = Request {
            method: "GET",
            scheme: "https",
            authority: "app.example",
            path: "/",
            query: "",
            headers: fields.iter().copied().collect(),
        };
        assert_eq!(may_be_foreign(&policy(false, false), &request), want, "{fields:?}");
    }
}

#[test]
fn insecure_skip_accepts_a_foreign_origin() {
    let evil = ("origin", "https://evil.example");
    assert!(passes(&policy(true, false), Csrf::InsecureSkip, "POST", &[COOKIE, evil]));
}

#[test]
fn allows_tunnels_in_development_only() {
    for (origin, want) in [
        ("https://a-b-c.trycloudflare.com", true),
        ("https://x.eu.ngrok.io", true),
        ("https://x.ngrok-free.app", true),
        ("http://x.ngrok.io", false),
        ("https://ngrok.io", false),
        ("https://evilngrok.io", false),
        ("https://.ngrok.io", false),
        ("https://x.ngrok.io.evil.example", false),
        ("https://x.ngrok.io:8443", false),
        ("https://evil.example/.ngrok.io", false),
        ("https://evil.example?.ngrok.io", false),
    ] {
        let fields = [COOKIE, ("origin", origin)];
        assert_eq!(passes(&policy(false, true), Csrf::Standard, "POST", &fields), want, "{origin}");
        assert!(!passes(&policy(false, false), Csrf::Standard, "POST", &fields), "{origin}");
    }
}
