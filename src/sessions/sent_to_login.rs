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
    config::{Config, Login},
    http::request::Request,
    redirects::return_path,
    sessions::loop_breaker::Hops,
};

/// Checks whether a response with this status may be counted.
#[must_use]
pub fn may_count(config: &Config, request: &Request<'_>, status: u16) -> bool {
    let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
    is_redirect && config.login == Login::Upstream && request.wants_page()
}

/// Counts a redirect by upstream if it leads to the login page. Returns the `Set-Cookie` line that stores the count.
#[must_use]
pub fn counted(config: &Config, request: &Request<'_>, location: &str, now: Timestamp) -> Option<String> {
    let public = config.public_origin(request.scheme, request.authority);
    let destination = Url::parse(&format!("{public}{}", request.path)).ok()?.join(location).ok()?;
    let path = destination[..Position::AfterPath].strip_prefix(public)?;
    (path == return_path::uri_reference(&config.return_path.login)).then(|| {
        let secure = config.secure_cookies(request.scheme, request.authority);
        hops(config, request, now).one_more().remember(&config.hops_cookie, secure)
    })
}

/// Checks whether upstream has just redirected this user to the login page, and not too often.
#[must_use]
pub fn asks_to_sign_in(config: &Config, request: &Request<'_>, now: Timestamp) -> bool {
    let hops = hops(config, request, now);
    config.login == Login::Upstream && hops.is_counted() && !hops.is_too_many()
}

/// Checks whether upstream has redirected this user to the login page too often.
#[must_use]
pub fn is_looping(config: &Config, request: &Request<'_>, now: Timestamp) -> bool {
    config.login == Login::Upstream && hops(config, request, now).is_too_many()
}

fn hops(config: &Config, request: &Request<'_>, now: Timestamp) -> Hops {
    let cookies = request.headers.value("cookie").unwrap_or_default();
    Hops::read(cookies, &config.hops_cookie, &config.return_path.login, now)
}
