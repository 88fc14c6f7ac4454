//! Answers requests that are not admitted, in the format that suits the client.
//!
//! A navigation without a valid credential, or with too old an authentication, is redirected to the login page
//! (`sign_in`). A navigation to the login page with a live session is redirected away from it. Any other refused
//! navigation gets a page ([`page`]), and every other request gets a problem document. Redirects to and from the login
//! page are counted; after too many, a page ends the loop.

pub mod loop_page;
pub mod page;
mod sign_in;
#[cfg(test)]
mod tests;

use self::{
    loop_page::LoopKind,
    page::View,
    sign_in::{Missing, SignIn},
};
use crate::{
    config::Config,
    http::{
        problem::{Fault, Reason, Rejection},
        reply::{EarlyResponse, PendingApproval, Reply},
        request::Request,
    },
    platform::event::{Event, RequestMeta},
    responses::response::{self, ProblemContext},
    routing::rule::{Destination, Rule},
    sessions::{
        loop_breaker::{self, RedirectCount},
        sent_to_login,
    },
    tokens::Hash,
    upstream::settings::Upstream,
};

/// The request that is not admitted, and its context.
#[derive(Clone, Copy, Debug)]
pub struct DenialContext<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The request.
    pub request: &'a Request<'a>,
    /// The time and the id of the request.
    pub meta: RequestMeta<'a>,
    /// The rule of the request, if one was already found.
    pub rule: Option<&'a Rule>,
}

/// Returns the reply to a request that is not admitted, and a `Set-Cookie` value that counts redirects.
#[must_use]
pub fn respond_early<'a>(
    denial: DenialContext<'a>,
    early: EarlyResponse,
    target: &str,
    event: &mut Event<'a>,
) -> (Reply, Option<String>) {
    let DenialContext { config, request, meta, rule } = denial;
    // Most of the gateway's endpoints serve scripts: they answer with a status, never with a redirect.
    let is_for_scripts = rule.is_some_and(|rule| match rule.destination {
        Destination::Upstream | Destination::Pages => false,
        Destination::Endpoint(route) => !route.serves_people(),
        Destination::WrongMethod(_) | Destination::InternalOnly => true,
    });
    if matches!(early, EarlyResponse::Rejected(Rejection::Unauthorized(Reason::TokenUnknown))) {
        // The configuration contains this token, but another token is stored under its name.
        let token = request.bearer().and_then(|value| config.tokens.configured_token(&Hash::of(value)));
        event.agent_token = token.map(|token| token.name.as_str());
    }
    let mut context =
        ProblemContext { request_id: meta.request_id, base: &config.site.problem_base, login_url: None };
    let (decision, loop_reason, redirect, other_page) = match early {
        EarlyResponse::Failed(fault) => {
            event.decision = fault.code();
            let mut reply = response::failed(fault, context);
            let hint = upstream_hint(config, fault);
            let view = View { mistakes: &hint, ..View::of(&denial) };
            page::show(&mut reply, &fault.problem(meta.request_id), view);
            return (reply, None);
        }
        EarlyResponse::Rejected(rejection) => {
            let problem = rejection.problem(meta.request_id);
            (event.decision, event.reason) = (problem.error, problem.reason);
            let sign_in = Missing::of(rejection)
                .map(|missing| (missing, SignIn::of(&denial, missing, target, is_for_scripts)));
            if let Some((missing, SignIn { redirect: Some(status), next, url })) = sign_in {
                // The browser does not send a form again after the sign-in: the return path is the form's page.
                let other_page = if status == 302 { target } else { next.as_str() };
                let redirect = response::redirect(status, url);
                let (decision, loop_kind) = match missing {
                    Missing::Session(reason) => ("redirect_to_login", LoopKind::SignedOut(reason)),
                    Missing::Authentication => ("redirect_to_reauthenticate", LoopKind::Stale),
                };
                (decision, loop_kind, redirect, other_page.to_owned())
            } else {
                // A program with a bearer token does not need a login page.
                let login_url = sign_in.as_ref().filter(|_| request.bearer().is_none());
                context.login_url = login_url.map(|(_, sign_in)| &*sign_in.url);
                let mut reply = response::refused(rejection, context);
                page::show(&mut reply, &problem, View { login_url: context.login_url, ..View::of(&denial) });
                return (reply, None);
            }
        }
        EarlyResponse::ApprovalRequired(approval) => {
            event.decision = Rejection::ConfirmationRequired.problem("").error;
            let PendingApproval { id, approve_url, expires_at } = &approval;
            return (response::unconfirmed(id, approve_url, *expires_at, context), None);
        }
        EarlyResponse::SecondFactor(pending) => {
            event.decision = response::pending_rejection(&pending).problem("").error;
            return (response::second_factor_needed(&pending, context), None);
        }
        EarlyResponse::PolicyResponse(reply) => {
            event.decision = "policy_answered";
            return (reply, None);
        }
        EarlyResponse::SignedIn(next) => {
            let redirect = response::redirect(302, next.as_str().to_owned());
            let is_looping =
                sent_to_login::is_looping(&config.site, config.sessions.login, request, meta.now);
            let other_page = if is_looping { &*config.site.return_path.login } else { next.as_str() };
            ("redirect_from_login", LoopKind::SignedIn, redirect, other_page.to_owned())
        }
    };
    let secure = config.site.secure_cookies(request.scheme, request.authority);
    let cookies = request.headers.value("cookie").unwrap_or_default();
    let Some(hops) = RedirectCount::read(cookies, &config.site.hops_cookie, &other_page, meta.now).next()
    else {
        event.decision = "redirect_loop";
        let forget = loop_breaker::forget(&config.site.hops_cookie, secure);
        return (loop_page::render(config, loop_reason, page::frames(request)), Some(forget));
    };
    event.decision = decision;
    (redirect, Some(hops.remember(&config.site.hops_cookie, secure)))
}

/// In development, returns a hint that says where the gateway looked for the application.
fn upstream_hint(config: &Config, fault: Fault) -> String {
    if !config.site.development || !matches!(fault, Fault::UpstreamFailed | Fault::UpstreamTimeout) {
        return String::new();
    }
    let upstream = match &config.upstream.application {
        Upstream::Origin(origin) | Upstream::SameZone(origin) => origin.as_str(),
        Upstream::Service => "the service binding UPSTREAM",
        Upstream::Assets => "the static assets binding ASSETS",
    };
    format!("UPSTREAM is {upstream}. Is the application running there?")
}
