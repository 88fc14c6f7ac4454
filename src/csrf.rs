//! Cross-site request forgery: may this request use what the browser attaches by itself?
//!
//! A request passes if any of the following holds, in this order:
//!
//! 1. its method is GET, HEAD or OPTIONS and it asks for no other protocol (`Upgrade`);
//! 2. its rule is spelled `insecure_skip_csrf`;
//! 3. it carries a bearer token and no session cookie: nothing in it was attached by a browser;
//! 4. `Sec-Fetch-Site` is `same-origin` or `none`;
//! 5. `Origin` is one of the public or allowed origins, whole and exact; `null` never is;
//! 6. it has neither of these headers, as curl and agents have not, and, where the deployment or the
//!    rule is strict, no session cookie either.
//!
//! Content types are irrelevant: that a form cannot send JSON is no promise of any standard.
//! In development, the tunnels that people show their work through are allowed origins too.

use crate::{
    context::Request,
    cookie::{self, CookieName},
    origin::Origin,
    problem::Rejection,
    rule::Csrf,
};

/// What counts as the same site.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Origins that may send state-changing requests.
    pub allowed: Vec<Origin>,
    /// Whether a client that shows no origin must not use a cookie, on every rule.
    pub strict: bool,
    /// Whether this is a developer's machine: tunnels are allowed, and a refusal names the setting.
    pub development: bool,
    /// The session cookie's name.
    pub cookie: CookieName,
}

/// Proof that a request was not forged from another site.
#[derive(Clone, Copy, Debug)]
pub struct SameSite(());

/// Judges a request.
///
/// # Errors
/// [`Rejection::ForbiddenOrigin`].
pub fn check(policy: &Policy, mode: Csrf, request: &Request<'_>) -> Result<SameSite, Rejection> {
    if request.is_safe() && !request.is_upgrade() || mode == Csrf::InsecureSkip {
        return Ok(SameSite(()));
    }
    let cookies = request.headers.value("cookie").unwrap_or_default();
    let uses_cookie = cookie::values(cookies, policy.cookie.as_str()).next().is_some();
    if request.bearer().is_some() && !uses_cookie {
        return Ok(SameSite(()));
    }
    let site = request.headers.value("sec-fetch-site");
    if matches!(site, Some("same-origin" | "none")) {
        return Ok(SameSite(()));
    }
    let passes = match (request.headers.value("origin"), site) {
        (Some(origin), _) => policy.allows(origin),
        (None, Some(_)) => false,
        (None, None) => !(uses_cookie && (policy.strict || mode == Csrf::Strict)),
    };
    if passes {
        Ok(SameSite(()))
    } else {
        Err(Rejection::ForbiddenOrigin { development: policy.development })
    }
}

/// Checks whether another site may have sent the browser here, whatever the method.
///
/// Every sign counts: a foreign one in `Sec-Fetch-Site`, `Origin` or `Referer` is enough, and so is the absence of all of
/// them. A browser without fetch metadata sends no `Referer` either, if the other site asks it not to.
#[must_use]
pub fn may_be_foreign(policy: &Policy, request: &Request<'_>) -> bool {
    let headers = &request.headers;
    let site = headers.value("sec-fetch-site").map(|site| matches!(site, "same-origin" | "none"));
    let origin = headers.value("origin").map(|origin| policy.allows(origin));
    let referer = headers.value("referer").map(|referer| policy.has_page(referer));
    let signs = [site, origin, referer];
    signs.contains(&Some(false)) || !signs.contains(&Some(true))
}

impl Policy {
    fn allows(&self, origin: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed.as_str() == origin)
            || (self.development && is_tunnel(origin))
    }

    /// Checks whether a `Referer` names a page of an allowed origin.
    fn has_page(&self, referer: &str) -> bool {
        let authority = referer.find("://").and_then(|at| at.checked_add(3));
        let path = authority.and_then(|at| Some(at.saturating_add(referer.get(at..)?.find('/')?)));
        referer.get(..path.unwrap_or(referer.len())).is_some_and(|origin| self.allows(origin))
    }
}

/// Recognises `https://<labels>.<tunnel domain>` in canonical form and nothing around it.
fn is_tunnel(origin: &str) -> bool {
    if origin.len() > LONGEST_ORIGIN {
        return false;
    }
    let Ok(origin) = Origin::parse(origin) else { return false };
    origin.scheme() == "https"
        && TUNNELS.iter().any(|domain| {
            origin
                .authority()
                .strip_suffix(domain)
                .is_some_and(|label| label.len() > 1 && label.ends_with('.'))
        })
}

/// Bytes of the longest origin: a name of 253 with scheme and port (RFC 1035 §2.3.4).
const LONGEST_ORIGIN: usize = 267;

const TUNNELS: &[&str] = &["trycloudflare.com", "ngrok.io", "ngrok-free.app"];

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(strict: bool, development: bool) -> Policy {
        Policy {
            allowed: ["https://app.example", "http://localhost:8787"]
                .into_iter()
                .map(|text| Origin::parse(text).expect("an origin"))
                .collect(),
            strict,
            development,
            cookie: CookieName::parse("s").expect("a name"),
        }
    }

    #[track_caller]
    fn verdict(policy: &Policy, mode: Csrf, method: &str, fields: &[(&str, &str)]) -> bool {
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
    fn who_passes() {
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
                verdict(&policy(false, false), Csrf::Standard, method, fields),
                want,
                "{method} {fields:?}"
            );
        }
    }

    #[test]
    fn strict_wants_a_sign_of_the_site_where_a_cookie_is_used() {
        for (strict, mode) in [(true, Csrf::Standard), (false, Csrf::Strict)] {
            let policy = policy(strict, false);
            assert!(!verdict(&policy, mode, "POST", &[COOKIE]));
            assert!(!verdict(&policy, mode, "POST", &[COOKIE, ("referer", "https://app.example/")]));
            assert!(verdict(&policy, mode, "POST", &[]));
            assert!(verdict(&policy, mode, "POST", &[("cookie", "other=1")]));
            assert!(verdict(&policy, mode, "POST", &[COOKIE, ("origin", "https://app.example")]));
        }
    }

    #[test]
    fn what_another_site_may_have_sent() {
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
            // One foreign sign is enough.
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
    fn skipping_is_spelled_out() {
        let evil = ("origin", "https://evil.example");
        assert!(verdict(&policy(true, false), Csrf::InsecureSkip, "POST", &[COOKIE, evil]));
    }

    #[test]
    fn tunnels_in_development_only() {
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
            assert_eq!(verdict(&policy(false, true), Csrf::Standard, "POST", &fields), want, "{origin}");
            assert!(!verdict(&policy(false, false), Csrf::Standard, "POST", &fields), "{origin}");
        }
    }
}
