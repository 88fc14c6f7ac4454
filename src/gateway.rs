//! The life of a request. This page is the product: every request passes through [`handle`], and what
//! happens to it happens in this order.
//!
//! The numbers are the steps of the contract. Nothing before step 12 touches upstream, and a refusal
//! leaves through the same door as a success.

use crate::{
    access::{self, Admission},
    config::Config,
    context::Request,
    csrf,
    effects::{Answer, Effects, Inbound, Reply},
    endpoint,
    event::Event,
    forward::{self, Stamps},
    loop_breaker::{self, Hops},
    path::CanonicalPath,
    principal::Principal,
    problem::{Fault, Reason, Rejection},
    response::{self, Loop},
    return_path::ReturnTo,
    rule::{Destination, Rule},
    session::{self, Ending, Holder, Presented},
    time::Timestamp,
};

/// What a request is told about itself: the one clock reading and the one id it has.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The time of the request.
    pub now: Timestamp,
    /// Visible ASCII, unique.
    pub request_id: &'a str,
}

/// Decides a request, has it answered, and tells what happened.
pub async fn handle<E: Effects>(
    config: &Config,
    effects: &E,
    request: &Request<'_>, // 1. read, as it came
    moment: Moment<'_>,
) -> (Answer<E::Response>, Event) {
    let mut visit = Visit::new(config, request, moment);
    let outcome = match visit.admit() {
        Ok(admitted) => visit.dispatch(admitted, effects).await,
        Err(turned) => Err(turned),
    };
    visit.finish(outcome, effects)
}

/// A request on its way through, and what is known of it so far.
struct Visit<'a> {
    config: &'a Config,
    request: &'a Request<'a>,
    moment: Moment<'a>,
    rule: Option<&'a Rule>,
    target: String,
    presented: Option<Presented<'a>>,
    event: Event,
}

/// Leave to be answered, under a rule.
struct Admitted<'a> {
    rule: &'a Rule,
    admission: Admission,
}

/// Who has answered.
enum Answered<R> {
    Upstream(Inbound<R>),
    Endpoint(endpoint::Answered),
}

/// Why a request goes no further.
enum Turned {
    Rejected(Rejection),
    Failed(Fault),
    /// At the login page with a live session: on to where they wanted to go.
    SignedIn(ReturnTo),
}

impl<'a> Visit<'a> {
    fn new(config: &'a Config, request: &'a Request<'a>, moment: Moment<'a>) -> Self {
        let event = Event::new(moment.request_id, request.method);
        Self { config, request, moment, rule: None, target: String::new(), presented: None, event }
    }

    /// Steps 2 to 8.
    fn admit(&mut self) -> Result<Admitted<'a>, Turned> {
        let Self { config, request, moment, .. } = *self;
        // 2. judge the path: one form decides and is forwarded
        let path = CanonicalPath::judge(request.path)?;
        self.target = format!("{}{}", path.as_str(), request.query);
        // 4. match the rule, once (3, stripping, is a value that only 12 needs)
        let rule = config.rules.find(request.method, &path);
        self.rule = Some(rule);
        // 6. cross-site?
        let same_site = csrf::check(&config.csrf, rule.csrf, request)?;
        // 7. identify: cookie, then bearer, then nobody
        let cookies = request.headers.value("cookie").unwrap_or_default();
        let presented = session::present(&config.session, &config.keys, cookies, moment.now);
        let identity = identify(&presented, request);
        let presented = self.presented.insert(presented);
        let at_login = path.as_str() == config.return_path.login && request.is_navigation();
        if at_login && matches!(presented.holder, Holder::User(_)) {
            return Err(Turned::SignedIn(config.return_path.asked_for(request)));
        }
        // 8. access
        let admission = access::admit(rule.access, same_site, identity)?;
        self.event.principal = admission.principal().map(Principal::kind);
        Ok(Admitted { rule, admission })
    }

    /// Step 12. The only one that reaches beyond us.
    async fn dispatch<E: Effects>(
        &self,
        admitted: Admitted<'a>,
        effects: &E,
    ) -> Result<Answered<E::Response>, Turned> {
        let Admitted { rule, admission } = admitted;
        let Self { config, request, moment, .. } = *self;
        match (rule.destination, &self.presented) {
            (Destination::Upstream, _) => {
                let stamps = Stamps { target: &self.target, request_id: moment.request_id, now: moment.now };
                let outbound = forward::outbound(config, rule, request, &admission, stamps);
                Ok(Answered::Upstream(effects.upstream(outbound).await?))
            }
            (Destination::Endpoint(endpoint), Some(presented)) => {
                let answered = endpoint::answer(endpoint, config, request, presented, self.ending(true))?;
                Ok(Answered::Endpoint(answered))
            }
            (Destination::Endpoint(_), None) => Err(Turned::Failed(Fault::Internal)),
        }
    }

    /// Step 13, for every answer: cookies, caches, hygiene, one event.
    fn finish<E: Effects>(
        mut self,
        outcome: Result<Answered<E::Response>, Turned>,
        effects: &E,
    ) -> (Answer<E::Response>, Event) {
        let timing = |upstream_ms: Option<u64>| {
            let waited = upstream_ms.map(|ms| format!("upstream;dur={ms}, ")).unwrap_or_default();
            let own = effects.elapsed().saturating_sub(upstream_ms.unwrap_or_default());
            self.config.development.then(|| ("server-timing", format!("{waited}vestibule;dur={own}")))
        };
        self.event.duration_ms = effects.elapsed();
        let answer = match outcome {
            Ok(Answered::Upstream(inbound)) => {
                self.event.status = inbound.status;
                self.event.upstream_ms = Some(inbound.elapsed_ms);
                let timing = timing(self.event.upstream_ms);
                let cookies = if response::sets_session(self.config, &inbound.headers) {
                    Vec::new()
                } else {
                    self.session_cookies((200..400).contains(&inbound.status))
                };
                self.event.cookies_changed = cookies.len();
                let rule = self.rule.unwrap_or(self.config.rules.default_rule());
                let mut edits = response::relay(self.config, rule, self.request, &inbound.headers, cookies);
                edits.append.extend(timing);
                Answer::Relayed(inbound.response, edits)
            }
            Ok(Answered::Endpoint(endpoint::Answered { reply, cookies })) => {
                let cookies = cookies.unwrap_or_else(|| self.session_cookies(true));
                self.own(reply, cookies, timing(None))
            }
            Err(turned) => {
                let timing = timing(None);
                let (reply, hops) = self.turn_away(turned);
                let mut cookies = self.session_cookies(false);
                cookies.extend(hops);
                self.own(reply, cookies, timing)
            }
        };
        self.event.rule = self.rule.map(|rule| rule.path.clone());
        self.event.operation = self.rule.and_then(|rule| rule.operation.clone());
        (answer, self.event)
    }

    fn own<R>(
        &mut self,
        mut reply: Reply,
        cookies: Vec<String>,
        timing: Option<(&'static str, String)>,
    ) -> Answer<R> {
        self.event.cookies_changed = cookies.len();
        self.event.status = reply.status;
        response::dress(&mut reply, self.request, cookies);
        reply.headers.extend(timing);
        Answer::Own(reply)
    }

    /// Says no in the words of who asked, and counts what sends a browser around.
    fn turn_away(&mut self, turned: Turned) -> (Reply, Option<String>) {
        let Self { config, request, moment, .. } = *self;
        let is_ours = self.rule.is_some_and(|rule| rule.destination != Destination::Upstream);
        let (decision, why, redirect) = match turned {
            Turned::Failed(fault) => {
                self.event.decision = fault.problem("").error;
                return (response::failed(fault, moment.request_id), None);
            }
            Turned::Rejected(Rejection::Unauthorized(reason)) if request.is_navigation() && !is_ours => {
                self.event.reason = Some(reason.code());
                ("redirect_to_login", Loop::SignedOut(reason), response::to_login(config, &self.target))
            }
            Turned::Rejected(rejection) => {
                let problem = rejection.problem("");
                (self.event.decision, self.event.reason) = (problem.error, problem.reason);
                return (response::refused(rejection, moment.request_id), None);
            }
            Turned::SignedIn(next) => ("redirect_from_login", Loop::SignedIn, response::from_login(&next)),
        };
        let secure = config.secure_cookies(request.scheme, request.authority);
        let cookies = request.headers.value("cookie").unwrap_or_default();
        let Some(hops) = Hops::read(cookies, &config.hops_cookie, moment.now).next() else {
            self.event.decision = "redirect_loop";
            let forget = loop_breaker::forget(&config.hops_cookie, secure);
            return (response::loop_page(config, why), Some(forget));
        };
        self.event.decision = decision;
        (redirect, Some(hops.remember(&config.hops_cookie, secure)))
    }

    fn session_cookies(&self, answered_well: bool) -> Vec<String> {
        let Some(presented) = &self.presented else { return Vec::new() };
        let succeeded = answered_well && self.event.principal.is_some();
        let ending = self.ending(succeeded);
        presented.changes(&self.config.session, &self.config.keys, ending, self.moment.now)
    }

    fn ending(&self, succeeded: bool) -> Ending<'a> {
        let Self { config, request, .. } = *self;
        let secure = config.secure_cookies(request.scheme, request.authority);
        Ending { succeeded, authority: request.authority, path: request.path, secure }
    }
}

fn identify(presented: &Presented<'_>, request: &Request<'_>) -> Result<Principal, Reason> {
    presented.principal().map_err(|reason| match reason {
        Reason::NoCredential if request.bearer().is_some() => Reason::TokenUnknown,
        reason => reason,
    })
}

impl From<Rejection> for Turned {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Fault> for Turned {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}
