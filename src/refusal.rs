//! Saying no in the words of who asked.
//!
//! A navigation without a valid credential is redirected to the login page (`sign_in`). A navigation to the login page
//! with a live session is redirected away from it. Any other navigation gets a page ([`page`]), and every other request a
//! problem document. Redirects to and from the login page are counted; after too many, a page ends the loop.

pub mod page;
mod sign_in;
#[cfg(test)]
mod tests;

use self::{page::View, sign_in::SignIn};
use crate::{
    config::{Config, Upstream},
    context::Request,
    effects::Reply,
    event::{Event, RequestMeta},
    loop_breaker::{self, Hops},
    problem::{Fault, Reason, Rejection},
    response::{self, Loop, ProblemContext},
    return_path::ReturnTo,
    rule::{Destination, Rule},
    sent_to_login,
    time::Timestamp,
    tokens::Hash,
};

/// Why a request goes no further.
#[derive(Debug)]
pub enum EarlyResponse {
    /// The client's doing.
    Rejected(Rejection),
    /// Ours, or upstream's.
    Failed(Fault),
    /// A machine's, of which a person is asked.
    Unconfirmed(PendingApproval),
    /// Somebody else's answer: who decides for us has written it.
    Answered(Reply),
    /// At the login page with a live session: on to where they wanted to go.
    SignedIn(ReturnTo),
}

/// What a person is asked to consent to.
#[derive(Clone, Debug)]
pub struct PendingApproval {
    /// Its id.
    pub id: String,
    /// Where they decide.
    pub approve_url: String,
    /// Until when.
    pub expires_at: Timestamp,
}

/// What is known of the request that is turned away.
#[derive(Clone, Copy, Debug)]
pub struct DenialContext<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The request.
    pub request: &'a Request<'a>,
    /// Its moment.
    pub meta: RequestMeta<'a>,
    /// Its rule, where it got that far.
    pub rule: Option<&'a Rule>,
}

impl EarlyResponse {
    /// Tells whether it was kept out, and not only led elsewhere.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Rejected(_) | Self::Failed(_) | Self::Unconfirmed(_) | Self::Answered(_) => true,
            Self::SignedIn(_) => false,
        }
    }
}

/// Answers a request that goes no further: the reply, and a `Set-Cookie` line that counts redirects.
#[must_use]
pub fn turn_away<'a>(
    denial: DenialContext<'a>,
    turned: EarlyResponse,
    target: &str,
    event: &mut Event<'a>,
) -> (Reply, Option<String>) {
    let DenialContext { config, request, meta, rule } = denial;
    // Our own endpoints serve scripts: they answer with a status, never with a redirect.
    let is_ours = rule.is_some_and(|rule| match rule.destination {
        Destination::Upstream => false,
        Destination::Endpoint(endpoint) => !endpoint.serves_people(),
    });
    if matches!(turned, EarlyResponse::Rejected(Rejection::Unauthorized(Reason::TokenUnknown))) {
        // The configuration names this token, and it was refused because its name has another one.
        let seed = request.bearer().and_then(|value| config.seed(&Hash::of(value)));
        event.agent_token = seed.map(|seed| seed.name.as_str());
    }
    let mut context =
        ProblemContext { request_id: meta.request_id, base: &config.problem_base, login_url: None };
    let (decision, why, redirect, place) = match turned {
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
            let sign_in = match rejection {
                Rejection::Unauthorized(reason) => Some((reason, SignIn::of(&denial, target, is_ours))),
                _ => None,
            };
            if let Some((reason, SignIn { redirect: Some(status), next, url })) = sign_in {
                // A form is not sent again after signing in: it leads back to its page.
                let place = if status == 302 { target } else { next.as_str() };
                let redirect = response::redirect(status, url);
                ("redirect_to_login", Loop::SignedOut(reason), redirect, place.to_owned())
            } else {
                // A program with a token does not need a login page.
                let login_url = sign_in.as_ref().filter(|_| request.bearer().is_none());
                context.login_url = login_url.map(|(_, sign_in)| &*sign_in.url);
                let mut reply = response::refused(rejection, context);
                page::show(&mut reply, &problem, View { login_url: context.login_url, ..View::of(&denial) });
                return (reply, None);
            }
        }
        EarlyResponse::Unconfirmed(asked) => {
            event.decision = Rejection::ConfirmationRequired.problem("").error;
            let PendingApproval { id, approve_url, expires_at } = &asked;
            return (response::unconfirmed(id, approve_url, *expires_at, context), None);
        }
        EarlyResponse::Answered(reply) => {
            event.decision = "policy_answered";
            return (reply, None);
        }
        EarlyResponse::SignedIn(next) => {
            let redirect = response::redirect(302, next.as_str().to_owned());
            let is_looping = sent_to_login::is_looping(config, request, meta.now);
            let place = if is_looping { &*config.return_path.login } else { next.as_str() };
            ("redirect_from_login", Loop::SignedIn, redirect, place.to_owned())
        }
    };
    let secure = config.secure_cookies(request.scheme, request.authority);
    let cookies = request.headers.value("cookie").unwrap_or_default();
    let Some(hops) = Hops::read(cookies, &config.hops_cookie, &place, meta.now).next() else {
        event.decision = "redirect_loop";
        let forget = loop_breaker::forget(&config.hops_cookie, secure);
        return (response::loop_page(config, why, page::frames(request)), Some(forget));
    };
    event.decision = decision;
    (redirect, Some(hops.remember(&config.hops_cookie, secure)))
}

/// Tells a developer where the application was looked for.
fn upstream_hint(config: &Config, fault: Fault) -> String {
    if !config.development || !matches!(fault, Fault::UpstreamFailed | Fault::UpstreamTimeout) {
        return String::new();
    }
    let place = match &config.upstream {
        Upstream::Origin(origin) | Upstream::SameZone(origin) => origin.as_str(),
        Upstream::Service => "the service binding UPSTREAM",
        Upstream::Assets => "the static assets binding ASSETS",
    };
    format!("UPSTREAM is {place}. Is the application running there?")
}

impl From<Rejection> for EarlyResponse {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Fault> for EarlyResponse {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}
