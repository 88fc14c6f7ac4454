//! Shows upstream's login page to a signed-in user when upstream redirects them there.
//!
//! With `login = "upstream"`, upstream may have its own session, which can end before the gateway's session (a restart,
//! a shorter lifetime). Upstream then redirects a user who is signed in at the gateway to the login page. If the
//! gateway redirected them away from it, they could not sign in again.
//!
//! 1. If upstream answers a navigation or a form with a live session by a redirect to `login_path`, the gateway counts
//!    this redirect in the loop breaker's cookie ([`counted`]).
//! 2. At the login page, a count lets the request through to upstream ([`asks_to_sign_in`]). Without a count, the
//!    gateway redirects the user away as usual. After too many redirects within ten seconds, a page ends the loop.

use url::{Position, Url};

use crate::{
    base::time::Timestamp,
    http::request::Request,
    redirects::{return_path, site::Site},
    sessions::{loop_breaker::RedirectCount, settings::Login},
};

/// Checks whether a response with this status may be counted.
#[must_use]
pub fn may_count(login: Login, request: &Request<'_>, status: u16) -> bool {
    let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
    is_redirect && login == Login::Upstream && request.wants_page()
}

/// Counts a redirect by upstream if it leads to the login page. Returns the `Set-Cookie` line that stores the count.
#[must_use]
pub fn counted(site: &Site, request: &Request<'_>, location: &str, now: Timestamp) -> Option<String> {
    let public = site.public_origin(request.scheme, request.authority);
    let destination = Url::parse(&format!("{public}{}", request.path)).ok()?.join(location).ok()?;
    let path = destination[..Position::AfterPath].strip_prefix(public)?;
    (path == return_path::uri_reference(&site.return_path.login)).then(|| {
        let secure = site.secure_cookies(request.scheme, request.authority);
        hops(site, request, now).one_more().remember(&site.hops_cookie, secure)
    })
}

/// Checks whether upstream has just redirected this user to the login page, and not too often.
#[must_use]
pub fn asks_to_sign_in(site: &Site, login: Login, request: &Request<'_>, now: Timestamp) -> bool {
    let hops = hops(site, request, now);
    login == Login::Upstream && hops.is_counted() && !hops.is_too_many()
}

/// Checks whether upstream has redirected this user to the login page too often.
#[must_use]
pub fn is_looping(site: &Site, login: Login, request: &Request<'_>, now: Timestamp) -> bool {
    login == Login::Upstream && hops(site, request, now).is_too_many()
}

fn hops(site: &Site, request: &Request<'_>, now: Timestamp) -> RedirectCount {
    let cookies = request.headers.value("cookie").unwrap_or_default();
    RedirectCount::read(cookies, &site.hops_cookie, &site.return_path.login, now)
}
