//! Where a person without a valid session is led.
//!
//! | request | answer |
//! |---|---|
//! | a navigation, `GET` or `HEAD` | 302 to the login page, which leads back to it |
//! | one whose answer is shown within another page | 401, unless the rule says `redirect` |
//! | a form that a page of this site has sent by `POST` | 303 to the login page, which leads back to that page |
//! | any of these where the rule says `401`, and everything else | 401, which names the login page |
//!
//! Only `POST` is a form's: a program that asks for HTML by another method gets its 401.

use super::DenialContext;
use crate::{config::Config, context::Request, response, return_path::ReturnTo, rule::Unauthenticated};

/// How a person who is not signed in is answered.
pub(super) struct SignIn {
    /// The status of the redirect to the login page, where there is one to be.
    pub(super) redirect: Option<u16>,
    /// Where the person goes afterwards.
    pub(super) next: ReturnTo,
    /// The login page that leads there.
    pub(super) url: String,
}

impl SignIn {
    /// Decides for a request without a valid credential. Our own endpoints redirect only where they serve people.
    pub(super) fn of(denial: &DenialContext<'_>, target: &str, is_ours: bool) -> Self {
        let redirect = if is_ours { None } else { redirect(denial) };
        let next = next(denial, target, redirect.is_some());
        let url = response::login_url(denial.config, &next);
        Self { redirect, next, url }
    }
}

fn redirect(denial: &DenialContext<'_>) -> Option<u16> {
    let DenialContext { config, request, rule, .. } = *denial;
    let mode = rule.map_or(Unauthenticated::Standard, |rule| rule.unauthenticated);
    let may = match mode {
        Unauthenticated::Standard => !request.is_framed(),
        Unauthenticated::Redirect => true,
        Unauthenticated::Refuse => false,
    };
    if may && request.is_navigation() {
        return Some(302);
    }
    let is_form = request.method == "POST" && request.takes_page() && is_same_origin(config, request);
    (may && is_form).then_some(303)
}

/// Returns the page that they wanted, or, if it cannot be reached by a link, the page that they were on.
fn next(denial: &DenialContext<'_>, target: &str, is_redirected: bool) -> ReturnTo {
    let DenialContext { config, request, .. } = *denial;
    let goes_there = request.is_navigation() && (is_redirected || !request.is_framed());
    let policy = &config.return_path;
    let next = if goes_there { policy.accept(target) } else { page_before(config, request) };
    next.unwrap_or_else(|| policy.home())
}

/// Finds the page of this site that a request came from.
fn page_before(config: &Config, request: &Request<'_>) -> Option<ReturnTo> {
    let path = on_this_origin(config, request, request.headers.value("referer")?)?;
    config.return_path.accept(path)
}

/// Tells whether a page of this origin sent the request. An allowed origin is another site.
fn is_same_origin(config: &Config, request: &Request<'_>) -> bool {
    if let Some(site) = request.headers.value("sec-fetch-site") {
        return site == "same-origin";
    }
    let sender = request.headers.value("origin").or_else(|| request.headers.value("referer"));
    sender.is_some_and(|sender| on_this_origin(config, request, sender).is_some())
}

/// Returns what follows the origin in a URL, if the origin is the request's.
fn on_this_origin<'a>(config: &Config, request: &Request<'_>, url: &'a str) -> Option<&'a str> {
    let Request { scheme, authority, .. } = *request;
    let ends = |rest: &&str| rest.is_empty() || rest.starts_with('/');
    let asked = || url.strip_prefix(scheme)?.strip_prefix("://")?.strip_prefix(authority).filter(ends);
    url.strip_prefix(config.public_origin(scheme, authority)).filter(ends).or_else(asked)
}
