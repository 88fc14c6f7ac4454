//! Lets a signed-in user see upstream's login page, when upstream itself sends them there.
//!
//! With `login = "upstream"`, the application may have a session of its own, which can end before ours (a restart, a shorter
//! lifetime). It then redirects a user who is signed in here to the login page. If Vestibule redirected them away from it, they
//! could not sign in again.
//!
//! 1. A navigation, or a form, with a live session gets a redirect of upstream's to `login_path`: it is counted in the cookie of
//!    the loop breaker ([`counted`]).
//! 2. At the login page, a count lets the request through to upstream ([`asks_to_sign_in`]). Without a count, the user is
//!    redirected away as ever. After too many within ten seconds, a page ends the loop.

use url::{Position, Url};

use crate::{
    config::{Config, Login},
    context::Request,
    loop_breaker::Hops,
    return_path,
    time::Timestamp,
};

/// Checks whether an answer with this status may count.
#[must_use]
pub fn may_count(config: &Config, request: &Request<'_>, status: u16) -> bool {
    let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
    is_redirect && config.login == Login::Upstream && request.wants_page()
}

/// Counts a redirect of upstream's if it leads to the login page: a `Set-Cookie` line.
#[must_use]
pub fn counted(config: &Config, request: &Request<'_>, location: &str, now: Timestamp) -> Option<String> {
    let public = config.public_origin(request.scheme, request.authority);
    let there = Url::parse(&format!("{public}{}", request.path)).ok()?.join(location).ok()?;
    let path = there[..Position::AfterPath].strip_prefix(public)?;
    (path == return_path::uri_reference(&config.return_path.login)).then(|| {
        let secure = config.secure_cookies(request.scheme, request.authority);
        hops(config, request, now).one_more().remember(&config.hops_cookie, secure)
    })
}

/// Tells whether upstream has just sent this user to the login page, and not too often.
#[must_use]
pub fn asks_to_sign_in(config: &Config, request: &Request<'_>, now: Timestamp) -> bool {
    let hops = hops(config, request, now);
    config.login == Login::Upstream && hops.is_counted() && !hops.is_too_many()
}

/// Tells whether upstream has sent this user to the login page too often.
#[must_use]
pub fn is_looping(config: &Config, request: &Request<'_>, now: Timestamp) -> bool {
    config.login == Login::Upstream && hops(config, request, now).is_too_many()
}

fn hops(config: &Config, request: &Request<'_>, now: Timestamp) -> Hops {
    let cookies = request.headers.value("cookie").unwrap_or_default();
    Hops::read(cookies, &config.hops_cookie, &config.return_path.login, now)
}
