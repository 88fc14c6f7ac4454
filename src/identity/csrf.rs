//! CSRF check: whether a request may use the cookies that a browser attaches by itself.
//!
//! A request passes if one of these conditions is true, in this order:
//!
//! 1. The method is GET, HEAD or OPTIONS, and the request has no `Upgrade` header.
//! 2. The rule has `insecure_skip_csrf`.
//! 3. The request has a bearer token and no session cookie, so no browser attached its credentials.
//! 4. `Sec-Fetch-Site` is `same-origin` or `none`.
//! 5. `Origin` equals one of the public or allowed origins exactly. `null` never passes.
//! 6. The request has neither `Sec-Fetch-Site` nor `Origin`, like requests of curl and agents. If the deployment or the
//!    rule is strict, it must not have a session cookie either.
//!
//! The content type is not checked: no standard forbids that a form sends JSON.
//! In development, the origins of some tunnel services (Cloudflare, ngrok) are allowed, too.

use crate::{
    http::{
        cookie::{self, CookieName},
        origin::Origin,
        problem::Rejection,
        request::Request,
    },
    routing::{
        report::{Checked, ReportMode},
        rule::Csrf,
    },
};

/// The settings of the CSRF check.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Origins that may send state-changing requests.
    pub allowed: Vec<Origin>,
    /// Whether every rule rejects unsafe requests with a session cookie but without `Origin` and `Sec-Fetch-Site`.
    pub strict: bool,
    /// Whether this is a development environment: tunnels are allowed, and a rejection names the setting to change.
    pub development: bool,
    /// The names of the session cookie.
    pub cookies: Vec<CookieName>,
}

/// Proof that a request passed the CSRF check, or that its refusal was only reported. In the second case, the request must
/// not use its credentials: [`access::admit`](crate::identity::access::admit) ignores them.
#[derive(Clone, Copy, Debug)]
pub struct CsrfPassed(Checked<()>);

impl CsrfPassed {
    const CHECKED: Self = Self(Checked::Passed(()));

    /// Lets a request pass whose refusal was reported.
    #[must_use]
    pub fn by_report(mode: ReportMode) -> Self {
        Self(Checked::Reported(mode))
    }

    /// Returns the permission, if the request was refused and that was only reported.
    #[must_use]
    pub fn reported(&self) -> Option<ReportMode> {
        self.0.reported()
    }
}

/// Checks that no other site forged a request.
///
/// # Errors
/// [`Rejection::ForbiddenOrigin`].
pub fn check(policy: &Policy, mode: Csrf, request: &Request<'_>) -> Result<CsrfPassed, Rejection> {
    if request.is_safe() && !request.is_upgrade() || mode == Csrf::InsecureSkip {
        return Ok(CsrfPassed::CHECKED);
    }
    let cookies = request.headers.value("cookie").unwrap_or_default();
    let has = |name: &CookieName| cookie::values(cookies, name.as_str()).next().is_some();
    let uses_cookie = policy.cookies.iter().any(has);
    if request.bearer().is_some() && !uses_cookie {
        return Ok(CsrfPassed::CHECKED);
    }
    let site = request.headers.value("sec-fetch-site");
    if matches!(site, Some("same-origin" | "none")) {
        return Ok(CsrfPassed::CHECKED);
    }
    let passes = match (request.headers.value("origin"), site) {
        (Some(origin), _) => policy.allows(origin),
        (None, Some(_)) => false,
        (None, None) => !(uses_cookie && (policy.strict || mode == Csrf::Strict)),
    };
    if passes {
        Ok(CsrfPassed::CHECKED)
    } else {
        Err(Rejection::ForbiddenOrigin { development: policy.development })
    }
}

/// Checks whether another site may have caused a request, also one with a safe method.
///
/// True if `Sec-Fetch-Site`, `Origin` or `Referer` has a foreign value, or if all three are missing: a browser without
/// fetch metadata sends no `Referer` if the other site asks it not to.
#[must_use]
pub fn may_be_foreign(policy: &Policy, request: &Request<'_>) -> bool {
    let headers = &request.headers;
    let site = headers.value("sec-fetch-site").map(|site| matches!(site, "same-origin" | "none"));
    let origin = headers.value("origin").map(|origin| policy.allows(origin));
    let referer = headers.value("referer").map(|referer| policy.allows_referer(referer));
    let signals = [site, origin, referer];
    signals.contains(&Some(false)) || !signals.contains(&Some(true))
}

impl Policy {
    fn allows(&self, origin: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed.as_str() == origin)
            || (self.development && is_tunnel(origin))
    }

    /// Checks whether a `Referer` is a URL of an allowed origin.
    fn allows_referer(&self, referer: &str) -> bool {
        let authority = referer.find("://").and_then(|at| at.checked_add(3));
        let path = authority.and_then(|at| Some(at.saturating_add(referer.get(at..)?.find('/')?)));
        referer.get(..path.unwrap_or(referer.len())).is_some_and(|origin| self.allows(origin))
    }
}

/// Checks for exactly `https://<labels>.<tunnel domain>` in canonical form.
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

/// Maximum length of an origin in bytes: a host name of 253 with scheme and port (RFC 1035 §2.3.4).
const LONGEST_ORIGIN: usize = 267;

/// Domains of tunnel services.
const TUNNELS: &[&str] = &["trycloudflare.com", "ngrok.io", "ngrok-free.app"];

#[cfg(test)]
mod tests;
