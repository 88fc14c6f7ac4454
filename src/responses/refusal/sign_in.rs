//! The answer to a person without a valid session, or whose authentication is too old.
//!
//! | request | answer |
//! |---|---|
//! | a navigation, `GET` or `HEAD` | 302 to the login page, with the request's path as return path |
//! | a request whose answer is shown within another page | 401, unless the rule says `redirect` |
//! | a form that a page of this site has sent by `POST` | 303 to the login page, with that page as return path |
//! | any of these if the rule says `401`, and every other request | 401 with the URL of the login page |
//!
//! Only a `POST` counts as a form: a program that asks for HTML with another method gets 401.

use super::DenialContext;
use url::form_urlencoded::byte_serialize;

use crate::{
    config::Config,
    http::{
        problem::{Reason, Rejection},
        request::Request,
    },
    identity::step_up,
    redirects::return_path::{self, ReturnTo},
    routing::rule::Unauthenticated,
};

/// What a person has to do first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Sign in, because there is no valid session for this reason.
    Session(Reason),
    /// Authenticate again.
    Authentication,
}

impl Missing {
    /// Returns what a rejected person has to do first, if that would help.
    pub(super) fn of(rejection: Rejection) -> Option<Self> {
        match rejection {
            Rejection::Unauthorized(reason) => Some(Self::Session(reason)),
            Rejection::ReauthenticationRequired { .. } => Some(Self::Authentication),
            _ => None,
        }
    }
}

/// The answer to a person who has to sign in or to authenticate again.
pub(super) struct SignIn {
    /// The status of the redirect to the page for that; `None` for 401.
    pub(super) redirect: Option<u16>,
    /// The return path after the sign-in.
    pub(super) next: ReturnTo,
    /// The URL of the page with that return path.
    pub(super) url: String,
}

impl SignIn {
    /// Decides for a request that a person has sent. The gateway's endpoints for scripts never redirect.
    pub(super) fn of(
        denial: &DenialContext<'_>,
        missing: Missing,
        target: &str,
        is_for_scripts: bool,
    ) -> Self {
        let redirect = if is_for_scripts { None } else { redirect(denial) };
        let next = next(denial, target, redirect.is_some());
        let url = match missing {
            Missing::Session(_) => login_url(denial.config, &next),
            Missing::Authentication => reauthentication_url(denial.config, &next),
        };
        Self { redirect, next, url }
    }
}

/// Returns the path of the login page, with `next` as return path.
fn login_url(config: &Config, next: &ReturnTo) -> String {
    let next: String = byte_serialize(next.as_str().as_bytes()).collect();
    format!("{}?next={next}", return_path::uri_reference(&config.site.return_path.login))
}

/// Returns the path of the page at which a signed-in user authenticates again, with `next` as return path.
fn reauthentication_url(config: &Config, next: &ReturnTo) -> String {
    let next: String = byte_serialize(next.as_str().as_bytes()).collect();
    let login = return_path::uri_reference(&config.site.return_path.login);
    format!("{login}?reason={}&next={next}", step_up::REASON)
}

fn redirect(denial: &DenialContext<'_>) -> Option<u16> {
    let DenialContext { config, request, rule, .. } = *denial;
    let mode = rule.map_or(Unauthenticated::Standard, |rule| rule.unauthenticated);
    let may_redirect = match mode {
        Unauthenticated::Standard => !request.is_framed(),
        Unauthenticated::Redirect => true,
        Unauthenticated::Refuse => false,
    };
    if may_redirect && request.is_navigation() {
        return Some(302);
    }
    let is_form = request.method == "POST" && request.takes_page() && is_same_origin(config, request);
    (may_redirect && is_form).then_some(303)
}

/// Returns the requested page or, if a link cannot lead to it, the page that the request came from.
fn next(denial: &DenialContext<'_>, target: &str, is_redirected: bool) -> ReturnTo {
    let DenialContext { config, request, .. } = *denial;
    let returns_to_target = request.is_navigation() && (is_redirected || !request.is_framed());
    let policy = &config.site.return_path;
    let next = if returns_to_target { policy.accept(target) } else { page_before(config, request) };
    next.unwrap_or_else(|| policy.home())
}

/// Returns the page of this site that the request came from.
fn page_before(config: &Config, request: &Request<'_>) -> Option<ReturnTo> {
    let path = on_this_origin(config, request, request.headers.value("referer")?)?;
    config.site.return_path.accept(path)
}

/// Checks whether a page of this origin sent the request. An allowed origin counts as another site.
fn is_same_origin(config: &Config, request: &Request<'_>) -> bool {
    if let Some(site) = request.headers.value("sec-fetch-site") {
        return site == "same-origin";
    }
    let sender = request.headers.value("origin").or_else(|| request.headers.value("referer"));
    sender.is_some_and(|sender| on_this_origin(config, request, sender).is_some())
}

/// Returns the rest of a URL after its origin, if that is the public origin or the request's origin.
fn on_this_origin<'a>(config: &Config, request: &Request<'_>, url: &'a str) -> Option<&'a str> {
    let Request { scheme, authority, .. } = *request;
    let is_end = |rest: &&str| rest.is_empty() || rest.starts_with('/');
    let in_request = || url.strip_prefix(scheme)?.strip_prefix("://")?.strip_prefix(authority).filter(is_end);
    url.strip_prefix(config.site.public_origin(scheme, authority)).filter(is_end).or_else(in_request)
}
