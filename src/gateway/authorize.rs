//! Steps 7 and 8: identity and access at the current time.
//!
//! If the body of a request is read, its client is checked twice: before, so that no body is read for a client without
//! access, and afterwards, because the client decides how long reading takes.

use super::request_context::{Matched, RequestContext};
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
        access::{self, Admission},
        principal::{Actor, Principal},
        step_up, token_scope,
    },
    platform::{effects::Effects, step::Step},
    routing::rule::{Access, Audit},
    sessions::{cookies, sent_to_login},
    upstream::ownership,
};

/// A request with access: its admission, and the parts of its body that later steps need.
pub(super) struct Authorized {
    pub(super) admission: Admission,
    pub(super) body: Body,
}

impl<'a> RequestContext<'a> {
    /// Checks the client, applies the rate limit, and checks the client again if its body was read. The request
    /// continues as the principal of the last check, which must be the same as in the first one.
    pub(super) async fn authorize<E: Effects>(
        &mut self,
        effects: &E,
        matched: Matched<'a, '_>,
    ) -> Result<Authorized, EarlyResponse> {
        let Self { config, request, .. } = *self;
        let mut read = None;
        loop {
            let admission = self.check_now(effects, matched).await?;
            if let Some((body, before)) = read {
                self.check_same_principal(before, &admission)?;
                return Ok(Authorized { admission, body });
            }
            // 9. rate limit by principal
            self.tracker.at(Step::PrincipalLimit);
            let principal = admission.principal();
            let counted =
                limits::by_principal(&config.limits, effects, matched.rule, request, principal).await?;
            self.counted = self.counted.or(counted);
            let intake =
                intake::read(config, effects, matched.rule, request, &self.tracker, admission).await?;
            read = match intake.admission {
                AdmissionState::Valid(admission) => return Ok(Authorized { admission, body: intake.body }),
                AdmissionState::MustRecheck(before) => Some((intake.body, before)),
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
        let identity =
            identify::identify(config, effects, &mut self.session_cookies, needed, request, meta).await?;
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
            return Err(EarlyResponse::SignedIn(
                config.site.return_path.asked_for(request).as_str().to_owned(),
            ));
        }
        // Under a public rule, the session was not checked. A cookie alone does not prove a user's identity.
        let is_kept =
            rule.audit != Audit::Off || rule.stream_check.is_some() || effects.as_dry_run().is_some();
        if rule.access != Access::Public && is_kept {
            // Keep the principal of the first check for the record, even if it is no longer signed in.
            self.facts.principal = identity.principal.as_ref().ok().cloned().or(self.facts.principal.take());
        }
        // 8. the token's scope, before anything is asked of upstream
        self.tracker.at(Step::Scope);
        if effects.as_dry_run().is_some() {
            self.facts.scope.clone_from(&identity.scope);
        }
        let in_scope = token_scope::check(identity.scope.as_ref(), rule, request)?;
        // 8. access
        self.tracker.at(Step::Access);
        let ownership = ownership::look_up_owner(
            config.upstream_context(),
            effects,
            rule,
            request,
            path,
            &identity,
            self.identity_headers(),
        )
        .await?;
        let admission = access::admit(rule, csrf_passed, in_scope, identity, ownership)?;
        self.event.principal = admission.principal().map(Principal::kind);
        Ok(admission)
    }

    /// Checks that the principal is the same as before the body was read.
    fn check_same_principal(
        &mut self,
        before: Option<Principal>,
        admission: &Admission,
    ) -> Result<(), Rejection> {
        let Some(before) = before else { return Ok(()) };
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
