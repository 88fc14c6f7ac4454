//! Steps 7 and 8, identity and access, and the first part of step 9, the rate limit by principal.
//!
//! If a step needs the body, the client is checked twice. The first check prevents that a body is read for a client
//! without access. The second check is made after reading, because a client can send its body slowly and lose access in
//! the meantime.
//!
//! In report mode, a refusal is reported, and the request continues with the principal whom its credential proves, or
//! without one.

use super::{
    request_claim,
    request_context::{Matched, RequestContext},
};
use crate::{
    gateway::{
        identify::{self, Freshness, Needed},
        intake::{self, AdmissionState, Body},
    },
    guards::limits,
    http::{
        problem::{Reason, Rejection},
        reply::EarlyResponse,
    },
    identity::{
        access::{self, Admission, Identity},
        principal::{Actor, Principal},
        step_up,
        token_scope::{self, InScope},
    },
    platform::{effects::Effects, step::Step},
    routing::{
        owner::Ownership,
        report::Checked,
        rule::{Access, Audit},
    },
    sessions::{cookies, sent_to_login},
    upstream::ownership,
};

/// A request with access: its admission, and the parts of its body that later steps need.
pub(super) struct Authorized {
    pub(super) admission: Admission,
    pub(super) body: Body,
}

impl<'a> RequestContext<'a> {
    /// Checks the client, applies the rate limit, and checks the client again if its body was read. Both checks must
    /// find the same principal. The request continues with the admission of the last one.
    pub(super) async fn authorize<E: Effects>(
        &mut self,
        effects: &E,
        matched: Matched<'a, '_>,
    ) -> Result<Authorized, EarlyResponse> {
        let Self { config, request, .. } = *self;
        let mut body_read = None;
        // Runs once, or twice if the body was read.
        loop {
            let admission = self.check_now(effects, matched).await?;
            if let Some((body, principal_before)) = body_read {
                let is_same = self.check_same_principal(principal_before, &admission);
                let admission = match self.reports.check(Step::Identity, is_same)? {
                    Checked::Passed(()) => admission,
                    Checked::Reported(mode) => {
                        self.facts.principal = None;
                        admission.without_principal(mode)
                    }
                };
                return Ok(Authorized { admission, body });
            }
            // 9. rate limit by principal
            if self.reports.skip(Step::PrincipalLimit).is_none() {
                self.tracker.at(Step::PrincipalLimit);
                let principal = admission.principal();
                let counted =
                    limits::by_principal(&config.limits, effects, matched.rule, request, principal).await;
                let counted = self.reports.check(Step::PrincipalLimit, counted)?;
                self.rate_limit = self.rate_limit.or(counted.passed().flatten());
            }
            let (tracker, reports) = (&self.tracker, &self.reports);
            let intake =
                intake::read(config, effects, matched.rule, request, tracker, reports, admission).await?;
            body_read = match intake.admission {
                AdmissionState::Valid(admission) => return Ok(Authorized { admission, body: intake.body }),
                AdmissionState::MustRecheck(principal) => Some((intake.body, principal)),
            };
        }
    }

    /// Checks the client as if the request had arrived now.
    pub(super) async fn check_now<E: Effects>(
        &mut self,
        effects: &E,
        matched: Matched<'a, '_>,
    ) -> Result<Admission, EarlyResponse> {
        let Matched { rule, path, csrf_passed } = matched;
        let Self { config, request, .. } = *self;
        let mut meta = self.meta.after(effects.elapsed());
        // A test's fixed clock stays fixed.
        meta.now = config.site.fixed_now.unwrap_or(meta.now);
        if meta.now > self.meta.now {
            // The session may have expired in the meantime.
            let cookies = request.headers.value("cookie").unwrap_or_default();
            self.session_cookies =
                cookies::read(&config.sessions.policy, &config.sessions.keys, cookies, meta.now);
        }
        self.event.principal = None;
        // 7. identify: by cookie, else by bearer token, else anonymous
        self.tracker.at(Step::Identity);
        let is_login_page = path.as_str() == config.site.return_path.login && request.is_navigation();
        let needed = Needed { freshness: Freshness::of(rule, is_login_page), recent: rule.recent };
        let identified =
            identify::identify(config, effects, &mut self.session_cookies, needed, request, meta).await;
        let identified = if request_claim::is_needed(rule, request) {
            // Whose claim it would be is unknown. The request may have run before, under the key of its user.
            Checked::Passed(identified?)
        } else {
            self.reports.check(Step::Identity, identified)?
        };
        if csrf_passed.reported().is_some() {
            // Another site may have sent the request with the user's cookie, which upstream may check by itself.
            self.session_cookies.withhold();
        }
        let not_identified = identified.reported();
        let identity = match identified {
            Checked::Passed(identity) => identity.usable_after(csrf_passed),
            Checked::Reported(_) => {
                self.session_cookies.withhold();
                Identity::unknown(meta.now)
            }
        };
        let may_redirect = || {
            !step_up::is_asked(request)
                && !sent_to_login::asks_to_sign_in(
                    &config.site,
                    config.sessions.login,
                    request,
                    self.meta.now,
                )
        };
        if is_login_page && identity.principal.is_ok() && may_redirect() {
            let next = config.site.return_path.asked_for(request).as_str().to_owned();
            self.reports.refuse(Step::Identity, EarlyResponse::SignedIn(next))?;
        }
        // Under a public rule, the session was not checked. A cookie alone does not prove a user's identity.
        let is_kept =
            rule.audit != Audit::Off || rule.stream_check.is_some() || effects.as_dry_run().is_some();
        if rule.access != Access::Public && is_kept {
            // If the second check finds no principal, the record names the one of the first check.
            self.facts.principal = identity.principal.as_ref().ok().cloned().or(self.facts.principal.take());
        }
        // 8. the token's scope: the first part of access, before the ownership lookup asks upstream
        self.tracker.at(Step::Scope);
        if effects.as_dry_run().is_some() {
            self.facts.scope.clone_from(&identity.scope);
        }
        let in_scope = token_scope::check(identity.scope.as_ref(), rule, request)
            .or_else(|refusal| self.reports.refuse(Step::Scope, refusal).map(InScope::by_report))?;
        // 8. the rest of access
        self.tracker.at(Step::Access);
        let ownership = if self.reports.skip(Step::Access).is_some() {
            Checked::Passed(Ownership::NotChecked)
        } else {
            let (cx, headers) = (config.upstream_context(), self.identity_headers());
            let found = ownership::look_up_owner(cx, effects, rule, request, path, &identity, headers).await;
            self.reports.check(Step::Access, found)?
        };
        let ownership = ownership.passed().unwrap_or(Ownership::NotChecked);
        let admission = match access::admit(rule, csrf_passed, in_scope, identity, ownership) {
            Ok(admission) => admission,
            Err(refused) => {
                let mode = self.reports.refuse(Step::Access, refused.rejection)?;
                refused.by_report(rule, mode)
            }
        };
        let admission = match not_identified {
            Some(mode) => admission.without_principal(mode),
            None => admission,
        };
        if admission.is_by_report() && admission.principal().is_none() {
            // The request runs, but for nobody whom a credential proved.
            self.facts.principal = None;
        }
        self.event.principal = admission.principal().map(Principal::kind);
        Ok(admission)
    }

    /// Checks that the principal is the same as before the body was read.
    fn check_same_principal(
        &mut self,
        principal_before: Option<Principal>,
        admission: &Admission,
    ) -> Result<(), Rejection> {
        let Some(before) = principal_before else { return Ok(()) };
        if admission.principal().is_some_and(|now| now.who == before.who) {
            return Ok(());
        }
        self.tracker.at(Step::Identity);
        self.event.principal = None;
        Err(Rejection::Unauthorized(match before.actor {
            Actor::Session { .. } => Reason::SessionEnded,
            Actor::Token { .. } => Reason::TokenRevoked,
        }))
    }
}
